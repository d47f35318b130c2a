import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.core.admin.conftest import TOKEN
from tests.core.ledger.calls import call, name
from tokenman_core.admin import events, serve
from tokenman_core.ledger.row import details, row_of
from tokenman_core.telemetry.feed import Feed


@asynccontextmanager
async def served(admin):
    server = await serve.serve(admin.app(), "127.0.0.1", 0)
    host, port = server.address
    headers = {"authorization": f"Bearer {TOKEN}"}
    try:
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", headers=headers, timeout=20) as client:
            yield client
    finally:
        admin.feed.close()
        await server.stop()


@asynccontextmanager
async def listening(client, **options):
    async with asyncio.timeout(20), client.stream("GET", "/api/events", **options) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        assert await anext(lines) == ""
        yield lines


async def event(lines):
    found = {}
    while line := await anext(lines):
        field, _, value = line.partition(": ")
        found[field] = value
    return found


async def test_a_call_is_told_when_it_ends_as_a_row_with_its_id(admin):
    async with served(admin) as client, listening(client) as lines:
        admin.feed.ended(call(1))
        told = await event(lines)
        assert (told["id"], told["event"]) == (name(1), "call")
        assert json.loads(told["data"]) == details(row_of(call(1)))
        admin.feed.ended(call(2))
        assert (await event(lines))["id"] == name(2)


@pytest.mark.parametrize("how", ["header", "query"])
async def test_who_comes_back_is_told_what_was_missed(admin, how):
    for number in range(1, 4):
        admin.feed.ended(call(number))
    options = {"headers": {"last-event-id": name(1)}} if how == "header" else {"params": {"after": name(1)}}
    async with served(admin) as client, listening(client, **options) as lines:
        assert [(await event(lines))["id"] for _ in range(2)] == [name(2), name(3)]


async def test_what_is_not_held_any_more_is_told_as_lost(admin):
    admin.feed.ended(call(2))
    async with served(admin) as client, listening(client, headers={"last-event-id": "x" * 5000}) as lines:
        told = await event(lines)
        assert (told["event"], json.loads(told["data"]), "id" in told) == ("lost", {"lost": None}, False)
        assert (await event(lines))["id"] == name(2)


async def test_in_silence_a_comment_keeps_the_line_alive(admin, monkeypatch):
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.01)
    async with served(admin) as client, listening(client) as lines:
        for _ in range(2):
            assert await anext(lines) == ": still here"
            assert await anext(lines) == ""
        admin.feed.ended(call(1))
        while (line := await anext(lines)).startswith(":") or not line:
            pass
        assert line == f"id: {name(1)}"


class Watched(Feed):
    def __init__(self, **bounds):
        super().__init__(**bounds)
        self.left = asyncio.Event()

    def leave(self, reader):
        super().leave(reader)
        self.left.set()


async def test_a_reader_that_leaves_gives_its_place_back(admin):
    admin.feed = Watched(places=1)
    async with served(admin) as client:
        async with listening(client):
            answer = await client.get("/api/events")
            assert (answer.status_code, answer.json()["error"]["type"]) == (503, "rate_limit")
            assert answer.headers["retry-after"] == "10"
        async with asyncio.timeout(10):
            await admin.feed.left.wait()
        async with listening(client):
            assert admin.feed.readers == 1


async def test_all_streams_end_at_once_when_the_feed_is_closed(admin):
    async with served(admin) as client, listening(client) as one, listening(client) as other:
        admin.feed.close()
        assert [line async for line in one] == []
        assert [line async for line in other] == []


async def test_the_server_stops_at_once_though_somebody_listens(admin):
    server = await serve.serve(admin.app(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(f"GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    await reader.readuntil(b"retry: 2000")
    admin.feed.close()
    async with asyncio.timeout(1.5):  # less than the grace that answers on their way have
        await server.stop()
    assert (await reader.read()).endswith(b"0\r\n\r\n")
    writer.close()
