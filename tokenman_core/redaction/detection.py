"""Detection as the proxy calls it: what trips nothing is judged at once, everything else by a worker process."""

import asyncio
import contextlib
import contextvars
import hashlib
import logging
import os
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import tokenman_core
from tokenman_core.redaction.detectors.custom import Patterns
from tokenman_core.redaction.detectors.gate import Gate, make_gate, trips
from tokenman_core.redaction.detectors.options import PLAIN, Options
from tokenman_core.redaction.entities import Findings, Text
from tokenman_core.redaction.frames import LENGTH, MAX_FRAME, READY, pack_options, pack_texts, unpack_findings

log = logging.getLogger("tokenman.redaction")

COMMAND = (sys.executable, "-P", "-m", "tokenman_core.redaction.worker")
INLINE = 16 * 1024  # characters of a request's fresh text that the gate may look at on the event loop: well under 1 ms
BATCH = 128 * 1024  # characters that go to a worker at once
_S_PER_CHARACTER = 3e-6  # more time for more text: three times what a text dense in values takes
_DEATHS = 2  # a job that so many workers died of is not tried again
_REMEMBERED = 256  # such jobs
_LOADING_S = 60.0  # until a worker has made its detectors: a model of names takes seconds
_RESPAWN_S = 1.0  # between two workers that died without having been given anything


class WorkerUnavailable(Exception):
    """No worker could judge the text in time: too many wait, or none comes up. The call must be refused, and may be retried."""


class TextRefused(Exception):
    """Workers die of this text. The call must be refused, for good."""


class _Job:
    """Texts on their way to a worker and back. `name`: a digest of them, to know them again."""

    __slots__ = ("answer", "context", "deaths", "name", "options", "size", "texts")

    def __init__(self, texts: Sequence[Text], options: Options) -> None:
        self.texts = texts
        self.options = options
        self.size = sum(len(text) for text, _ in texts)
        name = hashlib.blake2b(options.digest, digest_size=16)
        for text, key in texts:
            name.update(f"{len(text)} {len(key)} {key}{text}".encode("utf-8", "surrogatepass"))
        self.name = name.digest()
        self.deaths = 0
        self.context = contextvars.copy_context()  # of the call: what is told of the job is told of it
        self.answer: asyncio.Future[list[Findings]] = asyncio.get_running_loop().create_future()


