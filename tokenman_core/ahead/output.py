"""Where each API states how much a model may write, and how that is lowered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tokenman_core.dialects.base import Operation


@dataclass(frozen=True)
class _Form:
    """`names`: the members that state the limit, of which the first is set where there is none. `times`: how many answers come."""

    names: tuple[str, ...]
    times: tuple[str, ...] = ()
    inside: str = ""
    usual: int | None = None  # where nothing is said, and the API has a default of its own


_FORMS: Final[Mapping[str, _Form]] = {
    "messages": _Form(("max_tokens",)),
    "complete": _Form(("max_tokens_to_sample",)),
    "chat": _Form(("max_completion_tokens", "max_tokens"), ("n",)),
    "completions": _Form(("max_tokens",), ("best_of", "n"), usual=16),
    "responses": _Form(("max_output_tokens",)),
    "generate": _Form(("maxOutputTokens",), ("candidateCount",), "generationConfig"),
}
_WORDLESS: Final = frozenset({"embeddings", "moderations", "count_tokens"})
_MOST_ANSWERS = 128  # OpenAI takes no more
_LEAST_THINKING = 1024  # https://platform.claude.com/docs/en/build-with-claude/extended-thinking


@dataclass(frozen=True)
class Stated:
    """`limit`: tokens that each answer may have; None: nothing is said. `answers`: so many come. `least`: fewer make no sense."""

    limit: int | None
    answers: int = 1
    least: int = 0


def stated(operation: Operation, value: Any) -> Stated | None:
    """What a call says; None: there is no telling how much it writes."""
    if operation.name in _WORDLESS:
        return Stated(0)
    form = _FORMS.get(operation.name)
    if form is None or type(value) is not dict:
        return None
    value = _unwrapped(value)
    place = _inside(value, form)
    limit = next((number for name in form.names if (number := _whole(place.get(name))) is not None), form.usual)
    answers = next((number for name in form.times if (number := _whole(place.get(name)))), 1)
    thinking = value.get("thinking")
    budget = _whole(thinking.get("budget_tokens")) if type(thinking) is dict else None
    return Stated(limit, min(answers, _MOST_ANSWERS), min(budget or 0, _LEAST_THINKING))


def lowered(operation: Operation, value: dict[str, Any], limit: int) -> dict[str, Any]:
    """The body of the call with the limit set: where it states one there, else where its API would have it."""
    inner = _unwrapped(value)
    if inner is not value:
        return {**value, "request": lowered(operation, inner, limit)}
    form = _FORMS[operation.name]
    place = _inside(value, form)
    said = [name for name in form.names if _whole(place.get(name)) is not None]
    place = {**place, **dict.fromkeys(said or form.names[:1], limit)}
    changed = {**value, form.inside: place} if form.inside else place
    thinking = changed.get("thinking")
    if type(thinking) is dict and (_whole(thinking.get("budget_tokens")) or 0) >= limit:  # Anthropic refuses that
        changed["thinking"] = {**thinking, "budget_tokens": max(_LEAST_THINKING, limit // 2)}
    return changed


def _unwrapped(value: dict[str, Any]) -> dict[str, Any]:
    """Google's Code Assist puts the request of the Gemini API under `request`."""
    inner = value.get("request")
    return inner if type(inner) is dict and "contents" in inner else value


def _inside(value: dict[str, Any], form: _Form) -> dict[str, Any]:
    if not form.inside:
        return value
    inner = value.get(form.inside)
    return inner if type(inner) is dict else {}


def _whole(number: Any) -> int | None:
    return number if type(number) is int and number >= 0 else None
