"""What is kept of a client: its name, a keyed hash of its key, and what it may do with it."""

import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.@-]{0,63}")
"""No character of it means anything in a pattern."""

MOST_PATTERNS = 50
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LATEST = 2.5e11  # in the year 9892: what comes behind cannot be written as a date
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,200}")


class Unfit(ValueError):
    """Something of a client that will not do. `what` is its field; the message says what would do."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__(f"{what}: {message}")
        self.what = what


@dataclass(frozen=True)
class Client:
    """Moments are in seconds since the epoch. `models` and `providers` are patterns with `*` and `?`; none means any.

    `budget`: the name of a configured one, or an amount of its own in a window (`10/day`). `rate`: calls in a time (`60/min`).
    """

    name: str
    digest: str = field(repr=False)
    created: float
    project: str = ""
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    budget: str = ""
    rate: str = ""
    expires: float | None = None

    def __post_init__(self) -> None:
        """Raises Unfit."""
        if not NAME.fullmatch(self.name):
            raise Unfit("name", "letters, digits and . _ - @, at most 64 of them; good values: web, alice@example.com")
        if not _DIGEST.fullmatch(self.digest):
            raise Unfit("digest", "is no hash")
        for what in ("models", "providers"):
            patterns = getattr(self, what)
            if len(patterns) > MOST_PATTERNS or not all(_TEXT.fullmatch(each) for each in patterns):
                raise Unfit(what, f"names or patterns, at most {MOST_PATTERNS}; good value: claude-*")
        for what in ("project", "budget", "rate"):
            if (said := getattr(self, what)) and not _TEXT.fullmatch(said):
                raise Unfit(what, "at most 200 characters that can be printed")
        for what in ("created", "expires"):
            moment = getattr(self, what)
            if moment is not None and not (type(moment) in (int, float) and 0 <= moment < _LATEST):
                raise Unfit(what, "is no moment")

    def may_ask(self, model: str) -> bool:
        return _fits(model, self.models)

    def may_use(self, provider: str) -> bool:
        return _fits(provider, self.providers)

    def as_json(self, now: float) -> dict[str, Any]:
        """All but the hash, as the API and `tokenman clients list --json` have it."""
        return {
            "name": self.name, "project": self.project or None, "models": list(self.models),
            "providers": list(self.providers), "budget": self.budget or None, "rate": self.rate or None,
            "created": _iso(self.created), "expires": None if self.expires is None else _iso(self.expires),
            "expired": self.expired(now),
        }  # fmt: skip

    def expired(self, now: float) -> bool:
        return self.expires is not None and now >= self.expires


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def line_of(client: Client) -> bytes:
    said = {name: value for name, value in asdict(client).items() if value not in ("", (), None)}
    return json.dumps(said, ensure_ascii=True).encode()


def read(line: bytes) -> Client:
    """Raises ValueError. A field that is not known may be a bound that only a later version keeps, so it will not do."""
    said: Any = json.loads(line)
    if type(said) is not dict:
        raise ValueError("it is no client")
    texts = ("name", "digest", "project", "budget", "rate")
    lists = {name: tuple(said[name]) for name in ("models", "providers") if type(said.get(name)) is list}
    made = said | lists
    if any(type(made[name]) is not str for name in texts if name in made):
        raise ValueError("a text is none")
    if any(type(made[name]) is not tuple for name in ("models", "providers") if name in made):
        raise ValueError("a list is none")
    if any(type(each) is not str for each in (*made.get("models", ()), *made.get("providers", ()))):
        raise ValueError("a pattern is no text")
    try:
        return Client(**made)
    except TypeError:
        raise ValueError("a field is missing, or not known") from None
