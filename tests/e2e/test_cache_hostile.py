"""What goes wrong around the cache, through the real proxy: who leaves, what breaks, what is taken away, and what must not show."""

import asyncio
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import zstandard

from addons.demo.provider import FakeProvider
from tests.e2e.harness import PLANTED, Proxy, forms
from tests.e2e.resilience.house import metric, until
from tests.e2e.test_cache import CACHE, HEADERS, MAIL, _rows, ask, body, how, path

OPEN = CACHE | {"mode": "all", "tools": "on", "tool_calls": "on"}
BREAKER = {"failures": 100_000, "min_calls": 0}


@pytest.fixture(scope="module")
def proxy(fake: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    providers = {name: {"base_url": fake.url} for name in ("anthropic", "openai", "gemini")}
    limits = [{"name": "few", "scope": "client", "concurrent": 150}]
    running = Proxy.start(
        tmp_path_factory.mktemp("hostile"),
        fake.url,
        cache=OPEN,
        providers=providers,
        breaker=BREAKER,
        rate_limits=limits,
    )
    yield running
    running.stop()


@pytest.fixture(scope="module")
def shared_provider(fake: FakeProvider) -> FakeProvider:
    """The one of this file's proxy is looked through after each test."""
    return fake


@pytest.fixture
def text(request: pytest.FixtureRequest) -> str:
    return f"{request.node.name} of {MAIL}"


def unpacked(proxy: Proxy) -> list[bytes]:
    """What is kept on disk, as whoever gets hold of it can read it where it is not encrypted."""
    with closing(sqlite3.connect(f"file:{proxy.data}/cache.db?mode=ro", uri=True)) as database:
        rows = database.execute("select sealed from answers").fetchall()
    return [zstandard.ZstdDecompressor().decompressobj().decompress(sealed[:-16]) for (sealed,) in rows]


def test_no_value_stands_in_what_is_kept_not_even_as_the_name_of_a_project(
    proxy: Proxy, provider: FakeProvider, text: str
) -> None:
    before = len(unpacked(proxy)) if (proxy.data / "cache.db").exists() else 0
    for dialect in ("anthropic", "openai", "responses", "gemini"):
        for stream in (False, True):
            question = f"{text} {dialect} {stream} [[say To $VALUE]]"
            ask(proxy, dialect, question, stream, headers={"x-tokenman-project": MAIL, "x-tokenman-session": MAIL})
    rows = until(lambda: len(found := unpacked(proxy)) >= before + 8 and found)
    assert not [name for name, value in PLANTED.items() for row in rows if any(form in row for form in forms(value))]


@pytest.mark.parametrize("order", ["stream first", "plain first"])
@pytest.mark.parametrize("dialect", list(HEADERS))
def test_values_come_back_into_the_arguments_of_a_tool_in_whichever_shape(
    proxy: Proxy, provider: FakeProvider, dialect: str, order: str, text: str
) -> None:
    question = f'{text} [[tool send_mail {{"to": "$VALUE", "note": "a \\"b\\""}}]]'
    shapes = [True, False] if order == "stream first" else [False, True]
    first, second, third = (ask(proxy, dialect, question, stream) for stream in (*shapes, shapes[0]))
    assert [how(first), how(second), how(third)] == ["miss", "hit", "hit"]
    assert first.content == third.content
    for answer in (first, second):
        assert json.loads(arguments(dialect, answer))["to"] == MAIL
    assert len(provider.received) == 1


def arguments(dialect: str, answer: httpx.Response) -> str:
    """Of the one tool that is called, as JSON."""
    streamed = answer.headers["content-type"].startswith("text/event-stream")
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")] if streamed else [answer.text]
    values: list[Any] = [json.loads(line) for line in lines]
    made = ""
    for value in values:
        match dialect:
            case "anthropic" if streamed:
                made += value.get("delta", {}).get("partial_json", "")
            case "anthropic":
                made = json.dumps(next(block["input"] for block in value["content"] if block["type"] == "tool_use"))
            case "openai":
                for choice in value["choices"]:
                    said = choice["delta" if streamed else "message"]
                    made += "".join(call["function"].get("arguments", "") for call in said.get("tool_calls") or [])
            case "responses" if streamed:
                made += value["delta"] if value["type"] == "response.function_call_arguments.delta" else ""
            case "responses":
                made = next(item["arguments"] for item in value["output"] if item["type"] == "function_call")
            case _:
                for candidate in value.get("candidates", []):
                    for part in candidate.get("content", {}).get("parts", []):
                        made = json.dumps(part["functionCall"]["args"]) if "functionCall" in part else made
    return made


def test_callers_whose_key_stands_in_the_query_never_share(proxy: Proxy, provider: FakeProvider, text: str) -> None:
    def called(key: str) -> str:
        url = f"{proxy.url}{path('gemini', False)}?key={key}"
        return how(httpx.post(url, json=body("gemini", text), timeout=30, trust_env=False))

    assert [called(key) for key in ("AIza-one", "AIza-two", "AIza-one")] == ["miss", "miss", "hit"]


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
def test_each_gets_a_coding_that_he_can_read(proxy: Proxy, provider: FakeProvider, coding: str, text: str) -> None:
    question = f"{text} [[{coding}]] [[slow 30ms]] [[say {'word ' * 30}]]"
    asks = [coding, "identity", "gzip", ""]
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda it: ask(proxy, "anthropic", question, True, headers={"accept-encoding": it}), asks)
        )
    found += [ask(proxy, "anthropic", question, True, headers={"accept-encoding": it}) for it in asks]
    assert len({answer.content for answer in found}) == 1
    assert "message_stop" in found[0].text
    assert {how(answer) for answer in found[4:]} == {"hit"}
    assert len(provider.received) == 1


