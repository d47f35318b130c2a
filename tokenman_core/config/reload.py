"""Reads the configuration again when its files change, and has it obeyed as far as a running process can.

A file that is wrong, or gone, leaves all as it is: what it said last stays in force, and what is wrong is told.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tokenman_core.clock import Clock
from tokenman_core.config import changes
from tokenman_core.config.load import Loaded, load, place
from tokenman_core.config.watch import Watch
from tokenman_core.errors import ConfigError, trace

log = logging.getLogger("tokenman.config")

LOOK_S = (
    0.4  # between two looks at the files: a save is seen by the second look after it, so it holds within two seconds
)

Result = Literal["applied", "unchanged", "refused"]


@dataclass(frozen=True)
class Reload:
    """How it went. `changed` are the settings that were obeyed, `restart` those that wait for the next start; `errors` are
    sentences that name file, line and setting. `at` in seconds since the epoch."""

    result: Result
    at: float
    changed: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


class Reloader:
    """`look` every `LOOK_S` seconds. `obey` makes a configuration the one in force, or raises ConfigError and changes nothing;
    `tell` is called after each reading."""

    def __init__(
        self,
        loaded: Loaded,
        environ: Mapping[str, str],
        obey: Callable[[Loaded], Awaitable[None]],
        clock: Clock,
        tell: Callable[[Reload], None] = lambda reload: None,
    ) -> None:
        self._loaded, self._environ, self._obey, self._clock, self._tell = loaded, environ, obey, clock, tell
        self._turn = asyncio.Lock()
        self.last: Reload | None = None
        self._watch = Watch(loaded.files)

    @property
    def loaded(self) -> Loaded:
        """The configuration in force, with the lines that its file has now."""
        return self._loaded

    async def look(self) -> None:
        """Reads them again if they have changed, and are quiet since the last look."""
        if await asyncio.to_thread(self._watch.look):
            await self.reload()

    async def reload(self) -> Reload:
        async with self._turn:
            looked_at: list[Path] = []
            before, self.last = self.last, await self._try(looked_at)
            known = () if self.last.result != "refused" else self._watch.paths
            self._watch.turn_to([*known, *looked_at])
            self._say(before, self.last)
            self._tell(self.last)
            return self.last

    async def _try(self, looked_at: list[Path]) -> Reload:
        at, old = self._clock.now(), self._loaded
        try:
            read = await asyncio.to_thread(self._load, looked_at)
            if old.file is not None and read.file is None:
                raise ConfigError(f"{old.file}: is gone; what it said stays in force")
            new, waits = _obeyed(old, read)
            changed = changes.changed(old.settings, new.settings)
            if changed and read.blank and not old.blank:  # whoever writes it has not got further, or his disk is full
                raise ConfigError(
                    f"{read.file}: holds no setting; what it said stays in force (to go back to the defaults, restart, or write "
                    "one of them, for example retry: {attempts: 3})"
                )
            if changed:
                await self._obey(new)
                _warn(old, new)
        except ConfigError as error:
            return Reload("refused", at, errors=tuple(str(error).splitlines()))
        except Exception as error:  # whatever it was, the old settings stay, and somebody has to know
            log.error("the configuration could not be read again: %s", trace(error))
            return Reload(
                "refused", at, errors=(f"could not be read again ({type(error).__name__}); the log says where",)
            )
        self._loaded = new
        return Reload("applied" if changed else "unchanged", at, changed, waits)

    def _load(self, looked_at: list[Path]) -> Loaded:
        asked = self._loaded.asked
        path = place(asked.path, self._environ)
        if path.exists() and not path.is_file():  # a pipe would hold up this reading, and so all later ones, for ever
            looked_at.append(path)
            raise ConfigError(f"{path}: is no longer a file; what it said stays in force")
        return load(asked.path, self._environ, overrides=asked.overrides, looked_at=looked_at)

    def _say(self, before: Reload | None, now: Reload) -> None:
        for error in now.errors:
            log.error("%s; the configuration stays as it was", error)
        if now.changed:
            log.info("the configuration was read again; changed: %s", ", ".join(now.changed))
        elif before is not None and before.errors and not now.errors:
            log.info("the configuration is the one in force again")
        if now.restart and (before is None or before.restart != now.restart or now.changed):
            for name in now.restart:
                log.warning("%s is other than when this was started; restart to apply", name)


def _warn(old: Loaded, new: Loaded) -> None:
    """What a start would tell, as far as it is new."""
    for line in new.warnings:
        if line not in old.warnings:
            log.warning("%s", line)
    known = old.settings.foreign_base_urls()
    for name, url in new.settings.foreign_base_urls().items():
        if known.get(name) != url:
            log.warning("%s is at %s", name, url)


def _obeyed(old: Loaded, read: Loaded) -> tuple[Loaded, tuple[str, ...]]:
    """What of it can be obeyed now, and the names of what cannot."""
    waits = changes.waiting(old.settings, read.settings)
    origins = {name: origin for name, origin in read.origins.items() if name not in waits}
    origins |= {name: old.origins[name] for name in waits if name in old.origins}
    return replace(read, settings=changes.obeyed(old.settings, read.settings), origins=origins), waits


def as_json(reload: Reload | None, iso: Callable[[float], str]) -> dict[str, Any] | None:
    if reload is None:
        return None
    return {
        "result": reload.result, "time": iso(reload.at), "changed": list(reload.changed), "restart": list(reload.restart),
        "errors": list(reload.errors),
    }  # fmt: skip
