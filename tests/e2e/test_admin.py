"""The admin port of a running proxy: what it counts, what it shows to whom, and when it says that it is ready."""

import json
import os
import re
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from addons.demo.provider import FakeProvider
from tests.e2e.door_scripts.faulty import SLOW_S
from tests.e2e.harness import ANTHROPIC_KEY, PLANTED, ROOT, Proxy, claude, free_ports, said, user

SCRIPT = Path(__file__).parent / "door_scripts" / "faulty.py"
HEADERS = {"x-api-key": ANTHROPIC_KEY, "content-type": "application/json", "anthropic-version": "2023-06-01"}
MODEL = "claude-sonnet-4-6"
CAP = 64 * 1024
PATIENCE_S = 20.0


def token(proxy: Proxy) -> str:
    return (proxy.data / "admin-token").read_text().strip()


def ask(proxy: Proxy, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {token(proxy)}"} | headers
    url = f"http://127.0.0.1:{proxy.admin_port}{path}"
    return httpx.request(method, url, headers=headers, trust_env=False, timeout=PATIENCE_S)


def until[T](read: Callable[[], T], good: Callable[[T], bool]) -> T:
    """What is read, once it is good; the last that was read where it never is."""
    end = time.monotonic() + PATIENCE_S
    while not good(found := read()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def metrics(proxy: Proxy) -> Samples:
    families = text_string_to_metric_families(ask(proxy, "/metrics").text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def of(samples: Samples, name: str, label: str) -> Counter[str]:
    """The values of a metric by one of its labels, without zeros."""
    found: Counter[str] = Counter()
    for (each, labels), value in samples.items():
        if each == name and value:
            found[dict(labels)[label]] += int(value)
    return found


def errors(proxy: Proxy) -> Counter[str]:
    return of(metrics(proxy), "tokenman_errors_total", "type")


def calls(proxy: Proxy) -> int:
    return of(metrics(proxy), "tokenman_requests_total", "status").total()


@pytest.fixture(scope="module")
def faulty(shared_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """One that can be brought to fail in every way."""
    (nobody,) = free_ports(1)
    proxy = Proxy.start(
        tmp_path_factory.mktemp("faulty"),
        shared_provider.url,
        tool="mitmdump",
        scripts=[SCRIPT],
        limits={"request_body": CAP, "response_body": CAP, "request_headers": {"size": "8KiB"}},
        redaction={"entities": {"CREDIT_CARD": "block"}},
        providers={
            "anthropic": {"base_url": shared_provider.url},
            "openai": {"base_url": shared_provider.url},
            "hasty": {
                "base_url": shared_provider.url,
                "dialect": "anthropic",
                "timeouts": {"first_byte": "300ms"},
            },
            "dead": {"base_url": f"http://127.0.0.1:{nobody}", "dialect": "anthropic"},
        },
    )
    yield proxy
    proxy.stop()


def post(
    proxy: Proxy, text: str = "hello", path: str = "/v1/messages", content: bytes | None = None, **headers: str
) -> httpx.Response:
    if content is None:
        content = json.dumps({"model": MODEL, "max_tokens": 9, "messages": user(text)}).encode()
    sent = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(proxy.url + path, content=content, headers=sent, trust_env=False, timeout=PATIENCE_S)


def streamed(text: str) -> bytes:
    return json.dumps({"model": MODEL, "max_tokens": 9, "messages": user(text), "stream": True}).encode()


Fault = Callable[[Proxy], httpx.Response]

FAULTS: list[tuple[str, int, Fault]] = [
    ("parse", 400, lambda it: post(it, content=b'{"model": "m", "messages": [')),
    ("auth", 401, lambda it: post(it, x_api_key="tkm_0123456789abcdef0123456789abcdef")),
    ("forbidden", 403, lambda it: post(it, origin="https://evil.example")),
    ("forbidden", 403, lambda it: post(it, host="evil.example")),
    ("not_found", 404, lambda it: httpx.get(it.url + "/nothing", trust_env=False)),
    (
        "websocket",
        426,
        lambda it: httpx.get(it.url + "/v1/responses", headers={"upgrade": "websocket"}, trust_env=False),
    ),
    ("body_cap", 413, lambda it: post(it, "x" * CAP)),
    ("headers_cap", 431, lambda it: post(it, x_much="x" * 9000)),
    ("coding", 415, lambda it: post(it, content=b"this is no gzip", content_encoding="gzip")),
    ("redaction", 400, lambda it: post(it, said("card"))),
    ("stage", 500, lambda it: post(it, x_fault="raise")),
    ("upstream", 503, lambda it: post(it, "[[status 503]]")),
    ("upstream", 529, lambda it: post(it, "[[status 529]]")),
    ("upstream", 502, lambda it: post(it, path="/p/dead/v1/messages")),
    ("upstream", 502, lambda it: post(it, "[[reset first]]")),
    ("upstream", 200, lambda it: post(it, content=streamed("[[reset]]"))),
    ("timeout", 504, lambda it: post(it, "[[stall first]]", path="/p/hasty/v1/messages")),
    ("response_cap", 502, lambda it: post(it, f"[[big {2 * CAP}]]")),
]


@pytest.mark.parametrize(
    ("kind", "status", "fault"), FAULTS, ids=[f"{number}-{kind}" for number, (kind, *_) in enumerate(FAULTS)]
)
def test_one_fault_is_one_error_of_its_kind(
    faulty: Proxy, provider: FakeProvider, kind: str, status: int, fault: Fault
) -> None:
    before = errors(faulty)
    answer = fault(faulty)
    assert answer.status_code == status, answer.text
    if kind != "upstream" or status == 502:
        assert answer.headers["x-tokenman-error"] == kind
    after = until(lambda: errors(faulty), lambda found: found != before)
    assert after - before == Counter({kind: 1})
    assert post(faulty).status_code == 200  # and what comes after it is no error, nor is the fault counted again
    assert errors(faulty) == after


def test_what_a_provider_refuses_is_an_answer_and_no_error(faulty: Proxy, provider: FakeProvider) -> None:
    before, attempts = errors(faulty), of(metrics(faulty), "tokenman_upstream_attempts_total", "outcome")
    for status in (400, 404, 429):
        assert post(faulty, f"[[status {status}]]").status_code == status
    found = until(
        lambda: of(metrics(faulty), "tokenman_upstream_attempts_total", "outcome") - attempts,
        lambda found: found.total() >= 3,
    )
    assert found == Counter({"client_error": 2, "rate_limited": 3})  # which is tried again
    assert errors(faulty) == before


def test_a_client_that_leaves_is_counted_as_such_and_as_no_error(faulty: Proxy, provider: FakeProvider) -> None:
    def aborts() -> float:
        return metrics(faulty)["tokenman_client_aborts_total", frozenset()]

    before, gone = errors(faulty), aborts()
    content = {"model": MODEL, "max_tokens": 99, "messages": user("[[big 400]] [[slow 100ms]]"), "stream": True}
    with httpx.stream("POST", faulty.url + "/v1/messages", json=content, headers=HEADERS, trust_env=False) as answer:
        next(answer.iter_bytes())
    assert until(aborts, lambda found: found > gone) == gone + 1
    assert errors(faulty) == before


def recorded(proxy: Proxy, answer: httpx.Response) -> httpx.Response:
    """The row of a call, once it is there: all that is told of a call is told together, a moment after its answer."""
    path = f"/api/requests/{answer.headers['x-tokenman-request-id']}"
    found = until(lambda: ask(proxy, path), lambda found: found.status_code == 200)
    assert found.status_code == 200
    return found


def stages(proxy: Proxy) -> dict[tuple[str, str], tuple[int, float]]:
    """(stage, phase) -> how often, and how long together."""
    found: dict[tuple[str, str], tuple[int, float]] = {}
    samples = metrics(proxy)
    for (name, labels), value in samples.items():
        if name == "tokenman_stage_duration_seconds_count":
            seconds = samples["tokenman_stage_duration_seconds_sum", labels]
            found[dict(labels)["stage"], dict(labels)["phase"]] = (int(value), seconds)
    return found


def test_a_call_adds_one_to_each_stage_that_ran_and_a_slow_one_is_charged_to_itself(
    faulty: Proxy, provider: FakeProvider
) -> None:
    recorded(faulty, post(faulty, said("e-mail")))  # so that every series is there
    before = stages(faulty)
    done, many = calls(faulty), 50
    with ThreadPoolExecutor(many) as pool:
        wishes = ["slow" if number % 2 else "" for number in range(many)]
        answers = list(pool.map(lambda wish: post(faulty, said("e-mail"), x_fault=wish), wishes))
    assert {answer.status_code for answer in answers} == {200}
    assert until(lambda: calls(faulty), lambda found: found >= done + many) == done + many
    after = stages(faulty)
    ran = {("redaction", phase) for phase in ("request", "event", "done")} | {("Faulty", "request"), ("Faulty", "done")}
    ran |= {("failover", phase) for phase in ("attempt", "attempt_done")}
    ran |= {("access", phase) for phase in ("head", "request", "attempt", "attempt_done")}
    ran |= {("pace", phase) for phase in ("attempt", "attempt_done")}
    ran |= {("caching", phase) for phase in ("request", "attempt_done", "done")}
    assert {key for key in after if after[key][0] != before.get(key, (0, 0.0))[0]} == ran
    for key in ran:
        assert after[key][0] - before[key][0] == many, key
    slow = after["Faulty", "request"][1] - before["Faulty", "request"][1]
    assert slow >= many / 2 * SLOW_S * 0.9
    assert after["redaction", "event"][1] - before["redaction", "event"][1] < slow / 4
    assert after["Faulty", "done"][1] - before["Faulty", "done"][1] < slow / 4


def test_names_of_models_that_a_caller_makes_up_are_no_labels(faulty: Proxy, provider: FakeProvider) -> None:
    for model in (PLANTED["e-mail"], PLANTED["anthropic"], 'x"} 1\ntokenman_evil{a="'):
        content = json.dumps({"model": model, "max_tokens": 9, "messages": user("hello")}).encode()
        recorded(faulty, post(faulty, content=content))
    text = ask(faulty, "/metrics").text
    assert 'model="other"' in text
    assert not [value for value in PLANTED.values() if value in text]
    assert "tokenman_evil" not in text


# -- who may see it --


@pytest.fixture(scope="module")
def house(shared_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    proxy = Proxy.start(tmp_path_factory.mktemp("house"), shared_provider.url, telemetry={"log": {"level": "debug"}})
    yield proxy
    proxy.stop()


def test_the_api_is_closed_but_for_the_token_which_only_its_owner_can_read(
    house: Proxy, provider: FakeProvider
) -> None:
    assert stat.S_IMODE((house.data / "admin-token").stat().st_mode) == 0o600
    for path in ("/api/summary", "/api/requests", "/api/events", "/api/config"):
        bare = httpx.get(f"http://127.0.0.1:{house.admin_port}{path}", trust_env=False)
        assert (bare.status_code, bare.headers["www-authenticate"]) == (401, "Bearer")
        assert ask(house, path, authorization="Bearer wrong").status_code == 403
    for path in ("/api/summary", "/api/requests", "/api/config", "/api/version", "/api/providers", "/api/redaction"):
        answer = ask(house, path)
        assert answer.status_code == 200
        assert token(house) not in answer.text
    assert token(house) not in house.log


def test_the_printed_address_opens_one_session(house: Proxy) -> None:
    assert "#code=" not in house.log
    configuration = house.home.parent / "tokenman.yaml"
    environ = {"PATH": os.environ["PATH"], "HOME": str(house.home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "addons.cli.main", "dashboard", "--config", str(configuration)],
        capture_output=True, text=True, check=False, env=environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (code,) = re.fullmatch(rf"http://127\.0\.0\.1:{house.admin_port}/#code=(\S+)\n", done.stdout).groups()
    url = f"http://127.0.0.1:{house.admin_port}/api/login"
    answer = httpx.post(url, json={"code": code}, trust_env=False)
    assert answer.status_code == 200
    session = answer.json()["token"]
    assert ask(house, "/api/version", authorization=f"Bearer {session}").status_code == 200
    assert httpx.post(url, json={"code": code}, trust_env=False).status_code == 403
    assert session not in house.log


def test_no_answer_of_the_admin_port_holds_what_was_masked(house: Proxy, provider: FakeProvider) -> None:
    for name in PLANTED:
        claude(house).messages.create(model=MODEL, max_tokens=9, messages=user(said(name)))
    count = until(lambda: ask(house, "/api/requests").json()["items"], lambda rows: len(rows) >= len(PLANTED))
    assert len(count) >= len(PLANTED)
    paths = ["/metrics", "/health/ready", f"/api/requests/{count[0]['id']}"]
    paths += [
        f"/api/{name}" for name in ("summary", "requests", "redaction", "providers", "cache", "config", "version")
    ]
    for path in paths:
        text = ask(house, path).text
        assert not [name for name, value in PLANTED.items() if value in text], path
        assert ANTHROPIC_KEY not in text


class Listener:
    """The raw stream of events."""

    def __init__(self, proxy: Proxy, after: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", proxy.admin_port), timeout=PATIENCE_S)
        head = f"GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token(proxy)}\r\n"
        self._socket.sendall(f"{head}{f'Last-Event-ID: {after}' if after else 'X-A: b'}\r\n\r\n".encode())
        self._file = self._socket.makefile("rb")
        self._until(b"retry:")

    def _until(self, start: bytes) -> bytes:
        while line := self._file.readline():
            if line.startswith(start):
                return line
        raise EOFError

    def row(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._until(b"data: ")[6:])
        return found

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def test_a_call_is_told_live_as_it_ends_and_again_to_who_was_away(house: Proxy, provider: FakeProvider) -> None:
    listener = Listener(house)
    answers = [post(house, said("e-mail")) for _ in range(3)]
    ids = [answer.headers["x-tokenman-request-id"] for answer in answers]
    rows = [listener.row() for _ in ids]
    listener.close()
    assert [row["id"] for row in rows] == ids
    assert {row["redactions"] for row in rows} == {1}
    again = Listener(house, after=ids[0])
    assert [again.row()["id"] for _ in ids[1:]] == ids[1:]
    again.close()
    kept = recorded(house, answers[0]).json()
    assert kept.pop("spots")  # which a live row has no room for
    assert {name: kept[name] for name in kept if not name.endswith("_ms")} == {
        name: rows[0][name] for name in rows[0] if not name.endswith("_ms")
    }


# -- the answer cache --


@pytest.fixture
def caching(provider: FakeProvider, tmp_path: Path) -> Iterator[Proxy]:
    proxy = Proxy.start(tmp_path, provider.url, cache={"mode": "deterministic", "encrypt": "off"})
    yield proxy
    if proxy.process.poll() is None:
        proxy.stop()


def answered(proxy: Proxy, text: str = "hello", model: str = MODEL, project: str = "") -> str:
    """How the cache answered a call that it may."""
    content = {"model": model, "max_tokens": 9, "temperature": 0, "messages": user(text)}
    answer = post(proxy, content=json.dumps(content).encode(), **({"x_tokenman_project": project} if project else {}))
    assert answer.status_code == 200, answer.text
    return answer.headers["x-tokenman-cache"]


def cache(proxy: Proxy, entries: int | None = None) -> dict[str, Any]:
    """What is told of it, once so many answers are on disk."""

    def read() -> dict[str, Any]:
        found: dict[str, Any] = ask(proxy, "/api/cache").json()
        return found

    return until(read, lambda found: found["waiting"] == 0 and entries in (None, found["entries"]))


def sealed(proxy: Proxy) -> list[bytes]:
    """A part of each kept answer, as it lies in the file."""
    with closing(sqlite3.connect(f"file:{proxy.data}/cache.db?mode=ro", uri=True)) as file:
        return [bytes(one[40:72]) for (one,) in file.execute("select sealed from answers order by stored")]


def lying(proxy: Proxy, parts: list[bytes]) -> list[int]:
    """Which of the parts stand in any file of the data folder."""
    contents = [path.read_bytes() for path in proxy.data.rglob("*") if path.is_file()]
    return [number for number, part in enumerate(parts) if any(part in content for content in contents)]


def test_the_cache_tells_how_it_stands(caching: Proxy) -> None:
    assert [answered(caching, said("e-mail")) for _ in range(3)] == ["miss", "hit", "hit"]
    assert post(caching).headers["x-tokenman-cache"] == "bypass"
    until(lambda: calls(caching), lambda found: found >= 4)
    told = cache(caching, 1)
    counts = {
        name: told[name] for name in ("hits", "misses", "bypassed", "coalesced", "hit_ratio", "entries", "under_way")
    }
    assert counts == {
        "hits": 2, "misses": 1, "bypassed": 1, "coalesced": 0, "hit_ratio": 0.666667, "entries": 1, "under_way": 0,
    }  # fmt: skip
    assert (told["mode"], told["encrypted"], told["trouble"], told["memory_entries"]) == (
        "deterministic",
        False,
        None,
        1,
    )
    assert told["bytes"] > 200
    assert float(told["saved_usd"]) > 0
    assert 0 <= told["purge_age_s"] < 60
    assert PLANTED["e-mail"] not in json.dumps(told)
    samples = metrics(caching)
    assert samples["tokenman_cache_entries", frozenset()] == 1
    assert samples["tokenman_cache_bytes", frozenset()] == told["bytes"]
    assert 0 <= samples["tokenman_background_task_age_seconds", frozenset({("task", "cache_purge")})] < 60
    row = recorded(caching, post(caching)).json()
    assert row["cache"] == "bypass"
    tasks = httpx.get(f"http://127.0.0.1:{caching.admin_port}/health/ready", trust_env=False).json()["tasks"]
    workers = {name for name in tasks if name.startswith("detection_worker_")}
    assert workers
    assert set(tasks) - workers == {
        "breakers", "budget_holds", "cache_leases", "cache_purge", "cache_writer", "configuration", "ledger_purge",
        "ledger_writer", "makers", "state_store", "webhook",
    }  # fmt: skip
    assert {it["status"] for it in tasks.values()} == {"ok"}
    assert all(0 <= it["age_s"] < 100 for it in tasks.values())
    aged = {dict(labels)["task"] for name, labels in samples if name == "tokenman_background_task_age_seconds"}
    assert aged == set(tasks)


def test_what_is_removed_is_gone_from_every_file_and_nothing_else_is(caching: Proxy) -> None:
    asked = {"one": (MODEL, "web"), "two": ("claude-haiku-4-5", "web"), "three": (MODEL, "shop"), "four": (MODEL, "")}
    for number, (text, (model, project)) in enumerate(asked.items(), 1):
        assert answered(caching, text, model, project) == "miss"
        cache(caching, number)
    parts = sealed(caching)
    assert lying(caching, parts) == [0, 1, 2, 3]

    def removed(query: str) -> int:
        answer = ask(caching, f"/api/cache{query}", "DELETE")
        assert answer.status_code == 200, answer.text
        return int(answer.json()["removed"])

    def again(text: str) -> str:
        return answered(caching, text, *asked[text])

    assert removed(f"?model={MODEL}&project=web") == 1
    assert lying(caching, parts) == [1, 2, 3]
    assert removed("?project=web") == 1
    assert lying(caching, parts) == [2, 3]
    assert [again("three"), again("four")] == ["hit", "hit"]
    assert removed(f"?model={MODEL}") == 2
    assert lying(caching, parts) == []
    assert [again(text) for text in asked] == ["miss"] * 4
    cache(caching, 4)
    parts = sealed(caching)
    assert [removed("") for _ in range(2)] == [4, 0]
    assert lying(caching, parts) == []
    assert cache(caching, 0)["memory_entries"] == 0
    assert again("one") == "miss"


def test_nobody_else_removes_anything(caching: Proxy) -> None:
    assert answered(caching) == "miss"
    for headers, status in (
        ({"authorization": "Bearer wrong"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"host": "evil.example"}, 403),
    ):
        assert ask(caching, "/api/cache", "DELETE", **headers).status_code == status
    assert ask(caching, "/api/cache?modell=x", "DELETE").status_code == 400
    assert ask(caching, "/api/cache?model=", "DELETE").status_code == 400
    assert answered(caching) == "hit"


def test_a_cache_without_its_file_goes_on_in_memory_and_is_no_reason_to_be_unready(
    provider: FakeProvider, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "cache.db").mkdir()
    proxy = Proxy.start(tmp_path, provider.url, cache={"mode": "deterministic", "encrypt": "off"})
    assert [answered(proxy), answered(proxy)] == ["miss", "hit"]
    assert until(lambda: ready(proxy), lambda found: found[0] == 200)[0] == 200
    told = ask(proxy, "/api/cache").json()
    assert "answers are cached in memory only" in told["trouble"]
    assert (told["entries"], told["memory_entries"]) == (0, 1)
    done = subprocess.run(
        [sys.executable, "-m", "addons.cli.main", "doctor", "--config", str(tmp_path / "tokenman.yaml")],
        env={"PATH": os.environ["PATH"], "HOME": str(proxy.home), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("warn") and " cache " in line]
    assert "answers are cached in memory only" in line
    assert done.returncode == 1, done.stdout
    proxy.stop()


def test_a_cache_that_is_off_has_nothing_to_remove(house: Proxy) -> None:
    told = ask(house, "/api/cache").json()
    assert (told["mode"], told["entries"], told["purge_age_s"]) == ("off", 0, None)
    assert ask(house, "/api/cache", "DELETE").json() == {"removed": 0}


# -- readiness, and the end --


def ready(proxy: Proxy, query: str = "") -> tuple[int, dict[str, Any]]:
    answer = httpx.get(f"http://127.0.0.1:{proxy.admin_port}/health/ready{query}", trust_env=False, timeout=PATIENCE_S)
    return answer.status_code, answer.json()["checks"]


def test_providers_that_are_all_gone_are_unready_but_for_a_balancer(tmp_path: Path) -> None:
    (nobody,) = free_ports(1)
    gone = f"http://127.0.0.1:{nobody}"
    names = ("anthropic", "openai", "codex", "gemini", "gemini-code-assist")
    proxy = Proxy.start(tmp_path, gone, providers={name: {"base_url": gone} for name in names})
    status, checks = ready(proxy)
    assert status == 503
    providers = {name: check for name, check in checks.items() if name.startswith("provider:")}
    assert set(providers) >= {f"provider:{name}" for name in names}
    assert {check["status"] for check in providers.values()} == {"failed"}
    assert str(nobody) not in json.dumps(checks)
    assert until(lambda: ready(proxy, "?for=balancer"), lambda found: found[0] == 200)[0] == 200
    assert not [name for name in ready(proxy, "?for=balancer")[1] if name.startswith("provider:")]
    states = {item["name"]: item["state"] for item in ask(proxy, "/api/providers").json()["items"]}
    assert states["anthropic"] == "down"
    up = of(metrics(proxy), "tokenman_provider_up", "provider")
    assert not up
    proxy.stop()


def test_who_listens_does_not_hold_up_the_end(provider: FakeProvider, tmp_path: Path) -> None:
    proxy = Proxy.start(tmp_path, provider.url)
    listeners = [Listener(proxy) for _ in range(3)]
    proxy.stop()
    for listener in listeners:
        with pytest.raises(EOFError):
            listener.row()
        listener.close()
