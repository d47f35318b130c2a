"""Who gets which connection, deadlines, dials that fail, and callers that leave."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator

import pytest

from tests.core.net.conftest import QUICK, Open, body_of, request_to, until
from tests.core.net.fakes import Authority, Fake, Fake2, Link, Seen, Stream, ok
from tokenman_core.net import Deadlines, Guard, Request, Upstream, UpstreamError
from tokenman_core.net import dial as dialling


async def reply(link: Link, seen: Seen) -> None:
    await link.send(ok())


async def never(link: Link, seen: Seen) -> None:
    await link.reader.read()  # until the caller leaves


async def hang(link: Link) -> None:
    await asyncio.Event().wait()


async def failure(upstream: Upstream, request: Request, deadlines: Deadlines = QUICK) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await body_of(upstream, request, deadlines)
    return caught.value


@pytest.fixture
async def narrow(authority: Authority) -> AsyncIterator[Upstream]:
    pool = Upstream(authority.client(), guard=Open(), max_connections=2, keep=1, keep_s=0.1)
    yield pool
    await pool.aclose()


# -- dials --


async def test_a_refused_connection_is_a_connect_failure(upstream: Upstream) -> None:
    async with Fake(reply) as fake:
        request = request_to(fake)
    assert (await failure(upstream, request)).kind == "connect"


async def test_a_name_that_nobody_knows_is_a_connect_failure(upstream: Upstream) -> None:
    assert (await failure(upstream, Request(b"GET", "http", "no.such.host.invalid", 80, b"/"))).kind == "connect"
    assert (await failure(upstream, Request(b"GET", "https", "a" * 70 + ".example", 443, b"/"))).kind == "connect"


@pytest.mark.parametrize("name", ["other.example", "localhost"])
async def test_an_unfit_certificate_is_a_connect_failure(authority: Authority, name: str) -> None:
    """One of another name, and one of an authority that is not trusted."""
    trusting = Upstream(authority.client(), guard=Open()) if name != "localhost" else Upstream(guard=Open())
    async with Fake(reply, tls=authority.server("http/1.1", name=name)) as fake:
        error = await failure(trusting, request_to(fake))
        assert error.kind == "connect"
        assert "certificate" in str(error)
        assert not fake.requests
    await trusting.aclose()


async def test_an_inner_address_is_refused_before_anything_is_dialled(authority: Authority) -> None:
    pool = Upstream(authority.client(), guard=Guard())
    async with Fake(reply) as fake:
        for host in ("127.0.0.1", "localhost", "127.1", "0.0.0.0", "::ffff:127.0.0.1"):
            error = await failure(pool, Request(b"GET", "http", host, fake.port, b"/"))
            assert error.kind == "refused"
        assert not fake.links


async def test_an_address_that_is_refused_costs_no_time_and_one_that_is_silent_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dialling, "STAGGER_S", 0.02)
    real = dialling._connect
    cancelled = asyncio.Event()

    async def connect(address: str, port: int) -> socket.socket:
        if address == "192.0.2.1":
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
        return await real(address, port)

    monkeypatch.setattr(dialling, "_connect", connect)
    async with Fake(reply) as fake:
        sock = await asyncio.wait_for(dialling.race(["127.0.0.2", "192.0.2.1", "127.0.0.1"], fake.port), 2)
        assert sock.getpeername()[0] in ("127.0.0.1", "127.0.0.2")
        sock.close()
        sock = await asyncio.wait_for(dialling.race(["192.0.2.1", "127.0.0.1"], fake.port), 2)
        assert sock.getpeername()[0] == "127.0.0.1"
        sock.close()
        await asyncio.wait_for(cancelled.wait(), 5)
    with pytest.raises(ConnectionRefusedError):
        await dialling.race(["127.0.0.1", "127.0.0.1"], fake.port)


async def test_of_two_addresses_that_answer_at_once_one_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "STAGGER_S", 0.001)
    both, made = asyncio.Event(), [socket.socket(), socket.socket()]
    left = list(made)

    async def connect(address: str, port: int) -> socket.socket:
        sock = left.pop()
        if not left:
            both.set()
        await both.wait()
        return sock

    monkeypatch.setattr(dialling, "_connect", connect)
    won = await dialling.race(["1.1.1.1", "1.0.0.1"], 443)
    await until(lambda: sum(sock.fileno() == -1 for sock in made) == 1)
    assert won.fileno() != -1
    won.close()


@pytest.mark.parametrize("leaver", [0, 1])
async def test_a_caller_that_leaves_does_not_break_a_dial_that_others_wait_for(
    upstream: Upstream, authority: Authority, leaver: int
) -> None:
    async def script(stream: Stream) -> None:
        await stream.answer()

    async with Fake2(script, authority.server("h2")) as fake:
        calls = [asyncio.create_task(body_of(upstream, request_to(fake))) for _ in range(2)]
        for _ in range(3):  # no longer: the dial must still be under way
            await asyncio.sleep(0)
        calls[leaver].cancel()
        assert await calls[1 - leaver] == b"ok"
        assert len(fake.links) == 1


async def test_a_dial_that_nobody_waits_for_ends(upstream: Upstream, authority: Authority) -> None:
    async with Fake(greet=hang) as fake:
        request = Request(b"GET", "https", "localhost", fake.port, b"/")  # its TLS is never answered
        call = asyncio.create_task(body_of(upstream, request))
        await until(lambda: bool(fake.links))
        call.cancel()
        assert await asyncio.wait_for(fake.links[0].reader.read(), 2)  # the hello, and then the end
        assert next(iter(upstream._sites.values())).empty


async def test_who_comes_as_a_dial_is_given_up_gets_one_of_his_own(upstream: Upstream) -> None:
    async with Fake(reply) as fake:
        for turns in range(6):  # of the event loop, that the dial has had when its caller leaves
            leaves = asyncio.create_task(body_of(upstream, request_to(fake)))
            for _ in range(turns):
                await asyncio.sleep(0)
            leaves.cancel()
            comes = asyncio.create_task(body_of(upstream, request_to(fake), Deadlines(connect=5)))
            await asyncio.wait({leaves})
            assert await comes == b"ok"
            await upstream.aclose()


async def test_a_failed_dial_fails_all_who_waited_for_it(upstream: Upstream, authority: Authority) -> None:
    async def close(link: Link) -> None:
        pass

    async with Fake(greet=close) as fake:
        request = Request(b"GET", "https", "localhost", fake.port, b"/")
        errors = await asyncio.wait_for(asyncio.gather(*[failure(upstream, request) for _ in range(20)]), 3)
        assert {error.kind for error in errors} == {"connect"}
        assert len(fake.links) < 3


# -- sharing --


async def test_twenty_calls_over_plain_http1_run_side_by_side(upstream: Upstream) -> None:
    arrived = 0
    all_here = asyncio.Event()

    async def script(link: Link, seen: Seen) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == 20:
            all_here.set()
        await all_here.wait()
        await link.send(ok())

    async with Fake(script) as fake:
        assert set(await asyncio.gather(*[body_of(upstream, request_to(fake)) for _ in range(20)])) == {b"ok"}


async def test_a_provider_that_turns_out_to_speak_http1_gets_its_calls_side_by_side_too(
    upstream: Upstream, authority: Authority
) -> None:
    here: list[Link] = []
    all_here = asyncio.Event()

    async def script(link: Link, seen: Seen) -> None:
        here.append(link)
        if len(here) == 5:
            all_here.set()
        await all_here.wait()
        await link.send(ok())

    async with Fake(script, tls=authority.server("http/1.1")) as fake:
        assert set(await asyncio.gather(*[body_of(upstream, request_to(fake)) for _ in range(5)])) == {b"ok"}
        assert len(set(map(id, here))) == 5


async def test_once_a_provider_is_known_to_speak_http1_its_connections_are_made_at_once(
    upstream: Upstream, authority: Authority
) -> None:
    async with Fake(reply, tls=authority.server("http/1.1")) as fake:
        await body_of(upstream, request_to(fake))
        calls = [asyncio.create_task(body_of(upstream, request_to(fake))) for _ in range(3)]
        await asyncio.sleep(0)
        assert len(next(iter(upstream._sites.values()))._dials) == 2
        assert set(await asyncio.gather(*calls)) == {b"ok"}


async def test_beyond_the_limit_callers_wait_for_a_connection_in_their_order(narrow: Upstream) -> None:
    async def script(link: Link, seen: Seen) -> None:
        await asyncio.sleep(0.005)
        await link.send(ok(seen.line))

    async with Fake(script) as fake:
        paths = [b"/%d" % n for n in range(8)]
        calls = [asyncio.create_task(body_of(narrow, request_to(fake, path=path))) for path in paths]
        assert await asyncio.gather(*calls) == [b"POST %s HTTP/1.1" % path for path in paths]
        assert len(fake.links) == 2
        served = [seen.line.split()[1] for seen in fake.requests]
        assert [sorted(served[n : n + 2]) for n in range(0, 8, 2)] == [paths[n : n + 2] for n in range(0, 8, 2)]


async def test_waiting_for_a_connection_counts_as_connecting_and_is_not_the_providers_fault(narrow: Upstream) -> None:
    async with Fake(never) as fake:
        busy = [asyncio.create_task(body_of(narrow, request_to(fake))) for _ in range(2)]
        await until(lambda: len(fake.requests) == 2)
        error = await failure(narrow, request_to(fake), Deadlines(connect=0.05))
        assert (error.kind, error.deadline) == ("full", "connect")
        waits = asyncio.create_task(body_of(narrow, request_to(fake)))
        await asyncio.sleep(0)
        busy[0].cancel()  # its connection closes: there is room for another one
        await until(lambda: len(fake.requests) == 3)
        for call in (busy[1], waits):
            call.cancel()


async def test_each_call_says_how_many_connections_there_may_be(upstream: Upstream) -> None:
    """So that a provider's setting holds from the next call on, and room that comes with it is used by those who wait."""
    async with Fake(never) as fake:

        async def calls(connections: int) -> None:
            async with upstream.call(request_to(fake), Deadlines(), connections=connections):
                pass

        running = [asyncio.create_task(calls(2)) for _ in range(4)]
        await until(lambda: len(fake.requests) == 2)
        await asyncio.sleep(0.02)
        assert len(fake.links) == 2
        running.append(asyncio.create_task(calls(4)))
        await until(lambda: len(fake.requests) == 4)
        await asyncio.sleep(0.02)
        assert len(fake.links) == 4
        for one in running:
            one.cancel()
        await asyncio.wait(running)


