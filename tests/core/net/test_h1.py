"""HTTP/1.1: what goes out, what counts as an answer, and what becomes of the connection."""

import asyncio

import pytest

from tests.core.net.conftest import QUICK, body_of, request_to, take, until
from tests.core.net.fakes import Authority, Fake, Link, Seen, ok
from tokenman_core.net import Request, Upstream, UpstreamError
from tokenman_core.net.wire import AT_ONCE_S


def saying(*pieces: bytes, then: str = "") -> Fake:
    async def script(link: Link, seen: Seen) -> None:
        for piece in pieces:
            await link.send(piece)
        if then == "reset":
            link.reset()
        elif then == "close":
            link.writer.close()

    return Fake(script)


async def failure(upstream: Upstream, request: Request, **more: object) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await body_of(upstream, request, **more)  # type: ignore[arg-type]
    return caught.value


# -- what goes out --


async def test_headers_go_out_in_their_order_and_case_with_our_own_framing(upstream: Upstream) -> None:
    given = (
        (b"Host", b"api.example"), (b"X-bEtA", b"a"), (b"x-beta", b"b"), (b"Content-LENGTH", b"99"),
        (b"Transfer-Encoding", b"chunked"), (b"Connection", b"close, X-Mine"), (b"X-Mine", b"1"), (b"TE", b"trailers"),
        (b"Proxy-Authorization", b"Basic eA=="), (b"Expect", b"100-continue"), (b"Accept", b"*/*"),
    )  # fmt: skip
    async with saying(ok()) as fake:
        assert await body_of(upstream, request_to(fake, headers=given, body=b"12345")) == b"ok"
        assert fake.requests[0].headers == [
            (b"Host", b"api.example"), (b"X-bEtA", b"a"), (b"x-beta", b"b"), (b"Content-LENGTH", b"5"), (b"Accept", b"*/*"),
        ]  # fmt: skip
        assert fake.requests[0].body == b"12345"


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        (b"GET", b"", None), (b"HEAD", b"", None), (b"POST", b"", b"0"), (b"PUT", b"", b"0"), (b"GET", b"x", b"1"),
        (b"POST", b"abc", b"3"), (b"DELETE", b"", b"0"),
    ],
)  # fmt: skip
async def test_every_request_is_framed(upstream: Upstream, method: bytes, body: bytes, length: bytes | None) -> None:
    answer = b"HTTP/1.1 204 No Content\r\n\r\n"
    async with saying(answer) as fake:
        assert await body_of(upstream, request_to(fake, method, body=body)) == b""
        assert fake.requests[0].header(b"content-length") == length
        assert fake.requests[0].header(b"host") == b"127.0.0.1:%d" % fake.port


@pytest.mark.parametrize(
    "change",
    [
        {"path": b"/a\r\nX: y"}, {"path": b"/a b"}, {"path": b"/a\x00"}, {"path": b""}, {"path": b"http://x/"},
        {"path": b"/a#b"}, {"headers": ((b"X", b"a\r\nY: b"),)}, {"headers": ((b"X", b"a\nb"),)},
        {"headers": ((b"X", b"a\x00"),)}, {"headers": ((b"X y", b"a"),)}, {"headers": ((b"", b"a"),)},
        {"headers": ((b"X\r\n", b"a"),)}, {"headers": ((b"Host", b"a"), (b"host", b"b"))}, {"method": b"GET /x"},
        {"method": b"CONNECT"}, {"method": b""}, {"host": "a b"}, {"host": "a\r\nX: y"}, {"host": ""}, {"scheme": "ftp"},
    ],
)  # fmt: skip
async def test_bytes_that_would_begin_another_request_are_never_sent(
    upstream: Upstream, change: dict[str, object]
) -> None:
    async with saying(ok()) as fake:
        given = {
            "method": b"POST",
            "scheme": "http",
            "host": "127.0.0.1",
            "port": fake.port,
            "path": b"/",
            "body": b"x",
        }
        error = await failure(upstream, Request(**(given | change)))  # type: ignore[arg-type]
        assert error.kind == "protocol"
        assert not fake.links


async def test_a_large_body_arrives_whole(upstream: Upstream) -> None:
    body = b"0123456789abcdef" * (200 << 10)
    async with saying(ok()) as fake:
        assert await body_of(upstream, request_to(fake, body=body)) == b"ok"
        assert fake.requests[0].body == body


