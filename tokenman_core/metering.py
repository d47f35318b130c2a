"""Books what every attempt used and cost: by what the provider said, else by what went out and what came.

An estimate takes a thread of its own and waits its turn there; it is made once the client has the end of its answer.
"""

import asyncio
import json
import logging
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

import orjson

from tokenman_core import tokens
from tokenman_core.ahead.believed import believed
from tokenman_core.ahead.output import stated
from tokenman_core.capture import Capture
from tokenman_core.dialects.base import AnswerReader
from tokenman_core.errors import trace
from tokenman_core.exchange import Attempt, Exchange, Login
from tokenman_core.json_array import ArrayParser
from tokenman_core.paths import QUIET
from tokenman_core.pricing import Prices
from tokenman_core.providers import Provider, Providers
from tokenman_core.sse import Event, SseError, SseParser
from tokenman_core.underway import Left
from tokenman_core.usage import Bill, Usage, with_tools
from tokenman_core.verdicts import Candidate

log = logging.getLogger("tokenman.meter")

Due = Literal["nothing", "said", "estimate"]

_SESSION_S = 1_200.0  # of a container (https://platform.openai.com/docs/pricing)
_MOST_CONTAINERS = 10_000
_MOST_ANSWERS = 10_000
_LONGEST_ID = 200
_MOST_WAITING = 64  # estimates: each keeps its call in memory, and whoever leaves at once and often could fill it
_UNCOUNTED = frozenset({"audio", "batches", "images"})  # what they cost stands in no text that was sent or came
# What no model wrote: what an answer repeats of its question (a Responses stream does so in its first events), what went wrong,
# how it was judged, and what it cost.
_ECHOED = frozenset(
    {
        "content_filter_results", "error", "incomplete_details", "instructions", "metadata", "prompt", "promptFeedback",
        "prompt_filter_results", "safetyRatings", "service_tier", "speed", "tool_choice", "tools", "truncation", "usage",
        "usageMetadata", "user",
    }
)  # fmt: skip


@dataclass(eq=False)
class _Desk:
    """Where the counting is done. Of all meters of a process."""

    thread: ThreadPoolExecutor
    waiting: int = 0
    closed: bool = False
    start: asyncio.Task[None] | None = None
    containers: OrderedDict[str, float] = field(default_factory=OrderedDict)  # by id, when its session was booked
    answers: OrderedDict[str, None] = field(default_factory=OrderedDict)  # ids of those that are booked

    def opened(self, containers: Iterable[str], now: float) -> int:
        """How many of them begin a session now (seconds since the epoch): what ran on one before is no new one."""
        known = self.containers
        fresh = [name for name in containers if not now - _SESSION_S < known.get(name, -math.inf) <= now]
        for name in fresh:
            known[name] = now
            known.move_to_end(name)
        while len(known) > _MOST_CONTAINERS:
            known.popitem(last=False)
        return len(fresh)

    def note(self, answer: str | None) -> None:
        """One is booked, and to be booked no more when its usage is told again."""
        if answer and len(answer) <= _LONGEST_ID:
            self.answers[answer] = None
            if len(self.answers) > _MOST_ANSWERS:
                self.answers.popitem(last=False)


