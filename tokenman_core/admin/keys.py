"""Who may use the API: the admin token, and sessions that a one-time code opened."""

import hashlib
import hmac
import logging
import secrets
import stat
from collections import OrderedDict

from tokenman_core.clock import Clock
from tokenman_core.config.models import Settings
from tokenman_core.errors import ConfigError
from tokenman_core.secret import check_owner, own_folder, write_private

TOKEN_FILE = "admin-token"
CODE_S = 600.0
SESSION_S = 12 * 3600.0
_MOST_CODES = 20
_MOST_SESSIONS = 100
_MOST_FAILURES = 20
_FAILURES_S = 60.0
_SHORTEST = 16  # characters

log = logging.getLogger("tokenman.admin")


def admin_token(settings: Settings) -> str:
    """`admin.token`, else the one in `data_dir`, made at the first start (mode 0600), and anew where others could read it.

    Raises ConfigError.
    """
    if settings.admin.token is not None:
        return settings.admin.token.get_secret_value().strip()
    path = own_folder(settings.data_dir) / TOKEN_FILE
    try:
        if not path.exists():
            write_private(path, _new_token(), keep=True)
        check_owner(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:  # somebody may know it, or have put it there
            write_private(path, _new_token())
            log.warning("the admin token in %s could be read by others, so there is a new one", path)
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it holds what is no token"
        raise ConfigError(f"admin.token: the file {path} cannot be read or made: {why}; remove it") from None
    if len(token) < _SHORTEST:
        said = f"has {len(token)} characters, and {_SHORTEST} are needed" if token else "is empty"
        raise ConfigError(f"admin.token: the file {path} {said}; remove it to have a new one")
    return token


def _new_token() -> bytes:
    return secrets.token_urlsafe(32).encode() + b"\n"


class _Dated:
    """Secrets by their hash, each until a moment; the oldest goes when there are too many."""

    def __init__(self, most: int, seconds: float, clock: Clock) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def new(self) -> str:
        made = secrets.token_urlsafe(24)
        self._until[_hash(made)] = self._clock.monotonic() + self._seconds
        if len(self._until) > self._most:
            self._until.popitem(last=False)
        return made

    def holds(self, given: str) -> bool:
        until = self._until.get(_hash(given))
        return until is not None and self._clock.monotonic() < until

    def take(self, given: str) -> bool:
        """Whether it held; it does no more."""
        held = self.holds(given)
        self._until.pop(_hash(given), None)
        return held


class Codes(_Dated):
    """One-time codes. Each opens one session, within ten minutes."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(_MOST_CODES, CODE_S, clock)


class TooManyFailures(Exception):
    """Somebody tries codes. `wait` in seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__()
        self.wait = wait


class Keys:
    """Judges what a request brings. Compares hashes, in constant time: the time that it takes tells nothing of a secret."""

    def __init__(self, token: str, codes: Codes, clock: Clock) -> None:
        self._token, self._codes, self._clock = _hash(token), codes, clock
        self._sessions = _Dated(_MOST_SESSIONS, SESSION_S, clock)
        self._failures = 0
        self._failing_until = 0.0

    def renew(self, token: str) -> None:
        """Another admin token ends the sessions, too: whoever had the old one may have opened them."""
        if not hmac.compare_digest(_hash(token), self._token):
            self._token = _hash(token)
            self._sessions = _Dated(_MOST_SESSIONS, SESSION_S, self._clock)

    def admits(self, given: str) -> bool:
        return hmac.compare_digest(_hash(given), self._token) | self._sessions.holds(given)

    def session(self, code: str) -> str | None:
        """A session's token for a one-time code; None for a code that is none, or no more. Raises TooManyFailures.

        A good code is always taken: it is too long to be guessed, and nobody else's guesses are to keep its owner out.
        """
        if self._codes.take(code):
            return self._sessions.new()
        now = self._clock.monotonic()
        if now >= self._failing_until:
            self._failures, self._failing_until = 0, now + _FAILURES_S
        if self._failures >= _MOST_FAILURES:
            raise TooManyFailures(self._failing_until - now)
        self._failures += 1
        return None


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
