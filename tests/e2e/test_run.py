"""`tokenman run` and `tokenman env` as a user has them: real programs and proxies, whoever is killed or in the way."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, PLANTED, ROOT, Proxy, free_ports, placeholders, user
from tokenman_core.admin.runs import GRACE_S

MAIL = PLANTED["e-mail"]
WAIT_S = 60.0  # two starts at once on a slow machine

SDKS = f"""
import anthropic, openai
text = [{{"role": "user", "content": "I am {MAIL}"}}]
for base_url in (None, "https://api.anthropic.com"):
    client = anthropic.Anthropic(api_key="{ANTHROPIC_KEY}", base_url=base_url, max_retries=0)
    print(client.messages.create(model="m", max_tokens=9, messages=text).content[0].text)
for base_url in (None, "https://api.openai.com/v1"):
    client = openai.OpenAI(api_key="{OPENAI_KEY}", base_url=base_url, max_retries=0)
    print(client.chat.completions.create(model="m", messages=text).choices[0].message.content)
raise SystemExit(7)
"""
"""The providers' own packages, by the base URL of the environment and by its proxy."""

CALLS = f"""
import json, os, sys, urllib.request
print("ready", flush=True)
for line in sys.stdin:
    body = json.dumps({{"model": "m", "max_tokens": 9, "messages": [{{"role": "user", "content": "I am {MAIL}"}}]}})
    headers = {{"x-api-key": "{ANTHROPIC_KEY}", "content-type": "application/json"}}
    request = urllib.request.Request(os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", body.encode(), headers)
    try:
        print(urllib.request.urlopen(request, timeout=20).status, flush=True)
    except OSError as error:  # also what is no answer
        print(getattr(error, "code", error), flush=True)
"""
"""Makes a call for each line that it is given."""


def environment(home: Path, **more: str) -> dict[str, str]:
    passed = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return passed | {"HOME": str(home), "PYTHONPATH": str(ROOT)} | more


def words(configuration: Path, *command: str) -> list[str]:
    return [sys.executable, "-m", "addons.cli.main", command[0], "--config", str(configuration), *command[1:]]


def tokenman(
    configuration: Path, *command: str, environ: Mapping[str, str] | None = None, entered: str = ""
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words(configuration, *command), input=entered, capture_output=True, text=True, timeout=WAIT_S, check=False,
        env=environment(configuration.parent) | dict(environ or {}),
    )  # fmt: skip


