"""One detection worker, seen from the proxy: a process, the pipes to it, and what it was told."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import tokenman_core
from tokenman_core.redaction.detectors.options import Options
from tokenman_core.redaction.entities import Findings
from tokenman_core.redaction.frames import LENGTH, MAX_FRAME, READY, Answer, pack_gate, pack_options

COMMAND = (sys.executable, "-P", "-m", "tokenman_core.redaction.worker")
GONE = (OSError, EOFError, asyncio.IncompleteReadError, ValueError)  # TimeoutError is an OSError
"""What is raised of a worker that is gone, hangs or talks nonsense."""
_LOADING_S = 60.0  # until a worker has made its detectors: a model of names takes seconds


class Worker:
    """Its methods raise one of GONE where it does not do as it is told: then it is to be ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._in, self._out = process.stdin, process.stdout
        self._options: Options | None = None
        self._has_gate = False

    @classmethod
    async def spawn(cls, command: Sequence[str]) -> "Worker":
        """A fresh process, never a fork: it inherits no socket, so it cannot keep a port open."""
        root = str(Path(tokenman_core.__file__).parent.parent)
        inherited = os.environ.get("PYTHONPATH")
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # a traceback may hold what it was given
            env={**os.environ, "PYTHONPATH": root + (os.pathsep + inherited if inherited else "")},
            start_new_session=True,
        )
        return cls(process)

    async def prepare(self, options: Options, database: bytes | None) -> None:
        """Have it make its detectors from these options, behind the gate of this database; what it has, it is not told again."""
        if database is not None and not self._has_gate:
            self._in.writelines(pack_gate(database))
            self._has_gate = True
        if options == self._options:
            return
        self._options = None
        self._in.write(pack_options(options))
        await self._in.drain()
        async with asyncio.timeout(_LOADING_S):
            if await self._read() != READY[LENGTH.size :]:
                raise EOFError
        self._options = options

    async def ask(self, job: Sequence[bytes], texts: int) -> list[Findings]:
        """The findings of a job's texts; `job`: the pieces of its frame."""
        self._in.writelines(job)
        await self._in.drain()
        answer = Answer(texts)
        while not answer.add(await self._read()):  # noqa: ASYNC110 others get their turn between two frames
            await asyncio.sleep(0)
        return answer.found

    async def _read(self) -> bytes:
        """The next frame, without its length."""
        (size,) = LENGTH.unpack(await self._out.readexactly(LENGTH.size))
        if size > MAX_FRAME:
            raise EOFError
        return await self._out.readexactly(size)

    async def end(self) -> int:
        """Its exit status; negative if it was killed."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self._in.close()
        with contextlib.suppress(*GONE):
            await self._in.wait_closed()
        return await self.process.wait()