class Meter:
    """Sets `attempt.usage` (what the provider said) and `attempt.bill` (what is booked). Never raises for what it cannot tell."""

    def __init__(self, prices: Prices, providers: Providers, desk: _Desk | None = None) -> None:
        self._prices, self._providers = prices, providers
        self._desk = desk or _Desk(ThreadPoolExecutor(1, "tokenman-meter"))

    def by(self, prices: Prices, providers: Providers) -> "Meter":
        """One that books by other prices, and shares all else with this one."""
        return Meter(prices, providers, self._desk)

    def start(self) -> None:
        """Loads the price lists on the meter's thread. Not needed, but then the first call waits for them.

        The tokeniser is not loaded before it is wanted: an estimate holds nobody up, and many never need one.
        """
        self._desk.start = asyncio.create_task(self._warm())

    def hasten(self) -> None:
        """The end is near: what is still to be booked is counted roughly, at once, and waits for no tokeniser to be loaded."""
        self._desk.closed = True

    def close(self) -> None:
        """The end is here."""
        self.hasten()
        self._desk.thread.shutdown(wait=False, cancel_futures=True)

    async def _warm(self) -> None:
        try:
            await self._wake()
        except Exception as e:  # told now, and again where it is needed: a call is worth more than its price
            log.error("what calls cost cannot be told in full: %s", trace(e))

    async def _wake(self) -> None:
        if not self._prices.ready and not self._desk.closed:
            await self._off_loop(self._prices.warm)

    async def _off_loop[T](self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._desk.thread, function)

    # -- what the conductor asks --

    def ready(self, exchange: Exchange, attempt: Attempt) -> bool:
        """Whether `settle` takes no time to speak of."""
        due = self._due(exchange, attempt)
        return due == "nothing" or (due == "said" and self._prices.ready)

    async def quote(self, exchange: Exchange, attempt: Attempt) -> Decimal | None:
        """What a whole answer cost, before the client has it. None: nothing, or it is not known."""
        if self._due(exchange, attempt) != "said":
            return None
        await self.settle(exchange, attempt)
        return attempt.bill.cost if attempt.bill else None

    async def settle(self, exchange: Exchange, attempt: Attempt) -> None:
        """Books the attempt, which is over. One that is booked, for it was quoted, stays so."""
        if attempt.bill is not None:
            return
        attempt.usage = exchange.reader.usage if exchange.reader else None
        due = self._due(exchange, attempt)
        if due == "nothing":
            return
        said = attempt.usage or Usage()
        used = _Used(said, estimated=False)
        try:
            await self._wake()
            if due == "estimate":
                used = await self._estimate(exchange, said)
        except asyncio.CancelledError:
            if due == "estimate":  # a call that ends in haste is not free
                used = _used(exchange, said, *_roughly(exchange, said))
            self._book(exchange, attempt, used)
            raise
        except Exception as e:  # what it used is not known; the call itself must not suffer for it
            log.error("a call is booked without its tokens: %s", trace(e))
            used = _Used(said, estimated=True, counted=False)
        self._book(exchange, attempt, used)

    def _due(self, exchange: Exchange, attempt: Attempt) -> Due:
        """Whether the attempt costs, and who knows how much. What should cost nothing is booked where its answer says otherwise,
        but not what only repeats the usage of an answer that was given before.
        """
        operation, reader = exchange.operation, exchange.reader
        if operation.generates and not operation.free:
            return _due(exchange, attempt)
        if reader is None or reader.usage in (None, Usage()) or exchange.sent.method in QUIET:
            return "nothing"
        return "nothing" if reader.id in self._desk.answers else "said"

    def _book(self, exchange: Exchange, attempt: Attempt, used: "_Used") -> None:
        reader = exchange.reader
        if used.nothing:
            return
        self._desk.note(reader.id if reader else None)
        if not used.counted:
            attempt.bill = Bill(used.usage, None, "unknown", estimated=True)
            return
        if exchange.operation.free or not exchange.operation.generates:
            log.warning("an answer that should cost nothing (%s) tells a usage: booked", exchange.operation.name)
            exchange.overrun = True
        elif not used.estimated and _beyond(exchange, used.usage):
            log.warning(
                "a provider says that a call wrote more than its request allowed; it is booked, and marked overrun"
            )
            exchange.overrun = True
        provider = self._providers.by_name[attempt.candidate.provider]
        models = [reader.model or "" if reader else "", attempt.candidate.model or exchange.model]
        called = _called(exchange, models, used.usage)
        if (
            reader is not None
            and reader.containers
            and (fresh := self._desk.opened(reader.containers, exchange.times.begun))
        ):
            called = {**called, "containers": fresh}
        others = reader.others if reader else {}
        terms, at = reader.terms if reader else None, datetime.fromtimestamp(exchange.times.begun, UTC)
        monthly = by_the_month(self._providers, exchange, attempt.candidate)

        def bill(said: Usage, names: Sequence[str]) -> Bill:
            usage = believed(exchange, names, said)
            made = self._prices.bill(
                usage, provider, names, at, terms=terms, subscription=monthly, estimated=used.estimated
            )
            return made if usage is said else replace(made, said=said)

        attempt.bill = Bill.together(
            [
                bill(usage, names)
                for usage, names in (
                    (with_tools(used.usage, called), models),
                    *((usage, [name]) for name, usage in others.items()),
                )
            ]
        )
        if attempt.bill is not None and attempt.bill.said is not None:
            said, booked = attempt.bill.said, attempt.bill.usage
            log.warning(
                "%s says that a call read %d tokens and wrote %d, which it cannot have; what it can have used at most is booked: "
                "%d and %d", attempt.candidate.provider, said.input, said.output, booked.input, booked.output,
            )  # fmt: skip
            exchange.overrun = True

    async def lost(self, left: Left) -> Bill | None:
        """What is booked for the attempt that was not over when its process ended: what it read."""
        if left.input is None:
            return None
        said, usage = left.said, Usage(input=left.input)
        provider = self._providers.by_name.get(said["provider"])
        try:
            await self._wake()
        except Exception as e:  # as in `settle`: a call without a price is still a call
            log.error("a call is booked without its price: %s", trace(e))
            provider = None
        if provider is None:
            return Bill(usage, None, "unknown", estimated=True)
        return self._prices.bill(
            usage,
            provider,
            [said["model"]],
            datetime.fromtimestamp(said["begun"], UTC),
            subscription=_pays_by_the_month(provider, said["named"], said["login"]),
            estimated=True,
        )

    # -- what nobody said --

    async def _estimate(self, exchange: Exchange, said: Usage) -> "_Used":
        if self._desk.closed or self._desk.waiting >= _MOST_WAITING:
            return _used(exchange, said, *_roughly(exchange, said))
        sent = [] if said.input else _sent(exchange)
        captured, whole, fresh = exchange.captured, exchange.said, exchange.dialect.reader(exchange.operation)
        writes = _writes(exchange, said)

        def count() -> tuple[int, int]:
            return tokens.estimate(sent), _came(captured, whole, fresh) if writes else 0

        self._desk.waiting += 1
        try:
            return _used(exchange, said, *await self._off_loop(count))
        finally:
            self._desk.waiting -= 1


