"""HTTP/2: one connection for many calls, and what becomes of the others when one ends badly."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import cast

import h2.errors
import pytest
from hyperframe.frame import GoAwayFrame, HeadersFrame, SettingsFrame

from tests.core.net.conftest import QUICK, Open, body_of, request_to, take, until
from tests.core.net.fakes import Authority, Fake2, Link, Script2, Stream
from tokenman_core.net import Deadlines, Request, Upstream, UpstreamError
from tokenman_core.net.h2 import H2, MOST_UNREAD
from tokenman_core.net.site import Site
from tokenman_core.net.wire import AT_ONCE_S, Keeper

Codes = h2.errors.ErrorCodes
Make = Callable[..., Fake2]


@pytest.fixture
def make(authority: Authority) -> Make:
    tls = authority.server("h2", "http/1.1")

    def fake(script: Script2, **more: object) -> Fake2:
        return Fake2(script, tls, **more)  # type: ignore[arg-type]

    return fake


async def plain(stream: Stream) -> None:
    await stream.answer()


async def for_ever(stream: Stream) -> None:
    stream.head()
    await stream.data(b"begun")
    await asyncio.Event().wait()


async def silent(stream: Stream) -> None:
    await asyncio.Event().wait()


async def failure(upstream: Upstream, fake: Fake2, **more: object) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await body_of(upstream, request_to(fake), **more)  # type: ignore[arg-type]
    return caught.value


async def test_a_request_goes_out_in_the_words_of_http2(upstream: Upstream, make: Make) -> None:
    given = (
        (b"X-Beta", b"a"), (b"HOST", b"api.example"), (b"Connection", b"X-Mine"), (b"x-mine", b"1"), (b"TE", b"gzip"),
        (b"Content-Length", b"7"), (b"Upgrade", b"h2c"),
    )  # fmt: skip
    async with make(plain) as fake:
        assert await body_of(upstream, request_to(fake, headers=given, body=b"12345")) == b"ok"
        assert fake.streams[0].headers == [
            (b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"api.example"), (b":path", b"/v1/messages"),
            (b"x-beta", b"a"), (b"content-length", b"5"),
        ]  # fmt: skip
        assert fake.streams[0].body == b"12345"


async def test_a_get_has_no_length(upstream: Upstream, make: Make) -> None:
    async with make(plain) as fake:
        await body_of(upstream, request_to(fake, b"GET"))
        assert fake.streams[0].header(b"content-length") is None


async def test_a_hundred_calls_at_once_share_one_connection(upstream: Upstream, make: Make) -> None:
    async with make(plain) as fake:
        answers = await asyncio.gather(*[body_of(upstream, request_to(fake)) for _ in range(100)])
        assert set(answers) == {b"ok"}
        assert len(fake.links) == 1 == upstream.connections


async def test_an_upload_that_a_provider_does_not_take_holds_up_nobody_else(upstream: Upstream, make: Make) -> None:
    """Its connection's window is used up: others get a connection of their own."""
    async with make(plain, window=False) as fake:
        stuck = asyncio.create_task(body_of(upstream, request_to(fake, body=b"x" * 200_000)))
        await until(lambda: bool(fake.streams) and len(fake.streams[0].body) >= 65_535)
        assert await body_of(upstream, request_to(fake)) == b"ok"
        assert len(fake.links) == 2
        stuck.cancel()
        await asyncio.wait({stuck})


async def test_no_more_streams_are_opened_than_the_provider_takes(upstream: Upstream, make: Make) -> None:
    running = most = 0

    async def script(stream: Stream) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        await stream.answer()

    async with make(script, most_streams=12) as fake:
        await body_of(upstream, request_to(fake))
        await asyncio.gather(*[body_of(upstream, request_to(fake)) for _ in range(30)])
        assert all(sum(s.link is link for s in fake.streams) for link in fake.links)
        assert most <= 12 * len(fake.links)
        assert len(fake.links) <= 3


async def test_hints_and_trailers(upstream: Upstream, make: Make) -> None:
    async def script(stream: Stream) -> None:
        stream.head(103, ("link", "</x>"))
        stream.head(200)
        await stream.data(b"abc")
        stream.end(("x-sum", "7"))

    async with make(script) as fake, upstream.call(request_to(fake), QUICK) as answer:
        assert answer.status == 200
        assert b"".join([chunk async for chunk in answer]) == b"abc"
        assert answer.trailers == ((b"x-sum", b"7"),)


