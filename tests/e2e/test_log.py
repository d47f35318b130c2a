"""Nothing of a call but its figures is told: not in the log at any level, not in a file, not by the API. Each line names it."""

import json
import re
import socket
import stat
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import (
    ANTHROPIC_KEY,
    BODY_LIMIT,
    OPENAI_KEY,
    PLANTED,
    Proxy,
    claude,
    command,
    forms,
    gpt,
    said,
    user,
)  # fmt: skip

ALL = "; ".join(said(name) for name in PLANTED)
KEYS = {
    "anthropic's": ANTHROPIC_KEY, "openai's": OPENAI_KEY, "query": "AIzaSyD-a-key-of-the-query-0123456789ab",
    "cookie": "session-of-a-cookie-0123", "token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJlMDEyMw",
    "basic": "amFuZTpwYXNzd29yZDAx", "ours": "tkm_0123456789abcdef0123456789abcdef",
}  # fmt: skip
JSON = {"content-type": "application/json", "x-api-key": ANTHROPIC_KEY}
TOLD = re.compile(r"\b(refused|answered|broken|crashed) ")  # how the line begins that tells what became of a call
FAULTS = (
    "",
    "[[status 500]]",
    "[[status 429]]",
    "[[cut]]",
    "[[reset first]]",
    "[[truncate]]",
    "[[error-event]]",
    "[[pieces 1]]",
)


