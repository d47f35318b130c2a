"""Repeats the value that a setting was given, behind what is wrong with it; never a secret, nor what may be a misplaced one."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from tokenman_core.config import explain, written
from tokenman_core.config.document import Steps
from tokenman_core.config.values import OFF, ON
from tokenman_core.credentials import GONE, Mask, written_out

_LONGEST: Final = 80
_MASK: Final = Mask()
_PRIVATE: Final = frozenset({"deny"})  # lists of values that no text may hold
# Settings whose names are the user's own: where one is wrong, the error names it already.
_NAMED: Final = frozenset({"entities", "discounts", "projects"})
_RANDOM: Final = re.compile(r"[0-9a-f]{32,}|(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[\w+/=.-]{20,200}", re.ASCII)


def behind(text: str, values: Mapping[str, Any], where: Steps, root: type[BaseModel]) -> str:
    """The text with the value that stands at `where` in what was given, if one does and it may be told: `… (given: abc)`."""
    given, place = _at(values, where)
    if given is values or not _PRIVATE.isdisjoint(place) or explain.is_secret(root, place):
        return text
    told = _told(given, explain.holds_secrets(root, place))
    return f"{text} (given: {told})" if told else text


def scalar(text: str) -> str:
    """A text as it is repeated."""
    return f" (given: {_text(text)})"


def of_a_name(where: Steps) -> bool:
    """Whether its last step is a name that the user chose."""
    return len(where) > 1 and where[-2] in _NAMED


def _at(values: Any, where: Steps) -> tuple[Any, Steps]:
    """What stands there, or around it where it is no group."""
    for at, step in enumerate(where):
        inside = values.get(step, _NOTHING) if isinstance(values, Mapping) else _NOTHING
        if isinstance(values, list) and isinstance(step, int) and step < len(values):
            inside = values[step]
        if inside is _NOTHING:
            return values, where[:at]
        values = inside
    return values, where


_NOTHING: Final = object()


def _told(given: Any, secrets: bool) -> str:
    """`secrets`: there are some in the group of settings in whose place it stands; "" where it may be one of them."""
    if isinstance(given, str):
        if given.lower() in ON | OFF:
            return given
        return _text(given) if not secrets else ""
    if isinstance(given, Mapping):
        if secrets:
            return _short(f"settings: {', '.join(map(str, given))}")
        return _short(written.yaml({_text(str(name)): _simple(each) for name, each in given.items()}))
    if isinstance(given, list):
        return _short(written.yaml([_simple(each) for each in given])) if not secrets else "a list"
    return written.yaml(_simple(given))


def _simple(given: Any) -> Any:
    """What a group holds, as far as it is shown: no groups within groups."""
    if isinstance(given, str):
        return _hidden(given)
    return given if given is None or isinstance(given, bool | int | float) else "…"


def _hidden(text: str) -> str:
    return GONE if _RANDOM.fullmatch(text) else _MASK(text)


def _text(text: str) -> str:
    return _short(written.yaml(_hidden(text)))


def _short(text: str) -> str:
    text = written_out(_MASK(text))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