async def test_a_304_tells_a_length_and_has_no_body(upstream: Upstream, make: Make) -> None:
    async def script(stream: Stream) -> None:
        stream.head(304, ("content-length", "700"))
        stream.end()

    async with make(script) as fake:
        for _ in range(2):
            async with upstream.call(request_to(fake, b"GET"), QUICK) as answer:
                assert (answer.status, [chunk async for chunk in answer]) == (304, [])
        assert len(fake.links) == 1


async def test_an_answer_without_a_body(upstream: Upstream, make: Make) -> None:
    async def script(stream: Stream) -> None:
        stream.head(204, end=True)

    async with make(script) as fake:
        assert await body_of(upstream, request_to(fake)) == b""


async def test_a_large_upload_obeys_the_windows(upstream: Upstream, make: Make) -> None:
    body = b"0123456789abcdef" * (128 << 10)
    async with make(plain) as fake:
        assert await body_of(upstream, request_to(fake, body=body)) == b"ok"
        assert fake.streams[0].body == body


async def test_a_large_upload_leaves_the_event_loop_free(upstream: Upstream, make: Make) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with make(plain, wide=True) as fake:
        await body_of(upstream, request_to(fake))
        (connection,) = next(iter(upstream._sites.values())).open
        await until(lambda: connection.conn.outbound_flow_control_window > 1 << 23)  # type: ignore[union-attr]
        connection.transport.set_write_buffer_limits(1 << 25)
        counting = asyncio.create_task(count())
        await body_of(upstream, request_to(fake, body=b"x" * (8 << 20)))
        counting.cancel()
    assert turns > 100


async def test_a_connection_that_begins_with_its_farewell_is_passed_over(upstream: Upstream, make: Make) -> None:
    async with make(plain, leaving=True) as fake:
        for _ in range(3):
            try:
                assert await body_of(upstream, request_to(fake)) == b"ok"
            except UpstreamError as e:  # it was sent before the farewell was read
                assert (e.kind, e.untouched) == ("reset", True)  # noqa: PT017
        assert len(fake.links) == 2


async def test_an_answer_before_the_end_of_the_upload_ends_the_upload(upstream: Upstream, make: Make) -> None:
    async def script(stream: Stream) -> None:
        await stream.answer(b"long")
        stream.reset(Codes.NO_ERROR)  # RFC 9113 §8.1: the rest is not wanted

    async with make(script, early=True, window=False) as fake:
        assert await body_of(upstream, request_to(fake, body=b"x" * (1 << 20))) == b"long"
        assert len(fake.streams[0].body) < 1 << 17
        assert await body_of(upstream, request_to(fake, b"GET")) == b"long"


# -- slow readers and leaving --


async def test_a_slow_reader_stops_its_own_stream_and_no_other(upstream: Upstream, make: Make) -> None:
    size = 4 << 20

    async def script(stream: Stream) -> None:
        if stream.header(b":path") == b"/slow":
            stream.head()
            await stream.data(b"x" * size, end=True)
        else:
            await stream.answer()

    async with make(script) as fake:
        async with upstream.call(request_to(fake, path=b"/slow"), QUICK) as slow:
            await until(lambda: fake.streams[0].sent == 256 << 10)
            for _ in range(3):
                assert await body_of(upstream, request_to(fake)) == b"ok"
            assert fake.streams[0].sent == 256 << 10
            assert sum([len(chunk) async for chunk in slow]) == size
        assert len(fake.links) == 1


async def test_leaving_early_resets_the_stream_and_its_neighbour_goes_on(upstream: Upstream, make: Make) -> None:
    async with make(for_ever) as fake:
        async with upstream.call(request_to(fake), QUICK) as stays:
            async with upstream.call(request_to(fake), QUICK) as leaves:
                await anext(leaves)
            await until(lambda: fake.streams[1].reset_with == Codes.CANCEL)
            assert await anext(stays) == b"begun"
            fake.streams[0].end()
            assert [chunk async for chunk in stays] == []
        assert fake.streams[0].reset_with is None
        assert len(fake.links) == 1 == upstream.connections


