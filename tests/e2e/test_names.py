"""Names of people and places through the real proxy, from its first call on, and what the detection worker did for them."""

from collections.abc import Iterator

import httpx
import psutil
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import ANTHROPIC_KEY, Proxy, placeholders, user
from tests.e2e.test_admin import metrics
from tokenman_core import ner

HEADERS = {"x-api-key": ANTHROPIC_KEY, "content-type": "application/json", "anthropic-version": "2023-06-01"}
ASKED = "Please call Grace Hopper in Arlington about the compiler."
ECHO = "\n[[say ($LAST)]]"  # what is asked comes back as the answer; on a line of its own, for brackets are no prose
PROSE = "Yesterday the old friends met again and talked until late about the compiler and what became of it. "
PATIENCE_S = 90.0  # a model takes up to 16 s to load on a busy machine


@pytest.fixture(scope="module")
def naming(shared_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("names")
    running = Proxy.start(folder, shared_provider.url, redaction={"ner": ner.MODEL.replace("_", "-")})
    yield running
    running.stop()


def ask(proxy: Proxy, text: str) -> str:
    body = {"model": "claude-sonnet-4-6", "max_tokens": 64, "messages": user(text)}
    answer = httpx.post(f"{proxy.url}/v1/messages", json=body, headers=HEADERS, timeout=PATIENCE_S, trust_env=False)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["content"][0]["text"])


def test_names_are_masked_from_the_first_call_on_and_come_back(naming: Proxy, provider: FakeProvider) -> None:
    assert ASKED in ask(naming, ASKED + ECHO)
    (received,) = provider.received
    assert b"Hopper" not in received.decoded
    assert b"Arlington" not in received.decoded
    assert {each.split("_")[0] for each in placeholders(received)} == {"[PERSON", "[LOCATION"}


def test_much_prose_is_read_to_its_end_and_kills_no_worker(naming: Proxy, provider: FakeProvider) -> None:
    ask(naming, PROSE * 2000 + "And so wrote Grace Hopper.")
    (received,) = provider.received
    assert b"Hopper" not in received.decoded
    seen = metrics(naming)
    assert seen[("tokenman_detection_workers", frozenset())] >= 1
    assert seen[("tokenman_detection_queue", frozenset())] == 0
    assert seen[("tokenman_detection_wait_seconds_count", frozenset())] >= 1
    assert not [
        (name, labels, value)
        for (name, labels), value in seen.items()
        if name in ("tokenman_detection_restarts_total", "tokenman_detection_refused_total") and value
    ]


def test_the_proxy_itself_has_loaded_no_model(naming: Proxy, provider: FakeProvider) -> None:
    ask(naming, ASKED)
    proxy = psutil.Process(naming.process.pid)
    loaded = " ".join(each.path for each in proxy.memory_maps())
    assert "/numpy/" not in loaded
    assert "/spacy/" not in loaded
    workers = [" ".join(each.path for each in worker.memory_maps()) for worker in proxy.children()]
    assert any("/spacy/" in each for each in workers)


def test_a_worker_that_was_killed_is_counted_and_its_place_taken(naming: Proxy, provider: FakeProvider) -> None:
    for worker in psutil.Process(naming.process.pid).children():
        worker.kill()
    assert "for Ada Lovelace" in ask(naming, ASKED + " Once more, for Ada Lovelace." + ECHO)
    assert b"Lovelace" not in provider.received[0].decoded
    restarts = {
        dict(labels)["reason"]: value
        for (name, labels), value in metrics(naming).items()
        if name == "tokenman_detection_restarts_total" and value
    }
    assert sum(restarts.values()) == 1
    assert restarts.keys() <= {"idle", "start", "died"}
