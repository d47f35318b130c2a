"""Detection as the proxy calls it: what trips nothing is judged at once, everything else by a worker process."""

import asyncio
import contextvars
import hashlib
import logging
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Final, Literal

from tokenman_core import background
from tokenman_core.redaction.detectors.custom import Patterns
from tokenman_core.redaction.detectors.gate import Gate, HyperscanGate, Re2Gate, compile_database, trips
from tokenman_core.redaction.detectors.options import PLAIN, Options
from tokenman_core.redaction.entities import Findings, Text
from tokenman_core.redaction.fair import FairQueue, Full
from tokenman_core.redaction.frames import OUTGROWN, DetectorRaised, pack_texts
from tokenman_core.redaction.gate_file import GateFile
from tokenman_core.redaction.process import COMMAND, GONE, Worker

log = logging.getLogger("tokenman.redaction")

CALLER: ContextVar[str] = ContextVar("detection caller", default="")
"""Who asks, as anything that tells callers apart: they take turns at the workers."""

BATCH: Final = 64 * 1024  # characters that go to a worker at once
_ASIDE = 2 * BATCH  # and from which on packing them is left to a thread
_S_PER_CHARACTER = 3e-6  # more time for more text: three times what a text dense in values takes
_S_PER_CHARACTER_OF_NAMES = 3e-4  # a model reads 200 KB of prose a second, and of nothing but fields with names 10
_MODEL_S = 40.0  # for a model to be loaded where a call comes before that: seconds, many of them on a busy machine
_DEATHS = 2  # a job that so many workers died of is not tried again
_REMEMBERED = 256  # such jobs
_RESPAWN_S = 1.0  # between two workers that died without having been given anything
_CORES_A_WORKER = 4
_MOST_WORKERS = 4

Restart = Literal["died", "hung", "outgrown", "idle", "start"]
Refusal = Literal["full", "late", "poison", "absent"]


class WorkerUnavailable(Exception):
    """No worker could judge the text in time: too many wait, or none comes up. The call must be refused, and may be retried."""


class TextRefused(Exception):
    """Workers raise over this text, or die of it. The call must be refused, for good."""


class _Job:
    """Texts on their way to a worker and back, packed. `name`: a digest of them, to know them again."""

    __slots__ = ("answer", "caller", "context", "count", "deaths", "name", "options", "pieces", "since", "size")

    def __init__(self, texts: Sequence[Text], options: Options, size: int) -> None:
        self.pieces = pack_texts(texts)
        self.count = len(texts)
        self.options = options
        self.size = size
        name = hashlib.blake2b(options.digest, digest_size=16)
        for piece in self.pieces:
            name.update(piece)
        self.name = name.digest()
        self.deaths = 0
        self.caller = CALLER.get()
        self.since = time.monotonic()

    def begin(self) -> None:
        """To be called on the event loop: a job is made aside where it is large."""
        self.context = contextvars.copy_context()  # of the call: what is told of the job is told of it
        self.answer: asyncio.Future[list[Findings]] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


def _batches(texts: Sequence[Text], places: Sequence[int]) -> Iterator[tuple[list[int], int]]:
    """The places in groups of about BATCH characters of text, and how many each has."""
    batch: list[int] = []
    size = 0
    for place in places:
        batch.append(place)
        size += len(texts[place].text)
        if size >= BATCH:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size


def more_time(options: Options, characters: int) -> float:
    """The seconds that a worker is given for so much text, on top of those that any text has."""
    return characters * (_S_PER_CHARACTER if options.ner == "off" else _S_PER_CHARACTER_OF_NAMES)