async def test_two_hundred_aborts_leave_nothing_behind(upstream: Upstream, make: Make) -> None:
    async with make(for_ever) as fake:
        for _ in range(4):
            calls = [asyncio.create_task(body_of(upstream, request_to(fake))) for _ in range(50)]
            seen = len(fake.streams)
            await until(lambda seen=seen: len(fake.streams) == seen + 50)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        await until(lambda: all(s.reset_with == Codes.CANCEL for s in fake.streams))
        (connection,) = next(iter(upstream._sites.values())).open
        assert not connection.streams  # type: ignore[union-attr]
        assert connection._reserved == 0  # type: ignore[union-attr]
        assert len(fake.links) == 1


async def test_bytes_that_nobody_took_give_the_connection_its_window_back(upstream: Upstream, make: Make) -> None:
    async def script(stream: Stream) -> None:
        stream.head()
        await stream.data(b"x" * (200 << 10))
        await asyncio.Event().wait()

    async with make(script) as fake:
        for n in range(10):
            async with upstream.call(request_to(fake), QUICK):
                await until(lambda n=n: fake.streams[n].sent == 200 << 10)
        (connection,) = next(iter(upstream._sites.values())).open
        manager = connection.conn._inbound_flow_control_window_manager  # type: ignore[union-attr]
        await until(lambda: manager._bytes_processed + manager.current_window_size == manager.max_window_size)


# -- ends --


async def test_a_graceful_goaway_lets_streams_finish_and_takes_no_new_one(upstream: Upstream, make: Make) -> None:
    async with make(for_ever) as fake:
        async with upstream.call(request_to(fake), QUICK) as old:
            assert await anext(old) == b"begun"
            fake.streams[0].goaway(last=fake.streams[0].id)
            (connection,) = next(iter(upstream._sites.values())).open
            await until(lambda: connection.retired)  # type: ignore[union-attr]
            async with upstream.call(request_to(fake), QUICK) as new:
                assert await anext(new) == b"begun"
                assert len(fake.links) == 2
            await fake.streams[0].data(b" and ended", end=True)
            assert [chunk async for chunk in old] == [b" and ended"]
        await until(lambda: upstream.connections == 1)


async def test_calls_that_a_goaway_leaves_out_may_be_made_again(upstream: Upstream, make: Make) -> None:
    async def script(stream: Stream) -> None:
        stream.goaway(last=0)

    async with make(script) as fake:
        error = await failure(upstream, fake)
        assert (error.kind, error.untouched) == ("reset", True)


@pytest.mark.parametrize(("code", "again"), [(Codes.REFUSED_STREAM, True), (Codes.INTERNAL_ERROR, False)])
async def test_only_a_refused_stream_may_be_made_again(
    upstream: Upstream, make: Make, code: h2.errors.ErrorCodes, again: bool
) -> None:
    async def script(stream: Stream) -> None:
        stream.reset(code)

    async with make(script) as fake:
        error = await failure(upstream, fake)
        assert (error.kind, error.untouched) == ("reset", again)


async def test_a_reset_in_the_body_is_a_failure_after_what_came(upstream: Upstream, make: Make) -> None:
    async def script(stream: Stream) -> None:
        stream.head()
        await stream.data(b"half")
        stream.reset(Codes.INTERNAL_ERROR)

    got: list[bytes] = []
    async with make(script) as fake:
        with pytest.raises(UpstreamError) as caught:
            await take(upstream, request_to(fake), got)
    assert (caught.value.kind, caught.value.stale) == ("reset", False)
    assert got == [b"half"]


async def test_a_closed_connection_fails_all_its_calls_and_is_forgotten(upstream: Upstream, make: Make) -> None:
    async with make(silent) as fake:
        calls = [asyncio.create_task(failure(upstream, fake)) for _ in range(3)]
        await until(lambda: len(fake.streams) == 3)
        fake.links[0].reset()
        assert {error.kind for error in await asyncio.gather(*calls)} == {"reset"}
        assert upstream.connections == 0


async def test_a_connection_that_went_stale_may_be_tried_again(upstream: Upstream, make: Make) -> None:
    async def script(stream: Stream) -> None:
        if len(fake.streams) == 1:
            await stream.answer()
        else:
            stream.link.reset()

    fake = make(script)
    async with fake:
        await body_of(upstream, request_to(fake))
        error = await failure(upstream, fake)
        assert (error.kind, error.stale) == ("reset", True)