async def test_a_connection_that_comes_as_its_caller_leaves_goes_to_the_next(narrow: Upstream) -> None:
    async with Fake(reply) as fake:
        await body_of(narrow, request_to(fake))
        site = next(iter(narrow._sites.values()))
        site.limit = 1
        held = await site.channel(5)
        first, second = (asyncio.create_task(site.channel(5)) for _ in range(2))
        await asyncio.sleep(0)
        held.release(False)  # closes, and a dial begins for those who wait
        await until(lambda: bool(site._waiting) and len(site.open) == 1 and len(site._waiting) == 1)
        first.cancel()
        channel = await asyncio.wait_for(second, 2)
        assert channel.usable
        channel.release(False)
        await until(lambda: len(site.open) <= 1)


async def test_only_some_idle_connections_are_kept_and_not_for_ever(narrow: Upstream) -> None:
    async with Fake(reply) as fake:
        await asyncio.gather(*[body_of(narrow, request_to(fake)) for _ in range(2)])
        await until(lambda: narrow.connections == 1)
        await until(lambda: narrow.connections == 0)
        await asyncio.wait_for(asyncio.gather(*[link.gone.wait() for link in fake.links]), 5)


async def test_origins_without_connections_are_forgotten(narrow: Upstream) -> None:
    for _ in range(3):
        async with Fake(reply) as fake:
            await body_of(narrow, request_to(fake))
        await until(lambda: narrow.connections == 0)
    assert len(narrow._sites) == 1