@dataclass(frozen=True)
class _Used:
    """`counted`: all that costs is in it. `nothing`: the provider failed before it did anything, so nothing is due."""

    usage: Usage
    estimated: bool
    counted: bool = True
    nothing: bool = False


def _used(exchange: Exchange, said: Usage, given: int, answered: int) -> _Used:
    """By what was counted here; of what was said, all that is not less."""
    reader = exchange.reader
    if _told(exchange, said) and not (given or answered):
        return _Used(said, estimated=False)
    if said == Usage() and (characters := _read_aloud(exchange)):
        return _Used(Usage(parts={"input_characters": characters}), estimated=False)
    failed = reader is not None and reader.failed is not None and not answered and said == Usage()
    readable = exchange.captured is not None or exchange.said is not None or reader is None
    usage = replace(said, input=max(said.input, given), output=max(said.output, answered))
    return _Used(usage, True, counted=readable and not _uncounted(exchange), nothing=failed)


def _beyond(exchange: Exchange, said: Usage) -> bool:
    """Whether more is said to be written than the request, as it was sent, allows: what nobody asked for is not hidden."""
    bound = stated(exchange.operation, exchange.body.value) if exchange.body else None
    return bound is not None and bool(bound.limit) and said.output > (bound.limit or 0) * bound.answers


def _called(exchange: Exchange, models: Sequence[str], used: Usage) -> Mapping[str, int]:
    """OpenAI's models that search in Chat Completions search once for each answer, and tell of it in no usage
    (https://platform.openai.com/docs/guides/tools-web-search).
    """
    searches = exchange.operation.name == "chat" and any(map(_SEARCHING.fullmatch, models))
    return {"web_searches": 1} if searches and used.output else {}


_SEARCHING = re.compile(r"(?:[\w.-]+/)*gpt-[\w.-]*search[\w.-]*")


def _read_aloud(exchange: Exchange) -> int:
    """The characters that a call has spoken, which is what speech is priced by (https://platform.openai.com/docs/pricing)."""
    value = exchange.body.value if exchange.body else None
    if not exchange.sent.plain.endswith("/audio/speech") or type(value) is not dict:
        return 0
    text = next((slot.text for slot in exchange.body.slots if slot.path == ("input",)), "") if exchange.body else ""
    return len(text)


def _roughly(exchange: Exchange, said: Usage) -> tuple[int, int]:
    """Input and output by their bytes alone, which takes no time; what frames the text counts as text."""
    captured, whole = exchange.captured, exchange.said
    came = (captured.seen if captured else len(whole or b"")) if _writes(exchange, said) else 0
    return 0 if said.input else tokens.rough(_sent(exchange)), came // 4


