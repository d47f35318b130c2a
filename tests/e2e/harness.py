"""The real proxy as a child process, and what the tests plant into calls and look for afterwards."""

import base64
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anthropic
import openai

from addons.demo.provider import FakeProvider, Received
from addons.demo.provider.script import PLACEHOLDER
from tokenman_core.secret import write_private

ROOT = Path(__file__).resolve().parents[2]
Tool = Literal["up", "web", "mitmdump", "mitmweb"]
READY_S = 30.0  # a start takes about two seconds; two of them beside other tests on two cores take longer
END_S = 15.0

ANTHROPIC_KEY = "sk-ant-api03-the-callers-own-key"
OPENAI_KEY = "sk-the-callers-own-key"
BODY_LIMIT = 256 * 1024

# Each proxy has a data folder of its own, but all have one secret, and hand on the gate that the first of them has compiled:
# else each of a hundred would spend most of a second of a processor on it.
SECRET = hashlib.sha256(b"of the installations in tests").hexdigest().encode()
GATE = "gate.db"
_HANDED_ON = ROOT / ".pytest_cache" / "d" / GATE


def _letters(seed: str, count: int) -> str:
    """Letters and digits without a pattern, the same in each run."""
    made = "".join(
        base64.b64encode(hashlib.sha512(f"{seed}{index}".encode()).digest(), b"xY").decode().rstrip("=")
        for index in range(-(-count // 86))
    )
    return made[:count]


PLANTED = {
    "e-mail": "jane.doe@corp-mail.com",
    "phone": "+1 650-253-0000",
    "card": "4539 1488 0343 6467",
    "ssn": "536-22-8765",
    "iban": "DE89 3704 0044 0532 0130 00",
    "ip": "85.214.132.117",
    "anthropic": "sk-ant-api03-" + _letters("anthropic", 93) + "AA",
    "openai": "sk-proj-" + _letters("openai", 74) + "T3BlbkFJ" + _letters("OPENAI", 74),
    "github": "ghp_" + _letters("github", 36),
    "aws": "AKIA" + base64.b32encode(hashlib.sha256(b"aws").digest()).decode()[:16],
    "google": "AIza" + _letters("google", 35),
    "slack": "xoxb-482938472938-4829384729384-" + _letters("slack", 24),
    "stripe": "sk_live_" + _letters("stripe", 24),
    "password": "Tr0ub4dor&3-horse",
}
"""What must never reach a provider, a file or the log, by a word for what it is."""

SENTENCES = {
    "phone": "call me at {}",
    "card": "my card is {}",
    "ssn": "my social security number is {}",
    "ip": "the server's address is {}",
    "password": "the password is {}",
}
"""How a person would say it, where a bare value would be nobody's data."""


def said(name: str) -> str:
    return SENTENCES.get(name, "this is it: {}").format(PLANTED[name])


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, each other's neighbours neither: all are held until the last is chosen."""
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    return ports


def command(tool: Tool, configuration: Path, *scripts: Path) -> list[str]:
    if tool in ("up", "web"):
        return [sys.executable, "-m", "addons.cli.main", tool, "--config", str(configuration)]
    script = ["-s", str(ROOT / "addons" / "tokenman.py"), "--set", f"tokenman_config={configuration}"]
    script += [word for path in scripts for word in ("-s", str(path))]
    binary = str(Path(sys.executable).parent / tool)
    if tool == "mitmdump":
        return [binary, *script]
    return [binary, *script, "--set", "web_open_browser=false", "--set", f"web_port={free_ports(1)[0]}"]


class OnlyH2(ssl.SSLContext):
    """httpcore offers http/1.1 first, and that is what is then spoken: `http2=True` alone would test HTTP/1.1."""

    def set_alpn_protocols(self, _: object) -> None:
        super().set_alpn_protocols(["h2"])


@dataclass(eq=False)
class Proxy:
    """A running proxy. `settings` are written as its file; a provider's well-known hosts are served from `base_url`."""

    process: subprocess.Popen[bytes]
    port: int
    admin_port: int
    home: Path
    log_path: Path

    @classmethod
    def start(
        cls,
        folder: Path,
        base_url: str,
        *,
        tool: Tool = "up",
        environment: dict[str, str] | None = None,
        scripts: Iterable[Path] = (),
        arguments: Iterable[str] = (),
        **settings: Any,
    ) -> "Proxy":
        port, admin_port = free_ports(2)
        home = folder / "home"
        home.mkdir()
        _furnish(folder / "data")
        document: dict[str, Any] = {
            "listen": f"127.0.0.1:{port}",
            "data_dir": str(folder / "data"),
            "admin": {"listen": f"127.0.0.1:{admin_port}"},
            "providers": {
                "anthropic": {"base_url": base_url},
                "openai": {"base_url": base_url},
                "codex": {"base_url": base_url + "/backend-api/codex"},
            },
        }
        configuration = folder / "tokenman.yaml"
        configuration.write_text(json.dumps(document | settings))  # JSON is YAML
        log_path = folder / "log"
        passed = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [*command(tool, configuration, *scripts), *arguments],
                cwd=home,
                env=passed
                | {"HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
                | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        proxy = cls(process, port, admin_port, home, log_path)
        try:
            proxy._await_health()
        except BaseException:
            process.kill()
            process.wait()
            raise
        return proxy

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def data(self) -> Path:
        return self.home.parent / "data"

    @property
    def certificate(self) -> Path:
        return self.data / "ca" / "tokenman-ca.pem"

    def trust(self, *, only_h2: bool = False) -> ssl.SSLContext:
        """What a client trusts that goes through it: its authority alone."""
        context = OnlyH2(ssl.PROTOCOL_TLS_CLIENT) if only_h2 else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.certificate)
        return context

    def _await_health(self) -> None:
        deadline = time.monotonic() + READY_S
        while True:
            if self.process.poll() is not None:
                raise AssertionError(f"the proxy ended with {self.process.returncode}:\n{self.log}")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=2)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise AssertionError(f"the proxy was not healthy in {READY_S} s:\n{self.log}")
            time.sleep(0.05)

    def stop(self, *, tracebacks: bool = False) -> None:
        """Ends it as a service manager would, and holds it to its promises: exit 0, no traceback, nothing planted left.

        With `tracebacks` those of a user's script are allowed.
        """
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the proxy did not end within {END_S} s of SIGTERM:\n{self.log}") from None
        assert code == 0, f"the proxy ended with {code}:\n{self.log}"
        _hand_on(self.data)
        assert tracebacks or "Traceback" not in self.log, self.log
        assert not (found := self.found_on_disk()), f"planted values on disk: {found}"

    def found_on_disk(self, values: Iterable[str] = tuple(PLANTED.values())) -> list[tuple[str, str]]:
        """Which of the values stand in which file of its data folder, its home, or its log."""
        files = [self.log_path, *(path for top in (self.data, self.home) for path in top.rglob("*") if path.is_file())]
        return [
            (value, str(path))
            for path in files
            for content in [path.read_bytes()]
            for value in values
            if any(form in content for form in forms(value))
        ]


def _furnish(data: Path) -> None:
    """As a start before would have left it."""
    if not data.exists():
        data.mkdir(mode=0o700)
        write_private(data / "secret", SECRET)
        if _HANDED_ON.exists():
            write_private(data / GATE, _HANDED_ON.read_bytes())


def _hand_on(data: Path) -> None:
    """One that a proxy has made anew, because there was none, or the patterns have changed since."""
    if (data / GATE).exists() and (data / "secret").read_bytes() == SECRET:
        made = (data / GATE).read_bytes()
        if not _HANDED_ON.exists() or _HANDED_ON.read_bytes() != made:
            _HANDED_ON.parent.mkdir(parents=True, exist_ok=True)
            write_private(_HANDED_ON, made)


def forms(value: str) -> set[bytes]:
    """A value as it could lie in bytes: as it is, without its spaces, in base64."""
    bare = value.replace(" ", "").replace("-", "") if value[0].isdigit() or value[0] == "+" else value
    plain = {value.encode(), value.replace(" ", "").encode(), bare.encode()}
    return plain | {base64.b64encode(one).rstrip(b"=")[:-1] for one in plain}


Way = Literal["base_url", "proxy"]
WAYS: tuple[Way, ...] = ("base_url", "proxy")


def claude(proxy: Proxy, way: Way = "base_url", **options: Any) -> anthropic.Anthropic:
    """Anthropic's own package, pointed at the proxy in one of the two ways."""
    options = {"api_key": ANTHROPIC_KEY, "max_retries": 0, "timeout": 20.0} | options
    if way == "base_url":
        return anthropic.Anthropic(base_url=proxy.url, **options)
    client = anthropic.DefaultHttpxClient(proxy=proxy.url, verify=proxy.trust(), trust_env=False)
    return anthropic.Anthropic(http_client=client, **options)


def gpt(proxy: Proxy, way: Way = "base_url", **options: Any) -> openai.OpenAI:
    """OpenAI's own package, pointed at the proxy in one of the two ways."""
    options = {"api_key": OPENAI_KEY, "max_retries": 0, "timeout": 20.0} | options
    if way == "base_url":
        return openai.OpenAI(base_url=proxy.url + "/v1", **options)
    client = openai.DefaultHttpxClient(proxy=proxy.url, verify=proxy.trust(), trust_env=False)
    return openai.OpenAI(http_client=client, **options)


def user(text: Any) -> Any:
    """A conversation of one turn."""
    return [{"role": "user", "content": text}]


def placeholders(received: Received) -> list[str]:
    return PLACEHOLDER.findall(received.decoded.decode())


def leaked(provider: FakeProvider) -> list[str]:
    """The planted values that the fake provider has seen, in whatever part of a request."""
    seen = b"\n".join(
        part
        for one in provider.received
        for part in (one.body, one.decoded, json.dumps([one.target, one.headers]).encode())
    )
    seen = seen.replace(ANTHROPIC_KEY.encode(), b"").replace(OPENAI_KEY.encode(), b"")
    escaped = {name: json.dumps(value)[1:-1].encode() for name, value in PLANTED.items()}
    return [name for name, value in PLANTED.items() if any(form in seen for form in forms(value) | {escaped[name]})]
