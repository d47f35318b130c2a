"""Stages of a user's own that raise, hang, block or lie: the upstream sees values masked or nothing, and the next call works."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e import raw
from tests.e2e.harness import ANTHROPIC_KEY, PLANTED, Proxy, leaked, placeholders, user

MAIL, TOKEN = PLANTED["e-mail"], PLANTED["github"]
SCRIPT = Path(__file__).parent / "door_scripts" / "stages.py"
HEADERS = {"x-api-key": ANTHROPIC_KEY, "content-type": "application/json", "anthropic-version": "2023-06-01"}
SAID = f"I am {MAIL}, my token is {TOKEN}"


@pytest.fixture(scope="module")
def staged(shared_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    running = Proxy.start(tmp_path_factory.mktemp("staged"), shared_provider.url, tool="mitmdump", scripts=[SCRIPT])
    yield running
    running.stop()


def body(text: str = SAID, **more: object) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 9, "messages": user(text)} | more).encode()


def call(proxy: Proxy, wish: str = "", content: bytes = b"") -> httpx.Response:
    headers = HEADERS | {"x-stage": wish}
    return httpx.post(proxy.url + "/v1/messages", content=content or body(), headers=headers, trust_env=False)


def text(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    said: str = answer.json()["content"][0]["text"]
    return said


def refused(answer: httpx.Response, *statuses: int) -> None:
    assert answer.status_code in (statuses or (500,)), answer.text
    assert answer.headers["x-tokenman-request-id"].startswith("req_")
    assert answer.headers["x-tokenman-error"]
    clean(answer.text)


def clean(said: str) -> None:
    """Nothing of what a stage did or said in failing."""
    for word in ("RuntimeError", MAIL, TOKEN, ".py", "Traceback", "mitmproxy", "NoneType"):
        assert word not in said


def goes_on(proxy: Proxy, provider: FakeProvider) -> None:
    assert not leaked(provider)
    provider.clear()
    assert text(call(proxy)) == f"You said: {SAID}"
    assert len(set(placeholders(provider.received[0]))) == 2


def done(proxy: Proxy, answer: httpx.Response) -> list[str]:
    """Which stages were told that this call is over, in order, with its outcome."""
    name, path = answer.headers["x-tokenman-request-id"], proxy.home / "done"
    deadline = time.monotonic() + 3
    while True:
        lines = [line for line in path.read_text().splitlines() if line.startswith(name)] if path.exists() else []
        if len(lines) >= 3 or time.monotonic() > deadline:
            return [line.partition(" ")[2] for line in lines]
        time.sleep(0.02)


REFUSED = [
    "head-raises", "head-nonsense", "raises", "halts", "cancels", "times-out", "hangs", "nonsense", "string", "skip", "class",
    "puts-back-and-raises", "puts-back-and-hangs", "no-text", "bytes", "no-body", "plan", "no-plan", "plan-nonsense",
    "answer-empty", "answer-no-head", "answer-nonsense", "answer-raises", "attempt-raises", "attempt-hangs",
    "attempt-nonsense", "attempt-skips",
]  # fmt: skip


@pytest.mark.parametrize("who", ["before", "behind"])
@pytest.mark.parametrize("wish", REFUSED)
def test_a_stage_that_fails_refuses_the_call_and_the_next_one_works(
    staged: Proxy, provider: FakeProvider, who: str, wish: str
) -> None:
    answer = call(staged, f"{who}:{wish}")
    refused(answer, 500, 503)
    assert not provider.received
    if not wish.startswith("head"):
        assert sorted(line.split()[0] for line in done(staged, answer)) in (
            ["before", "behind", "open"],
            [who],
            ["before", who],
        )
    goes_on(staged, provider)


@pytest.mark.parametrize("who", ["before", "behind", "open"])
@pytest.mark.parametrize(
    "wish",
    [
        "puts-back",
        "attempt-puts-back",
        "half-a-character",
        "no-slots",
        "value",
        "raw-body",
        "header",
        "puts-back-later",
    ],
)
def test_what_a_stage_puts_into_a_call_is_masked_or_the_call_refused(
    staged: Proxy, provider: FakeProvider, who: str, wish: str
) -> None:
    """The provider's fixture looks for the value in all that arrived."""
    answer = call(staged, f"{who}:{wish}")
    if answer.status_code != 200:
        refused(answer, 400, 500, 502)
    elif wish in ("puts-back", "attempt-puts-back"):
        assert text(answer).endswith(MAIL)
        assert len(placeholders(provider.received[0])) == 3
    goes_on(staged, provider)


@pytest.mark.parametrize("wish", ["puts-back", "attempt-puts-back", "value", "raw-body", "header", "no-slots"])
@pytest.mark.parametrize("who", ["before", "behind", "open"])
def test_a_call_that_held_nothing_gets_nothing_in_the_clear_either(
    staged: Proxy, provider: FakeProvider, who: str, wish: str
) -> None:
    """Such a call goes out as the bytes that came: nothing else may stand in for them."""
    call(staged, f"{who}:{wish}", body("nothing to hide"))
    assert not leaked(provider)


@pytest.mark.parametrize(
    "wish", ["raises", "hangs", "nonsense", "puts-back-and-raises", "attempt-raises", "event-raises", "head-raises"]
)
def test_a_stage_that_fails_open_is_passed_over_and_what_it_left_is_masked(
    staged: Proxy, provider: FakeProvider, wish: str
) -> None:
    answer = call(staged, f"open:{wish}")
    assert text(answer).startswith(f"You said: {SAID}")
    assert len(provider.received) == 1


