"""Calls that share one: what each client gets, what the provider is asked, who pays, and what happens when somebody leaves."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import pytest

from tests.core.scripted import END, JSON, PING, SAID, SSE, START, STREAM, WORD, call
from tokenman_core.caching.calls import Following, Leading, afterwards, live
from tokenman_core.caching.entry import Entry
from tokenman_core.caching.flights import Flight, Flights
from tokenman_core.clock import ManualClock
from tokenman_core.conductor import Conductor
from tokenman_core.config.models import Pricing
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.failover.policy import Policy, Rules
from tokenman_core.metering import Meter
from tokenman_core.net import Deadlines, Request, UpstreamError
from tokenman_core.outward import Caps
from tokenman_core.pricing import Prices
from tokenman_core.providers import Provider, Providers
from tokenman_core.routes import Routes
from tokenman_core.sending import Sender
from tokenman_core.session import Sessions
from tokenman_core.stages import Link, Stages
from tokenman_core.tries import Means
from tokenman_core.usage import Usage
from tokenman_core.verdicts import Head, Headers, Parts

GZIP: Headers = ((b"content-encoding", b"gzip"),)
BODY = b'{"model":"claude-sonnet-4-5","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}'
STREAMED = BODY.replace(b'"max_tokens"', b'"stream":true,"max_tokens"')
KEY = b"k" * 32


class Provider_:
    """Answers each call with the next script; a piece that is an event is waited for."""

    def __init__(self, *scripts: Any) -> None:
        self.scripts, self.requests, self.open = list(scripts), list[Request](), 0

    def call(self, request: Request, deadlines: Deadlines, **more: Any) -> "Provider_._Call":
        self.requests.append(request)
        return self._Call(self, self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0])

    class _Call:
        def __init__(self, of: "Provider_", script: Any) -> None:
            self.of = of
            self.status, self.headers, self.pieces = script
            self.trailers: Headers = ()

        async def __aenter__(self) -> Any:
            self.of.open += 1
            return self

        async def __aexit__(self, *_: object) -> None:
            self.of.open -= 1

        def header(self, name: bytes) -> bytes | None:
            return next((value for key, value in self.headers if key == name), None)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in self.pieces:
                if isinstance(piece, asyncio.Event):
                    await piece.wait()
                elif isinstance(piece, Exception):
                    raise piece
                else:
                    yield piece


class Shares:
    """The stage as far as it shares: the first call of a key leads, the others follow it."""

    fails = "open"

    def __init__(self, flights: Flights, find: Callable[[], Any]) -> None:
        self.flights, self.find, self.fit = flights, find, True
        self.kept: Entry | None = None
        self.bills: list[Any] = []

    async def llm_request(self, exchange: Exchange) -> None:
        like = exchange.stream
        flight = self.flights.of(KEY)
        if flight is None:
            flight = self.flights.begin(KEY, like, 1 << 20, lambda: self.fit)
            exchange.shared = Leading(
                exchange, self.flights, flight, self.find, again, lambda entry: say(exchange, "elsewhere"), self.judge
            )
            exchange.notes["flight"] = flight
            return
        same = flight.like == like and not flight.ended

        def parts() -> Any:
            assert flight is not None
            return live(flight, shared=False) if same else afterwards(flight, again)

        exchange.cache = "coalesced"
        exchange.shared = Following(flight, parts, lambda: say(exchange, "miss"))

    async def judge(self) -> Entry | None:
        return self.kept

    async def llm_attempt_done(self, exchange: Exchange, attempt: Attempt) -> None:
        self.bills.append((exchange.id, attempt.bill and attempt.bill.usage, attempt.answered))

    async def llm_done(self, exchange: Exchange) -> None:
        if isinstance(flight := exchange.notes.get("flight"), Flight):
            self.flights.end(flight)


def say(exchange: Exchange, how: str) -> None:
    exchange.cache = how


async def again(entry: Entry) -> Parts:
    async def parts() -> Parts:
        yield Head(200, entry.headers)
        yield entry.body

    return parts()


async def nothing() -> None:
    return None


class World:
    def __init__(self, *scripts: Any, find: Callable[[], Any] = nothing) -> None:
        clock = ManualClock()
        self.upstream = Provider_(*scripts)
        providers = Providers([Provider("a", DIALECTS["anthropic"], "https", "a.example", 443)])
        self.shares = Shares(Flights(clock), find)
        self.stages = Stages([Link.of(self.shares, "caching")], clock)
        meter = Meter(Prices(Pricing()), providers)
        sender = Sender(providers, self.upstream, clock)  # type: ignore[arg-type]
        means = Means(sender, Policy(Rules(attempts=1), clock, lambda: 0.5), meter, clock, 0)
        self.conductor = Conductor(
            lambda: self.stages, providers, means, Caps(0, 0, 1 << 20), clock, Sessions(b"k"), Routes([], providers)
        )

    def begin(self, body: bytes = STREAMED, *headers: tuple[bytes, bytes]) -> "Client":
        return Client(self, call(body, *headers))


class Client:
    """A client of its own: `got` is what it has so far; `leave` is what happens when its connection goes."""

    number = 0

    def __init__(self, world: World, exchange: Exchange) -> None:
        Client.number += 1
        exchange.id = f"req_{Client.number}"
        self.exchange, self.world = exchange, world
        self.got: list[Any] = []
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        parts = self.world.conductor.answer(self.exchange)
        try:
            async for part in parts:
                self.got.append(part)
        except asyncio.CancelledError:
            self.exchange.outcome = "aborted"
        finally:
            await parts.aclose()
            await self.world.conductor.settle(self.exchange)
            await self.world.stages.done(self.exchange)

    def leave(self) -> None:
        self.task.cancel()

    async def end(self) -> tuple[int, bytes]:
        await self.task
        return self.status, self.body

    @property
    def status(self) -> int:
        return int(self.got[0].status)

    @property
    def body(self) -> bytes:
        return b"".join(part for part in self.got if isinstance(part, bytes))


async def turns(number: int = 60) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def streaming(*pieces: Any) -> tuple[int, Headers, list[Any]]:
    return 200, SSE, list(pieces)


async def test_a_hundred_identical_calls_ask_the_provider_once():
    more = asyncio.Event()
    world = World(streaming(START, WORD, more, END))
    clients = [world.begin() for _ in range(100)]
    await turns()
    assert all(client.body == START + WORD for client in clients), "each has the part so far"
    late = world.begin()
    await turns()
    assert late.body == START + WORD
    more.set()
    assert {await client.end() for client in (*clients, late)} == {(200, START + WORD + END)}
    assert len(world.upstream.requests) == 1
    assert world.shares.bills == [(clients[0].exchange.id, Usage(3, 5), True)], "and one pays for it"
    assert [client.exchange.cache for client in clients[1:]] == ["coalesced"] * 99


async def test_a_plain_answer_is_shared_too():
    more = asyncio.Event()
    world = World((200, JSON, [more, SAID]))
    world.shares.kept = ENTRY
    clients = [world.begin(BODY) for _ in range(10)]
    await turns()
    more.set()
    assert {await client.end() for client in clients} == {(200, SAID)}
    assert len(world.upstream.requests) == 1


async def test_a_plain_answer_that_is_not_worth_keeping_is_given_to_its_first_asker_alone():
    more = asyncio.Event()
    world = World((200, JSON, [more, SAID]))
    clients = [world.begin(BODY) for _ in range(3)]
    await turns()
    assert len(world.upstream.requests) == 1
    more.set()
    assert {await client.end() for client in clients} == {(200, SAID)}
    assert len(world.upstream.requests) == 3


async def test_the_others_go_on_when_the_first_leaves_and_he_pays_for_all_of_it():
    more = asyncio.Event()
    world = World(streaming(START, WORD, more, END))
    first, other = world.begin(), world.begin()
    await turns()
    first.leave()
    await turns()
    assert not world.shares.bills, "it is not over"
    assert world.upstream.open == 1
    more.set()
    assert await other.end() == (200, STREAM.replace(END, WORD + END))
    await first.end()
    assert world.shares.bills == [(first.exchange.id, Usage(3, 5), True)]
    assert first.exchange.outcome == "aborted"
    assert len(world.upstream.requests) == 1


async def test_it_ends_at_the_provider_when_the_last_one_leaves():
    world = World(streaming(START, WORD, asyncio.Event()))
    clients = [world.begin() for _ in range(3)]
    await turns()
    for client in clients:
        client.leave()
    for client in clients:
        await client.end()
    assert world.upstream.open == 0
    ((payer, used, answered),) = world.shares.bills
    assert (payer, answered) == (clients[0].exchange.id, True)
    assert used.input == 3
    assert used.output >= 1, "what came is due"
    assert len(world.shares.flights) == 0


async def test_when_the_first_one_fails_each_makes_a_call_of_its_own():
    more = asyncio.Event()
    world = World(
        (500, JSON, [more, b'{"type":"error","error":{"type":"api_error","message":"no"}}']), (200, JSON, [SAID])
    )
    clients = [world.begin(BODY) for _ in range(4)]
    await turns()
    more.set()
    assert [(await client.end())[0] for client in clients] == [500, 200, 200, 200]
    assert len(world.upstream.requests) == 4
    assert [client.exchange.cache for client in clients[1:]] == ["miss"] * 3


async def test_a_stream_that_begins_with_an_error_is_no_answer_for_the_others():
    more = asyncio.Event()
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"no"}}\n\n'
    world = World(streaming(more, error), streaming(START, WORD, END))
    world.shares.fit = False  # as the stage tells: the attempt has no answer
    clients = [world.begin() for _ in range(2)]
    await turns()
    more.set()
    assert (await clients[0].end())[1] == error
    assert (await clients[1].end())[1] == START + WORD + END


async def test_a_plain_answer_that_breaks_off_is_asked_for_again_by_the_others():
    more = asyncio.Event()
    world = World((200, JSON, [SAID[:20], more, UpstreamError("reset", "cut")]), (200, JSON, [SAID]))
    clients = [world.begin(BODY) for _ in range(3)]
    await turns()
    more.set()
    assert [(await client.end())[0] for client in clients] == [502, 200, 200]


async def test_a_stream_that_breaks_off_breaks_off_for_all_and_says_so():
    more = asyncio.Event()
    world = World(streaming(START, WORD, more, UpstreamError("reset", "cut")))
    clients = [world.begin() for _ in range(3)]
    await turns()
    more.set()
    for client in clients:
        _, body = await client.end()
        assert body.startswith(START + WORD)
        assert b"event: error" in body
        assert client.exchange.outcome == "broken"
    assert len(world.upstream.requests) == 1


async def test_what_answers_something_else_is_for_its_first_asker_alone():
    world = World(streaming(START, WORD, END))
    world.shares.fit = False
    clients = [world.begin() for _ in range(3)]
    assert {await client.end() for client in clients} == {(200, START + WORD + END)}
    assert len(world.upstream.requests) == 3


@pytest.mark.parametrize("asks", [b"gzip", b"identity"])
async def test_nobody_gets_a_coding_that_he_did_not_ask_for(asks: bytes):
    packed = gzip.compress(START + WORD + END)
    world = World((200, (*SSE, *GZIP), [packed[:30], packed[30:]]))
    first = world.begin(STREAMED, (b"accept-encoding", b"gzip"))
    other = world.begin(STREAMED, (b"accept-encoding", asks))
    await first.end()
    await other.end()
    assert gzip.decompress(first.body) == START + WORD + END
    assert other.body == START + WORD + END
    assert not [value for name, value in other.got[0].headers if name == b"content-encoding"]
    assert len(world.upstream.requests) == 1


async def test_of_the_providers_head_only_what_is_true_for_all_is_given_to_all():
    said = (*SSE, (b"request-id", b"r1"), (b"set-cookie", b"a=b"), (b"x-ratelimit-remaining-requests", b"3"))
    world = World((200, said, [START, WORD, END]))
    first, other = world.begin(), world.begin()
    await first.end()
    await other.end()
    names = {name for name, _ in other.got[0].headers}
    assert b"request-id" in names
    assert not names & {b"set-cookie", b"x-ratelimit-remaining-requests"}


ENTRY = Entry(200, JSON, False, SAID, (), 0.1, "a", "m", "", 0.0, Usage(3, 5), Decimal(1))


async def test_what_another_process_had_made_meanwhile_is_given_to_all():
    found: list[Any] = [ENTRY]

    class Busy:
        async def take(self, key: bytes) -> str:
            return ""

        def free(self, lease: str) -> None:
            assert not lease

    async def find() -> Any:
        return found[0]

    world = World((200, JSON, [b"not asked for"]), find=find)
    world.shares.flights = Flights(ManualClock(), Busy(), lambda seconds: asyncio.sleep(0))
    clients = [world.begin(BODY) for _ in range(3)]
    assert {await client.end() for client in clients} == {(200, SAID)}
    assert not world.upstream.requests
    assert clients[0].exchange.cache == "elsewhere"
    assert not world.shares.bills


async def test_who_asks_for_another_shape_gets_what_was_kept_once_it_is_over():
    more = asyncio.Event()
    world = World(streaming(START, WORD, more, END))
    world.shares.kept = ENTRY
    first, other = world.begin(STREAMED), world.begin(BODY)
    await turns()
    assert not other.got
    more.set()
    await first.end()
    assert await other.end() == (200, SAID)
    assert len(world.upstream.requests) == 1


async def test_who_asks_for_another_shape_makes_a_call_of_its_own_where_nothing_was_kept():
    world = World(streaming(START, WORD, END), (200, JSON, [SAID]))
    first, other = world.begin(STREAMED), world.begin(BODY)
    await first.end()
    assert await other.end() == (200, SAID)
    assert other.exchange.cache == "miss"


async def test_who_comes_when_it_is_over_gets_only_what_is_worth_keeping():
    hold = asyncio.Event()
    world = World(streaming(START, WORD, END), streaming(START, END))

    async def slowly(exchange: Exchange, attempt: Attempt) -> None:
        await hold.wait()

    world.shares.llm_attempt_done = slowly  # type: ignore[method-assign]  # it takes long to book
    first = world.begin()
    await turns()
    assert first.body == START + WORD + END
    late = world.begin()
    await turns()
    assert late.body == START + END, "the first was not worth keeping"
    hold.set()
    await first.end()
    await late.end()
    world = World(streaming(START, WORD, END))
    world.shares.kept, hold = ENTRY, asyncio.Event()
    world.shares.llm_attempt_done = slowly  # type: ignore[method-assign]
    first = world.begin()
    await turns()
    late = world.begin()
    await turns()
    assert late.body == SAID
    hold.set()
    await first.end()
    assert len(world.upstream.requests) == 1


async def test_a_call_that_is_given_up_before_it_sets_out_is_not_waited_for():
    world = World((200, JSON, [SAID]))
    exchange = call(BODY)
    await world.shares.llm_request(exchange)  # and then another stage refuses it
    follower = world.begin(BODY)
    await turns()
    assert not follower.got
    await world.shares.llm_done(exchange)
    assert await follower.end() == (200, SAID)


async def test_what_broke_off_behind_the_first_asker_is_booked_as_far_as_it_came():
    more, end = asyncio.Event(), asyncio.Event()
    world = World(streaming(START, WORD, more, WORD * 200, end, UpstreamError("reset", "cut")))
    first, other = world.begin(), world.begin()
    await turns()
    first.leave()
    more.set()
    await turns(400)
    end.set()
    await other.end()
    await first.end()
    ((payer, used, _),) = world.shares.bills
    assert payer == first.exchange.id
    assert used.output > 100, "two hundred words came, though he heard but one"


async def test_who_left_a_packed_stream_is_told_what_it_used_without_all_of_it_in_memory():
    more = asyncio.Event()
    packed = gzip.compress(START + PING * 50_000 + WORD + END)
    world = World((200, (*SSE, *GZIP), [packed[:60], more, packed[60:]]))
    first, other = world.begin(), world.begin()
    await turns()
    first.leave()
    more.set()
    await other.end()
    await first.task
    assert world.shares.bills == [(first.exchange.id, Usage(3, 5), True)]
    assert first.exchange.captured is not None
    assert first.exchange.captured.kept <= 1 << 20


async def test_who_follows_slowly_gets_all_of_it_though_the_first_one_left_and_it_is_over():
    more = asyncio.Event()
    world = World(streaming(START + WORD, more, WORD, WORD, END))
    first, exchange = world.begin(), call(STREAMED)
    await turns()
    got: list[Any] = []
    async with aclosing(world.conductor.answer(exchange)) as parts:
        async for part in parts:
            got.append(part)
            if len(got) == 2:
                first.leave()
                more.set()
            await turns(40)
    await world.conductor.settle(exchange)
    await world.stages.done(exchange)
    await first.end()
    assert b"".join(part for part in got if isinstance(part, bytes)) == START + WORD * 3 + END
    assert exchange.outcome == "answered"
    assert exchange.cache == "coalesced"


async def test_a_stream_of_another_status_is_for_its_first_asker_alone():
    more = asyncio.Event()
    world = World((203, SSE, [more, START, WORD, END]), streaming(START, END))
    clients = [world.begin() for _ in range(2)]
    await turns()
    more.set()
    assert await clients[0].end() == (203, START + WORD + END)
    assert await clients[1].end() == (200, START + END)


async def test_a_call_that_cannot_be_waited_for_any_more_is_ended_and_booked():
    world = World(streaming(START, WORD, asyncio.Event()))
    first, other = world.begin(), world.begin()
    await turns()
    first.leave()
    await turns()
    assert not world.shares.bills
    first.leave()  # the process ends, and takes its tasks with it
    await turns()
    await asyncio.wait({first.task, other.task}, timeout=10)
    assert other.task.done(), "it is told that there is no more"
    assert b"event: error" in other.body
    ((payer, _, _),) = world.shares.bills
    assert payer == first.exchange.id
    assert world.upstream.open == 0


async def test_who_asks_for_another_shape_does_not_wait_for_what_will_not_be_kept():
    more = asyncio.Event()
    world = World(streaming(START, WORD, more, END), (200, JSON, [SAID]))
    world.shares.fit = False
    first, other = world.begin(STREAMED), world.begin(BODY)
    await turns()
    await asyncio.wait({other.task}, timeout=10)
    assert other.body == SAID, "the first one speaks still"
    more.set()
    await first.end()