@pytest.fixture(scope="module", params=["console", "json"])
def noisy(
    request: pytest.FixtureRequest, shared_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy that tells all that it ever tells, after calls of every kind, each with everything that was planted."""
    folder = tmp_path_factory.mktemp(request.param)
    log = {"level": "debug", "format": request.param, "file": str(folder / "logs" / "tokenman.log")}
    running = Proxy.start(
        folder, shared_provider.url, telemetry={"log": log}, limits={"request_body": BODY_LIMIT},
        redaction={"entities": {"US_SSN": "log"}},
    )  # fmt: skip
    ids = list(calls(running, FAULTS if request.param == "console" else FAULTS[:2]))
    for name in ids:
        line_of(running, name)
    running.ids = ids  # type: ignore[attr-defined]
    yield running
    running.stop()


def line_of(proxy: Proxy, name: str) -> str:
    """The last line that names the call; it is written when the client has its answer already."""
    deadline = time.monotonic() + 10
    while True:
        lines = [line for line in proxy.log.splitlines() if name in line and TOLD.search(line)]
        if lines:
            return lines[-1]
        assert time.monotonic() < deadline, f"{name} is not in the log"
        time.sleep(0.05)


def calls(proxy: Proxy, faults: Iterable[str]) -> Iterator[str]:
    """Makes them; the request ids."""
    for fault in faults:
        for stream in (False, True):
            yield claude_says(proxy, f"{ALL} {fault}", stream)
            yield gpt_says(proxy, f"{ALL} {fault}", stream)
    with httpx.Client(base_url=proxy.url, headers=JSON, timeout=20) as client:
        yield client.post("/v1/messages", content=f'{{"model": "{ALL}", "broken').headers["x-tokenman-request-id"]
        huge = json.dumps({"model": "m", "max_tokens": 9, "messages": user(ALL + " " * BODY_LIMIT)})
        yield client.post("/v1/messages", content=huge).headers["x-tokenman-request-id"]
        yield client.post(
            "/v1/messages", content=b"\x1f\x8b" + ALL.encode(), headers={"content-encoding": "gzip"}
        ).headers["x-tokenman-request-id"]
        odd = {
            "cookie": f"a={KEYS['cookie']}",
            "authorization": f"Bearer {KEYS['token']}",
            "x-tokenman-tags": PLANTED["github"],
        }
        body = {"model": PLANTED["e-mail"], "max_tokens": 9, "messages": user(ALL)}
        labels = {"x-tokenman-project": PLANTED["e-mail"], "x-tokenman-session": PLANTED["card"]}
        yield client.post("/v1/messages", json=body, headers=odd | labels).headers["x-tokenman-request-id"]
        path = f"/v1beta/models/m:generateContent?key={KEYS['query']}&q={PLANTED['e-mail']}"
        contents = {"contents": [{"role": "user", "parts": [{"text": ALL}]}]}
        yield client.post(path, json=contents).headers["x-tokenman-request-id"]
        yield client.get(f"/{PLANTED['e-mail']}/{PLANTED['github']}").headers["x-tokenman-request-id"]
        yield client.post("/v1/messages", json=body, headers={"x-api-key": KEYS["ours"]}).headers[
            "x-tokenman-request-id"
        ]
        yield client.post("/v1/messages", json=body, headers={"host": PLANTED["e-mail"]}).headers[
            "x-tokenman-request-id"
        ]
        basic = {"proxy-authorization": f"Basic {KEYS['basic']}"}
        yield client.post("/v1/messages", json=body, headers=basic).headers["x-tokenman-request-id"]
    aborted(proxy)


def claude_says(proxy: Proxy, text: str, stream: bool) -> str:
    messages = claude(proxy).messages
    try:
        if stream:
            with messages.stream(model="m", max_tokens=9, messages=user(text)) as answer:
                name = answer.response.headers["x-tokenman-request-id"]
                with suppress(anthropic.APIError, httpx.HTTPError):
                    answer.until_done()
                return name
        raw = messages.with_raw_response.create(model="m", max_tokens=9, messages=user(text))
        return raw.headers["x-tokenman-request-id"]
    except anthropic.APIStatusError as error:
        return error.response.headers["x-tokenman-request-id"]


def gpt_says(proxy: Proxy, text: str, stream: bool) -> str:
    completions: Any = gpt(proxy).chat.completions
    try:
        with completions.with_streaming_response.create(model="m", messages=user(text), stream=stream) as raw:
            name = raw.headers["x-tokenman-request-id"]
            with suppress(openai.APIError, httpx.HTTPError):
                raw.read()
            return name
    except openai.APIStatusError as error:
        return error.response.headers["x-tokenman-request-id"]


def aborted(proxy: Proxy) -> None:
    """A client that leaves in the middle of its request, and one that leaves in the middle of its answer."""
    body = json.dumps({"model": "m", "max_tokens": 9, "stream": True, "messages": user(f"{ALL} [[stall]]")}).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: {ANTHROPIC_KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    for size, reads in ((len(body) // 2, False), (len(body), True)):
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as connection:
            connection.sendall(head.encode() + body[:size])
            if reads:
                assert connection.recv(1)


def planted(content: bytes) -> list[str]:
    """What of it stands there, in whatever form."""
    values = PLANTED | KEYS
    escaped = {name: {value.encode(), json.dumps(value)[1:-1].encode()} for name, value in values.items()}
    return [name for name, value in values.items() if any(form in content for form in forms(value) | escaped[name])]


@pytest.fixture(scope="module")
def api(noisy: Proxy) -> Iterator[httpx.Client]:
    token = (noisy.data / "admin-token").read_text().strip()
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{noisy.admin_port}", headers=headers, timeout=20) as client:
        yield client


def test_the_log_and_the_files_hold_nothing_planted(noisy: Proxy) -> None:
    assert not planted(noisy.log.encode())
    files = [path for path in noisy.home.parent.rglob("*") if path.is_file()]
    assert {"tokenman.log", "log"} <= {path.name for path in files}
    assert not {str(path): found for path in files if (found := planted(path.read_bytes()))}
    token = (noisy.data / "admin-token").read_text().strip()
    assert not [path for path in files if token.encode() in path.read_bytes() and path.name != "admin-token"]


def test_the_api_tells_nothing_planted(noisy: Proxy, api: httpx.Client) -> None:
    page = api.get("/api/requests?limit=200").json()
    assert {row["id"] for row in page["items"]} & set(noisy.ids)  # type: ignore[attr-defined]
    paths = [f"/api/requests/{row['id']}" for row in page["items"]]
    paths += [f"/api/summary?by={by}" for by in ("model", "project", "client", "provider", "day", "session")]
    paths += [
        "/api/requests?limit=200",
        "/api/redaction",
        "/api/providers",
        "/api/config",
        "/api/version",
        "/api/openapi.json",
    ]
    paths += ["/metrics", "/health", "/health/ready", "/"]
    for path in paths:
        answer = api.get(path)
        assert answer.status_code in (200, 503), path
        assert not planted(answer.content), path
    first = page["items"][-1]["id"]
    with api.stream("GET", f"/api/events?after={first}") as events:
        told = b""
        for piece in events.iter_bytes():
            told += piece
            if told.count(b"event: call") >= len(page["items"]) - 1:
                break
    assert not planted(told)


def test_every_line_of_a_call_names_it(noisy: Proxy) -> None:
    lines = [
        line
        for line in noisy.log.splitlines()
        if re.search(r"tokenman\.(call|stages|conductor|outward|redaction)\b", line)
    ]
    named = [re.search(r'(?:request=|"request": ")(req_[0-9a-f]{24})\b', line) for line in lines]
    assert all(named), [line for line, name in zip(lines, named, strict=True) if not name]


def test_what_a_client_is_told_greps_in_the_log(noisy: Proxy) -> None:
    answer = httpx.post(f"{noisy.url}/v1/messages", content=b"{", headers=JSON)
    name = answer.headers["x-tokenman-request-id"]
    assert answer.json()["request_id"] == name
    assert "refused 400 parse" in line_of(noisy, name)
    assert ": status 400, " in line_of(noisy, name)  # what the program got, whoever said it


def test_the_file_of_the_log_says_the_same_and_is_private(noisy: Proxy) -> None:
    path = noisy.home.parent / "logs" / "tokenman.log"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_text().count("req_") == noisy.log.count("req_")


def test_a_script_that_cannot_be_imported_is_told_by_type_and_place(tmp_path: Path) -> None:
    (tmp_path / "tokenman.yaml").write_text(f"data_dir: {tmp_path}/data\n")
    script = tmp_path / "mine.py"
    script.write_text(f"value = {PLANTED['github']!r}\nraise ValueError(value)\n")
    words = command("mitmdump", tmp_path / "tokenman.yaml", script)
    ended = subprocess.run(
        [*words, "-p", "0"], capture_output=True, text=True, timeout=60, env={"HOME": str(tmp_path)}, check=False
    )
    told = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert re.search(r"error in script .*mine\.py: ValueError at mine\.py:2 <module>", told), told
    assert PLANTED["github"] not in told