async def test_an_answer_before_the_end_of_the_upload_is_the_answer(upstream: Upstream) -> None:
    async def greet(link: Link) -> None:
        await link.reader.readuntil(b"\r\n\r\n")
        await link.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nlong")
        await link.gone.wait()  # reads no more

    async with Fake(greet=greet) as fake:
        async with upstream.call(request_to(fake, body=b"x" * (64 << 20)), QUICK) as answer:
            assert answer.status == 413
            assert [chunk async for chunk in answer] == [b"long"]
        await until(lambda: upstream.connections == 0)  # half a request is on it: nobody else may have it


async def test_a_large_upload_leaves_the_event_loop_free(upstream: Upstream, authority: Authority) -> None:
    async def script(link: Link, seen: Seen) -> None:
        await link.send(ok())

    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with Fake(script, tls=authority.server("http/1.1")) as fake:
        await body_of(upstream, request_to(fake))
        counting = asyncio.create_task(count())
        await body_of(upstream, request_to(fake, body=b"x" * (8 << 20)))
        counting.cancel()
    assert turns > 100


# -- what counts as an answer --


async def test_answer_headers_keep_their_case_and_trailers_come(upstream: Upstream) -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-CaSe: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n"
    async with saying(answer) as fake, upstream.call(request_to(fake), QUICK) as got:
        assert got.headers[0] == (b"X-CaSe", b"1")
        assert got.header(b"x-case") == b"1"
        assert b"".join([chunk async for chunk in got]) == b"abc"
        assert got.trailers == ((b"X-Sum", b"7"),)


async def test_early_hints_are_not_the_answer(upstream: Upstream) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    async with saying(hints + ok()) as fake, upstream.call(request_to(fake), QUICK) as answer:
        assert answer.status == 200
        assert [chunk async for chunk in answer] == [b"ok"]


async def test_a_switch_of_protocols_that_nobody_asked_for_is_a_failure(upstream: Upstream) -> None:
    async with saying(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n") as fake:
        assert (await failure(upstream, request_to(fake))).kind == "protocol"


@pytest.mark.parametrize("in_one", [True, False])
async def test_a_head_over_64_kib_is_a_failure(upstream: Upstream, in_one: bool) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"X-Long: %s\r\n" % (b"x" * 70_000) + b"Content-Length: 0\r\n\r\n"
    async with saying(*([head] if in_one else [head[:50_000], head[50_000:]])) as fake:
        assert (await failure(upstream, request_to(fake))).kind == "protocol"


async def test_what_is_not_http_is_a_protocol_failure(upstream: Upstream) -> None:
    async with saying(b"SSH-2.0-OpenSSH_9\r\n\r\n") as fake:
        assert (await failure(upstream, request_to(fake))).kind == "protocol"


UNREADABLE = [
    b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",  # RFC 9112 §6.3: who reads which, nobody knows
    b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    b"Content-Length: +2\r\n\r\nab",
    b"Transfer-Encoding: chunked\r\n\r\n2;" + b"x" * 200_000 + b"\r\nab\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n0\r\nT: " + b"x" * 200_000 + b"\r\n\r\n",
]


@pytest.mark.parametrize("answer", UNREADABLE, ids=range(len(UNREADABLE)))
async def test_an_answer_that_is_framed_in_two_ways_or_without_an_end_is_a_failure(
    upstream: Upstream, answer: bytes
) -> None:
    async with saying(b"HTTP/1.1 200 OK\r\n" + answer) as fake:
        assert (await failure(upstream, request_to(fake))).kind == "protocol"


TRUNCATED = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
]


@pytest.mark.parametrize("answer", TRUNCATED)
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_body_that_breaks_off_is_a_failure_after_what_came(
    upstream: Upstream, answer: bytes, then: str
) -> None:
    got: list[bytes] = []
    async with saying(answer, then=then) as fake:
        with pytest.raises(UpstreamError) as caught:
            await take(upstream, request_to(fake), got)
    assert caught.value.kind == "reset"
    assert not caught.value.stale
    if then == "close":
        assert b"".join(got) == b"half"


