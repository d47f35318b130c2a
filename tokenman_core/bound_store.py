"""Keeps on disk who made what in an answer, so that a restart does not forget it and other processes know it too."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress

from tokenman_core import background
from tokenman_core.clock import Clock
from tokenman_core.errors import trace
from tokenman_core.makers import MARK, MOST_MADE, Maker, Makers
from tokenman_core.state import State, Unavailable

log = logging.getLogger("tokenman.routes")

KIND = "made"
EVERY_S = 1.0
KEPT_S = 30 * 86_400.0  # as long as OpenAI keeps answers (https://platform.openai.com/docs/guides/conversation-state)
_MOST_WAITING = 20_000


class BoundStore:
    """Between `Makers`, which are asked and hold all of it, and the state. `start` before the first call, `aclose` at the end."""

    def __init__(self, state: State, makers: Makers, clock: Clock) -> None:
        self._state, self._makers, self._clock = state, makers, clock
        self._waiting: dict[bytes, Maker] = {}
        self._mark = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.step()
        self._makers.keep = self._keep
        self._alive = background.began("makers", EVERY_S)
        self._task = self._alive.of(asyncio.create_task(self._run()))

    async def aclose(self) -> None:
        """What waits is written."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.step()

    def _keep(self, made: Mapping[bytes, Maker]) -> None:
        if len(self._waiting) < _MOST_WAITING:  # the store cannot be written; memory has it
            self._waiting.update(made)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self._alive.ran()
            try:
                await self.step()
            except Exception as e:  # memory has it all; the next step may do better
                log.error("who made what is not kept: %s", trace(e))

    async def step(self) -> None:
        """Writes what is new here, and reads what is new there. Does nothing while the store cannot be asked."""
        now, written = self._clock.now(), dict(self._waiting)
        values = {mark: maker.model + maker.provider.encode() for mark, maker in written.items()}
        with suppress(Unavailable):
            if values:
                await self._state.ask(
                    lambda store: store.remember(KIND, values, until=now + KEPT_S, most=MOST_MADE, now=now)
                )
                for key, maker in written.items():
                    if self._waiting.get(key) is maker:
                        del self._waiting[key]
            after = self._mark
            found, self._mark = await self._state.ask(lambda store: store.remembered(KIND, after, now))
            self._makers.take({key: Maker(value[MARK:].decode(), value[:MARK]) for key, value in found.items()})
