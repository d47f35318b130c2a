"""Where each API states how much a model may write, and how that is lowered."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tokenman_core.dialects.base import Operation


@dataclass(frozen=True)
class _Form:
    """`names`: the members that state the limit, of which the first is set where there is none. `times`: how many answers come.

    `inside`: in which member they stand, under any of these names. `each`: a member whose list has a question in each element.
    `zero`: a limit of 0 is one; elsewhere it says nothing (the JSON of Google's APIs takes it for a member that is left out).
    """

    names: tuple[str, ...]
    times: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    usual: int | None = None  # where nothing is said, and the API has a default of its own
    each: str = ""
    zero: bool = False


_FORMS: Final[Mapping[str, _Form]] = {
    "messages": _Form(("max_tokens",), zero=True),
    "complete": _Form(("max_tokens_to_sample",)),
    "chat": _Form(("max_completion_tokens", "max_tokens"), ("n",)),
    "completions": _Form(("max_tokens",), ("best_of", "n"), usual=16, each="prompt"),
    "responses": _Form(("max_output_tokens",)),
    # Google reads both spellings of every name (https://protobuf.dev/programming-guides/json/), and numbers in quotes.
    "generate": _Form(
        ("maxOutputTokens", "max_output_tokens"),
        ("candidateCount", "candidate_count"),
        ("generationConfig", "generation_config"),
    ),
}
# Servers that run chat under the path of the old completions go by the body, and so do their defaults.
_EITHER: Final = _Form(("max_completion_tokens", "max_tokens"), ("best_of", "n"), each="prompt")
# OpenAI's own models: their newer ones refuse `max_tokens`; others that speak this API may not know its successor.
_OPENAI: Final = re.compile(r"(?:ft:)?(?:gpt-(?!oss)|chatgpt|o\d|codex)")
MOST_WRITTEN: Final = 2**20
"""Tokens; no model writes more into an answer (OpenAI's gpt-5-pro, the most that is published, 272,000), whatever a call says."""

_WORDLESS: Final = frozenset({"embeddings", "moderations", "count_tokens"})
_MOST_ANSWERS = 2**20  # OpenAI takes 128; what others take nobody has published
_LEAST_THINKING = 1024  # https://platform.claude.com/docs/en/build-with-claude/extended-thinking


class Stated(NamedTuple):
    """`limit`: tokens that each answer may have; None: nothing is said. `answers`: so many come. `least`: fewer make no sense."""

    limit: int | None
    answers: int = 1
    least: int = 0


def _form(operation: Operation, value: Any) -> _Form | None:
    if operation.name == "completions" and type(value) is dict and ("prompt" not in value or "messages" in value):
        return _EITHER
    return _FORMS.get(operation.name)


def stated(operation: Operation, value: Any) -> Stated | None:
    """What a call says; None: there is no telling how much it writes."""
    if operation.name in _WORDLESS:
        return Stated(0)
    form = _form(operation, value)
    if form is None or type(value) is not dict:
        return None
    value = _unwrapped(value)
    places = [value]
    if form.inside:
        places += [inner for name in form.inside if type(inner := value.get(name)) is dict]
    # Where a call says it twice, the larger one: nobody knows which of them its provider goes by.
    limit = max(_numbers(places, form.names, form.zero), default=form.usual)
    if limit is not None:
        limit = min(limit, MOST_WRITTEN)
    answers = min(max(_numbers(places, form.times), default=1), _MOST_ANSWERS) if form.times else 1
    questions = value.get(form.each) if form.each else None
    if type(questions) is list and questions and type(questions[0]) is not int:  # else it is one, in tokens
        answers *= len(questions)
    thinking = value.get("thinking")
    budget = _whole(thinking.get("budget_tokens")) if type(thinking) is dict else None
    return Stated(limit, answers, min(budget or 0, _LEAST_THINKING))


def lowers(operation: Operation, value: Any) -> bool:
    """Whether a call has a place for a limit."""
    return operation.name in _FORMS and type(value) is dict


def lowered(operation: Operation, value: dict[str, Any], limit: int, model: str = "") -> dict[str, Any]:
    """The body of the call with the limit set: where it states one there, else where the API of the model would have it."""
    inner = _unwrapped(value)
    if inner is not value:
        return {**value, "request": lowered(operation, inner, limit, model)}
    form = _form(operation, value)
    assert form is not None
    changed = {**value}
    found = False
    for name in ("", *form.inside):
        place = value if not name else value.get(name)
        if type(place) is not dict:
            continue
        set_here = {each: limit for each in form.names if place.get(each) is not None}
        found = found or bool(set_here)
        changed = {**changed, **set_here} if not name else {**changed, name: {**changed[name], **set_here}}
    if not found:
        name = form.names[0]
        if name == "max_completion_tokens" and not _OPENAI.match(model.lower().rpartition("/")[2]):
            name = "max_tokens"
        if form.inside:
            inside = next((each for each in form.inside if type(value.get(each)) is dict), form.inside[0])
            changed[inside] = {**(changed.get(inside) or {}), name: limit}
        else:
            changed[name] = limit
    thinking = changed.get("thinking")
    if type(thinking) is dict and (_whole(thinking.get("budget_tokens")) or 0) >= limit:  # Anthropic refuses that
        changed["thinking"] = {**thinking, "budget_tokens": max(_LEAST_THINKING, limit // 2)}
    return changed


def _unwrapped(value: dict[str, Any]) -> dict[str, Any]:
    """Google's Code Assist puts the request of the Gemini API under `request`."""
    inner = value.get("request")
    return inner if type(inner) is dict and "contents" in inner else value


def _numbers(places: Sequence[Mapping[str, Any]], names: Sequence[str], zero: bool = False) -> list[int]:
    found = [_whole(place.get(name)) for place in places for name in names]
    return [number for number in found if number is not None and (number or zero)]


def _whole(number: Any) -> int | None:
    """A number that is not negative, also as `120.0` or `"120"`: who reads it at the provider may be as kind."""
    if type(number) is int:
        return number if number >= 0 else None
    if type(number) is str and number.isascii() and number.isdigit() and len(number) < 20:
        return int(number)
    return int(number) if type(number) is float and number.is_integer() and number >= 0 else None
