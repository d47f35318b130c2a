"""The kept answers of a running proxy: opened once any call may be cached, and anew where they are to be sealed otherwise."""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

from tokenman_core import background
from tokenman_core.caching.answers import FILE, Answers, Limits
from tokenman_core.caching.behind import ROUND_S
from tokenman_core.caching.cipher import Cipher, cipher_for
from tokenman_core.caching.disk import is_open, remove_file
from tokenman_core.clock import Clock
from tokenman_core.config.models import Settings
from tokenman_core.secret import derive

log = logging.getLogger("tokenman.cache")

Encrypt = Literal["auto", "on", "off"]
CipherFor = Callable[[Encrypt, bytes, bool], Cipher | None]


def system_cipher(encrypt: Encrypt, root: bytes, configured: bool) -> Cipher | None:
    """As the setting says; asks the system's keyring. Raises ConfigError."""
    return cipher_for(encrypt, root, configured=configured)


class Kept:
    """`answers` are the ones to be used now: in memory alone until `obey` opened them. `root` is the installation's secret."""

    def __init__(self, settings: Settings, root: bytes, clock: Clock, cipher: CipherFor = system_cipher) -> None:
        self._root, self._clock, self._cipher = root, clock, cipher
        self._sealed: tuple[Encrypt, bool] | None = None  # as those that are open were made
        self._prepared: tuple[tuple[Encrypt, bool], Cipher | None] | None = None
        self._opened = 0.0
        self._path = settings.data_dir / FILE
        self.round = 0  # how often answers were forgotten: of calls that run then none are kept
        self.answers = self._made(settings, None)
        self._purge: background.Task | None = None

    def _made(self, settings: Settings, cipher: Cipher | None) -> Answers:
        it = settings.cache
        key = derive(self._root, "cache answers")
        return Answers(self._path, Limits(it.entries, it.size), it.ttl, self._clock, cipher, key=key)

    def prepare(self, settings: Settings) -> None:
        """Asks for the key that these settings want, which may take some seconds: before anything listens. Raises ConfigError."""
        if settings.caches:
            wanted = _wanted(settings)
            self._prepared = wanted, self._cipher(wanted[0], self._root, wanted[1])

    async def obey(self, settings: Settings) -> None:
        """From now on answers are kept as these settings say. Raises ConfigError; then all is as it was."""
        it = settings.cache
        wanted = _wanted(settings)
        if settings.caches and wanted != self._sealed:
            prepared, self._prepared = self._prepared, None
            if prepared is None or prepared[0] != wanted:
                prepared = wanted, await asyncio.to_thread(self._cipher, wanted[0], self._root, wanted[1])
            made = self._made(settings, prepared[1])
            before = self.answers
            await before.aclose()  # one at a time has the file
            await made.start()
            self.answers, self._sealed, self._opened = made, wanted, self._clock.monotonic()
            self._purge = background.began("cache_purge", ROUND_S, lambda: self.purge_age_seconds)
        else:
            self.answers.configure(Limits(it.entries, it.size), it.ttl)
        if self._sealed is None:
            await asyncio.to_thread(self._clear)

    async def forget(self, model: str | None = None, project: str | None = None) -> int:
        """As `Answers.forget`; also while no call may be cached. Raises NotForgotten."""
        self.round += 1
        return await self.answers.forget(model, project)

    @property
    def purge_age_seconds(self) -> float | None:
        """Seconds since what is too old, or too much, was last removed with success, or since it was opened; a minute is usual.

        None: it is not open.
        """
        if self._sealed is None:
            return None
        done = self.answers.figures().round
        return max(0.0, self._clock.monotonic() - (self._opened if done is None else max(done, self._opened)))

    def _clear(self) -> None:
        """What was kept before the cache was switched off is kept no longer: nobody would purge it, unless another process does."""
        try:
            if self._path.exists() and not is_open(self._path):
                remove_file(self._path)
        except OSError as error:
            log.warning("%s is not used and cannot be removed: %s", self._path, error.strerror)

    async def aclose(self) -> None:
        if self._purge is not None:
            self._purge.over()
        await self.answers.aclose()


def _wanted(settings: Settings) -> tuple[Encrypt, bool]:
    """All that tells how answers are to be sealed."""
    return settings.cache.encrypt, settings.secret is not None