class Runner:
    """A `tokenman run` whose program calls when it is told to."""

    def __init__(self, configuration: Path) -> None:
        self.process = subprocess.Popen(
            words(configuration, "run", "--", sys.executable, "-u", "-c", CALLS), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(configuration.parent),
        )  # fmt: skip

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, self.process.communicate()[1]
        return line

    def call(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.line()

    def end(self) -> str:
        """What it said at its end."""
        _, said = self.process.communicate(timeout=WAIT_S)
        assert self.process.returncode == 0, said
        return said


def until(holds: Callable[[], bool], seconds: float = WAIT_S) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def place(configuration: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((configuration.parent / "data" / "instance.json").read_text())
    return found


@pytest.fixture
def joined(proxy: Proxy) -> Path:
    """The configuration of a proxy that a person has started."""
    return proxy.home.parent / "tokenman.yaml"


@pytest.fixture
def alone(tmp_path: Path, provider: FakeProvider) -> Path:
    """A configuration on which nothing runs yet."""
    port, admin = free_ports(2)
    path = tmp_path / "tokenman.yaml"
    document = {"listen": f"127.0.0.1:{port}", "admin": {"listen": f"127.0.0.1:{admin}"}, "data_dir": str(tmp_path / "data"),
                "providers": {"anthropic": {"base_url": provider.url}, "openai": {"base_url": provider.url}}}  # fmt: skip
    path.write_text(json.dumps(document))
    return path


# -- behind a proxy that runs --


def test_the_packages_of_the_providers_are_governed_both_ways_and_summed_up(
    joined: Path, proxy: Proxy, provider: FakeProvider
) -> None:
    done = tokenman(joined, "run", "--", sys.executable, "-c", SDKS)
    assert done.returncode == 7, done.stderr
    assert done.stdout == f"You said: I am {MAIL}\n" * 4
    assert [len(placeholders(one)) for one in provider.received] == [1, 1, 1, 1]
    assert "tokenman: 4 calls, 4 values masked, " in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("tokenman: 4 calls, ")
    assert ", saved $0.00" in last
    assert "warning" not in done.stderr
    token = (proxy.data / "admin-token").read_text().strip()
    rows = httpx.get(
        f"http://127.0.0.1:{proxy.admin_port}/api/requests?limit=4", headers={"authorization": f"Bearer {token}"}
    ).json()["items"]
    assert {row["client"] for row in rows} == {Path(sys.executable).name}


def test_the_marks_of_a_run_go_no_further(joined: Path, proxy: Proxy, provider: FakeProvider) -> None:
    script = 'echo "$ANTHROPIC_BASE_URL $HTTPS_PROXY"; curl -sS -o /dev/null https://api.anthropic.com/v1/messages -H "x-api-key: '
    done = tokenman(joined, "run", "--", "sh", "-c", script + ANTHROPIC_KEY + '" -d "{}"')
    base, url = done.stdout.split()
    mark = base.rpartition("/")[2]
    assert (len(mark), url) == (12, f"http://{mark}:run@127.0.0.1:{proxy.port}")
    (sent,) = provider.received
    assert sent.target == "/v1/messages"
    assert sent.header("proxy-authorization") is None
    assert mark not in json.dumps([sent.target, sent.headers])


def test_a_mark_that_no_run_has_is_served_all_the_same(proxy: Proxy, provider: FakeProvider) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": user(f"I am {MAIL}")}
    for prefix in ("/r/ffffffffffff", "/r/ffffffffffff/p/anthropic"):
        answer = httpx.post(f"{proxy.url}{prefix}/v1/messages", json=body, headers={"x-api-key": ANTHROPIC_KEY})
        assert answer.status_code == 200
    assert httpx.get(f"{proxy.url}/r/ffffffffffff").status_code == 200
    assert [one.target for one in provider.received] == ["/v1/messages"] * 2


def test_an_llm_that_would_be_called_past_every_provider_is_refused_and_named(joined: Path) -> None:
    script = "for i in 1 2; do curl -sS https://api.mistral.ai/v1/x; done; curl -sS https://10.1.2.3/"
    done = tokenman(joined, "run", "--", "sh", "-c", script)
    assert "CONNECT tunnel failed, response 403" in done.stderr
    assert (
        "warning: api.mistral.ai was refused 2 times: no provider governs this LLM; add it under `providers:`"
        in done.stderr
    )
    assert "warning: 10.1.2.3 was refused once: it is inside your network; add it to NO_PROXY" in done.stderr
    assert "made no call" not in done.stderr


def test_outside_of_a_run_such_a_host_is_a_blind_tunnel_as_ever(proxy: Proxy) -> None:
    """It is dialled, which fails here; with the mark of no run too."""
    for mark in ("", "ffffffffffff:run@"):
        done = subprocess.run(
            ["curl", "-sS", "-x", f"http://{mark}127.0.0.1:{proxy.port}", "https://api.mistral.invalid/"],
            capture_output=True, text=True, check=False, env=environment(proxy.home),
        )  # fmt: skip
        assert "403" in done.stderr
    assert "not dialled: api.mistral.invalid" in proxy.log


def test_a_program_that_makes_no_call_is_an_alarm_and_one_that_was_to_make_none_is_not(joined: Path) -> None:
    done = tokenman(joined, "run", "--", "true")
    assert "tokenman: 0 calls, 0 values masked, 0 tokens, $0.00, saved $0.00" in done.stderr
    assert "warning: true made no call through TokenMan" in done.stderr
    assert "tokenman doctor" in done.stderr
    assert "warning" not in tokenman(joined, "run", "--", "true", "--version").stderr


ASIDE = f"""
ask() {{
  curl -sS -o /dev/null "$ANTHROPIC_BASE_URL$1" -H 'x-api-key: {ANTHROPIC_KEY}' -H 'content-type: application/json' $2 "$3"
}}
ask /v1/models
if [ -n "$BODY" ]; then ask /v1/messages -d "$BODY"; ask /v1/messages -d "$BODY"; fi
"""


def test_calls_that_ask_no_model_hide_no_leak_and_those_that_are_refused_are_no_success(joined: Path) -> None:
    done = tokenman(joined, "run", "--", "sh", "-c", ASIDE)
    assert "tokenman: 0 calls (1 more that asked no model), 0 values masked" in done.stderr
    assert "warning: sh made no call to a model through TokenMan" in done.stderr
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": user("[[status 401]]")})
    done = tokenman(joined, "run", "--", "sh", "-c", ASIDE, environ={"BODY": body})
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("tokenman: 2 calls (1 more that asked no model), ")
    assert last.endswith(", 2 refused by the provider (401); see: tokenman why last")
    assert "warning" not in done.stderr


def test_a_program_whose_own_settings_lead_elsewhere_is_told_of_before_it_starts(joined: Path, tmp_path: Path) -> None:
    claude = tmp_path / "bin" / "claude"
    claude.parent.mkdir()
    claude.write_text("#!/bin/sh\necho it runs >&2\n")
    claude.chmod(0o755)
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / "settings.json").write_text('{"env": {"ANTHROPIC_BASE_URL": "http://elsewhere"}}')
    said = tokenman(joined, "run", "--", str(claude), environ={"HOME": str(tmp_path)}).stderr
    before, _, after = said.partition("it runs")
    assert "sets env.ANTHROPIC_BASE_URL: http://elsewhere, so its calls go there and are not governed" in before
    assert "warning: claude made no call through TokenMan" in after


def test_streams_exit_codes_and_what_cannot_be_run(joined: Path, tmp_path: Path) -> None:
    done = tokenman(joined, "run", "--", "sh", "-c", "cat; exit 3", entered="in and out")
    assert (done.returncode, done.stdout) == (3, "in and out")
    assert tokenman(joined, "run", "--", "sh", "-c", "kill -TERM $$").returncode == 128 + signal.SIGTERM
    missing = tokenman(joined, "run", "--", "no-such-program")
    assert (missing.returncode, missing.stdout) == (127, "")
    assert missing.stderr == "tokenman: no-such-program: not found; is it installed, and in PATH?\n"
    plain = tmp_path / "plain"
    plain.touch()
    assert tokenman(joined, "run", "--", str(plain)).returncode == 126


@pytest.mark.parametrize("errors", ["2>/dev/full", "2>&-"])
def test_where_nothing_can_be_said_the_program_ends_as_it_did(joined: Path, errors: str) -> None:
    script = shlex.join(words(joined, "run", "--", "sh", "-c", "echo out; exit 3")) + " " + errors
    done = subprocess.run(
        ["sh", "-c", script], stdout=subprocess.PIPE, text=True, check=False, env=environment(joined.parent)
    )
    assert (done.returncode, done.stdout) == (3, "out\n")


def test_a_proxy_dumps_no_core(proxy: Proxy) -> None:
    for process in (psutil.Process(proxy.process.pid), *psutil.Process(proxy.process.pid).children()):
        assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0)


