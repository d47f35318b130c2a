"""Runs things side by side, each within a bound: what hangs, as the lookup of a name can, is left behind and holds up nobody."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence


class Job[T]:
    """Gathers what `work` yields, on a thread of its own that does not keep the process from ending."""

    def __init__(self, work: Callable[[], Iterable[T]]) -> None:
        self._found: list[T] = []
        self._work, self._done = work, threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            for each in self._work():
                self._found.append(each)
        finally:
            self._done.set()

    def so_far(self, until: float) -> tuple[list[T], bool]:
        """What it has found, and whether that is all: at its end, or at a moment of the monotonic clock."""
        ended = self._done.wait(min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX))
        return [*self._found], ended


def side_by_side[T](tasks: Sequence[Callable[[], T]], until: float = math.inf) -> list[T | None]:
    """The result of each; None for those that are not over at a moment of the monotonic clock, and those that raised."""

    def one(task: Callable[[], T]) -> Callable[[], Iterable[T]]:
        return lambda: (each() for each in (task,))

    jobs = [Job(one(task)) for task in tasks]
    return [found[0] if found else None for found, _ in [job.so_far(until) for job in jobs]]
