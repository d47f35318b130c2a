"""Pauses in long work on the event loop, so that other calls get their turn."""

import asyncio
import time
from typing import Final

LONGEST_S: Final = 0.0005
"""Between two pauses."""


class Breath:
    """Of one piece of work. `taken`: how often it has paused."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + LONGEST_S
        self.taken = 0

    @property
    def due(self) -> bool:
        return time.perf_counter() > self._until

    async def take(self) -> None:
        self.taken += 1
        await asyncio.sleep(0)
        self._until = time.perf_counter() + LONGEST_S