async def test_what_came_before_a_broken_chunk_is_given_first(upstream: Upstream) -> None:
    got: list[bytes] = []
    async with saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n") as fake:
        with pytest.raises(UpstreamError) as caught:
            await take(upstream, request_to(fake), got)
    assert (caught.value.kind, got) == ("protocol", [b"half"])


async def test_a_body_of_open_length_ends_with_the_connection(upstream: Upstream) -> None:
    async with saying(b"HTTP/1.1 200 OK\r\n\r\nall of it", then="close") as fake:
        assert await body_of(upstream, request_to(fake)) == b"all of it"


async def test_a_reset_does_not_end_a_body_of_open_length(upstream: Upstream) -> None:
    async with saying(b"HTTP/1.1 200 OK\r\n\r\nhalf", then="reset") as fake:
        assert (await failure(upstream, request_to(fake))).kind == "reset"


@pytest.mark.parametrize("farewell", [True, False])
async def test_over_tls_only_its_own_farewell_ends_a_body_of_open_length(
    upstream: Upstream, authority: Authority, farewell: bool
) -> None:
    async def script(link: Link, seen: Seen) -> None:
        await link.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        link.writer.close() if farewell else link.cut()
        await link.reader.read()

    async with Fake(script, tls=authority.server("http/1.1")) as fake:
        if farewell:
            assert await body_of(upstream, request_to(fake)) == b"half"
        else:
            assert (await failure(upstream, request_to(fake))).kind == "reset"


async def test_a_close_before_the_head_is_a_reset(upstream: Upstream) -> None:
    async with saying(then="close") as fake:
        error = await failure(upstream, request_to(fake))
        assert (error.kind, error.stale, error.untouched) == ("reset", False, False)


# -- the cap --


