"""What runs in this process besides the calls: each task says here that it is alive, so that one that died or hangs is named.

One registry for the process: a task that is added anywhere is listed by readiness and metrics without being named there.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tokenman_core.errors import trace

log = logging.getLogger("tokenman.background")

IDLE_S = 30.0
"""Tasks that wait for work look up this often at least, so that one that waits is told from one that hangs."""

_MISSED = 3  # turns that may be missed
_SLACK_S = 30.0  # on a machine that is busy with something else


class Standing(NamedTuple):
    """Of a task: seconds since it last came round, how often it should, and what is wrong, "" for nothing."""

    age: float
    every: float
    trouble: str


class Task:
    """One that comes round every so many seconds. `age`: told elsewhere, as of work that is known by its success; None: not
    needed now.
    """

    def __init__(
        self, name: str, every: float, age: Callable[[], float | None] | None, monotonic: Callable[[], float]
    ) -> None:
        self.name, self.every = name, every
        self._told, self._monotonic = age, monotonic
        self._at = monotonic()
        self._died = ""

    def ran(self) -> None:
        """It has come round. From any thread; costs next to nothing."""
        self._at = self._monotonic()

    def over(self) -> None:
        """It has ended, as it should. Twice is as good as once."""
        with _lock:
            if _tasks.get(self.name) is self:
                del _tasks[self.name]

    def of(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """It is done by this one: if that is cancelled it is over, if it ends by itself it has died."""
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self.over()
            return
        error = task.exception()
        self._died = type(error).__name__ if error is not None else "it returned"
        log.error("the background task %s has ended: %s", self.name, trace(error) if error else self._died)

    def standing(self) -> Standing | None:
        age = max(0.0, self._monotonic() - self._at) if self._told is None else self._told()
        if age is None:
            return None
        trouble = f"has ended ({self._died})" if self._died else ""
        if not trouble and age > _MISSED * self.every + _SLACK_S:
            trouble = f"has not come round for {age:.0f} s, and should every {self.every:g} s"
        return Standing(age, self.every, trouble)


_tasks: dict[str, Task] = {}
_lock = threading.Lock()


def began(
    name: str,
    every: float,
    age: Callable[[], float | None] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Task:
    """A task begins; one of this name that there was is no longer listed."""
    task = Task(name, every, age, monotonic)
    with _lock:
        _tasks[name] = task
    return task


def standings() -> Mapping[str, Standing]:
    """Of each task that runs, or should, by its name."""
    with _lock:
        known = sorted(_tasks.items())
    return {name: found for name, task in known if (found := task.standing()) is not None}


def trouble() -> str | None:
    """What is wrong with any of them, and what to do; None for nothing."""
    wrong = [f"{name} {it.trouble}" for name, it in standings().items() if it.trouble]
    return f"{'; '.join(wrong)}; the log says more, and a new start helps" if wrong else None