def test_nothing_but_the_childs_environment_is_changed(joined: Path, proxy: Proxy) -> None:
    def state() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in proxy.home.rglob("*") if path.is_file()}

    before = state()
    tokenman(joined, "run", "--", "true", environ={"HOME": str(proxy.home)})
    assert state() == before
    assert proxy.process.poll() is None  # and it goes on, though its last user has left


def test_a_proxy_answers_for_itself_on_its_own_port_alone(proxy: Proxy) -> None:
    path = f"{proxy.url}/.tokenman/proof?nonce="
    answer = httpx.get(path + "0" * 64)
    assert (answer.status_code, len(answer.text)) == (200, 64)
    assert httpx.get(path + "1" * 64).text != answer.text
    assert httpx.get(path + "0" * 8).status_code == 400
    assert httpx.get(path + "0" * 64, headers={"host": "evil.example"}).status_code == 403
    assert httpx.get(path + "0" * 64, headers={"origin": "https://evil.example"}).status_code == 403
    assert httpx.post(path + "0" * 64).status_code == 404


def test_the_environment_leads_to_the_proxy_that_runs(joined: Path, proxy: Proxy, provider: FakeProvider) -> None:
    printed = tokenman(joined, "env", "--shell", "sh")
    assert printed.returncode == 0
    assert f"export ANTHROPIC_BASE_URL='{proxy.url}';" in printed.stdout
    assert "nothing listens" not in printed.stdout
    script = f'eval "$TEXT"; curl -sS https://api.anthropic.com/v1/messages -H "x-api-key: {ANTHROPIC_KEY}" -d "$BODY"'
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": user(f"I am {MAIL}")})
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True,
        env=environment(proxy.home, TEXT=printed.stdout, BODY=body),
    )  # fmt: skip
    assert f"You said: I am {MAIL}" in done.stdout


