"""Connections to an origin that nothing names any more are closed as soon as they are idle, and no call is lost by it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.core.net.conftest import QUICK, Open, body_of, request_to, until
from tests.core.net.fakes import Authority, Fake, Fake2, Link, Seen, Stream, ok
from tokenman_core.net import Upstream


async def reply(link: Link, seen: Seen) -> None:
    await link.send(ok())


@pytest.fixture
async def pool(authority: Authority) -> AsyncIterator[Upstream]:
    made = Upstream(authority.client(), guard=Open(), keep_s=60.0)
    yield made
    await made.aclose()


async def test_an_idle_connection_is_closed_at_once_and_a_named_one_kept(pool: Upstream) -> None:
    async with Fake(reply) as named, Fake(reply) as forsaken:
        for fake in (named, forsaken):
            await body_of(pool, request_to(fake), QUICK)
        assert pool.connections == 2
        pool.keep_only({request_to(named).origin})
        await until(lambda: pool.connections == 1)
        await body_of(pool, request_to(named), QUICK)
        assert len(named.links) == 1


async def test_a_call_that_runs_ends_and_then_its_connection_is_closed(pool: Upstream) -> None:
    go = asyncio.Event()

    async def slow(link: Link, seen: Seen) -> None:
        await go.wait()
        await link.send(ok())

    async with Fake(slow) as fake:
        running = asyncio.create_task(body_of(pool, request_to(fake), QUICK))
        await until(lambda: bool(fake.requests))
        pool.keep_only(())
        assert pool.connections == 1
        go.set()
        await running
        await until(lambda: pool.connections == 0)


async def test_an_origin_that_is_named_again_is_kept_again(pool: Upstream) -> None:
    async with Fake(reply) as fake:
        pool.keep_only(())
        for _ in range(2):
            await body_of(pool, request_to(fake), QUICK)
        pool.keep_only({request_to(fake).origin})
        before = len(fake.links)
        for _ in range(3):
            await body_of(pool, request_to(fake), QUICK)
        assert len(fake.links) <= before + 1
        assert pool.connections == 1


async def test_over_http2_all_calls_of_a_connection_end_before_it_is_closed(
    pool: Upstream, authority: Authority
) -> None:
    go = asyncio.Event()

    async def slow(stream: Stream) -> None:
        await go.wait()
        await stream.answer()

    async with Fake2(slow, authority.server("h2")) as fake:
        running = [asyncio.create_task(body_of(pool, request_to(fake), QUICK)) for _ in range(3)]
        await until(lambda: len(fake.streams) == 3)
        pool.keep_only(())
        assert pool.connections == 1
        go.set()
        assert await asyncio.gather(*running) == [b"ok"] * 3
        await until(lambda: pool.connections == 0)
