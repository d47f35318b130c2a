"""A coroutine that has run up to where it first waits: what waits for nothing is done by then, and needs no timer around it."""

from collections.abc import Awaitable, Generator
from typing import Any


class Begun[T]:
    """To be awaited at once, in the task that began it, unless it is `done`; its `result` is there then.

    Raises what the coroutine raises, when it is made or when it is awaited.
    """

    __slots__ = ("_rest", "_waits_for", "done", "result")

    result: T

    def __init__(self, step: Awaitable[T]) -> None:
        self._rest: Any = step.__await__()
        self.done = False
        try:
            self._waits_for = self._rest.send(None)
        except StopIteration as end:
            self.done, self.result = True, end.value

    def __await__(self) -> Generator[Any, Any, T]:
        """As the `await` of a coroutine does (PEP 380), from its first wait on."""
        waits_for = self._waits_for
        while True:
            try:
                try:
                    said = yield waits_for
                except (
                    BaseException
                ) as e:  # whatever is thrown in belongs to the coroutine, a cancellation or its end too
                    waits_for = self._rest.throw(e)
                else:
                    waits_for = self._rest.send(said)
            except StopIteration as end:
                result: T = end.value
                return result