def workers_for(cores: int | None) -> int:
    """How many workers a machine of so many cores has: one fills a core at some 3 MB of fresh text a second."""
    return max(1, min(_MOST_WORKERS, (cores or 1) // _CORES_A_WORKER))


class Detection:
    """The way to the detectors. `start` before the first call, `close` at the end; calls that come early wait.

    `workers`: 0 for as many as fit the machine. `deadline_s` bounds the wait for an answer, `waiting` the jobs in the queue,
    which callers fill and leave in turns, `judging_s` the time of a worker over one job; the times are longer for more text, and
    where names are looked for. A worker that takes longer, or is stopped, is killed and replaced, and its job tried once more.
    `kept`: where the fastest gate's database is kept from one start to the next; None: it is compiled at each.

    `restarts`: how many workers took the place of another, by what became of that one. `refused`: how many texts, by the
    reason. `gate`: the one that looks at texts here; None before the start. `on_wait` is told the seconds that each job waited.
    """

    def __init__(
        self,
        workers: int = 0,
        deadline_s: float = 20.0,
        judging_s: float = 5.0,
        waiting: int = 256,
        command: Sequence[str] = COMMAND,
        kept: GateFile | None = None,
    ) -> None:
        self._workers = workers or workers_for(os.cpu_count())
        self._deadline_s = deadline_s
        self._judging_s = judging_s
        self._command = command
        self._kept = kept
        self._started = False
        self._jobs: FairQueue[_Job] = FairQueue(waiting)
        self._retry: list[_Job] = []
        self._refused: OrderedDict[bytes, None] = OrderedDict()
        self.gate: Gate | None = None
        self._database: bytes | None = None
        self._options = PLAIN
        self._custom = Patterns(())
        self._up: set[int] = set()
        self._ready = asyncio.Event()
        self._changed = asyncio.Event()  # set, and another one put in its place, when the options change
        self._tasks: list[asyncio.Task[None]] = []
        self._alive: list[background.Task] = []
        self._processes: dict[int, int] = {}
        self.restarts: Counter[Restart] = Counter()
        self.refused: Counter[Refusal] = Counter()
        self.on_wait: Callable[[float], None] = lambda seconds: None

    async def start(self) -> None:
        """Spawn the workers and make a gate: the fastest, or the one that stands in until that is compiled; waits for neither.

        Called again it does nothing.
        """
        if self._started:
            return
        self._started = True
        self._database, self.gate = await asyncio.to_thread(self._first_gate)
        self._alive = [
            background.began(f"detection_worker_{number}", 2 * background.IDLE_S) for number in range(self._workers)
        ]
        self._tasks = [it.of(asyncio.create_task(self._attend(number))) for number, it in enumerate(self._alive)]
        if self._database is None:
            self._tasks.append(asyncio.create_task(self._compile()))

    def _first_gate(self) -> tuple[bytes | None, Gate]:
        try:
            database = None if self._kept is None else self._kept.read()
            if database is not None:
                return database, HyperscanGate(database)
        except Exception:  # whatever it does not like about this machine: it is compiled anew
            log.info("the compiled gate that was kept cannot be used here and is made anew")
        return None, Re2Gate()

    async def _compile(self) -> None:
        """Once the start is over: compiling takes a second of a processor's time, and RE2's gate stands in."""
        await self._ready.wait()
        try:
            database = await asyncio.to_thread(compile_database)
            if database is None:
                return
            self.gate = await asyncio.to_thread(HyperscanGate, database)
            self._database = database
            self._tell()  # the workers at once, not with the next call
        except Exception:  # whatever it does not like about this machine: the other gate judges the same
            log.warning("Hyperscan cannot be used here; detection goes on without it, and takes more time")
            return
        if self._kept is not None:
            try:
                await asyncio.to_thread(self._kept.write, database)
            except OSError as error:
                log.info("the compiled gate cannot be kept for the next start: %s", error.strerror)

    def configure(self, options: Options) -> None:
        """Judge by these from the next call on. Raises BadPattern, and then nothing has changed.

        Workers follow at once, or after the job that they are at: a model of names takes seconds to load. A call that comes
        before that waits within its deadline.
        """
        if options != self._options:
            self._custom = Patterns(options.recognizers)
            self._options = options
            self._tell()

    def _tell(self) -> None:
        """Have idle workers follow what has changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def ready(self) -> None:
        """Wait until a worker has everything loaded."""
        await self._ready.wait()

    @property
    def is_ready(self) -> bool:
        """Whether a worker is there that has everything loaded."""
        return bool(self._up)

    @property
    def up(self) -> int:
        """How many workers have everything loaded."""
        return len(self._up)

    @property
    def queued(self) -> int:
        """How many jobs wait for a worker."""
        return len(self._jobs) + len(self._retry)

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        self._started = False
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
        gate = self.gate
        asking: Sequence[int] = range(len(texts))
        if gate is not None and sum(len(text) for text, _ in texts) <= gate.inline // (1 + len(custom)):
            asking = [place for place in asking if trips(gate, *texts[place], custom, options.ner != "off")]
        # Batch after batch, so that a large request does not keep the others waiting until all of it is judged.
        for batch, size in _batches(texts, asking):
            answers = await self._ask([texts[place] for place in batch], options, size)
            for place, findings in zip(batch, answers, strict=True):
                found[place] = findings
        return found

    async def _ask(self, texts: Sequence[Text], options: Options, size: int) -> list[Findings]:
        job = _Job(texts, options, size) if size < _ASIDE else await asyncio.to_thread(_Job, texts, options, size)
        job.begin()
        if job.name in self._refused:
            raise self._refuse("poison", TextRefused())
        if not self._tasks:
            raise self._refuse("absent", WorkerUnavailable())
        try:
            crowded_out = self._jobs.put(job.caller, job)
        except Full:
            raise self._refuse("full", WorkerUnavailable()) from None
        if crowded_out is not None:
            crowded_out.fail(self._refuse("full", WorkerUnavailable()))
        try:
            async with asyncio.timeout(self._wait_s(job)):
                return await job.answer
        except TimeoutError:
            raise self._refuse("late", WorkerUnavailable()) from None
        finally:
            self._jobs.remove(job.caller, job)

    def _wait_s(self, job: _Job) -> float:
        """How long a job is waited for: two tries, and the loading of a model of names."""
        loading = 0.0 if job.options.ner == "off" else _MODEL_S
        return self._deadline_s + loading + 2 * more_time(job.options, job.size)

    def _refuse[E: Exception](self, why: Refusal, error: E) -> E:
        self.refused[why] += 1
        return error

    async def _attend(self, number: int) -> None:
        """Keep one worker alive and bring it one job at a time, so that it is known which job it died of."""
        worker: Worker | None = None
        try:
            while True:
                worker = await self._bring_up(number)
                became = await self._work(worker, number)
                self._up.discard(number)
                if not self._up:
                    self._ready.clear()
                status = await worker.end()
                self._processes.pop(number, None)
                self.restarts["outgrown" if status == OUTGROWN else became] += 1
        finally:
            self._up.discard(number)
            self._processes.pop(number, None)
            if worker is not None:
                await worker.end()

    async def _work(self, worker: Worker, number: int) -> Restart:
        """Job after job, until the worker is no more, and what became of it."""
        while True:
            try:
                job = self._retry.pop() if self._retry else await self._next(worker, number)
                self._alive[number].ran()
            except EOFError:
                return "idle"
            if job is None:
                try:
                    await worker.prepare(self._options, self._database)
                except GONE:
                    return "start"
                continue
            if job.answer.done():
                continue  # its caller has left
            self.on_wait(time.monotonic() - job.since)
            try:
                await worker.prepare(job.options, self._database)
            except GONE:
                self._retry.append(job)  # it is not to blame
                return "start"
            try:
                async with asyncio.timeout(self._judging_s + more_time(job.options, job.size)):
                    found = await worker.ask(job.pieces, job.count)
            except DetectorRaised as error:
                job.context.run(log.error, "the detection raised %s over a text, and its call is refused", error)
                self._poison(job)
                continue
            except GONE as error:
                if await worker.end() == OUTGROWN:
                    self._retry.append(job)
                    return "outgrown"
                self._died(job)
                return "hung" if isinstance(error, TimeoutError) else "died"
            if not job.answer.done():
                job.answer.set_result(found)

    def _died(self, job: _Job) -> None:
        """A worker died, or hung, over a job: it is tried once more, or refused for good."""
        job.deaths += 1
        if job.deaths < _DEATHS:
            self._retry.append(job)
        else:
            self._poison(job)
        job.context.run(log.warning, "the detection worker died of a text and is replaced")

    def _poison(self, job: _Job) -> None:
        """Refuse a job for good."""
        self._refused[job.name] = None
        if len(self._refused) > _REMEMBERED:
            self._refused.popitem(last=False)
        job.fail(self._refuse("poison", TextRefused()))

    async def _bring_up(self, number: int) -> Worker:
        while True:
            self._alive[number].ran()
            worker: Worker | None = None
            try:
                worker = await Worker.spawn(self._command)
                self._processes[number] = worker.process.pid
                await worker.prepare(self._options, self._database)
                self._up.add(number)
                self._ready.set()
                return worker
            except GONE:
                pass
            except asyncio.CancelledError:
                if worker is not None:
                    await worker.end()
                raise
            log.error("the detection worker does not come up; calls that need it are refused until it does")
            self._processes.pop(number, None)
            if worker is not None:
                await worker.end()
            self.restarts["start"] += 1
            await asyncio.sleep(_RESPAWN_S)

    async def _next(self, worker: Worker, number: int) -> _Job | None:
        """The next job, or None once the options have changed; raises EOFError if the worker dies while it has nothing to do."""
        job = asyncio.ensure_future(self._jobs.get())
        death = asyncio.ensure_future(worker.process.wait())
        change = asyncio.ensure_future(self._changed.wait())
        try:
            waited = (job, death, change)
            while not (await asyncio.wait(waited, timeout=background.IDLE_S, return_when=asyncio.FIRST_COMPLETED))[0]:
                self._alive[number].ran()
            if job.done():
                return job.result()
            if change.done():
                return None
            raise EOFError
        finally:
            job.cancel()
            death.cancel()
            change.cancel()


class Under:
    """The way to the detectors by options of its own: a call keeps those that it began with."""

    def __init__(self, detection: Detection, options: Options) -> None:
        self._detection, self._options, self._custom = detection, options, Patterns(options.recognizers)

    async def find(self, texts: Sequence[Text]) -> list[Findings]:
        """As `Detection.find`."""
        return await self._detection.judge(texts, self._options, self._custom)