# -- where none runs --


def test_two_runs_at_once_share_one_proxy_which_outlives_the_first_and_ends_with_the_last(
    alone: Path, provider: FakeProvider
) -> None:
    one, other = Runner(alone), Runner(alone)
    assert one.line() == other.line() == "ready"
    where = place(alone)
    assert where["started"] == "run"
    assert (alone.parent / "data" / "tokenman.pid").read_text() == str(where["pid"])
    assert one.call() == other.call() == "200"
    one.process.kill()
    one.process.communicate()
    assert other.call() == "200"
    assert place(alone) == where
    assert "tokenman: 2 calls, 2 values masked, " in other.end()
    port = int(where["proxy"].rpartition(":")[2])
    until(lambda: not listens(port))
    until(lambda: not (alone.parent / "data" / "instance.json").exists())
    assert not (alone.parent / "data" / "tokenman.pid").exists()
    log = alone.parent / "data" / "run.log"
    assert log.stat().st_mode & 0o777 == 0o600
    assert "Traceback" not in log.read_text()
    assert MAIL not in log.read_text()


class Stranger:
    """Has a port, and answers whatever it is asked with 200. What it was told is kept."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self.told = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                self.told += client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + b"0" * 64)

    def stop(self) -> None:
        self._listener.close()


@pytest.fixture
def strangers(alone: Path) -> Iterator[list[Stranger]]:
    document = json.loads(alone.read_text())
    ports = [int(address.rpartition(":")[2]) for address in (document["listen"], document["admin"]["listen"])]
    found = [Stranger(port) for port in ports]
    yield found
    for stranger in found:
        stranger.stop()


def test_strangers_on_our_ports_are_told_nothing_and_the_run_has_ports_of_its_own(
    alone: Path, strangers: list[Stranger], provider: FakeProvider
) -> None:
    document = json.loads(alone.read_text())
    data = alone.parent / "data"
    data.mkdir(mode=0o700)
    stale = {
        "pid": os.getpid(),
        "proxy": document["listen"],
        "admin": document["admin"]["listen"],
        "version": "1",
        "started": "up",
    }
    (data / "instance.json").write_text(json.dumps(stale))  # of one that was killed, and whose ports they took
    (data / "tokenman.pid").write_text(str(os.getpid()))
    runner = Runner(alone)
    assert runner.line() == "ready"
    assert runner.call() == "200"
    where = place(alone)
    assert where["proxy"] != document["listen"]
    assert where["admin"] != document["admin"]["listen"]
    said = runner.end()
    assert f"tokenman: {document['listen']} is another program's; this run's proxy is at {where['proxy']}" in said
    assert "tokenman: 1 call, 1 value masked, " in said
    told = b"".join(stranger.told for stranger in strangers)
    assert b"/.tokenman/proof?nonce=" in told  # it was asked
    for secret in ("admin-token", "secret"):
        assert (data / secret).read_bytes().strip() not in told
    assert b"authorization" not in told.lower()


def test_a_proxy_that_cannot_start_is_said_with_the_reason_and_the_program_is_not_run(alone: Path) -> None:
    done = tokenman(alone, "run", "--", "echo", "it ran", environ={"SSL_CERT_FILE": "/nowhere/roots.pem"})
    assert (done.returncode, done.stdout) == (2, "")
    assert "SSL_CERT_FILE names /nowhere/roots.pem" in done.stderr
    alone.write_text(alone.read_text().replace('"admin"', '"adnim"'))
    done = tokenman(alone, "run", "--", "echo", "it ran")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean admin" in done.stderr


def test_a_proxy_that_is_killed_under_a_program_is_said_at_once_and_its_port_is_kept(
    alone: Path, provider: FakeProvider
) -> None:
    runner, other = Runner(alone), Runner(alone)
    assert runner.line() == other.line() == "ready"
    assert runner.call() == "200"
    where = place(alone)
    os.kill(where["pid"], signal.SIGKILL)
    until(lambda: runner.call() == "503")  # the dying one may still have taken a connection
    assert [runner.call() for _ in range(3)] == ["503"] * 3
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", int(where["proxy"].rpartition(":")[2])))
    answer = httpx.post(f"http://{where['proxy']}/v1/messages", content=b"x" * (1 << 18))
    assert answer.json()["error"]["type"] == answer.headers["x-tokenman-error"] == "shutdown"
    said, at_the_end = runner.end().splitlines()[-2:]
    assert "its calls are refused from now on" in said
    assert "the calls cannot be summed up" in at_the_end
    assert other.call() == "503"  # the port is kept for as long as one of them lives
    other.end()
    again = Runner(alone)  # nothing that it left behind is in the way
    assert again.line() == "ready"
    assert again.call() == "200"
    assert "tokenman: 1 call, " in again.end()


def test_a_program_whose_proxys_port_a_stranger_took_is_ended_before_it_calls_there(alone: Path) -> None:
    script = "import time; print('ready', flush=True); time.sleep(99)"
    process = subprocess.Popen(
        words(alone, "run", "--", sys.executable, "-c", script), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(alone.parent),
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    where = place(alone)
    os.kill(process.pid, signal.SIGSTOP)  # so that the stranger is sure to be first
    os.kill(where["pid"], signal.SIGKILL)
    port = int(where["proxy"].rpartition(":")[2])
    until(lambda: not listens(port))
    stranger = Stranger(port)
    os.kill(process.pid, signal.SIGCONT)
    try:
        _, said = process.communicate(timeout=WAIT_S)
    finally:
        stranger.stop()
    assert process.returncode == 128 + signal.SIGTERM
    assert f"{where['proxy']} is another program's now: python" in said


def test_the_proxy_stays_as_long_as_a_program_lives_whose_run_was_killed(alone: Path, provider: FakeProvider) -> None:
    runner = Runner(alone)
    assert runner.line() == "ready"
    where = place(alone)
    runner.process.kill()
    runner.process.wait()
    time.sleep(3 * GRACE_S)  # longer than it would stay without a user
    assert runner.call() == "200"
    assert place(alone) == where
    assert runner.process.stdin is not None
    runner.process.stdin.close()
    until(lambda: not listens(int(where["proxy"].rpartition(":")[2])))


# -- one instance a data folder --


def test_of_two_starts_at_once_one_survives_and_the_other_says_who_runs(alone: Path, provider: FakeProvider) -> None:
    both = [
        subprocess.Popen(
            words(alone, "up"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(alone.parent)
        )
        for _ in range(2)
    ]
    try:
        until(lambda: any(one.poll() is not None for one in both))
        (ended,) = [one for one in both if one.poll() is not None]
        (lives,) = [one for one in both if one is not ended]
        _, said = ended.communicate()
        assert ended.returncode == 3
        assert "tokenman: another tokenman is " in said
        assert "Traceback" not in said
        port = int(json.loads(alone.read_text())["listen"].rpartition(":")[2])
        until(lambda: (alone.parent / "data" / "instance.json").exists())
        assert place(alone)["pid"] == lives.pid
        assert listens(port)
        late = tokenman(alone, "up")
        assert late.returncode == 3
        assert f"is running already, process {lives.pid}: " in late.stderr
        elsewhere = tokenman(alone, "up", "--listen", f"127.0.0.1:{free_ports(1)[0]}")
        assert elsewhere.returncode == 3
        assert listens(port)
    finally:
        for one in both:
            one.terminate()
        for one in both:
            one.communicate(timeout=WAIT_S)
    assert lives.returncode == 0
    assert not (alone.parent / "data" / "tokenman.pid").exists()


def test_mitmdump_holds_the_folder_too_and_a_run_joins_it(
    shared_provider: FakeProvider, provider: FakeProvider, tmp_path: Path
) -> None:
    running = Proxy.start(tmp_path, shared_provider.url, tool="mitmdump")
    configuration = tmp_path / "tokenman.yaml"
    try:
        assert (running.data / "tokenman.pid").read_text() == str(running.process.pid)
        done = tokenman(configuration, "run", "--", sys.executable, "-c", CALLS, entered="go\n")
        assert done.stdout == "ready\n200\n"
        assert "tokenman: 1 call, " in done.stderr
        assert running.process.poll() is None
    finally:
        running.stop()
    assert not (running.data / "tokenman.pid").exists()
