"""What is larger than its cap: it is refused in the words of the API, the provider sees nothing of it, and memory stays bounded."""

import gzip
import json
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import brotli
import httpx
import pytest
import zstandard

from addons.demo.provider import FakeProvider
from tests.e2e import raw
from tests.e2e.harness import ANTHROPIC_KEY, Proxy, user
from tests.e2e.raw import Recorder

CAP = 1 << 20
ROOM = (4 * CAP + (50 << 20)) >> 10  # KiB: so much may a call take that is refused for its size
HEADERS = {"x-api-key": ANTHROPIC_KEY, "content-type": "application/json", "anthropic-version": "2023-06-01"}
HEAD = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
CHUNKED = f"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode()
BEGINNING = b'{"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "'
PIECE = b"x" * (256 << 10)
GIGABYTE = 1 << 30


def whole(text: str = "hello") -> bytes:
    return json.dumps({"model": "m", "max_tokens": 9, "messages": user(text)}).encode()


@pytest.fixture(scope="module")
def capped(shared_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    limits = {"request_body": CAP, "response_body": CAP}
    proxy = Proxy.start(tmp_path_factory.mktemp("capped"), shared_provider.url, limits=limits)
    yield proxy
    proxy.stop()


def peak(proxy: Proxy, what: str = "VmHWM:") -> int:
    """KiB that the process has ever held."""
    status = Path(f"/proc/{proxy.process.pid}/status").read_text()
    return int(status.partition(what)[2].split()[0])


def holds(proxy: Proxy) -> int:
    """KiB, now."""
    return peak(proxy, "VmRSS:")


def ordinary(proxy: Proxy) -> None:
    assert httpx.post(proxy.url + "/v1/messages", content=whole(), headers=HEADERS, trust_env=False).status_code == 200


def many(sent: int) -> bytes:
    return b"%x\r\n%s\r\n" % (len(PIECE), PIECE)


def one(sent: int) -> bytes:
    return b"%x\r\n%s" % (GIGABYTE, PIECE) if not sent else PIECE


@pytest.mark.parametrize("make", [many, one], ids=["many-chunks", "one-chunk"])
def test_a_gigabyte_in_chunks_takes_no_more_memory_than_its_cap(
    capped: Proxy, provider: FakeProvider, make: Callable[[int], bytes]
) -> None:
    ordinary(capped)
    provider.clear()
    before, sent, answer = peak(capped), 0, b""
    with raw.dial(capped, 20) as connection:
        connection.sendall(CHUNKED)
        try:
            while sent < GIGABYTE:
                connection.sendall(make(sent))
                sent += len(PIECE)
                connection.setblocking(False)
                try:
                    answer += connection.recv(65536)
                except BlockingIOError:
                    pass
                connection.settimeout(20)
        except OSError:
            pass  # it has read and thrown away enough
        if not answer:
            answer = raw.until_closed(connection)
    status, fields = raw.head(answer)
    assert (status, fields["x-tokenman-error"]) == (413, "body_cap")
    assert sent > 4 * CAP
    assert peak(capped) - before < ROOM
    assert not provider.received
    ordinary(capped)


def deflate(data: bytes) -> bytes:
    return zlib.compress(data)


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": deflate,
    "br": lambda data: brotli.compress(data, quality=5),
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("coding", CODINGS)
def test_what_expands_to_a_hundred_times_its_cap_is_413_before_it_has(
    capped: Proxy, provider: FakeProvider, coding: str
) -> None:
    ordinary(capped)
    provider.clear()
    before = peak(capped)
    bomb = CODINGS[coding](BEGINNING + b"x" * (100 * CAP))
    assert len(bomb) < CAP
    headers = HEADERS | {"content-encoding": coding}
    answer = httpx.post(capped.url + "/v1/messages", content=bomb, headers=headers, trust_env=False, timeout=20)
    assert (answer.status_code, answer.headers["x-tokenman-error"]) == (413, "body_cap")
    assert answer.json()["type"] == "error"
    assert peak(capped) - before < ROOM
    assert not provider.received


def rested(proxy: Proxy) -> int:
    """The peak so far, once the tokeniser is loaded, which takes a second and about 85 MB and has nothing to do with a call.

    It is loaded for the first answer whose tokens nobody said.
    """
    cut = {"model": "m", "max_tokens": 9, "stream": True, "messages": user("[[truncate]] hello")}
    httpx.post(f"{proxy.url}/v1/messages", json=cut, headers=HEADERS, trust_env=False, timeout=20)
    last, since = peak(proxy), time.monotonic()
    began = since
    while time.monotonic() - since < 1.5 and time.monotonic() - began < 20:
        time.sleep(0.1)
        if (now := peak(proxy)) > last:
            last, since = now, time.monotonic()
    return last


def test_an_answer_that_expands_beyond_its_cap_is_502_and_bounded(
    shared_provider: FakeProvider, provider: FakeProvider, tmp_path: Path
) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: %s\r\ncontent-length: %d\r\n\r\n"
    with ExitStack() as stack:
        recorders = {}
        for coding, pack in CODINGS.items():
            bomb = pack(b'{"text": "' + b"x" * (100 * CAP))
            recorders[coding] = stack.enter_context(Recorder(head % (coding.encode(), len(bomb)) + bomb))
        providers: dict[str, Any] = {"anthropic": {"base_url": shared_provider.url}}
        for coding, recorder in recorders.items():
            providers[coding] = {"base_url": f"http://127.0.0.1:{recorder.port}", "dialect": "anthropic"}
        # The cache, too, reads what came: for the books, and whether it is worth keeping.
        caching = {"mode": "all"}
        limits = {"response_body": CAP}
        proxy = Proxy.start(tmp_path, shared_provider.url, limits=limits, providers=providers, cache=caching)
        ordinary(proxy)
        before = rested(proxy)
        for coding, recorder in recorders.items():
            url = f"{proxy.url}/p/{coding}/v1/messages"
            answer = httpx.post(url, content=whole(), headers=HEADERS, trust_env=False, timeout=20)
            assert (answer.status_code, answer.headers["x-tokenman-error"]) == (502, "response_cap"), coding
            assert peak(proxy) - before < (CAP + (50 << 20)) >> 10, coding
            assert len(recorder.requests) == 1  # another answer would be as large
        proxy.stop()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_large_answer_takes_its_size_while_its_client_reads_and_thrice_while_it_is_read_here(
    shared_provider: FakeProvider, provider: FakeProvider, tmp_path: Path, framing: str
) -> None:
    """JSON takes twice its size to be parsed, for a moment, and for one answer at a time."""
    said = b'{"usage": {"input_tokens": 1, "output_tokens": 1}, "text": "' + b"x" * (48 << 20) + b'"}'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    if framing == "length":
        answer = head + b"content-length: %d\r\n\r\n" % len(said) + said
    else:
        answer = head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(said), said)
    with Recorder(answer) as recorder:
        here = {"base_url": f"http://127.0.0.1:{recorder.port}", "dialect": "anthropic"}
        providers = {"anthropic": {"base_url": shared_provider.url}, "large": here}
        proxy = Proxy.start(tmp_path, shared_provider.url, providers=providers)
        ordinary(proxy)
        before = rested(proxy)
        with httpx.stream(
            "POST", f"{proxy.url}/p/large/v1/messages", content=whole(), headers=HEADERS, trust_env=False, timeout=30
        ) as got:
            pieces = got.iter_raw()
            first = next(pieces)
            assert (holds(proxy) - before) << 10 < 1.4 * len(said)
            assert first + b"".join(pieces) == said
        assert (peak(proxy) - before) << 10 < 3.3 * len(said)
        proxy.stop()


def test_zero_is_no_cap(shared_provider: FakeProvider, provider: FakeProvider, tmp_path: Path) -> None:
    limits = {"request_body": 0, "response_body": 0}
    proxy = Proxy.start(tmp_path, shared_provider.url, limits=limits)
    image = {"type": "base64", "media_type": "image/png", "data": "A" * (36 << 20)}  # more than the usual cap
    content = json.dumps(
        {
            "model": "m",
            "max_tokens": 9,
            "messages": user([{"type": "image", "source": image}, {"type": "text", "text": "?"}]),
        }
    ).encode()
    answer = httpx.post(proxy.url + "/v1/messages", content=content, headers=HEADERS, trust_env=False, timeout=60)
    assert answer.status_code == 200
    (received,) = provider.received
    assert len(received.body) == len(content)
    proxy.stop()
