"""The policy of redaction through the real proxy: lists, kinds of one's own, projects, a dry run, places, the line to the model."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest

from addons.demo.provider import FakeProvider
from addons.redaction import NOTE
from tests.e2e.harness import ROOT, Proxy, claude, gpt, user

MAIL = "grace.hopper@navy-mail.com"
REDACTION: dict[str, Any] = {
    "allow": ["*@open.example", "/ticket-[0-9]+@.*/"],
    "deny": ["Project Aurora", {"entity": "CUSTOMER", "glob": "acme-*"}],
    "recognizers": [{"name": "EMPLOYEE_ID", "pattern": r"E-\d{6}", "context": ["employee"]}],
    "entities": {"CUSTOMER": "hash", "EMPLOYEE_ID": {"action": "redact", "threshold": 0.7}},
    "projects": {
        "demo-*": {"entities": {"EMAIL_ADDRESS": "off"}},
        "strict": {"mode": "block"},
        "trial": {"mode": "log"},
    },
    "note": "on",
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, shared_provider: FakeProvider) -> Iterator[Proxy]:
    running = Proxy.start(tmp_path_factory.mktemp("policy"), shared_provider.url, redaction=REDACTION)
    yield running
    running.stop()


def ask(own: Proxy, text: str, project: str = "") -> httpx.Response:
    """The raw answer of a call in which a user says the text."""
    headers = {"x-tokenman-project": project} if project else {}
    found = claude(own).messages.with_raw_response.create(
        model="claude-sonnet-4-5", max_tokens=64, messages=user(text), extra_headers=headers
    )
    return found.http_response


def seen(provider: FakeProvider) -> str:
    return provider.received[-1].decoded.decode()


def cli(own: Proxy, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "addons.cli.main", *words, "--config", str(own.home.parent / "tokenman.yaml")],
        capture_output=True, text=True, timeout=60, cwd=own.home,
        env={"PATH": os.environ["PATH"], "HOME": str(own.home), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.stdout + done.stderr


def api(own: Proxy, path: str) -> Any:
    token = (own.data / "admin-token").read_text().strip()
    deadline = time.monotonic() + 30
    while True:  # a row is written behind the call
        answer = httpx.get(f"http://127.0.0.1:{own.admin_port}{path}", headers={"Authorization": f"Bearer {token}"})
        if answer.status_code == 200:
            return answer.json()
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)


def test_lists_and_kinds_of_ones_own(own: Proxy, provider: FakeProvider) -> None:
    text = f"employee E-123456 of project aurora at acme-berlin; a@open.example, ticket-7@corp.example, {MAIL}"
    answer = ask(own, f"[[say You said: {text}]] {text}. {'And something else. ' * 6} The order is E-654321")
    sent = seen(provider)
    for masked in ("E-123456", "project aurora", "acme-berlin", MAIL):
        assert masked not in sent
    for left in ("order is E-654321", "a@open.example", "ticket-7@corp.example"):
        assert left in sent
    for kind in ("EMPLOYEE_ID", "CUSTOM", "CUSTOMER", "EMAIL_ADDRESS"):
        assert f"[{kind}_" in sent
    said = answer.json()["content"][0]["text"]
    assert "E-123456" in said
    assert "acme-berlin" not in said  # hashed: it never comes back
    assert answer.headers["x-tokenman-redacted"] == "4"


def test_projects(own: Proxy, provider: FakeProvider) -> None:
    ask(own, f"{MAIL} of Project Aurora", "demo-1")
    assert MAIL in seen(provider)
    assert "Aurora" not in seen(provider)
    before = len(provider.received)
    with pytest.raises(anthropic.BadRequestError) as refused:
        ask(own, f"to {MAIL}", "strict")
    assert len(provider.received) == before
    assert "EMAIL_ADDRESS at messages[0].content, and redaction.projects.strict.mode is block" in str(refused.value)
    assert MAIL not in str(refused.value)


def test_a_dry_run_says_what_would_be_masked(own: Proxy, provider: FakeProvider) -> None:
    answer = ask(own, f"{MAIL} of Project Aurora at acme-x", "trial")
    sent = seen(provider)
    assert MAIL in sent
    assert "Project Aurora" in sent
    assert "acme-x" not in sent  # its own entry is over the mode
    assert (answer.headers["x-tokenman-logged"], answer.headers["x-tokenman-redacted"]) == ("2", "1")
    told = cli(own, "why", answer.headers["x-tokenman-request-id"])
    assert "1 EMAIL_ADDRESS: left as it was (redaction.projects.trial.mode: log)" in told
    assert "A dry run (mode: log)" in told
    assert "would have masked: " in cli(own, "report")


def test_places_are_told_and_values_are_not(own: Proxy, provider: FakeProvider) -> None:
    first, second = (ask(own, f"{number} {MAIL}").headers["x-tokenman-request-id"] for number in (1, 2))
    one, two = (api(own, f"/api/requests/{name}") for name in (first, second))
    (spot,) = one["spots"]
    assert (spot["place"], spot["entity"], spot["action"], spot["times"]) == (
        "messages[0].content",
        "EMAIL_ADDRESS",
        "redact",
        1,
    )
    assert [each["hash"] for each in two["spots"]] == [spot["hash"]]
    assert spot["hash"] not in seen(provider)
    assert f"at messages[0].content: EMAIL_ADDRESS masked, value {spot['hash']}" in cli(own, "why", first)
    found = api(own, "/api/redaction")
    assert {each["project"] for each in found["by_project"]} <= {"", "demo-1", "strict", "trial"}
    assert any(each["entity"] == "EMAIL_ADDRESS" and each["day"] for each in found["by_day"])
    metrics = httpx.get(f"http://127.0.0.1:{own.admin_port}/metrics").text
    assert 'tokenman_redactions_total{action="redact",entity="EMAIL_ADDRESS"}' in metrics
    assert own.found_on_disk([MAIL]) == []


CONVERSATIONS = ("anthropic", "chat", "responses")


@pytest.mark.parametrize("api_name", CONVERSATIONS)
@pytest.mark.parametrize("since", [0, 2])
def test_the_model_is_told_once_and_every_turn_stays_a_prefix_of_the_next(
    own: Proxy, provider: FakeProvider, api_name: str, since: int
) -> None:
    turns: list[Any] = []
    sent: list[bytes] = []
    for number in range(4):
        turns += user(f"turn {number}" + (f" {MAIL}" if number >= since else ""))
        sent.append(_send(own, provider, api_name, turns))
        turns.append({"role": "assistant", "content": f"answer {number}"})
    start = NOTE[:40].encode()
    assert [one.count(start) for one in sent] == [int(number >= since) for number in range(4)]
    name = {"anthropic": "messages", "chat": "messages", "responses": "input"}[api_name]
    lists = [json.loads(one)[name] for one in sent]
    assert all(other[: len(one)] == one for one, other in itertools.pairwise(lists))
    if since and api_name != "responses":  # nothing that stands before the conversation has moved
        assert all(start not in json.dumps(json.loads(one).get("system", "")).encode() for one in sent)
    assert not any(MAIL.encode() in one for one in sent)


def _send(own: Proxy, provider: FakeProvider, name: str, turns: list[Any]) -> bytes:
    if name == "anthropic":
        claude(own).messages.create(model="claude-sonnet-4-5", max_tokens=64, system="be kind", messages=turns)
    elif name == "chat":
        system: list[Any] = [{"role": "system", "content": "be kind"}]
        gpt(own).chat.completions.create(model="gpt-5-mini", messages=[*system, *turns])
    else:
        gpt(own).responses.create(model="gpt-5-mini", instructions="be kind", input=turns)
    return provider.received[-1].decoded


def test_the_line_is_not_sent_where_nothing_was_masked(own: Proxy, provider: FakeProvider) -> None:
    ask(own, "nothing to see")
    assert NOTE[:40] not in seen(provider)


@pytest.mark.parametrize(
    ("redaction", "told"),
    [
        ({"allow": ["/(?!x)y/"]}, "redaction.allow[0].regex: is no expression that RE2 takes"),
        ({"deny": ["/[a-z]+/"]}, "redaction.deny[0]: is so broad"),
        ({"entities": {"EMPLOYE_ID": "off"}, "recognizers": REDACTION["recognizers"]}, "did you mean EMPLOYEE_ID?"),
        ({"projects": {"*": {"mode": "log"}, "a": {"mode": "off"}}}, "redaction.projects.a: is never reached"),
    ],
    ids=str,
)
def test_a_policy_that_will_not_do_ends_the_start(tmp_path: Path, redaction: Any, told: str) -> None:
    file = tmp_path / "tokenman.yaml"
    file.write_text(json.dumps({"redaction": redaction}))
    done = subprocess.run(
        [sys.executable, "-m", "addons.cli.main", "up", "--config", str(file)], capture_output=True, text=True, timeout=60,
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert told in done.stderr
    assert f"{file}:1: " in done.stderr