@pytest.mark.parametrize("wish", ["raises", "head-raises", "attempt-raises", "answer-raises", "answer-nonsense"])
def test_a_call_that_failed_here_is_counted_once(staged: Proxy, provider: FakeProvider, wish: str) -> None:
    before = counted(staged)
    refused(call(staged, f"behind:{wish}"), 500)
    assert counted(staged) - before == Counter(calls=1, errors=1)


def counted(proxy: Proxy) -> Counter[str]:
    text = httpx.get(f"http://127.0.0.1:{proxy.admin_port}/metrics", trust_env=False).text
    found: Counter[str] = Counter()
    for name, value in re.findall(r"^tokenman_(requests|errors)_total\{.*\} ([0-9.]+)$", text, re.MULTILINE):
        found["calls" if name == "requests" else "errors"] += int(float(value))
    return found


def test_a_stage_may_answer_and_refuse(staged: Proxy, provider: FakeProvider) -> None:
    answer = call(staged, "behind:answers")
    assert (answer.status_code, answer.json()) == (200, {"said": "by the stage"})
    refused(call(staged, "before:head-refuses"), 400)
    assert not provider.received


@pytest.mark.parametrize("wish", ["answer-parts-nonsense", "answer-raises-later", "answer-injects", "answer-lies"])
def test_an_answer_of_a_stage_that_goes_wrong_cannot_look_complete(
    staged: Proxy, provider: FakeProvider, wish: str
) -> None:
    with raw.dial(staged) as connection:
        head = ["POST /v1/messages HTTP/1.1", "Host: 127.0.0.1", f"x-stage: behind:{wish}", "Connection: close",
                f"Content-Length: {len(body())}"]  # fmt: skip
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body())
        answer = raw.until_closed(connection)
    clean(answer.decode("latin-1"))
    status, fields = raw.head(answer)
    assert "x-injected" not in fields
    assert status >= 500 or b"event: error" in answer or not answer.endswith(b"0\r\n\r\n")
    if "content-length" in fields and status == 200:
        assert len(answer.partition(b"\r\n\r\n")[2]) <= int(fields["content-length"])
    assert not provider.received
    goes_on(staged, provider)


@pytest.mark.parametrize("wish", ["event-raises", "event-raises-at-the-end", "event-nonsense", "wants-raises"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_stage_that_fails_on_the_way_back_ends_the_answer_with_an_error(
    staged: Proxy, provider: FakeProvider, wish: str, stream: bool
) -> None:
    answer = call(staged, f"behind:{wish}", body(stream=stream))
    if answer.status_code == 200:
        assert stream
        assert "event: error" in answer.text
        assert "RuntimeError" not in answer.text
    else:
        refused(answer)
    goes_on(staged, provider)


@pytest.mark.parametrize("wish", ["attempt-done-raises", "response-raises", "done-raises"])
def test_a_stage_that_fails_when_all_is_said_changes_nothing(staged: Proxy, provider: FakeProvider, wish: str) -> None:
    answer = call(staged, f"behind:{wish}")
    assert text(answer) == f"You said: {SAID}"
    assert done(staged, answer) == ["open answered", "behind answered", "before answered"]


def test_a_stage_that_drops_all_events_leaves_an_empty_answer(staged: Proxy, provider: FakeProvider) -> None:
    answer = call(staged, "behind:event-drops")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_method_that_is_no_coroutine_refuses_the_call(staged: Proxy, provider: FakeProvider) -> None:
    refused(call(staged, "sync:request"))
    assert not provider.received
    goes_on(staged, provider)


def test_a_stage_that_blocks_the_loop_delays_the_others_and_no_more(staged: Proxy, provider: FakeProvider) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda wish: call(staged, wish), ["behind:blocks", "", "behind:head-blocks", ""]))
    assert [text(answer) for answer in answers] == [f"You said: {SAID}"] * 4
    assert "held the event loop" in staged.log


def test_a_stage_that_is_deaf_to_its_deadline_has_failed_whenever_it_ends(
    staged: Proxy, provider: FakeProvider
) -> None:
    refused(call(staged, "behind:hangs-on"))
    assert not provider.received
    goes_on(staged, provider)


def test_a_client_that_leaves_while_a_stage_thinks_is_known_at_once(staged: Proxy, provider: FakeProvider) -> None:
    waiting = staged.home / "waiting"
    path = staged.home / "done"
    before = path.read_text().count("aborted") if path.exists() else 0
    with raw.dial(staged) as connection:
        head = [
            "POST /v1/messages HTTP/1.1",
            "Host: 127.0.0.1",
            "x-stage: behind:waits",
            f"Content-Length: {len(body())}",
        ]
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body())
        deadline = time.monotonic() + 10
        while not waiting.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    left = time.monotonic()
    while path.read_text().count("aborted") < before + 3 and time.monotonic() - left < 2:
        time.sleep(0.01)
    assert time.monotonic() - left < 2
    assert not provider.received


def test_a_stage_that_wants_to_end_the_program_ends_at_most_its_call(staged: Proxy, provider: FakeProvider) -> None:
    try:
        refused(call(staged, "behind:exits"))
    except httpx.HTTPError:
        pass
    assert not provider.received
    assert staged.process.poll() is None
    goes_on(staged, provider)