def test_a_stream_and_a_whole_answer_that_are_asked_for_at_once_are_one_call(
    proxy: Proxy, provider: FakeProvider, text: str
) -> None:
    question = text + " [[slow 60ms]]"
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda number: ask(proxy, "openai", question, number % 2 == 0), range(20)))
    assert len(provider.received) == 1
    assert [how(answer) for answer in found].count("miss") == 1
    assert len({answer.content for answer in found[::2]}) == len({answer.content for answer in found[1::2]}) == 1


def test_of_a_hundred_at_once_all_but_one_leave_and_that_one_is_answered(
    proxy: Proxy, provider: FakeProvider, text: str
) -> None:
    question = text + " [[slow 150ms]]"
    url, made = proxy.url + path("anthropic", True), body("anthropic", question, True)
    ids: list[str] = []

    async def leaves(client: httpx.AsyncClient, number: int) -> str:
        async with client.stream("POST", url, json=made) as answer:
            ids.append(answer.headers["x-tokenman-request-id"])
            if number == 60:
                return (await answer.aread()).decode()
            if number % 2:
                async for _ in answer.aiter_bytes():
                    break
        return ""

    async def all_of_them() -> list[str]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(
            timeout=60, limits=limits, trust_env=False, headers=HEADERS["anthropic"]
        ) as client:
            return await asyncio.gather(*(leaves(client, number) for number in range(100)))

    answers = asyncio.run(all_of_them())
    assert "message_stop" in answers[60]
    assert len(provider.received) == 1
    until(lambda: metric(proxy, "tokenman_active_requests")[""] == 0)
    rows = until(lambda: len(found := _rows(proxy, *ids)) == 100 and found)
    assert [row["cost"] > 0 for row in rows].count(True) == 1, "one of them pays"


def test_streams_of_one_connection_share_and_leave_each_for_itself(
    proxy: Proxy, provider: FakeProvider, text: str
) -> None:
    made = body("anthropic", text + " [[slow 150ms]]", True)

    async def one(client: httpx.AsyncClient, number: int) -> str:
        async with client.stream("POST", "https://api.anthropic.com/v1/messages", json=made) as answer:
            assert answer.http_version == "HTTP/2"
            assert answer.status_code == 200
            if number == 7:
                return (await answer.aread()).decode()
            async for _ in answer.aiter_bytes():
                break  # its stream is reset, and the connection stays
        return ""

    async def all_of_them() -> list[str]:
        async with httpx.AsyncClient(
            http2=True, http1=False, proxy=proxy.url, verify=proxy.trust(only_h2=True), timeout=60, trust_env=False,
            headers=HEADERS["anthropic"],
        ) as client:  # fmt: skip
            return await asyncio.gather(*(one(client, number) for number in range(20)))

    assert "message_stop" in asyncio.run(all_of_them())[7]
    assert len(provider.received) == 1
    until(lambda: metric(proxy, "tokenman_active_requests")[""] == 0)


