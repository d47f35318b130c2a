"""Answers are given again through the real proxy: the clients' own packages see no difference, and the provider is not asked."""

import asyncio
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, PLANTED, WAYS, Proxy, Way, claude, gpt, user
from tests.e2e.resilience.house import metric, until

MAIL = PLANTED["e-mail"]
CACHE = {"mode": "deterministic", "ttl": "10m", "encrypt": "off"}
TEXT = f"Write to {MAIL}. [[say To $VALUE, a dear friend: this is the letter, word by word, for $VALUE.]]"
ANSWER = f"To {MAIL}, a dear friend: this is the letter, word by word, for {MAIL}."
HEADERS = {
    "anthropic": {"x-api-key": ANTHROPIC_KEY, "anthropic-version": "2023-06-01"},
    "openai": {"authorization": f"Bearer {OPENAI_KEY}"},
    "responses": {"authorization": f"Bearer {OPENAI_KEY}"},
    "gemini": {"x-goog-api-key": "AIza-of-the-caller"},
}


@pytest.fixture(scope="module")
def proxy(fake: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    providers = {name: {"base_url": fake.url} for name in ("anthropic", "openai", "gemini")}
    breaker = {"failures": 100_000, "min_calls": 0}  # what one test breaks is no reason to refuse the next one
    running = Proxy.start(tmp_path_factory.mktemp("cache"), fake.url, cache=CACHE, providers=providers, breaker=breaker)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def shared_provider(fake: FakeProvider) -> FakeProvider:
    """The one of this file's proxy is looked through after each test."""
    return fake


def path(dialect: str, stream: bool) -> str:
    return {
        "anthropic": "/v1/messages",
        "openai": "/v1/chat/completions",
        "responses": "/v1/responses",
        "gemini": f"/v1beta/models/gemini-2.5-flash:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}",
    }[dialect]


def body(dialect: str, text: str, stream: bool = False, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "anthropic": {"model": "claude-haiku-4-5", "max_tokens": 500, "messages": user(text)},
        "openai": {"model": "gpt-5-mini", "messages": user(text)},
        "responses": {"model": "gpt-5-mini", "input": text},
        "gemini": {"contents": [{"role": "user", "parts": [{"text": text}]}]},
    }[dialect]
    if dialect == "gemini":
        return made | {"generationConfig": {"temperature": 0}} | more
    return made | {"temperature": 0} | ({"stream": True} if stream else {}) | more


def ask(
    proxy: Proxy, dialect: str, text: str, stream: bool = False, headers: Any = None, **more: Any
) -> httpx.Response:
    return httpx.post(
        proxy.url + path(dialect, stream), json=body(dialect, text, stream, **more), timeout=30, trust_env=False,
        headers=HEADERS[dialect] | (headers or {}),
    )  # fmt: skip


def how(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers["x-tokenman-cache"]


@pytest.fixture
def text(request: pytest.FixtureRequest) -> str:
    """One that no other test of this file asks, so that none answers for another."""
    return f"{request.node.name} {TEXT}"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("dialect", list(HEADERS))
def test_what_is_given_again_is_the_same_byte_by_byte(
    proxy: Proxy, provider: FakeProvider, dialect: str, stream: bool, text: str
) -> None:
    first, second = (ask(proxy, dialect, text, stream) for _ in range(2))
    assert (how(first), how(second)) == ("miss", "hit")
    assert first.content == second.content
    assert MAIL in first.text.replace("\\u0040", "@") or stream
    assert len(provider.received) == 1
    assert int(second.headers["age"]) < 60
    assert second.headers["x-tokenman-provider"] == first.headers["x-tokenman-provider"]
    ours = ("x-tokenman-", "age", "date", "content-length", "server", "transfer-encoding", "connection")
    kept = [
        {name: value for name, value in each.headers.items() if not name.startswith(ours)} for each in (first, second)
    ]
    assert kept[1].items() <= kept[0].items()
    assert second.headers["content-type"] == first.headers["content-type"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("order", ["stream first", "plain first"])
def test_anthropics_package_reads_the_same_in_whichever_shape_it_was_kept(
    proxy: Proxy, provider: FakeProvider, order: str, way: Way, text: str
) -> None:
    client = claude(proxy, way)
    asked: Any = {"model": "claude-haiku-4-5", "max_tokens": 500, "messages": user(text)}
    asked["extra_body"] = {"temperature": 0}

    def streamed() -> Any:
        with client.messages.stream(**asked) as events:
            kinds = [event.type for event in events]
            assert kinds[0] == "message_start"
            assert kinds[-1] == "message_stop"
            assert events.get_final_text() == ANSWER
            return events.get_final_message()

    calls = [streamed, lambda: client.messages.create(**asked)]
    first, second = [call() for call in (calls if order == "stream first" else reversed(calls))]
    assert first.model_dump(exclude={"parsed_output"}) == second.model_dump(exclude={"parsed_output"})
    assert second.content[0].text == ANSWER
    assert len(provider.received) == 1


@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("order", ["stream first", "plain first"])
def test_openais_package_reads_the_same_in_whichever_shape_it_was_kept(
    proxy: Proxy, provider: FakeProvider, order: str, usage: bool, text: str
) -> None:
    client = gpt(proxy)
    asked: Any = {"model": "gpt-5-mini", "messages": user(text), "seed": 7}
    more: Any = {"stream_options": {"include_usage": True}} if usage else {}

    def streamed() -> tuple[str, bool]:
        chunks = list(client.chat.completions.create(**asked, stream=True, **more))
        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
        return "".join(pieces), any(chunk.usage for chunk in chunks)

    def plain() -> tuple[str, bool]:
        answer = client.chat.completions.create(**asked)
        return answer.choices[0].message.content or "", answer.usage is not None

    calls = [streamed, plain] if order == "stream first" else [plain, streamed]
    found = dict(zip([call.__name__ for call in calls], [call() for call in calls], strict=True))
    assert found == {"streamed": (ANSWER, usage), "plain": (ANSWER, True)}
    assert len(provider.received) == 1


@pytest.mark.parametrize("order", ["stream first", "plain first"])
def test_openais_package_reads_responses_in_whichever_shape_they_were_kept(
    proxy: Proxy, provider: FakeProvider, order: str, text: str
) -> None:
    client = gpt(proxy)
    asked: Any = {"model": "gpt-5-mini", "input": text, "temperature": 0}

    def streamed() -> Any:
        with client.responses.stream(**asked) as events:
            assert {event.type for event in events} >= {"response.created", "response.output_text.delta"}
            return events.get_final_response()

    calls = [streamed, lambda: client.responses.create(**asked)]
    first, second = [call() for call in (calls if order == "stream first" else reversed(calls))]
    assert first.output_text == second.output_text == ANSWER
    assert first.id == second.id
    assert first.usage == second.usage
    assert len(provider.received) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_hundred_identical_calls_at_once_ask_the_provider_once(
    proxy: Proxy, provider: FakeProvider, stream: bool, text: str
) -> None:
    question = text + "[[slow 20ms]]"

    async def all_of_them() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False, headers=HEADERS["openai"]) as client:
            url, made = proxy.url + path("openai", stream), body("openai", question, stream)
            return await asyncio.gather(*(client.post(url, json=made) for _ in range(100)))

    answers = asyncio.run(all_of_them())
    assert {answer.content for answer in answers} == {answers[0].content}
    found = [how(answer) for answer in answers]
    assert found.count("miss") == 1
    assert set(found) <= {"miss", "coalesced", "hit"}
    assert len(provider.received) == 1


def test_others_go_on_when_the_first_asker_leaves_and_it_is_booked_once(
    proxy: Proxy, provider: FakeProvider, text: str
) -> None:
    question = text + "[[slow 150ms]]"
    url, made = proxy.url + path("anthropic", True), body("anthropic", question, True)
    with (
        httpx.Client(timeout=30, trust_env=False, headers=HEADERS["anthropic"]) as client,
        client.stream("POST", url, json=made) as first,
    ):
        one = first.headers["x-tokenman-request-id"]
        pieces = first.iter_bytes()  # kept: who drops it leaves
        next(pieces)
        with ThreadPoolExecutor() as pool:
            other = pool.submit(ask, proxy, "anthropic", question, True)
            until(lambda: metric(proxy, "tokenman_active_requests")[""] > 1)
            first.close()
            answer = other.result(30)
    assert how(answer) == "coalesced"
    assert "message_stop" in answer.text
    assert len(provider.received) == 1
    rows = until(lambda: len(found := _rows(proxy, one, answer.headers["x-tokenman-request-id"])) == 2 and found)
    assert rows[0]["cost"] > 0, "who asked first pays for all of it"
    assert rows[0]["output"] > 10
    assert (rows[1]["cost"], rows[1]["saved"]) == (0, rows[0]["cost"])


def _rows(proxy: Proxy, *ids: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"file:{proxy.data}/ledger.db?mode=ro", uri=True)) as ledger:
        ledger.row_factory = sqlite3.Row
        found = [
            ledger.execute("select * from calls where id = ?", (bytes.fromhex(each.removeprefix("req_")),)).fetchone()
            for each in ids
        ]
        return [dict(row) for row in found if row is not None]


def test_two_callers_never_share(proxy: Proxy, provider: FakeProvider, text: str) -> None:
    answers = [ask(proxy, "openai", text, headers={"authorization": f"Bearer sk-of-{who}"}) for who in ("ada", "bob")]
    assert [how(answer) for answer in answers] == ["miss", "miss"]
    assert len(provider.received) == 2
    assert how(ask(proxy, "openai", text, headers={"authorization": "Bearer sk-of-bob"})) == "hit"


CHANGES: list[dict[str, Any]] = [
    {"temperature": 0, "top_p": 0.5},
    {"max_tokens": 501},
    {"stop_sequences": ["x"]},
    {"system": "Be brief."},
    {"thinking": {"type": "disabled"}},
    {"never_heard_of": 1},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: ",".join(change))
def test_another_question_is_another_answer(
    proxy: Proxy, provider: FakeProvider, change: dict[str, Any], text: str
) -> None:
    assert how(ask(proxy, "anthropic", text)) == "miss"
    assert how(ask(proxy, "anthropic", text, **change)) == "miss"
    assert how(ask(proxy, "anthropic", text, metadata={"user_id": "somebody"})) == "hit"
    assert len(provider.received) == 2


def test_another_value_behind_the_same_words_is_another_answer(proxy: Proxy, provider: FakeProvider, text: str) -> None:
    assert MAIL in ask(proxy, "openai", text).text
    other = ask(proxy, "openai", text.replace(MAIL, "john.roe@corp-mail.com"))
    assert how(other) == "miss"
    assert "john.roe@corp-mail.com" in other.text
    assert MAIL not in other.text


BYPASSED: list[dict[str, Any]] = [
    {"temperature": 0.7},
    {"temperature": 1},
    {"tools": [{"name": "now", "input_schema": {"type": "object"}}]},
]


@pytest.mark.parametrize("change", BYPASSED, ids=str)
def test_what_may_differ_the_next_time_is_asked_each_time(
    proxy: Proxy, provider: FakeProvider, change: dict[str, Any], text: str
) -> None:
    assert [how(ask(proxy, "anthropic", text, **change)) for _ in range(2)] == ["bypass", "bypass"]
    assert len(provider.received) == 2


def test_a_call_may_ask_for_a_fresh_answer_or_for_none_to_be_kept(
    proxy: Proxy, provider: FakeProvider, text: str
) -> None:
    def with_(wish: str) -> str:
        return how(ask(proxy, "openai", text, headers={"x-tokenman-cache": wish}))

    assert with_("no-store") == "bypass"
    assert how(ask(proxy, "openai", text)) == "miss"
    assert with_("no-cache") == "miss"
    assert how(ask(proxy, "openai", text)) == "hit"
    assert with_("no-store") == "bypass"
    assert len(provider.received) == 4
    assert not [one for one in provider.received if one.header("x-tokenman-cache")]


NEVER = {
    "an error": "[[status 400]]",
    "an error in the stream": "[[error-event]]",
    "a cut": "[[cut]]",
    "a truncated stream": "[[truncate]]",
    "a tool's call": '[[tool send_mail {"to": "$VALUE"}]]',
}


@pytest.mark.parametrize("what", list(NEVER))
def test_what_is_no_whole_answer_is_never_given_again(
    proxy: Proxy, provider: FakeProvider, what: str, text: str
) -> None:
    def asked() -> httpx.Response:
        return ask(proxy, "anthropic", f"{text.partition('[[')[0]} {NEVER[what]}", stream=True)

    found = [asked().headers.get("x-tokenman-cache") for _ in range(2)]
    assert found == ["miss", "miss"]
    assert len(provider.received) >= 2


def test_a_hit_costs_nothing_and_is_told_as_a_saving(proxy: Proxy, provider: FakeProvider, text: str) -> None:
    before = metric(proxy, "tokenman_cache_requests_total")
    first, second = ask(proxy, "anthropic", text), ask(proxy, "anthropic", text)
    assert Decimal(first.headers["x-tokenman-cost-usd"]) > 0
    assert Decimal(second.headers["x-tokenman-cost-usd"]) == 0
    assert second.json()["usage"] == first.json()["usage"], "as the provider gave it"
    ids = [answer.headers["x-tokenman-request-id"] for answer in (first, second)]
    rows = until(lambda: len(found := _rows(proxy, *ids)) == 2 and found)
    assert rows[0]["cost"] > 0
    assert rows[0]["saved"] == 0
    assert (rows[1]["cost"], rows[1]["saved"], rows[1]["input"]) == (0, rows[0]["cost"], 0)
    after = metric(proxy, "tokenman_cache_requests_total")
    assert after['result="hit"'] == before.get('result="hit"', 0) + 1
    assert 'tokenman_saved_usd_total{by="cache"}' in httpx.get(f"http://127.0.0.1:{proxy.admin_port}/metrics").text


def test_no_planted_value_stands_in_any_file(proxy: Proxy, provider: FakeProvider, text: str) -> None:
    for name in PLANTED:
        ask(proxy, "openai", f"{text} My {name} is {PLANTED[name]}, it is {PLANTED[name]}")
    kept = until(lambda: (proxy.data / "cache.db").exists() and proxy.data / "cache.db")
    assert oct(kept.stat().st_mode)[-3:] == "600"
    assert not proxy.found_on_disk()
    with closing(sqlite3.connect(kept)) as database:
        database.execute("pragma wal_checkpoint(truncate)")
    assert not proxy.found_on_disk()


# -- proxies of their own --


def test_it_is_off_by_default(running: Callable[..., Proxy], fake: FakeProvider) -> None:
    proxy = running()
    assert [how(ask(proxy, "openai", TEXT)) for _ in range(2)] == ["bypass", "bypass"]
    assert len(fake.received) == 2
    assert not (proxy.data / "cache.db").exists()


def test_answers_outlive_a_restart_and_a_kill(
    running: Callable[..., Proxy], fake: FakeProvider, tmp_path: Path
) -> None:
    proxy = running(cache=CACHE)
    answer = ask(proxy, "openai", TEXT)
    until(lambda: _kept(proxy) == 1)
    os.kill(proxy.process.pid, signal.SIGKILL)
    proxy.process.wait()
    again = _again(proxy, fake)
    try:
        found = ask(again, "openai", TEXT)
        assert how(found) == "hit"
        assert found.content == answer.content
        assert len(fake.received) == 1
    finally:
        again.stop()


def _kept(proxy: Proxy) -> int:
    file = proxy.data / "cache.db"
    if not file.exists():
        return 0
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        (table,) = database.execute(
            "select name from sqlite_master where type = 'table' and name like '%answer%'"
        ).fetchone()
        return int(database.execute(f"select count(*) from {table}").fetchone()[0])


def _again(proxy: Proxy, fake: FakeProvider) -> Proxy:
    folder = proxy.home.parent / "again"
    folder.mkdir()
    return Proxy.start(folder, fake.url, cache=CACHE, data_dir=str(proxy.data))


def test_a_shorter_time_makes_older_answers_miss_at_once(running: Callable[..., Proxy], fake: FakeProvider) -> None:
    proxy = running(cache=CACHE)
    assert [how(ask(proxy, "openai", TEXT)) for _ in range(2)] == ["miss", "hit"]
    file = proxy.home.parent / "tokenman.yaml"
    settings = json.loads(file.read_text())
    time.sleep(1.1)  # the answer is to be older than what is about to be allowed
    file.write_text(json.dumps(settings | {"cache": CACHE | {"ttl": "1s"}}))
    until(lambda: sum(metric(proxy, "tokenman_config_reloads_total").values()) >= 1)
    assert how(ask(proxy, "openai", TEXT)) == "miss"


def test_it_can_be_switched_on_and_off_while_it_runs(running: Callable[..., Proxy], fake: FakeProvider) -> None:
    proxy = running()
    assert how(ask(proxy, "openai", TEXT)) == "bypass"
    file = proxy.home.parent / "tokenman.yaml"
    settings = json.loads(file.read_text())
    for number, (mode, found) in enumerate([("all", ["miss", "hit"]), ("off", ["bypass", "bypass"])], 1):
        file.write_text(json.dumps(settings | {"cache": CACHE | {"mode": mode}}))
        until(lambda: sum(metric(proxy, "tokenman_config_reloads_total").values()) >= number)  # noqa: B023
        assert [how(ask(proxy, "openai", TEXT)) for _ in range(2)] == found


def test_a_route_has_a_mode_of_its_own(running: Callable[..., Proxy], fake: FakeProvider) -> None:
    proxy = running(routes=[{"match": {"model": "gpt-5-mini"}, "cache": "all"}], cache={"encrypt": "off"})
    assert [how(ask(proxy, "openai", TEXT, temperature=1)) for _ in range(2)] == ["miss", "hit"]
    assert [how(ask(proxy, "anthropic", TEXT)) for _ in range(2)] == ["bypass", "bypass"]


def test_a_stream_is_given_again_as_it_came_where_that_is_wanted(
    running: Callable[..., Proxy], fake: FakeProvider
) -> None:
    proxy = running(cache=CACHE | {"pace": "original"})
    took = []
    for _ in range(2):
        begun = time.monotonic()
        ask(proxy, "openai", TEXT + "[[slow 50ms]]", stream=True)
        took.append(time.monotonic() - begun)
    assert took[1] > 0.3 * took[0]


def test_a_damaged_file_is_a_miss(running: Callable[..., Proxy], fake: FakeProvider) -> None:
    proxy = running(cache=CACHE)
    ask(proxy, "openai", TEXT)
    until(lambda: _kept(proxy) == 1)
    proxy.stop()
    file = proxy.data / "cache.db"
    data = bytearray(file.read_bytes())
    data[len(data) // 3 :] = os.urandom(len(data) - len(data) // 3)
    file.write_bytes(data)
    again = _again(proxy, fake)
    try:
        assert [how(ask(again, "openai", TEXT)) for _ in range(2)] == ["miss", "hit"]
    finally:
        again.stop()