async def test_a_connection_that_served_others_when_it_broke_was_not_stale(upstream: Upstream, make: Make) -> None:
    async def script(stream: Stream) -> None:
        if len(fake.streams) == 1:
            await stream.answer()
        elif len(fake.streams) == 3:
            stream.link.reset()

    fake = make(script)
    async with fake:
        await body_of(upstream, request_to(fake))
        first = asyncio.create_task(failure(upstream, fake))
        await until(lambda: len(fake.streams) == 2)
        await asyncio.sleep(2 * AT_ONCE_S)
        errors = [await failure(upstream, fake), await first]
        assert [(error.kind, error.stale, error.worked) for error in errors] == [
            ("reset", False, False),
            ("reset", False, True),
        ]


async def test_frames_that_make_no_sense_are_a_protocol_failure(upstream: Upstream, make: Make) -> None:
    async def script(stream: Stream) -> None:
        stream.link.writer.write(b"\x00\x00\x01\x01\x04\x00\x00\x00\x01\xff")  # HEADERS that HPACK cannot read

    async with make(script) as fake:
        assert (await failure(upstream, fake)).kind == "protocol"
        await until(lambda: upstream.connections == 0)


@pytest.mark.parametrize("status", [b"abc", b"99", b"0200", b"", b"2 0", b"101", b"-20"])
async def test_a_status_that_is_none_is_a_protocol_failure(upstream: Upstream, make: Make, status: bytes) -> None:
    async def script(stream: Stream) -> None:
        block = stream.conn.encoder.encode([(b":status", status)])
        stream.link.writer.write(HeadersFrame(stream.id, block, flags=["END_HEADERS"]).serialize())

    async with make(script) as fake:
        if status == b"101":  # h2 takes it for a hint, and nothing comes after it
            error = await failure(upstream, fake, deadlines=Deadlines(first_byte=0.2))
            assert (error.kind, error.deadline) == ("timeout", "first_byte")
        else:
            assert (await failure(upstream, fake)).kind == "protocol"


@pytest.mark.parametrize("goaway", [False, True])
async def test_a_provider_that_ends_every_connection_as_it_begins_is_not_dialled_on_and_on(
    upstream: Upstream, make: Make, goaway: bool
) -> None:
    """What is no HTTP/2 is a protocol failure here too, and not the end of a connection that was kept."""

    async def greet(link: Link) -> None:
        farewell = SettingsFrame(0).serialize() + GoAwayFrame(0, last_stream_id=0).serialize()
        await link.send(farewell if goaway else b"<html>welcome to the network</html>")
        await link.reader.read()

    fake = make(plain)
    fake._greet = greet
    async with fake:
        error = await failure(upstream, fake)
        assert error.kind == ("reset" if goaway else "protocol")
        assert error.untouched or not goaway
        await asyncio.sleep(0.1)
        assert len(fake.links) <= 2