@pytest.mark.parametrize(
    "answer",
    [ok(b"x" * 11), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n" + b"x" * 11 + b"\r\n0\r\n\r\n"],
)
async def test_a_body_over_the_cap_is_refused_and_one_at_the_cap_passes(upstream: Upstream, answer: bytes) -> None:
    async with saying(answer) as fake:
        assert await body_of(upstream, request_to(fake), max_body=11) == b"x" * 11
        assert (await failure(upstream, request_to(fake), max_body=10)).kind == "cap"
        await until(lambda: upstream.connections == 0)


async def test_a_declared_length_over_the_cap_is_not_waited_for(upstream: Upstream) -> None:
    async with saying(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n") as fake:
        error = await asyncio.wait_for(failure(upstream, request_to(fake), max_body=10), 2)
        assert error.kind == "cap"


async def test_a_head_request_declares_no_body(upstream: Upstream) -> None:
    async with saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n") as fake:
        assert await body_of(upstream, request_to(fake, b"HEAD"), max_body=10) == b""
        assert upstream.connections == 1


# -- kept connections --


async def test_connections_are_kept_and_used_again(upstream: Upstream) -> None:
    async with saying(ok()) as fake:
        for _ in range(3):
            assert await body_of(upstream, request_to(fake)) == b"ok"
        assert len(fake.links) == 1 == upstream.connections


@pytest.mark.parametrize("answer", [ok(extra=b"Connection: close\r\n"), ok() + b"more", b"HTTP/1.0 200 OK\r\n\r\n"])
async def test_connections_that_cannot_be_used_again_are_closed(upstream: Upstream, answer: bytes) -> None:
    async with saying(answer, then="close" if answer.startswith(b"HTTP/1.0") else "") as fake:
        for _ in range(2):
            await body_of(upstream, request_to(fake))
        assert len(fake.links) == 2
        await until(lambda: upstream.connections == 0)


async def test_unasked_bytes_on_a_kept_connection_are_nobodys_answer(upstream: Upstream) -> None:
    async with saying(ok()) as fake:
        await body_of(upstream, request_to(fake))
        await fake.links[0].send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await until(lambda: upstream.connections == 0)
        assert await body_of(upstream, request_to(fake)) == b"ok"
        assert len(fake.links) == 2


async def test_a_farewell_that_crosses_a_request_is_a_stale_connection(upstream: Upstream) -> None:
    answers = [ok(), b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"]

    async def script(link: Link, seen: Seen) -> None:
        await link.send(answers.pop(0))

    async with Fake(script) as fake:
        await body_of(upstream, request_to(fake))
        error = await failure(upstream, request_to(fake))
        assert (error.kind, error.untouched) == ("reset", True)


@pytest.mark.parametrize(("said", "again"), [(b"", True), (b"HTTP/1.1 200", False)])
async def test_a_kept_connection_that_breaks_at_once_was_stale_unless_an_answer_had_begun(
    upstream: Upstream, said: bytes, again: bool
) -> None:
    async def script(link: Link, seen: Seen) -> None:
        if len(fake.requests) == 1:
            await link.send(ok())
        else:
            await link.send(said)
            link.writer.close()

    fake = Fake(script)
    async with fake:
        await body_of(upstream, request_to(fake))
        error = await failure(upstream, request_to(fake))
        assert (error.kind, error.stale, error.untouched) == ("reset", again, False)


async def test_where_one_kept_connection_went_stale_the_others_are_not_tried(upstream: Upstream) -> None:
    """A provider that was started anew has closed them all: a call that is sent again gets a fresh one."""
    arrived = asyncio.Event()

    async def script(link: Link, seen: Seen) -> None:
        if len(fake.requests) <= 2:
            if len(fake.requests) == 2:
                arrived.set()
            await arrived.wait()
            await link.send(ok())
        elif link.number < 2:
            link.writer.close()
        else:
            await link.send(ok(b"fresh"))

    fake = Fake(script)
    async with fake:
        await asyncio.gather(*(body_of(upstream, request_to(fake)) for _ in range(2)))
        assert upstream.connections == 2
        assert (await failure(upstream, request_to(fake))).stale
        assert await body_of(upstream, request_to(fake)) == b"fresh"


async def test_a_provider_that_breaks_off_later_has_worked_and_is_no_stale_connection(upstream: Upstream) -> None:
    async def script(link: Link, seen: Seen) -> None:
        if len(fake.requests) == 1:
            await link.send(ok())
        else:
            await asyncio.sleep(2 * AT_ONCE_S)
            link.writer.close()

    fake = Fake(script)
    async with fake:
        await body_of(upstream, request_to(fake))
        error = await failure(upstream, request_to(fake))
        assert (error.kind, error.stale, error.worked) == ("reset", False, True)


async def test_a_connection_that_the_provider_closed_is_not_used_again(upstream: Upstream) -> None:
    async with saying(ok()) as fake:
        await body_of(upstream, request_to(fake))
        fake.links[0].writer.close()
        await until(lambda: upstream.connections == 0)
        assert await body_of(upstream, request_to(fake)) == b"ok"


# -- slow readers and leaving --


@pytest.mark.parametrize("tls", [False, True])
async def test_a_slow_reader_is_not_read_ahead_of(upstream: Upstream, authority: Authority, tls: bool) -> None:
    sent = 0

    async def script(link: Link, seen: Seen) -> None:
        nonlocal sent
        await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        for _ in range(1024):
            await link.send(b"x" * (64 << 10))
            sent += 64 << 10

    async with Fake(script, tls=authority.server("http/1.1") if tls else None) as fake:
        async with upstream.call(request_to(fake), QUICK) as answer:
            first = await anext(answer)
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.05)
            assert before < 16 << 20  # most of it in the kernel's buffers
            (connection,) = next(iter(upstream._sites.values())).open
            assert connection._held <= 256 << 10  # type: ignore[union-attr]
            rest = [len(chunk) async for chunk in answer]
            assert len(first) + sum(rest) == 64 << 20
            assert max(rest) <= 256 << 10
        assert upstream.connections == 1


async def test_leaving_early_closes_the_connection_at_once(upstream: Upstream) -> None:
    async with saying(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") as fake:
        async with upstream.call(request_to(fake), QUICK) as answer:
            await anext(answer)
        await asyncio.wait_for(fake.links[0].gone.wait(), 5)
        assert upstream.connections == 0


async def test_a_cancelled_call_is_dropped_at_once(upstream: Upstream) -> None:
    async with saying() as fake:
        call = asyncio.create_task(body_of(upstream, request_to(fake)))
        await until(lambda: bool(fake.requests))
        call.cancel()
        await asyncio.wait_for(fake.links[0].gone.wait(), 5)
        await until(lambda: upstream.connections == 0)
    assert call.cancelled()
