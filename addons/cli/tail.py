"""`tokenman tail`: the calls of the running TokenMan as they end, one line each."""

import difflib
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from addons.cli import figures
from addons.cli.instance_client import Client, InstanceError, connect
from addons.cli.settings import complain, loaded
from tokenman_core.config.models import Settings
from tokenman_core.credentials import written_out
from tokenman_core.errors import ConfigError
from tokenman_core.telemetry.log import in_colour

Row = Mapping[str, Any]
"""A call, with the fields of `GET /api/requests`."""

_STATUS = re.compile(r"[1-5x?]([\dx?]{2}|\*)")
NAMES = ("model", "provider", "project", "client", "session", "dialect", "status", "error")
AGAIN_S = 1.0  # between two looks for an instance that went away

_ANY = "?*"
_CACHE = {"hit": "from the cache", "coalesced": "shared a call"}
_END, _DIM, _RED, _YELLOW, _GREEN, _MAGENTA = (f"\x1b[{code}m" for code in ("0", "2", "31", "33", "32", "35"))


def run(file: Path | None, filters: Iterable[str]) -> int:
    """Follows until Ctrl-C, which is a good end (0). 1 if nothing runs, 2 for a wrong filter or configuration."""
    found = loaded(file)
    if found is None:
        return 2
    try:
        wanted = Filter.of(filters)
        client = connect(found.settings)
        if client is None:
            raise InstanceError("nothing runs that could be followed; start it with: tokenman up")
        for row in follow(client, found.settings):
            if "lost" in row:
                _say(f"{row['lost'] or 'some'} calls went by untold; tokenman report has them")
            elif wanted(row):
                print(line(row, colours=in_colour(sys.stdout)), flush=True)
    except ConfigError as error:
        complain(error)
        return 2
    except InstanceError as error:
        complain(error)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def follow(client: Client, settings: Settings, pause: Callable[[float], None] = time.sleep) -> Iterator[Row]:
    """The events of the instance, and of the one that is started after it. Raises InstanceError if it refuses to tell."""
    after, told = "", ""
    while True:
        try:
            rows = client.lines(f"/api/events?after={after}" if after else "/api/events")
            told = _say("following; Ctrl-C ends it", told)
            for row in rows:
                after = row.get("id", after)
                yield row
        except InstanceError:
            now = _running(settings)
            if now is not None and now.running == client.running:
                raise
        told = _say("it has ended; waiting for the next start (Ctrl-C ends this)", told)
        before, client = client, _next(settings, pause)
        after = after if client.running == before.running else ""  # another process knows none of its calls


def _next(settings: Settings, pause: Callable[[float], None]) -> Client:
    while True:
        pause(AGAIN_S)
        client = _running(settings)
        if client is not None:
            return client


def _running(settings: Settings) -> Client | None:
    with suppress(InstanceError):  # it is just starting, or just ending
        return connect(settings)
    return None


def _say(text: str, told: str = "") -> str:
    """Unless that was said last. What is said last then."""
    if text != told:
        print(f"tokenman: {text}", file=sys.stderr, flush=True)
    return text


@dataclass(frozen=True)
class Filter:
    """All of its conditions hold for a call that is shown; of several for one field, one of them."""

    patterns: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, words: Iterable[str]) -> "Filter":
        """Of `model=claude-*`, `status=4xx`, `error`, …; several may stand in one word. Raises ConfigError."""
        patterns: dict[str, tuple[str, ...]] = {}
        for word in (part for given in words for part in re.split(r"[\s,]+", given) if part):
            name, equals, pattern = word.partition("=")
            if name not in NAMES or not (pattern if equals else name == "error"):
                near = difflib.get_close_matches(name, NAMES, 1)
                good = (
                    f"did you mean {near[0]}=…?"
                    if near
                    else "good ones: model=claude-*, provider=openai, status=4xx, error"
                )
                raise ConfigError(f"--filter {word}: there is no such filter; {good}")
            if name == "status" and not _STATUS.fullmatch(pattern.lower()):
                raise ConfigError(f"--filter {word}: is no status; good values: status=429, status=4xx, status=5xx")
            patterns[name] = (*patterns.get(name, ()), pattern.lower() or _ANY)
        return cls(patterns)

    def __call__(self, row: Row) -> bool:
        return all(
            any(
                (each == _ANY and name == "error" and (row.get("status") or 0) >= 400)
                or fnmatchcase(str(row.get(name) or "").lower(), each.replace("x", "?") if name == "status" else each)
                for each in any_of
            )
            for name, any_of in self.patterns.items()
        )


def line(row: Row, colours: bool = False) -> str:
    """`12:31:05  200  anthropic/claude-sonnet-4-5  1.2k>340 tokens  $0.0123  2 masked  1.4s  req_…`."""

    def shown(text: str, style: str) -> str:
        return f"{style}{text}{_END}" if colours and text and style else text

    status, error = row.get("status"), row.get("error")
    masked = int(row.get("redactions") or 0)
    cost = row.get("cost_usd")
    parts = [
        shown(_clock(str(row.get("time", ""))), _DIM),
        shown(f"{status or '-':<3}", _RED if error else _YELLOW if not status or status >= 400 else _GREEN),
        f"{written_out(row.get('provider') or '-')}/{written_out(row.get('model') or '-')}",
        f"{figures.count(row.get('input_tokens') or 0)}>{figures.count(row.get('output_tokens') or 0)} tokens",
        ("≤" if row.get("cost_basis") == "ceiling" else "")
        + figures.money(Decimal(cost) if cost is not None else None),
        shown(_CACHE.get(row.get("cache") or "", ""), _GREEN),
        shown(f"{masked} masked", _MAGENTA if masked else ""),
        figures.took(float(row.get("duration_ms") or 0)),
        f"{attempts} attempts" if (attempts := int(row.get("attempts") or 0)) > 1 else "",
        shown(written_out(error or ""), _RED),
        shown("left" if not status and not error else "", _YELLOW),
        shown(written_out(str(row.get("id", ""))), _DIM),
    ]
    return "  ".join(part for part in parts if part)


def _clock(moment: str) -> str:
    """The local time of day of an ISO 8601 moment in UTC."""
    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return "--:--:--"