def _batches(texts: Sequence[Text], places: Sequence[int]) -> Iterator[list[int]]:
    """The places in groups of about BATCH characters of text."""
    batch: list[int] = []
    size = 0
    for place in places:
        batch.append(place)
        size += len(texts[place].text)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Worker:
    """One process and the pipes to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._in, self._out = process.stdin, process.stdout
        self._options: Options | None = None

    @classmethod
    async def spawn(cls, command: Sequence[str]) -> "_Worker":
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

    async def read(self) -> bytes:
        """The next frame, without its length. Raises EOFError if the worker is gone or talks nonsense."""
        (size,) = LENGTH.unpack(await self._out.readexactly(LENGTH.size))
        if size > MAX_FRAME:
            raise EOFError
        return await self._out.readexactly(size)

    async def configure(self, options: Options) -> None:
        """Have the worker make its detectors from these; nothing to do if it has. Raises one of _GONE if it cannot."""
        if options == self._options:
            return
        self._options = None
        self._in.write(pack_options(options))
        await self._in.drain()
        async with asyncio.timeout(_LOADING_S):
            if await self.read() != READY[LENGTH.size :]:
                raise EOFError
        self._options = options

    async def ask(self, texts: Sequence[Text]) -> list[Findings]:
        self._in.writelines(pack_texts(texts))
        await self._in.drain()
        found = unpack_findings(await self.read())
        if len(found) != len(texts):
            raise EOFError
        return found

    async def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self._in.close()
        with contextlib.suppress(*_GONE):
            await self._in.wait_closed()
        await self.process.wait()


_GONE = (OSError, EOFError, asyncio.IncompleteReadError, ValueError)  # TimeoutError is an OSError


class Detection:
    """The way to the detectors. `start` before the first call, `close` at the end; calls that come early wait.

    `deadline_s` bounds the wait for an answer, `waiting` the jobs in the queue, `judging_s` the time of a worker over one job,
    both with more for more text. A worker that takes longer, or is stopped, is killed and replaced, and its job tried once more.
    """

    def __init__(
        self,
        workers: int = 1,
        deadline_s: float = 20.0,
        judging_s: float = 5.0,
        waiting: int = 256,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._workers = workers
        self._deadline_s = deadline_s
        self._judging_s = judging_s
        self._command = command
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(waiting)
        self._retry: list[_Job] = []
        self._refused: OrderedDict[bytes, None] = OrderedDict()
        self._gate: Gate | None = None
        self._options = PLAIN
        self._custom = Patterns(())
        self._ready = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._processes: dict[int, int] = {}

    async def start(self) -> None:
        """Spawn the workers and compile the gate; returns once the gate stands, before the workers are ready.

        Called again it does nothing.
        """
        if self._tasks:
            return
        self._tasks = [asyncio.create_task(self._attend(number)) for number in range(self._workers)]
        self._gate = await asyncio.to_thread(make_gate)

    def configure(self, options: Options) -> None:
        """Judge by these from the next call on. Raises BadPattern, and then nothing has changed.

        Workers follow when they next have something to do, one by one; a call that waits for that waits within its deadline.
        """
        if options != self._options:
            self._custom = Patterns(options.recognizers)
            self._options = options

    async def ready(self) -> None:
        """Wait until a worker has everything loaded."""
        await self._ready.wait()

    @property
    def is_ready(self) -> bool:
        """Whether a worker is there that has everything loaded."""
        return self._ready.is_set()

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def pids(self) -> list[int]:
        """The processes of the living workers."""
        return list(self._processes.values())

    def under(self, options: Options) -> "Under":
        """The way to the detectors by these options, whatever holds for others by then. Raises BadPattern."""
        return Under(self, options)

    async def find(self, texts: Sequence[Text]) -> list[Findings]:
        """The findings of each text. Raises WorkerUnavailable or TextRefused: then nothing may be sent."""
        return await self.judge(texts, self._options, self._custom)

    async def judge(self, texts: Sequence[Text], options: Options, custom: Patterns) -> list[Findings]:
        """The same by other options than those that hold now; `custom` are the patterns of their recognisers."""
        found: list[Findings] = [()] * len(texts)
        gate = self._gate
        asking: Sequence[int] = range(len(texts))
        if gate is not None and sum(len(text) for text, _ in texts) <= INLINE // (1 + len(custom)):
            asking = [place for place in asking if trips(gate, *texts[place], custom, options.ner != "off")]
        # Batch after batch, so that a large request does not keep the others waiting until all of it is judged.
        for batch in _batches(texts, asking):
            answers = await self._ask([texts[place] for place in batch], options)
            for place, findings in zip(batch, answers, strict=True):
                found[place] = findings
        return found

    async def _ask(self, texts: Sequence[Text], options: Options) -> list[Findings]:
        job = _Job(texts, options)
        if job.name in self._refused:
            raise TextRefused
        if not self._tasks:
            raise WorkerUnavailable
        try:
            self._jobs.put_nowait(job)
        except asyncio.QueueFull:
            raise WorkerUnavailable from None
        try:
            async with asyncio.timeout(self._deadline_s + job.size * _S_PER_CHARACTER):
                return await job.answer
        except TimeoutError:
            raise WorkerUnavailable from None

    async def _attend(self, number: int) -> None:
        """Keep one worker alive and bring it one job at a time, so that it is known which job it died of."""
        worker: _Worker | None = None
        try:
            while True:
                worker = await self._bring_up(number)
                with contextlib.suppress(*_GONE):
                    while True:
                        await self._serve(worker)
                self._processes.pop(number, None)
                self._ready.clear()
                await worker.end()
        finally:
            if worker is not None:
                self._processes.pop(number, None)
                await worker.end()

    async def _bring_up(self, number: int) -> _Worker:
        while True:
            worker: _Worker | None = None
            try:
                worker = await _Worker.spawn(self._command)
                self._processes[number] = worker.process.pid
                await worker.configure(self._options)
                self._ready.set()
                return worker
            except _GONE:
                pass
            except asyncio.CancelledError:
                if worker is not None:
                    await worker.end()
                raise
            log.error("the detection worker does not come up; calls that need it are refused until it does")
            self._processes.pop(number, None)
            if worker is not None:
                await worker.end()
            await asyncio.sleep(_RESPAWN_S)

    async def _serve(self, worker: _Worker) -> None:
        """One job from the queue to its answer. Raises one of _GONE if the worker did not survive it."""
        job = self._retry.pop() if self._retry else await self._next(worker)
        if job.answer.done():
            return  # its caller has left
        try:
            await worker.configure(job.options)
        except _GONE:
            self._retry.append(job)  # it is not to blame
            raise EOFError from None
        try:
            async with asyncio.timeout(self._judging_s + job.size * _S_PER_CHARACTER):
                found = await worker.ask(job.texts)
        except (*_GONE, TimeoutError):
            job.deaths += 1
            if job.deaths < _DEATHS:
                self._retry.append(job)
            else:
                self._refused[job.name] = None
                if len(self._refused) > _REMEMBERED:
                    self._refused.popitem(last=False)
                if not job.answer.done():
                    job.answer.set_exception(TextRefused())
            job.context.run(log.warning, "the detection worker died of a text and is replaced")
            raise EOFError from None
        if not job.answer.done():
            job.answer.set_result(found)

    async def _next(self, worker: _Worker) -> _Job:
        """The next job; a worker that dies while it has nothing to do is noticed at once."""
        job = asyncio.ensure_future(self._jobs.get())
        death = asyncio.ensure_future(worker.process.wait())
        try:
            await asyncio.wait((job, death), return_when=asyncio.FIRST_COMPLETED)
            if job.done():
                return job.result()
            raise EOFError
        finally:
            job.cancel()
            death.cancel()


class Under:
    """The way to the detectors by options of its own: a call keeps those that it began with."""

    def __init__(self, detection: Detection, options: Options) -> None:
        self._detection, self._options, self._custom = detection, options, Patterns(options.recognizers)

    async def find(self, texts: Sequence[Text]) -> list[Findings]:
        """As `Detection.find`."""
        return await self._detection.judge(texts, self._options, self._custom)
