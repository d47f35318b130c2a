"""The kept answers of a running proxy: opened once any call may be cached, and anew where they are to be sealed otherwise."""

import asyncio
from collections.abc import Callable
from typing import Literal

from tokenman_core.caching.answers import FILE, Answers, Limits
from tokenman_core.caching.cipher import Cipher, cipher_for
from tokenman_core.clock import Clock
from tokenman_core.config.models import Settings
from tokenman_core.secret import derive

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
        self.answers = self._made(settings, None)

    def _made(self, settings: Settings, cipher: Cipher | None) -> Answers:
        it = settings.cache
        key = derive(self._root, "cache answers")
        return Answers(settings.data_dir / FILE, Limits(it.entries, it.size), it.ttl, self._clock, cipher, key=key)

    async def obey(self, settings: Settings) -> None:
        """From now on answers are kept as these settings say. Raises ConfigError; then all is as it was."""
        it = settings.cache
        wanted = (it.encrypt, settings.secret is not None)
        if settings.caches and wanted != self._sealed:
            made = self._made(settings, await asyncio.to_thread(self._cipher, it.encrypt, self._root, wanted[1]))
            before = self.answers
            await before.aclose()  # one at a time has the file
            await made.start()
            self.answers, self._sealed = made, wanted
        else:
            self.answers.configure(Limits(it.entries, it.size), it.ttl)

    async def aclose(self) -> None:
        await self.answers.aclose()
