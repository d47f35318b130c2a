"""A client that costs next to nothing: kept connections, HTTP/1.1, one request after the other on each."""

import asyncio
import time
from collections.abc import Iterable

from bench.carriers import Form


class Client:
    def __init__(self, port: int, upstream: int, form: Form) -> None:
        self.port = port
        host = f"127.0.0.1:{upstream if form == 'proxy' else port}"
        target = f"http://{host}/v1/messages" if form == "proxy" else "/v1/messages"
        self.head = (
            f"POST {target} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nx-api-key: sk-bench\r\n"
            f"anthropic-version: 2023-06-01\r\ncontent-length: "
        ).encode()

    async def __aenter__(self) -> "Client":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def call(self, data: bytes) -> float:
        """Seconds to the first byte of the answer's body, or to its end where it is whole."""
        start = time.perf_counter()
        self.writer.write(b"%s%d\r\n\r\n%s" % (self.head, len(data), data))
        answer = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if not answer.startswith(b"http/1.1 200"):
            raise SystemExit(f"no 200: {answer!r}")
        if b"chunked" not in answer:
            length = int(answer.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            await self.reader.readexactly(length)
            return time.perf_counter() - start
        first = 0.0
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            first = first or time.perf_counter() - start
            await self.reader.readexactly(size + 2)
            if size == 0:
                return first


async def drive(port: int, upstream: int, form: Form, bodies: Iterable[bytes], at_once: int = 1) -> list[float]:
    """The seconds of each call. All bodies are made before the first is sent, so that making them parts no calls."""
    waiting = iter(list(bodies))
    taken: list[float] = []

    async def one() -> None:
        async with Client(port, upstream, form) as client:
            for data in waiting:
                taken.append(await client.call(data))

    await asyncio.gather(*(one() for _ in range(at_once)))
    return taken