async def test_a_dial_that_brings_what_is_no_http2_has_failed_and_is_not_made_again() -> None:
    made: list[H2] = []

    async def dial(keeper: Keeper) -> H2:
        made.append(H2(cast(asyncio.Transport, Deaf()), keeper, 0))
        made[-1].received(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await asyncio.sleep(0)
        return made[-1]

    site = Site(dial, may_share=True, keep=1, keep_s=1)
    with pytest.raises(UpstreamError) as failed:
        await asyncio.wait_for(site.channel(5), 10)
    assert (failed.value.kind, failed.value.untouched, len(made)) == ("protocol", True, 1)


@pytest.mark.parametrize("seed", range(40))
async def test_wild_frames_never_raise_anything_but_a_failure_of_the_call(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(50):
        connection = H2(cast(asyncio.Transport, Deaf()), Nobody(), 0)
        stream = connection.open_stream()
        connection.received(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        calling = asyncio.create_task(stream.head(Request(b"GET", "https", "localhost", 443, b"/")))
        await asyncio.sleep(0)
        for _ in range(6):
            payload = chance.randbytes(chance.choice((0, 1, 4, 5, 8, 30)))
            kind, flags, on = chance.randrange(12), chance.choice((0, 1, 4, 5, 8, 0x2D)), chance.choice((0, 1, 3))
            head = len(payload).to_bytes(3) + bytes((kind, flags)) + on.to_bytes(4)
            connection.received(head + payload)
        if connection.malformed:
            connection.connection_lost(None)
            with pytest.raises(UpstreamError) as failed:
                await calling
            assert failed.value.kind in ("protocol", "reset")
        calling.cancel()
        await asyncio.wait({calling})


async def test_a_body_that_belies_its_length_is_a_failure(upstream: Upstream, make: Make) -> None:
    async def script(stream: Stream) -> None:
        stream.head(200, ("content-length", "10"))
        await stream.data(b"half", end=True)

    async with make(script) as fake:
        assert (await failure(upstream, fake)).kind == "protocol"


async def test_a_head_over_64_kib_is_a_failure(upstream: Upstream, make: Make) -> None:
    async def script(stream: Stream) -> None:
        stream.head(200, *((f"x-{n}", "v" * 4000) for n in range(18)))

    async with make(script) as fake:
        assert (await failure(upstream, fake)).kind == "protocol"


async def test_a_connection_that_was_silent_past_a_deadline_gets_no_new_call(upstream: Upstream, make: Make) -> None:
    async def script(stream: Stream) -> None:
        if stream.header(b":path") != b"/silent":
            await stream.answer()

    async with make(script) as fake:
        await body_of(upstream, request_to(fake))
        with pytest.raises(UpstreamError) as caught:
            await body_of(upstream, request_to(fake, path=b"/silent"), Deadlines(first_byte=0.05))
        assert (caught.value.kind, caught.value.deadline) == ("timeout", "first_byte")
        await until(lambda: upstream.connections == 0)
        assert await body_of(upstream, request_to(fake)) == b"ok"
        assert len(fake.links) == 2


async def test_a_connection_without_ids_left_takes_no_new_call(upstream: Upstream, make: Make) -> None:
    async with make(plain) as fake:
        await body_of(upstream, request_to(fake))
        (connection,) = next(iter(upstream._sites.values())).open
        connection.conn.highest_outbound_stream_id = (1 << 31) - 513  # type: ignore[union-attr]
        assert await body_of(upstream, request_to(fake)) == b"ok"
        assert len(fake.links) == 1
        assert await body_of(upstream, request_to(fake)) == b"ok"
        assert len(fake.links) == 2


@pytest.fixture
async def impatient(authority: Authority) -> AsyncIterator[Upstream]:
    pool = Upstream(authority.client(), guard=Open(), keep_s=0.05)
    yield pool
    await pool.aclose()


async def test_an_idle_connection_is_closed_in_time_and_a_busy_one_is_not(impatient: Upstream, make: Make) -> None:
    async with make(for_ever) as fake:
        async with impatient.call(request_to(fake), QUICK) as answer:
            await anext(answer)
            await asyncio.sleep(0.1)
            assert impatient.connections == 1
        await until(lambda: impatient.connections == 0)


async def test_a_body_over_the_cap_resets_the_stream_alone(upstream: Upstream, make: Make) -> None:
    async def script(stream: Stream) -> None:
        stream.head()
        await stream.data(b"x" * 100_000)
        await asyncio.Event().wait()

    async with make(script) as fake:
        assert (await failure(upstream, fake, max_body=50_000)).kind == "cap"
        await until(lambda: fake.streams[0].reset_with == Codes.CANCEL)
        assert upstream.connections == 1


class Deaf:
    """The transport to a peer that reads nothing."""

    def __init__(self) -> None:
        self.written = 0
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += len(data)

    def get_write_buffer_size(self) -> int:
        return self.written

    def abort(self) -> None:
        self.aborted = True


class Nobody:
    def ready(self, connection: object) -> None: ...

    def gone(self, connection: object) -> None: ...

    def stale(self) -> None: ...


async def test_a_provider_that_asks_and_does_not_read_the_answers_is_left() -> None:
    transport = Deaf()
    connection = H2(cast(asyncio.Transport, transport), Nobody(), 0)
    stream = connection.open_stream()
    connection.received(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")  # its settings, empty
    calling = asyncio.create_task(stream.head(Request(b"GET", "https", "localhost", 443, b"/")))
    await asyncio.sleep(0)
    ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"12345678"
    fed = 0
    while not transport.aborted and fed < 10_000:
        connection.received(ping * 1000)
        fed += 1
    assert transport.written < MOST_UNREAD + (64 << 10)
    with pytest.raises(UpstreamError) as failed:
        await calling
    assert failed.value.kind == "protocol"