def _due(exchange: Exchange, attempt: Attempt) -> Due:
    """Of a call that a model answers."""
    reader = exchange.reader
    said = reader is not None and reader.usage not in (None, Usage())  # nothing at all is what no answer takes
    if attempt.status is None:
        # No answer had begun: the client left, or we gave up, while the provider worked; or it never came to that.
        return "estimate" if attempt.worked or (attempt.sent and attempt.failure is None) else "nothing"
    if reader is None and attempt.failure is not None and attempt.failure.kind == "status":
        return "nothing"  # a stream began with an error, and something else was tried then
    if attempt.status >= 300:
        return "said" if said else "nothing"
    if not said or reader is None or not reader.finished:
        return "estimate"
    return "estimate" if _doubtful(exchange, reader.usage or Usage()) else "said"


def _told(exchange: Exchange, said: Usage) -> bool:
    """Whether the answer came to its end, and a usage with it."""
    return exchange.reader is not None and exchange.reader.finished and said != Usage()


def _doubtful(exchange: Exchange, said: Usage) -> bool:
    """Whether a side is said to be nothing: then it is looked whether there was any text, since no text is free."""
    name = exchange.operation.name
    return not _uncounted(exchange) and not (said.input and (said.output or name == "embeddings"))


def _uncounted(exchange: Exchange) -> bool:
    """Also what runs in the background and has only been queued: what it writes comes later, and to another call."""
    value = exchange.body.value if exchange.body is not None else None
    queued = type(value) is dict and value.get("background") is True
    return queued or exchange.operation.elsewhere or exchange.operation.name in _UNCOUNTED


def _writes(exchange: Exchange, said: Usage) -> bool:
    """Whether the answer is counted here. Embeddings are no words, and what an answer says of itself at its end holds."""
    return exchange.operation.name != "embeddings" and not (said.output and _told(exchange, said))


def _sent(exchange: Exchange) -> list[str]:
    """All text of the request that the model read: its slots, and the tools, which are no slots."""
    body = exchange.body
    if body is None:
        return []
    texts = [slot.text for slot in body.slots]
    if type(body.value) is dict:
        texts += [_written(tools) for key in ("tools", "functions") if (tools := body.value.get(key))]
    return texts


def _written(tools: Any) -> str:
    try:
        return orjson.dumps(tools).decode()
    except TypeError:  # it writes no integers beyond 64 bits, no halves of characters, and nothing deeper than 254
        return json.dumps(tools)


def by_the_month(providers: Providers, exchange: Exchange, candidate: Candidate) -> bool:
    """Whether the caller's own login pays for a call there, by the month. With a login at the APIs of Google and OpenAI themselves
    he pays by use."""
    return _pays_by_the_month(providers.by_name[candidate.provider], exchange.named, exchange.caller.login)


def _pays_by_the_month(provider: Provider, named: str, login: Login) -> bool:
    if provider.key is not None or provider.name != named:
        return False  # the caller's login is not what the provider sees
    if provider.name in ("codex", "gemini-code-assist"):
        return True
    return login == "oauth" and provider.dialect.name == "anthropic"


def _came(captured: Capture | None, whole: bytes | None, reader: AnswerReader) -> int:
    """The tokens of what came of an answer."""
    if whole is not None:
        return tokens.estimate(_texts([Event(whole, "whole")], reader))
    if captured is None or not captured.seen:
        return 0
    if not captured.stream:  # half a document, which nobody reads
        return -(-captured.seen // 4)
    data = captured.data
    parser = ArrayParser() if captured.array else SseParser()
    try:
        events = [*parser.feed(data), *parser.finish()]
    except SseError:  # one event is larger than any should be: what stands before it is lost with it
        return -(-captured.seen // 4)
    return -(-tokens.estimate(_texts(events, reader)) * captured.seen // len(data))


def _texts(events: Sequence[Event], reader: AnswerReader) -> list[str]:
    """The texts that a model wrote: the running ones where there are any, since what is complete repeats them."""
    running: dict[str, list[str]] = {}
    complete: list[str] = []
    for event in events:
        reader.read(event)
        for slot in event.slots:
            if slot.channel:
                running.setdefault(slot.channel, []).append(slot.text)
            elif slot.kind == "tool_input" or _ECHOED.isdisjoint(step for step in slot.path if isinstance(step, str)):
                complete.append(slot.text)
    return ["".join(pieces) for pieces in running.values()] or complete
