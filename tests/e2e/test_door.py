"""The ways past a stock add-on, each tried on the running proxy: the upstream sees a value masked, or nothing at all.

One `mitmdump` has a hostile script and every option that opens a way in the stock program. A header names what the script
shall do to a call.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest

from addons.demo.provider import FakeProvider
from addons.demo.provider.tls import Authority
from tests.e2e import raw
from tests.e2e.harness import ANTHROPIC_KEY, PLANTED, Proxy, forms, free_ports, user
from tests.e2e.raw import Recorder

MAIL, TOKEN = PLANTED["e-mail"], PLANTED["github"]
SCRIPTS = Path(__file__).parent / "door_scripts"
HEADERS = {"x-api-key": ANTHROPIC_KEY, "content-type": "application/json", "anthropic-version": "2023-06-01"}
BODY = json.dumps({"model": "m", "max_tokens": 9, "messages": user(f"I am {MAIL}, my token is {TOKEN}")}).encode()

How = Literal["base_url", "absolute", "h1", "h2"]
HOW: tuple[How, ...] = ("base_url", "absolute", "h1", "h2")


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Recorder]:
    """A plain server that is no provider; it may be reached as `localhost`."""
    answer = b"HTTP/1.1 200 OK\r\nset-cookie: b=cookie-of-the-provider\r\ncontent-length: 2\r\n\r\nok"
    with Recorder(answer) as recorder:
        yield recorder
        held_nothing(recorder)


@pytest.fixture(scope="module")
def hostile(
    shared_provider: FakeProvider, elsewhere: Recorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("hostile")
    here = f"http://localhost:{elsewhere.port}"
    saved = folder / "flows", folder / "flows.har"
    arguments = [
        "--set", "stream_large_bodies=1",
        "--modify-body", "/a-word/put-in-by-an-option",
        "--map-remote", f"|https://api.anthropic.com/|{here}/",
        "--map-remote", f"|{shared_provider.url}/v1/messages|{here}/",
        "--map-remote", f"|{here}/to-provider|{shared_provider.url}/v1/messages",
        "--map-remote", f"|{here}/to-known-host|https://api.anthropic.com/v1/messages",
        "--ignore-hosts", ".*anthropic.*", "--ignore-hosts", ".*127.0.0.1.*", "--tcp-hosts", ".*anthropic.*",
        "-w", str(saved[0]), "--set", f"hardump={saved[1]}",
    ]  # fmt: skip
    running = Proxy.start(
        folder, shared_provider.url, tool="mitmdump", scripts=[SCRIPTS / "hostile.py"], arguments=arguments,
        environment={"DOOR_PROVIDER": str(shared_provider.port), "DOOR_ELSEWHERE": str(elsewhere.port)},
        intercept={"private": ["localhost"]},
    )  # fmt: skip
    yield running
    running.stop(tracebacks=True)
    for path in saved:
        content = path.read_bytes()
        assert len(content) > 10_000, "the savers saw nothing"
        assert not [name for name, value in PLANTED.items() if any(form in content for form in forms(value))]
        assert not [secret for secret in SECRETS if secret.encode() in content], path


SECRETS = (
    ANTHROPIC_KEY,
    "cookie-of-the-caller",
    "basic-of-the-caller",
    "query-of-the-caller",
    "cookie-of-the-provider",
)


def held_nothing(recorder: Recorder) -> None:
    seen = recorder.seen
    assert not [name for name, value in PLANTED.items() if any(form in seen for form in forms(value))]


def call(
    proxy: Proxy, how: How = "base_url", wish: str = "", body: bytes = BODY, path: str = "/v1/messages"
) -> httpx.Response:
    headers = HEADERS | ({"x-door": wish} if wish else {})
    if how == "base_url":
        return httpx.post(proxy.url + path, content=body, headers=headers, trust_env=False)
    if how == "absolute":
        with raw.dial(proxy) as connection:
            lines = [
                f"POST http://api.anthropic.com{path} HTTP/1.1",
                "Host: api.anthropic.com",
                f"Content-Length: {len(body)}",
            ]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            got = raw.answer(connection)
        status, fields = raw.head(got)
        return httpx.Response(status, headers=fields, content=got.partition(b"\r\n\r\n")[2])
    with httpx.Client(
        proxy=proxy.url, verify=proxy.trust(only_h2=how == "h2"), http2=how == "h2", http1=how == "h1", trust_env=False
    ) as client:
        answer = client.post(f"https://api.anthropic.com{path}", content=body, headers=headers)
        assert answer.http_version == ("HTTP/2" if how == "h2" else "HTTP/1.1")
        return answer


def served(answer: httpx.Response, provider: FakeProvider) -> None:
    assert answer.status_code == 200, answer.text
    assert answer.json()["content"][0]["text"] == f"You said: I am {MAIL}, my token is {TOKEN}"
    assert answer.headers["x-tokenman-redacted"] == "2"
    assert len(provider.received) == 1


def refused(answer: httpx.Response, provider: FakeProvider, status: int = 500, kind: str = "stage") -> None:
    assert (answer.status_code, answer.headers["x-tokenman-error"]) == (status, kind), answer.text
    assert answer.headers["x-tokenman-request-id"].startswith("req_")
    assert answer.json()["error"]["message"]
    assert "mitmproxy" not in answer.text
    assert "Error(" not in answer.text
    assert not provider.received


# -- options and scripts --


@pytest.mark.parametrize("how", HOW)
def test_options_that_open_the_stock_program_do_not_open_the_door(
    hostile: Proxy, provider: FakeProvider, elsewhere: Recorder, how: How
) -> None:
    """stream_large_bodies, modify_body, map_remote, ignore_hosts and tcp_hosts are all set against this call."""
    served(call(hostile, how), provider)
    assert not elsewhere.requests
    assert not (hostile.home / "saw-tcp").exists()


def test_modify_body_puts_nothing_into_a_governed_call(hostile: Proxy, provider: FakeProvider) -> None:
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": user("a a-word")}).encode()
    answer = call(hostile, body=body)
    assert provider.received[0].body == body
    assert answer.json()["content"][0]["text"] == "You said: a a-word"


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    "wish",
    [
        "stream", "stream-at-head", "callable-stream", "away", "away-at-head", "towards", "towards-at-head", "other-request",
        "server", "answer", "answer-at-head", "raise", "raise-at-head", "halt", "halt-at-head", "response",
    ],
)  # fmt: skip
def test_what_a_script_does_to_the_flow_does_not_reach_the_call(
    hostile: Proxy, provider: FakeProvider, elsewhere: Recorder, how: How, wish: str
) -> None:
    served(call(hostile, how, wish), provider)
    assert not elsewhere.requests


@pytest.mark.parametrize("how", HOW)
def test_where_the_exchange_raises_the_call_is_refused(
    hostile: Proxy, provider: FakeProvider, elsewhere: Recorder, how: How
) -> None:
    refused(call(hostile, how, "exchange-raises"), provider)
    served(call(hostile, how), provider)
    assert not elsewhere.requests


@pytest.mark.parametrize("how", HOW)
def test_a_call_that_a_script_kills_is_not_sent(hostile: Proxy, provider: FakeProvider, how: How) -> None:
    refused(call(hostile, how, "kill"), provider)


def test_the_replay_command_brings_nothing_to_a_provider(hostile: Proxy, provider: FakeProvider) -> None:
    served(call(hostile, wish="replay"), provider)
    served_again = call(hostile)  # by then the replay has had its turn on the loop
    assert served_again.status_code == 200
    deadline = time.monotonic() + 15
    while "[replay]" not in hostile.log and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "[replay]" in hostile.log
    assert [one.body for one in provider.received if b"replayed" in one.body] == []
    assert len(provider.received) == 2


# -- what is no provider: plain requests that pass, and what a script makes of them --


def plain(proxy: Proxy, port: int, path: str = "/x", wish: str = "", **more: str) -> tuple[int, dict[str, str], bytes]:
    fields = {"Host": f"localhost:{port}", "Connection": "close"} | ({"x-door": wish} if wish else {}) | more
    lines = [f"GET http://localhost:{port}{path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    answer = raw.send(proxy, "\r\n".join([*lines, "", ""]).encode())
    return *raw.head(answer), answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("wish", ["", "towards", "towards-at-head"])
@pytest.mark.parametrize("path", ["/x", "/to-provider", "/to-known-host"])
def test_a_plain_request_is_passed_on_but_never_turned_to_a_provider(
    hostile: Proxy, provider: FakeProvider, elsewhere: Recorder, path: str, wish: str
) -> None:
    elsewhere.clear()
    status, fields, body = plain(hostile, elsewhere.port, path, wish)
    assert not provider.received
    if path == "/x" and not wish:
        assert (status, body) == (200, b"ok")
        assert len(elsewhere.requests) == 1
    else:
        assert status == 403
        assert fields["x-tokenman-error"] == "forbidden"
        assert b"mitmproxy" not in body
        assert not elsewhere.requests


def test_what_is_meant_for_us_does_not_leave_and_the_rest_does(
    hostile: Proxy, provider: FakeProvider, elsewhere: Recorder
) -> None:
    elsewhere.clear()
    more = {
        "Proxy-Authorization": "Basic basic-of-the-caller", "x-tokenman-key": "tkm_1", "Cookie": "a=cookie-of-the-caller",
        "X-Odd": "kept",
    }  # fmt: skip
    status, fields, body = plain(hostile, elsewhere.port, "/x?token=query-of-the-caller", **more)
    assert (status, fields["set-cookie"], body) == (200, "b=cookie-of-the-provider", b"ok")
    (dead,) = free_ports(1)  # a request that fails is saved too
    assert plain(hostile, dead, "/x?token=query-of-the-caller", **more)[0] == 502
    seen = elsewhere.requests[0].decode()
    assert "basic-of" not in seen
    assert "tkm_1" not in seen
    assert "X-Odd: kept" in seen
    assert "cookie-of-the-caller" in seen
    assert "query-of-the-caller" in seen
    assert "transfer-encoding" not in seen.lower(), "a request without a body must not get one"


# -- tunnels --


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def switch(hostile: Proxy) -> Iterator[Path]:
    """Files in this folder tell the script what to do before there is a request."""
    before = set(hostile.home.iterdir())
    yield hostile.home
    for path in set(hostile.home.iterdir()) - before:
        path.unlink()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("hook", ["halt-next-layer", "halt-server-connect"])
def test_an_add_on_that_ends_a_hook_for_all_others_does_not_end_it_for_the_door(
    hostile: Proxy, provider: FakeProvider, elsewhere: Recorder, switch: Path, how: How, hook: str
) -> None:
    elsewhere.clear()
    (switch / hook).touch()
    served(call(hostile, how), provider)
    assert not elsewhere.requests


def test_an_add_on_that_ends_the_dials_hook_opens_no_address_inside(
    hostile: Proxy, provider: FakeProvider, elsewhere: Recorder, switch: Path
) -> None:
    elsewhere.clear()
    (switch / "halt-server-connect").touch()
    with raw.dial(hostile) as connection:
        assert raw.connect(connection, f"127.0.0.1:{elsewhere.port}").startswith(b"HTTP/1.1 403")
    assert not elsewhere.connections


@pytest.mark.parametrize("wish", ["ignore-connection", "server-first"])
def test_tls_of_a_provider_is_opened_whatever_a_script_wants(
    hostile: Proxy, provider: FakeProvider, switch: Path, authority: Authority, wish: str
) -> None:
    """As in mitmproxy's own example `tls_passthrough.py`: through a tunnel to elsewhere, the name is a provider's."""
    (switch / wish).touch()
    with Recorder(tls=authority.server("api.anthropic.com", protocols=("http/1.1",))) as far:
        with raw.tunnel(hostile, f"localhost:{far.port}") as connection:
            context = hostile.trust()
            context.load_verify_locations(authority.certificate)  # it would be content with either
            with context.wrap_socket(connection, server_hostname="api.anthropic.com") as inner:
                head = [f"{name}: {value}" for name, value in HEADERS.items()]
                lines = [
                    "POST /v1/messages HTTP/1.1",
                    "Host: x",
                    "Connection: close",
                    f"Content-Length: {len(BODY)}",
                    *head,
                ]
                inner.sendall("\r\n".join([*lines, "", ""]).encode() + BODY)
                answer = raw.until_closed(inner)
        assert not far.seen
    assert raw.head(answer)[1]["x-tokenman-redacted"] == "2"
    provider.clear()
    served(call(hostile, "h1"), provider)


def test_what_a_script_removes_of_ours_stays(hostile: Proxy, provider: FakeProvider, switch: Path) -> None:
    for name in ("gate", "exchange", "redaction", "leaves", "optiontable"):
        call(hostile, wish=f"remove-{name}")
        provider.clear()
    for how in HOW:
        provider.clear()
        served(call(hostile, how), provider)


def exchanged(proxy: Proxy, host: str, port: int, how: Literal["plain", "tunnel"]) -> tuple[int, dict[str, str], bytes]:
    fields = {"Host": f"{host}:{port}", "Content-Length": str(len(BODY)), "Connection": "close"} | HEADERS
    target = "/v1/messages" if how == "tunnel" else f"http://{host}:{port}/v1/messages"
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    with raw.dial(proxy) as connection:
        if how == "tunnel" and not (got := raw.connect(connection, f"{host}:{port}")).startswith(b"HTTP/1.1 200"):
            return *raw.head(got), b""
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + BODY)
        answer = raw.until_closed(connection)
    return *raw.head(answer), answer


def test_a_provider_is_governed_at_its_address_whatever_that_is_called(
    proxy: Proxy, hostile: Proxy, provider: FakeProvider
) -> None:
    """`hostile` may dial `localhost`, so that nothing else keeps a plain request to it from being passed on."""
    names = (
        "localhost",
        "LocalHost",
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
    )
    for running in (hostile, proxy):
        for host in names:
            for how in ("plain", "tunnel"):
                provider.clear()
                status, fields, answer = exchanged(running, host, provider.port, how)
                assert status == 200, (host, how, answer)
                assert fields["x-tokenman-redacted"] == "2", (host, how)
                (received,) = provider.received
                assert not [value for value in (MAIL, TOKEN) if value.encode() in received.body], (host, how)
                assert MAIL.encode() in answer
