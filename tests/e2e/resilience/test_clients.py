"""What real programs feel of a provider that fails: both official packages, curl and httpx, by every way in."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from tests.e2e import raw
from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, Proxy, user
from tests.e2e.raw import H2Client
from tests.e2e.resilience import table
from tests.e2e.resilience.house import HEADERS, PATIENCE_S, body, check_refusal, metric, post, start, until
from tests.e2e.resilience.table import GOOD, status
from tests.e2e.resilience.test_routes import CHUNKS
from tests.e2e.resilience.upstreams import Script, Upstream, Upstreams, Wire
from tokenman_core.ledger import LedgerReader

MEDIA = b"\x00\x01binary" * 2000
WAYS = ("base_url", "tunnel", "tunnel-h2", "plain")
OVERLOADED = table.events(
    table.PING + table.event("error", error={"type": "overloaded_error", "message": "Overloaded"})
)
LIMITED = table.events(b'data: {"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}\n\n')
LATE = table.in_the_stream("cut", *table.SAID)
SOON = ("retry-after-ms", "10")


async def half_media(wire: Wire) -> None:
    await wire.head(200, (("Content-Type", "application/octet-stream"),), len(MEDIA))
    await wire.data(MEDIA[:9000])
    await asyncio.sleep(0.05)
    wire.reset()


async def gone_after(wire: Wire) -> None:
    """Answers well, and closes the connection without a word."""
    await table.good_whole(wire)
    wire.cut()


async def gone_as_it_is_asked(wire: Wire) -> None:
    """Answers the first request of a connection, and drops the connection when it has read the second."""
    if len([one for one in STALE if one == wire.seen.connection]):
        wire.drop()
        return
    STALE.append(wire.seen.connection)
    await table.good_whole(wire)


async def more_than_it_says(wire: Wire) -> None:
    await wire.head(200, table.JSON, len(table.WHOLE))
    await wire.data(table.WHOLE + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")
    await wire.end()


async def fails_first(wire: Wire) -> None:
    """Of each body that comes, the first time; each is told from the others by its text."""
    known = FAILED.setdefault(wire.seen.body, 0)
    FAILED[wire.seen.body] = known + 1
    await (table.good_stream if known else status(529))(wire)


FAILED: dict[bytes, int] = {}
STALE: list[int] = []
BY_WAY: dict[str, list[Script]] = {
    "first": [status(503), table.good_whole],
    "first-stream": [OVERLOADED, table.good_stream],
    "all": [status(529, ("Retry-After", "0"), ("anthropic-ratelimit-requests-remaining", "0"))],
    "none": [table.before_the_head("drop")],
    "late": [LATE],
    "media": [half_media],
}


@pytest.fixture(scope="module")
def upstreams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Upstream]:
    made = {f"{name}-{way}": Upstream(scripts) for name, scripts in BY_WAY.items() for way in WAYS}
    return made | {
        "hidden": Upstream([OVERLOADED, table.good_stream]),
        "hidden-gpt": Upstream([LIMITED, table.events(*CHUNKS)]),
        "down": Upstream([status(503, SOON)]),
        "down-gpt": Upstream([status(503, SOON)]),
        "large": Upstream([table.large()]),
        "batches": Upstream([status(503)]),
        "batches-cut": Upstream([table.before_the_head("drop")]),
        "jobs": Upstream([status(503)]),
        "stale": Upstream([gone_after, table.good_whole]),
        "dropped": Upstream([gone_as_it_is_asked]),
        "lying": Upstream([more_than_it_says, table.good_whole]),
        "waiting": Upstream([status(429, ("Retry-After", "2")), table.good_whole]),
        "each": Upstream([fails_first]),
        "outage": Upstream([status(503)]),
        "curl": Upstream([status(529), table.good_stream]),
    }


@pytest.fixture(scope="module")
def proxy(upstreams: dict[str, Upstream], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    openai_like = {"dialect": "openai", "stream_usage": False}
    hosts = {f"{name}-{way}": {"hosts": [f"{name}-{way}.example"]} for name in BY_WAY for way in WAYS}
    with Upstreams() as them:
        running = start(
            tmp_path_factory.mktemp("clients"), them, upstreams,
            hosts | {"hidden-gpt": openai_like, "down-gpt": openai_like, "jobs": openai_like},
            retry={"attempts": 3, "base_delay": "10ms", "max_delay": "3s"},
            breaker={"failures": 100_000, "min_calls": 0}, limits={"response_body": table.CAP},
        )  # fmt: skip
        yield running
        running.stop()


def claude(proxy: Proxy, name: str, retries: int) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        base_url=f"{proxy.url}/p/{name}", api_key=ANTHROPIC_KEY, max_retries=retries, timeout=PATIENCE_S
    )


def gpt(proxy: Proxy, name: str, retries: int) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{proxy.url}/p/{name}/v1", api_key=OPENAI_KEY, max_retries=retries, timeout=PATIENCE_S
    )


# -- the official packages --


def test_a_529_hidden_in_a_stream_is_served_by_a_retry_and_anthropics_package_sees_one_clean_stream(
    proxy: Proxy, upstreams: dict[str, Upstream]
) -> None:
    with claude(proxy, "hidden", 2).messages.stream(model="m", max_tokens=9, messages=user("hi")) as stream:
        kinds = [event.type for event in stream]
        assert stream.get_final_text() == "".join(f"word {n} " for n in range(8))
        assert stream.response.headers["x-tokenman-attempts"] == "2"
    assert kinds.count("message_start") == 1
    assert kinds[-1] == "message_stop"
    assert [one.header("x-stainless-retry-count") for one in upstreams["hidden"].requests] == ["0", "0"]


def test_an_error_at_the_head_of_a_stream_is_served_by_a_retry_and_openais_package_sees_one_clean_stream(
    proxy: Proxy, upstreams: dict[str, Upstream]
) -> None:
    stream = gpt(proxy, "hidden-gpt", 2).chat.completions.create(model="m", messages=user("hi"), stream=True)
    said = [chunk.choices[0].delta.content for chunk in stream]
    assert said == ["fine", None]
    assert stream.response.headers["x-tokenman-attempts"] == "2"
    assert len(upstreams["hidden-gpt"].requests) == 2


def test_retries_of_a_package_and_ours_do_not_multiply(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    with pytest.raises(anthropic.InternalServerError) as refusal:
        claude(proxy, "down", 2).messages.create(model="m", max_tokens=9, messages=user("hi"))
    assert refusal.value.status_code == 503
    counts = [one.header("x-stainless-retry-count") for one in upstreams["down"].requests]
    assert counts == ["0", "0", "0", "1", "2"], "three tries of the first, one of each that is a retry already"
    with pytest.raises(openai.InternalServerError) as other:
        gpt(proxy, "down-gpt", 2).chat.completions.create(model="m", messages=user("hi"))
    assert other.value.status_code == 503
    counts = [one.header("x-stainless-retry-count") for one in upstreams["down-gpt"].requests]
    assert counts == ["0", "0", "0", "1", "2"]


def test_a_package_does_not_repeat_what_would_fail_again(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    with pytest.raises(anthropic.APIStatusError) as refusal:
        claude(proxy, "large", 2).messages.create(model="m", max_tokens=9, messages=user("hi"))
    assert refusal.value.status_code == 502
    assert refusal.value.response.headers["x-should-retry"] == "false"
    assert upstreams["large"].hits == 1


# -- every way in --


def client(proxy: Proxy, way: str, name: str, upstreams: dict[str, Upstream]) -> httpx.Client:
    match way:
        case "base_url":
            return httpx.Client(base_url=f"{proxy.url}/p/{name}", timeout=PATIENCE_S, trust_env=False)
        case "plain":
            return httpx.Client(base_url=upstreams[name].url, proxy=proxy.url, timeout=PATIENCE_S, trust_env=False)
        case _:
            h2 = way == "tunnel-h2"
            return httpx.Client(
                base_url=f"https://{name}.example", proxy=proxy.url, verify=proxy.trust(only_h2=h2), http1=not h2,
                http2=h2, timeout=PATIENCE_S, trust_env=False,
            )  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_by_every_way_in_a_failure_is_not_felt_or_told_as_it_was(
    proxy: Proxy, upstreams: dict[str, Upstream], way: str
) -> None:
    def ask(name: str, stream: bool = False) -> httpx.Response:
        with client(proxy, way, f"{name}-{way}", upstreams) as asking:
            content = body("stream" if stream else "whole")
            answer = asking.post("/v1/messages", content=content, headers=HEADERS)
            assert answer.http_version == ("HTTP/2" if way == "tunnel-h2" else "HTTP/1.1")
            return answer

    whole, stream = ask("first"), ask("first-stream", stream=True)
    assert (whole.status_code, whole.content) == (200, GOOD["whole"])
    assert (stream.status_code, stream.content) == (200, GOOD["stream"])
    assert [one.headers["x-tokenman-attempts"] for one in (whole, stream)] == ["2", "2"]
    last = ask("all")
    assert (last.status_code, last.content, last.headers["retry-after"]) == (529, table.refusal(529), "0")
    assert last.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert last.headers["request-id"] == "req_upstream"
    assert upstreams[f"all-{way}"].hits == 3
    none = ask("none")
    assert none.status_code == 502
    check_refusal(502, none.headers, none.content, "upstream")
    late = ask("late", stream=True)
    assert late.status_code == 200
    assert late.content.startswith(b"".join(table.SAID))
    assert b"event: error" in late.content[len(b"".join(table.SAID)) :]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_stream_of_events_is_cut_so_that_curl_does_not_take_it_for_whole(
    proxy: Proxy, upstreams: dict[str, Upstream], way: str, tmp_path: Path
) -> None:
    name = f"media-{way}"
    url = {"base_url": f"{proxy.url}/p/{name}", "plain": upstreams[name].url}.get(way, f"https://{name}.example")
    through = [] if way == "base_url" else ["-x", proxy.url]
    version = ["--http2"] if way == "tunnel-h2" else ["--http1.1"]
    done = subprocess.run(
        ["curl", "-sS", *through, *version, "--cacert", str(proxy.certificate), "-o", str(tmp_path / "got"),
         "-w", "%{http_code} %{http_version}", f"{url}/v1/files/f/content", "-H", f"x-api-key: {ANTHROPIC_KEY}",
         "-H", "anthropic-version: 2023-06-01"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == ("200 2" if way == "tunnel-h2" else "200 1.1"), (done.stdout, done.stderr)
    assert done.returncode in ({92} if way == "tunnel-h2" else {18}), done.stderr
    assert (tmp_path / "got").read_bytes() == MEDIA[:9000], "what came is given, and then the cut"


def test_curl_gets_one_clean_stream(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    done = subprocess.run(
        ["curl", "-sSN", "-D", "-", f"{proxy.url}/p/curl/v1/messages", "-H", f"x-api-key: {ANTHROPIC_KEY}",
         "-H", "expect:", "--data-binary", body("stream").decode()],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    assert content == GOOD["stream"]
    assert b"x-tokenman-attempts: 2" in head.lower()


# -- how a broken stream ends --


def test_a_broken_stream_ends_with_an_error_event_and_a_closed_connection(proxy: Proxy) -> None:
    content = body("stream")
    lines = ["POST /p/late-base_url/v1/messages HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(content)}"]
    data = "\r\n".join([*lines, *(f"{key}: {value}" for key, value in HEADERS.items()), "", ""]).encode() + content
    with raw.dial(proxy) as connection:
        connection.sendall(data)
        connection.settimeout(10)
        got = raw.until_closed(connection)
    assert b"event: error" in got
    assert got.endswith(b"\r\n0\r\n\r\n"), "the answer ends well, so that the event is read"


def test_a_program_that_goes_on_after_a_broken_stream_is_served_on_its_connection(proxy: Proxy) -> None:
    with httpx.Client(base_url=f"{proxy.url}/p/late-base_url", timeout=PATIENCE_S, trust_env=False) as asking:
        for _ in range(20):
            assert b"event: error" in asking.post("/v1/messages", content=body("stream"), headers=HEADERS).content


def test_on_http2_a_broken_stream_ends_alone(proxy: Proxy) -> None:
    with H2Client(proxy, "late-tunnel-h2.example") as asking:
        streams = [asking.post("/v1/messages", body("stream"), HEADERS) for _ in range(3)]
        asking.until(lambda: len(asking.ended) == 3)
        again = asking.post("/v1/messages", body("stream"), HEADERS)
        asking.until(lambda: again in asking.ended)
    assert {asking.heads[stream][":status"] for stream in [*streams, again]} == {"200"}
    assert all(b"event: error" in asking.bodies[stream] for stream in [*streams, again])


# -- what is sent once only, and what costs no try --


def test_what_would_be_done_twice_is_sent_once(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    batch = json.dumps({"requests": [{"custom_id": "a", "params": json.loads(body("whole"))}]}).encode()
    for name, status_code in (("batches", 503), ("batches-cut", 502)):
        answer = httpx.post(
            f"{proxy.url}/p/{name}/v1/messages/batches", content=batch, headers=HEADERS, trust_env=False, timeout=30
        )
        assert (answer.status_code, upstreams[name].hits) == (status_code, 1)
    job = json.dumps({"model": "m", "input": "hi", "background": True}).encode()
    headers = {"authorization": f"Bearer {OPENAI_KEY}", "content-type": "application/json"}
    answer = httpx.post(f"{proxy.url}/p/jobs/v1/responses", content=job, headers=headers, trust_env=False, timeout=30)
    assert (answer.status_code, upstreams["jobs"].hits) == (503, 1)


@pytest.mark.parametrize("name", ["stale", "lying"])
def test_a_connection_that_went_stale_or_says_more_than_it_should_costs_no_try(
    proxy: Proxy, upstreams: dict[str, Upstream], name: str
) -> None:
    for _ in range(3):
        answer = post(proxy, name)
        assert (answer.status_code, answer.content) == (200, GOOD["whole"])
        assert answer.headers["x-tokenman-attempts"] == "1"
    assert upstreams[name].hits == 3


def test_a_question_that_a_closing_connection_had_read_is_sent_again_and_told_as_an_attempt(
    proxy: Proxy, upstreams: dict[str, Upstream]
) -> None:
    """It may have been worked on, so it is counted and shown; a list that is only read is not."""
    counts = [post(proxy, "dropped").headers["x-tokenman-attempts"] for _ in range(3)]
    assert counts == ["1", "2", "2"]
    assert upstreams["dropped"].hits == 5
    reader = LedgerReader(proxy.data / "ledger.db")

    def rows() -> list[tuple[int, str]]:
        return sorted((one.attempts, one.error) for one in reader.page(limit=50).rows if one.provider == "dropped")

    until(lambda: len(rows()) == 3)
    assert rows() == [(1, ""), (2, ""), (2, "")]
    read = httpx.get(f"{proxy.url}/p/dropped/v1/models", headers=HEADERS, trust_env=False, timeout=30)
    assert (read.status_code, read.headers["x-tokenman-attempts"]) == (200, "1")
    assert upstreams["dropped"].hits == 7


def test_a_client_that_leaves_while_a_retry_waits_ends_the_call(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{proxy.url}/p/waiting/v1/messages", content=body("whole"), headers=HEADERS, trust_env=False,
            timeout=httpx.Timeout(PATIENCE_S, read=0.5),
        )  # fmt: skip
    reader = LedgerReader(proxy.data / "ledger.db")
    row = until(lambda: next((one for one in reader.page(limit=5).rows if one.outcome == "aborted"), None))
    assert (row.provider, row.attempts, row.error) == ("waiting", 1, "")
    assert row.duration < 1.9, "it ended when its client left, not when it would have tried again"
    time.sleep(2.0)
    assert upstreams["waiting"].hits == 1, "the retry would have been made by now"
    assert not +metric(proxy, "tokenman_active_requests")


def test_calls_side_by_side_are_retried_each_on_its_own(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(post, proxy, "each", "stream", body("stream", f"call {n}")) for n in range(10)]
        assert all(one.result().content == GOOD["stream"] for one in asked)
    assert set(FAILED.values()) == {2}
    assert len(FAILED) == 10


def test_an_outage_is_not_multiplied(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    """Of sixty calls that could be tried three times each; every fifth call pays for one more try, and a few are there at first."""
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(post, proxy, "outage") for _ in range(60)]
        assert {(one.result().status_code, one.result().content) for one in asked} == {(503, table.refusal(503))}
    assert 60 + 10 <= upstreams["outage"].hits <= 60 + 10 + 60 // 5 + 5