async def test_closing_the_pool_ends_calls_dials_and_waits(authority: Authority) -> None:
    pool = Upstream(authority.client(), guard=Open(), max_connections=1)
    async with Fake(never) as fake, Fake(greet=hang) as mute:
        dialling_one = Request(b"GET", "https", "localhost", mute.port, b"/")
        requests = [request_to(fake), request_to(fake), dialling_one]
        calls = [asyncio.create_task(failure(pool, request)) for request in requests]
        await until(lambda: bool(fake.requests and mute.links))
        await pool.aclose()
        errors = await asyncio.wait_for(asyncio.gather(*calls), 2)
        assert sorted(error.kind for error in errors) == ["connect", "connect", "reset"]
        assert pool.connections == 0


# -- deadlines --


async def test_a_stalled_handshake_meets_the_connect_deadline(upstream: Upstream) -> None:
    async with Fake(greet=hang) as fake:
        request = Request(b"GET", "https", "localhost", fake.port, b"/")
        error = await failure(upstream, request, Deadlines(connect=0.05))
        assert (error.kind, error.deadline) == ("timeout", "connect")


async def test_a_silent_provider_meets_the_first_byte_deadline(upstream: Upstream) -> None:
    async with Fake(never) as fake:
        error = await failure(upstream, request_to(fake), Deadlines(first_byte=0.05))
        assert (error.kind, error.deadline, error.stale) == ("timeout", "first_byte", False)
        await asyncio.wait_for(fake.links[0].gone.wait(), 5)


