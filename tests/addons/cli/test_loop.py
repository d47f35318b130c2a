"""The proxy's event loop: a name server that never answers holds up nobody, the end of the process least of all."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from addons.cli import loop
from addons.cli.loop import Loop

HANGING = """
import asyncio, socket, sys, threading
from addons.cli.loop import Loop
hangs = threading.Event()
def never(*args):
    hangs.set()
    threading.Event().wait()
socket.getaddrinfo = never
async def main():
    asyncio.ensure_future(asyncio.get_running_loop().getaddrinfo("a.example", 443))
    await asyncio.to_thread(hangs.wait)
asyncio.run(main(), loop_factory=Loop)
print("ended")
"""


def test_a_look_up_that_hangs_does_not_keep_the_process() -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, env=environ, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "ended\n")


def test_names_are_looked_up_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(**more: Any) -> Any:
        return await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80, **more)

    async def wrong() -> None:
        await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80, family=-5)

    with asyncio.Runner(loop_factory=Loop) as runner:
        (found,) = runner.run(look(type=socket.SOCK_STREAM))
        assert found[4] == ("127.0.0.1", 80)
        with pytest.raises(OSError, match=r"family"):
            runner.run(wrong())
        assert runner.get_loop()._looking == 0  # type: ignore[attr-defined]
        monkeypatch.setattr(loop, "_MOST", 0)
        assert runner.run(look(type=socket.SOCK_STREAM)) == [found]
