"""A key in the system's keyring, where whoever gets hold of the disk does not find it."""

import queue
import secrets
import threading
from collections.abc import Callable
from typing import Protocol

SERVICE = "tokenman"
WAIT_S = 5.0  # a locked keyring asks its owner, who may not be there
_BYTES = 32
_RECOMMENDED = 1  # what keyring gives to those that keep a secret; 0 < p < 1 are such as plain files, <= 0 keep nothing


class NoRing(Exception):
    """There is no keyring that can be used. The message goes on from "... and"; it holds nothing of what a keyring said."""


class Ring(Protocol):
    """The part of a backend of the library `keyring` that is needed."""

    def get_password(self, service: str, username: str) -> str | None: ...

    def set_password(self, service: str, username: str, password: str) -> None: ...


def system_ring() -> Ring | None:
    """The system's, or the one that the user chose for the library; None if it does not protect what is in it.

    Talks to the desktop. Raises whatever the library does.
    """
    import keyring  # only when a key is wanted: it looks for all that is installed
    from keyring.backends.chainer import ChainerBackend

    chosen = keyring.get_keyring()
    # A chain writes to whichever of its links takes it, plain files among them.
    links = chosen.backends if isinstance(chosen, ChainerBackend) else [chosen]
    return next((link for link in links if link.priority >= _RECOMMENDED), None)


def key_in_ring(name: str, rings: Callable[[], Ring | None] = system_ring, wait: float = WAIT_S) -> bytes:
    """The 32 bytes under this name, made at random if there are none. Waits `wait` seconds at most. Raises NoRing."""
    answers: queue.SimpleQueue[bytes | NoRing] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_key(name, rings()))
        except NoRing as error:
            answers.put(error)
        except BaseException as error:  # backends raise what their systems do; this thread has nobody else to tell
            answers.put(NoRing(f"the keyring failed ({type(error).__name__})"))

    threading.Thread(target=ask, name="keyring", daemon=True).start()  # the end of the process waits for no prompt
    try:
        answer = answers.get(timeout=wait)
    except queue.Empty:
        raise NoRing(f"the keyring did not answer within {wait:g} s, so it may be locked") from None
    if isinstance(answer, NoRing):
        raise answer
    return answer


def _key(name: str, ring: Ring | None) -> bytes:
    if ring is None:
        raise NoRing("no keyring is there that protects what is in it")
    found = _read(ring, name)
    if found is None:
        ring.set_password(SERVICE, name, secrets.token_hex(_BYTES))
        found = _read(ring, name)  # what was first, if two did so at once; and whether it was kept at all
    if found is None:
        raise NoRing("the keyring does not keep what it is given")
    return found


def _read(ring: Ring, name: str) -> bytes | None:
    """None too for what is no key: sealed with it was nothing."""
    try:
        found = bytes.fromhex(ring.get_password(SERVICE, name) or "")
    except ValueError:
        return None
    return found if len(found) == _BYTES else None
