"""Providers and a cache that is in memory alone, for the tests of the stage."""

from pathlib import Path
from typing import Any

from addons.caching import Caching, Lasting
from tests.core.scripted import JSON, World, call, provider
from tokenman_core.caching.detective import Detective
from tokenman_core.caching.flights import Flights, StoreLeases
from tokenman_core.caching.kept import Kept
from tokenman_core.caching.repeats import Repeats
from tokenman_core.caching.rules import Rules
from tokenman_core.clock import ManualClock
from tokenman_core.config.models import Pricing, Settings
from tokenman_core.exchange import Exchange
from tokenman_core.failover.policy import Rules as Retries
from tokenman_core.pricing import Prices
from tokenman_core.providers import Providers
from tokenman_core.state import Unavailable

BODY = b'{"model":"claude-sonnet-4-5","max_tokens":900,"temperature":0,"messages":[{"role":"user","content":"hello"}]}'
BOTH: Any = ({"try": ["a", "b"]},)
ROOT = bytes(32)
STREAM = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":'
    b'"claude-sonnet-4-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n'
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
    b'"usage":{"output_tokens":5}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


def said(text: str) -> Any:
    body = (
        b'{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{"type":"text","text":"%s"}],'
        b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":30,"output_tokens":50}}'
    )
    return 200, JSON, [body % text.encode()]


async def unavailable(question: Any) -> Any:
    raise Unavailable


class House:
    """Providers `a` and `b`, and a cache that is in memory alone."""

    def __init__(
        self,
        folder: Path,
        answers: Any,
        *stages: object,
        rules: Rules | None = None,
        routes: Any = (),
        behind: Any = (),
        dialect: str = "anthropic",
        lasting: Lasting | None = None,
        **more: Any,
    ) -> None:
        """`behind`: stages that stand behind the cache. `lasting`: of a house before it, whose configuration was changed."""
        self.clock = ManualClock()
        them = (provider("a", dialect), provider("b", dialect, key="sk-b"))
        leases = StoreLeases(unavailable, self.clock)
        settings = Settings(data_dir=folder)  # type: ignore[call-arg]
        self.lasting = lasting or Lasting(
            Kept(settings, ROOT, self.clock),
            Flights(self.clock, leases),
            leases,
            Repeats(300.0),
            Detective(self.clock, ROOT),
        )
        prices = Prices(Pricing())
        self.stage = Caching(rules or Rules("deterministic"), self.lasting, Providers(them), prices, ROOT, self.clock)
        self.world = World(
            answers,
            *stages,
            self.stage,
            *behind,
            rules=Retries(attempts=1),
            routes=routes,
            providers=them,
            clock=self.clock,
            **more,
        )

    async def ask(self, body: bytes = BODY, **more: Any) -> tuple[str, str, Exchange]:
        """How it was answered, the text, and the call."""
        made = call(body, *more.pop("headers", ()), **more)
        parts: list[Any] = [part async for part in self.world.conductor.answer(made)]
        made.status = parts[0].status
        await self.world.conductor.settle(made)
        await self.world.stages.done(made)
        content = b"".join(part for part in parts if isinstance(part, bytes)).decode()
        return (
            dict(parts[0].headers).get(b"x-tokenman-cache", b"").decode(),
            content.partition('"text":"')[2].partition('"')[0],
            made,
        )

    @property
    def asked(self) -> list[str]:
        return [host.partition(".")[0] for host in self.world.upstream.hosts]