@pytest.mark.parametrize(
    ("deadlines", "name"), [(Deadlines(idle=0.05), "idle"), (Deadlines(total=0.1), "total")], ids=["idle", "total"]
)
async def test_a_stalled_body_meets_its_deadline(upstream: Upstream, deadlines: Deadlines, name: str) -> None:
    async def script(link: Link, seen: Seen) -> None:
        await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await asyncio.Event().wait()

    async with Fake(script) as fake:
        error = await failure(upstream, request_to(fake), deadlines)
        assert (error.kind, error.deadline) == ("timeout", name)


async def test_the_total_deadline_ends_a_body_that_goes_on_for_ever(upstream: Upstream) -> None:
    async def script(link: Link, seen: Seen) -> None:
        await link.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await link.send(b"more")
            await asyncio.sleep(0.01)

    async with Fake(script) as fake:
        error = await failure(upstream, request_to(fake), Deadlines(idle=5, total=0.15))
        assert error.deadline == "total"


async def test_no_deadline_runs_while_the_caller_is_slow(upstream: Upstream) -> None:
    async def script(link: Link, seen: Seen) -> None:
        await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await asyncio.sleep(0.02)
        await link.send(b"half")

    async with Fake(script) as fake, upstream.call(request_to(fake), Deadlines(idle=0.1, first_byte=0.1)) as answer:
        assert await anext(answer) == b"half"
        await asyncio.sleep(0.15)
        assert await anext(answer) == b"half"


async def test_zero_is_no_deadline(upstream: Upstream) -> None:
    async with Fake(reply) as fake:
        assert await body_of(upstream, request_to(fake), Deadlines(0, 0, 0, 0)) == b"ok"


async def test_two_hundred_aborts_leave_no_connection_and_no_error(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    tasks = len(asyncio.all_tasks())
    async with Fake(never) as fake:
        for n in range(4):
            calls = [asyncio.create_task(body_of(upstream, request_to(fake))) for _ in range(50)]
            await until(lambda n=n: len(fake.requests) == 50 * (n + 1))
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        await until(lambda: upstream.connections == 0)
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    assert not caplog.records


# -- whether a provider is there --


async def test_reaching_a_provider_opens_a_connection_says_nothing_and_closes_it(
    upstream: Upstream, authority: Authority
) -> None:
    said = asyncio.get_running_loop().create_future()

    async def listen(link: Link) -> None:
        said.set_result(await link.reader.read())

    async with Fake(greet=listen) as fake:
        await upstream.reach(("https", "localhost", fake.port))
        assert await asyncio.wait_for(said, 5) == b""
    assert upstream.connections == 0


async def test_a_provider_that_is_not_there_or_may_not_be_dialled_is_not_reached(upstream: Upstream) -> None:
    async with Fake(reply) as fake:
        port = fake.port
    with pytest.raises(OSError, match="Connect call failed"):
        await upstream.reach(("http", "127.0.0.1", port))
    with pytest.raises(UpstreamError):
        await Upstream(guard=Guard()).reach(("http", "127.0.0.1", port))