def costs(proxy: Proxy) -> list[tuple[str, float]]:
    """Of each call, in the order of their ends, what became of it and what it cost."""
    with closing(sqlite3.connect(f"file:{proxy.data}/ledger.db?mode=ro", uri=True)) as ledger:
        asked = "select cache, coalesce(cost, 0) from calls order by rowid"
        return [(str(cache), float(cost)) for cache, cost in ledger.execute(asked).fetchall()]


def test_nothing_is_left_behind_by_many_mixed_calls(proxy: Proxy, provider: FakeProvider, text: str) -> None:
    ways = [
        "",
        "[[slow 10ms]]",
        "[[status 500]]",
        "[[cut]]",
        "[[error-event]]",
        "[[truncate]]",
        "[[reset]]",
        "[[big 9000]]",
    ]

    async def one(client: httpx.AsyncClient, number: int) -> None:
        stream, way = number % 3 > 0, ways[number % len(ways)]
        made = body("anthropic", f"{text} {number // 16 % 8} {way}", stream)
        wish = {"x-tokenman-cache": ["", "", "no-cache", "no-store"][number // 7 % 4]}
        try:
            async with client.stream("POST", proxy.url + path("anthropic", stream), json=made, headers=wish) as answer:
                async for _ in answer.aiter_bytes():
                    if number % 5 == 0:
                        return
        except httpx.HTTPError:
            pass

    async def calls(many: int) -> None:
        limits = httpx.Limits(max_connections=40)
        async with httpx.AsyncClient(
            timeout=60, limits=limits, trust_env=False, headers=HEADERS["anthropic"]
        ) as client:
            await asyncio.gather(*(one(client, number) for number in range(many)))

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{proxy.process.pid}/fd"))

    asyncio.run(calls(100))
    until(lambda: metric(proxy, "tokenman_active_requests")[""] == 0)
    settled = descriptors()
    asyncio.run(calls(500))
    until(lambda: metric(proxy, "tokenman_active_requests")[""] == 0)
    told = until(lambda: (found := cache_of(proxy))["under_way"] == 0 and found)
    assert told["trouble"] is None
    until(lambda: descriptors() <= settled + 5)
    assert how(ask(proxy, "anthropic", text + " at last")) == "miss", "no place of a limit is held"
    assert "never retrieved" not in proxy.log
    assert "stage caching failed" not in proxy.log


def cache_of(proxy: Proxy) -> Any:
    token = (proxy.data / "admin-token").read_text().strip()
    url, headers = f"http://127.0.0.1:{proxy.admin_port}/api/cache", {"authorization": f"Bearer {token}"}
    return httpx.get(url, headers=headers, trust_env=False, timeout=10).json()


# -- proxies of their own --


@pytest.mark.parametrize("end", ["at the end of the answer", "amid it"])
def test_a_stop_amid_a_call_whose_first_asker_left_ends_in_time_and_books_it(
    running: Callable[..., Proxy], fake: FakeProvider, end: str
) -> None:
    proxy = running(cache=CACHE)
    question = "what is a hash? [[slow 200ms]]"
    url, made = proxy.url + path("anthropic", True), body("anthropic", question, True)
    with (
        httpx.Client(timeout=30, trust_env=False, headers=HEADERS["anthropic"]) as client,
        client.stream("POST", url, json=made) as first,
    ):
        pieces = first.iter_bytes()
        next(pieces)
        with ThreadPoolExecutor() as pool:
            other = pool.submit(ask, proxy, "anthropic", question, True)
            until(lambda: metric(proxy, "tokenman_active_requests")[""] > 1)
            first.close()
            time.sleep(0.3 if end == "amid it" else 0.0)
            proxy.process.send_signal(signal.SIGTERM)
            answer = other.result(30)
    assert "message_stop" in answer.text
    assert proxy.process.wait(25) == 0
    assert "Traceback" not in proxy.log
    rows = costs(proxy)
    assert sorted(cost > 0 for _, cost in rows) == [False, True]


def test_a_stop_in_haste_books_the_call_whose_first_asker_left(
    running: Callable[..., Proxy], fake: FakeProvider
) -> None:
    proxy = running(cache=CACHE)
    url, made = proxy.url + path("anthropic", True), body("anthropic", "what is a hash? [[stall]]", True)

    def follows() -> None:
        with suppress(httpx.HTTPError):
            httpx.post(url, json=made, timeout=60, trust_env=False, headers=HEADERS["anthropic"])

    with (
        httpx.Client(timeout=60, trust_env=False, headers=HEADERS["anthropic"]) as client,
        client.stream("POST", url, json=made) as first,
        ThreadPoolExecutor() as pool,
    ):
        pieces = first.iter_bytes()
        next(pieces)
        other = pool.submit(follows)
        until(lambda: metric(proxy, "tokenman_active_requests")[""] > 1)
        first.close()
        proxy.process.send_signal(signal.SIGTERM)
        until(lambda: httpx.post(url, json=made, trust_env=False).status_code == 503)
        proxy.process.send_signal(signal.SIGTERM)  # which waits for nothing
        assert proxy.process.wait(25) == 0
        other.result(30)
    assert "after the ledger was closed" not in proxy.log
    assert [cost > 0 for _, cost in costs(proxy)].count(True) == 1


def test_the_file_may_be_taken_away_while_it_runs(running: Callable[..., Proxy], fake: FakeProvider) -> None:
    proxy = running(cache=CACHE)
    assert [how(ask(proxy, "openai", "a question")) for _ in range(2)] == ["miss", "hit"]
    for end in ("", "-wal", "-shm"):
        (proxy.data / f"cache.db{end}").unlink(missing_ok=True)
    until(lambda: how(ask(proxy, "openai", "a question")) in ("miss", "hit"))
    (proxy.data / "cache.db").write_bytes(os.urandom(20_000))
    for number in range(10):
        assert how(ask(proxy, "openai", f"another question {number}")) == "miss"
        assert how(ask(proxy, "openai", f"another question {number}")) == "hit"


def test_a_cache_without_a_file_is_no_worse_than_none(
    running: Callable[..., Proxy], fake: FakeProvider, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    (data / "cache.db" / "in the way").mkdir(parents=True)
    data.chmod(0o700)
    proxy = running(cache=CACHE)
    assert [how(ask(proxy, "openai", "a question")) for _ in range(2)] == ["miss", "hit"]
    begun = time.monotonic()
    for number in range(10):
        assert how(ask(proxy, "openai", f"question {number}")) == "miss"
    assert time.monotonic() - begun < 10


def test_another_secret_finds_nothing(running: Callable[..., Proxy], fake: FakeProvider, tmp_path: Path) -> None:
    found = []
    for number, secret in enumerate(["a" * 40, "b" * 40, "b" * 40]):
        folder = tmp_path / str(number)
        folder.mkdir()
        environment = {"OF_THE_TEST": secret}
        proxy = running(
            folder,
            data_dir=str(tmp_path / "data"),
            cache=CACHE,
            secret="env:OF_THE_TEST",
            environment=environment,
        )
        answer = ask(proxy, "openai", f"Write to {MAIL} [[say To $VALUE]]")
        assert MAIL in answer.text.replace("\\u0040", "@")
        found.append(how(answer))
        proxy.stop()
    assert found == ["miss", "miss", "hit"]


def test_flights_outlive_a_reload_that_switches_the_cache_off(
    running: Callable[..., Proxy], fake: FakeProvider
) -> None:
    proxy = running(cache=CACHE)
    question = "what is a hash? [[slow 150ms]]"
    file = proxy.home.parent / "tokenman.yaml"
    settings = json.loads(file.read_text())
    with ThreadPoolExecutor() as pool:
        first = pool.submit(ask, proxy, "openai", question, True)
        until(lambda: len(fake.received) == 1)
        other = pool.submit(ask, proxy, "openai", question, True)
        until(lambda: metric(proxy, "tokenman_active_requests")[""] > 1)
        file.write_text(json.dumps(settings | {"cache": {"mode": "off"}}))
        until(lambda: sum(metric(proxy, "tokenman_config_reloads_total").values()) >= 1)
        assert {how(first.result(30)), how(other.result(30))} == {"miss", "coalesced"}
    assert how(ask(proxy, "openai", question, True)) == "bypass"
    assert len(fake.received) == 2
