import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.core.net.fakes import Authority, Fake
from tokenman_core.net import Deadlines, Guard, Request, Upstream

QUICK = Deadlines(connect=5, first_byte=5, idle=5, total=0)


class Open(Guard):
    """Lets calls reach loopback, where the fakes are."""

    def __init__(self) -> None:
        super().__init__(permitted=[("127.0.0.1", None), ("localhost", None)])


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder: Path = tmp_path_factory.mktemp("ca")
    return Authority(folder)


@pytest.fixture
async def upstream(authority: Authority) -> AsyncIterator[Upstream]:
    pool = Upstream(authority.client(), guard=Open())
    yield pool
    await pool.aclose()
    assert pool.connections == 0


def request_to(fake: Fake, method: bytes = b"POST", path: bytes = b"/v1/messages", **more: object) -> Request:
    body = more.pop("body", b"{}" if method == b"POST" else b"")
    host = "localhost" if fake.tls else "127.0.0.1"
    return Request(method, fake.scheme, host, fake.port, path, body=body, **more)  # type: ignore[arg-type]


async def body_of(pool: Upstream, request: Request, deadlines: Deadlines = QUICK, max_body: int = 0) -> bytes:
    async with pool.call(request, deadlines, max_body) as answer:
        return b"".join([chunk async for chunk in answer])


async def take(pool: Upstream, request: Request, got: list[bytes]) -> None:
    """Puts what comes into `got`, up to whatever ends it."""
    async with pool.call(request, QUICK) as answer:
        async for chunk in answer:
            got.append(chunk)


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"not within {seconds} s"
        await asyncio.sleep(0.002)
