"""Who carries it: bare mitmdump, and `tokenman up` of this checkout or of another one, each a process of its own."""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

ROOT = Path(__file__).parent.parent

Form = Literal["base", "proxy"]
"""`base`: origin-form to the listener itself. `proxy`: absolute form, as to a plain proxy."""

SETUPS = {
    "default": "",
    "off": (
        "redaction: {mode: 'off', secrets: 'off'}\ninjection: {mode: 'off'}\ncache: {mode: 'off'}\n"
        "compaction: {prompt_cache: 'off'}\n"
    ),
    "cache": "cache: {mode: deterministic, ttl: 1h, encrypt: 'off'}\n",
}
"""What stands in TokenMan's configuration besides where it listens and its provider."""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def cpu_of(process: psutil.Process) -> float:
    """Seconds of user and system time, with those of threads that have ended; Linux tells them to the nanosecond, and psutil
    in ticks of ten milliseconds, which is too coarse for a short round."""
    if sys.platform == "linux":
        return time.clock_gettime(
            (~process.pid << 3) | 2
        )  # the id of another process's clock, as clock_getcpuclockid makes it
    times = process.cpu_times()
    return float(times.user + times.system)


@dataclass
class Contender:
    name: str
    setup: str
    port: int
    process: subprocess.Popen[bytes]
    form: Form

    def cpu(self) -> float:
        """Seconds of the process and of all that it started, TokenMan's worker included."""
        top = psutil.Process(self.process.pid)
        return sum(cpu_of(each) for each in (top, *top.children(recursive=True)))


def mitmdump(folder: Path, upstream: int) -> Contender:
    """As a reverse proxy: 2 to 4 % cheaper for it than as a plain one, but for streams (1 % dearer)."""
    port = free_port()
    script = folder / "streams.py"  # without it stock mitmproxy holds a stream back until its end, which flatters it
    script.write_text(
        "def responseheaders(flow):\n"
        "    if flow.response.headers.get('content-type', '').startswith('text/event-stream'):\n"
        "        flow.response.stream = True\n"
    )
    beside = Path(sys.executable).parent / "mitmdump"
    found = str(beside) if beside.exists() else shutil.which("mitmdump") or "mitmdump"
    listen = ["--mode", f"reverse:http://127.0.0.1:{upstream}", "--listen-host", "127.0.0.1", "-p", str(port)]
    command = [found, "-q", *listen, "--set", f"confdir={folder}", "-s", str(script)]
    return Contender("mitmdump", "", port, subprocess.Popen(command), "base")


def tokenman(folder: Path, upstream: int, setup: str, form: Form, name: str, checkout: Path) -> Contender:
    """`checkout` is run by the interpreter of its own environment, unless it is this one."""
    port, admin = free_port(), free_port()
    config = folder / "tokenman.yaml"
    config.write_text(
        f"listen: 127.0.0.1:{port}\nadmin: {{listen: '127.0.0.1:{admin}'}}\ndata_dir: {folder}/data\n"
        f"telemetry: {{log: {{level: error}}}}\n{SETUPS[setup]}"
        f"providers: {{anthropic: {{base_url: 'http://127.0.0.1:{upstream}'}}}}\n"
    )
    python = sys.executable if checkout == ROOT else str(checkout / ".venv/bin/python")
    command = [python, "-m", "addons.cli.main", "up", "--config", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=checkout)
    return Contender(name, setup, port, process, form)


@contextmanager
def running(upstream: int, setups: Sequence[str], form: Form, against: Path | None) -> Iterator[list[Contender]]:
    checkouts = {"tokenman": ROOT} | ({"against": against.resolve()} if against else {})
    with tempfile.TemporaryDirectory() as folder:
        contenders = [mitmdump(_place(folder, "mitmdump"), upstream)]
        try:
            for name, checkout in checkouts.items():
                for setup in setups:
                    contenders.append(
                        tokenman(_place(folder, f"{name}-{setup}"), upstream, setup, form, name, checkout)
                    )
            for contender in contenders:
                wait_for(contender.port)
            yield contenders
        finally:
            for contender in contenders:
                contender.process.terminate()
            for contender in contenders:
                contender.process.wait(40)


def _place(folder: str, name: str) -> Path:
    place = Path(folder) / name
    place.mkdir()
    return place


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nothing listens on port {port}")
