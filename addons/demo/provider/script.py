"""How a request tells the fake provider what to answer: directives in the last user text, or in the model's name.

| directive | the answer |
|---|---|
| (none) | `You said: <last user text>`; after a tool's result: `The tool said: <its text>` |
| `[[say TEXT]]` | TEXT |
| `[[tool NAME JSON]]` | a call of tool NAME with these arguments (a string where it takes a text); several are parallel calls |
| `[[thinking]]`, `[[thinking TEXT]]` | thinks first: a thinking block with a signature, or a reasoning item |
| `[[big N]]` | a text of N characters |
| `[[status N name=value …]]` | error N with these headers; `times=K`: only the first K times that the body comes |
| `[[header NAME VALUE]]` | has this header too |
| `[[redirect URL]]` | 307 to URL |
| `[[slow 50ms]]` | waits so long before each event |
| `[[stall]]`, `[[stall first]]` | stops after half of the answer (first: before its head) and says nothing more |
| `[[reset]]`, `[[reset first]]` | the connection is reset there |
| `[[cut]]`, `[[cut first]]` | the connection is closed in good order there, the body incomplete |
| `[[truncate]]` | a stream that ends cleanly in the middle, without its last events |
| `[[error-event]]`, `[[error-event first]]` | a stream ends with an error event there (first: it has no other) |
| `[[pieces N]]` | is written N bytes at a time, whatever that cuts |
| `[[gzip]]` `[[br]]` `[[zstd]]` `[[deflate]]` | in this coding |

In TEXT and in JSON `$LAST` stands for the last user text without its directives, `$VALUE` for the last placeholder that
arrived in it (`[EMAIL_ADDRESS_0123456789ab]`; empty if none did), `$VALUES` for all of them, with spaces between, and `$FIRST`
for the first of the whole conversation, with the turns that the provider holds (OpenAI's Responses).
`$FOREIGN` stands for a URL that the request need not hold: to such a place a model would send a value when it was talked
into it.

A model's name carries directives behind `+`, with `:` for a space: `fake+slow:50ms+thinking`. What a proxy masks in a
directive is masked: the fake says what it received.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from addons.demo.provider.wire import CODINGS, Cut, Reset, Stall, Step

PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]*_[0-9a-f]{12}\]")
# The end is the last pair of brackets in a row: what stands before it may be a placeholder or a JSON array.
_DIRECTIVE = re.compile(r"\[\[([a-z][a-z-]*)(?:\s+(.*?))?\]\](?!\])", re.DOTALL)
FOREIGN = "https://collector.example/in"
THOUGHT = "The user wants an answer, so I shall give one."


@dataclass(frozen=True)
class ToolCall:
    name: str
    arguments: Any


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and where: before the head ("first") or in the middle."""

    step: Step | Literal["truncate", "error-event"]
    first: bool = False


@dataclass(frozen=True)
class Failure:
    """An error status; `times` 0 is always, else so many times for one body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    times: int = 0


@dataclass(frozen=True)
class Script:
    """What one answer is to be. `text` is what will be said when there is no tool call, or before it."""

    text: str | None = None
    tools: tuple[ToolCall, ...] = ()
    thinking: str | None = None
    failure: Failure | None = None
    fault: Fault | None = None
    headers: tuple[tuple[str, str], ...] = ()
    redirect: str | None = None
    pause: float = 0.0
    piece: int = 0
    coding: str = ""


def read(model: str, user_text: str, tool_text: str = "", images: int = 0, conversation: str = "") -> Script:
    """The script for a request whose last user turn has `user_text`, results of tools (`tool_text`) and images.

    `conversation`: all of it, where that is more.
    """
    last = without_directives(user_text)
    values = PLACEHOLDER.findall(last)
    first = "".join(PLACEHOLDER.findall(conversation or last)[:1])

    def fill(text: str) -> str:
        meanings = {
            "$FOREIGN": FOREIGN,
            "$FIRST": first,
            "$LAST": last,
            "$VALUES": " ".join(values),
            "$VALUE": "".join(values[-1:]),
        }
        for name, value in meanings.items():
            text = text.replace(name, value)
        return text

    script = Script()
    for part in model.split("+")[1:]:
        name, _, argument = part.partition(":")
        script = _apply(script, name, argument.replace(":", " "), str)
    for match in _DIRECTIVE.finditer(user_text):
        script = _apply(script, match[1], match[2] or "", fill)
    if script.text is None and not script.tools:
        said = f"The tool said: {tool_text}" if tool_text and not last else f"You said: {last}"
        seen = f" (and {images} image{'s' if images > 1 else ''})" if images else ""
        script = replace(script, text=said + seen)
    return script


Fill = Callable[[str], str]


def _apply(script: Script, name: str, argument: str, fill: Fill) -> Script:
    rule = _RULES.get(name)
    if rule is None:
        return script  # words in brackets that are none of ours are just words
    try:
        return rule(script, argument, fill)
    except ValueError as error:
        return replace(script, text=f"The directive {name} cannot be read: {error}")


def _tool(script: Script, argument: str, fill: Fill) -> Script:
    name, _, source = argument.partition(" ")
    return replace(script, tools=(*script.tools, ToolCall(name, _filled(json.loads(source or "{}"), fill))))


def _filled(value: Any, fill: Fill) -> Any:
    """Filled in after parsing, so that no quote in a text can break the JSON."""
    match value:
        case str():
            return fill(value)
        case list():
            return [_filled(item, fill) for item in value]
        case dict():
            return {key: _filled(item, fill) for key, item in value.items()}
        case _:
            return value


def _status(script: Script, argument: str, _: Fill) -> Script:
    number, *rest = argument.split()
    fields = dict(word.split("=", 1) for word in rest)
    times = int(fields.pop("times", "0"))
    return replace(script, failure=Failure(int(number), tuple(fields.items()), times))


def _header(script: Script, argument: str, fill: Fill) -> Script:
    name, _, value = argument.partition(" ")
    return replace(script, headers=(*script.headers, (name, fill(value))))


def _big(script: Script, argument: str, _: Fill) -> Script:
    count = int(argument)
    words = "all work and no play makes a dull model "
    return replace(script, text=(words * (count // len(words) + 1))[:count])


def _slow(script: Script, argument: str, _: Fill) -> Script:
    number = re.fullmatch(r"([0-9.]+)\s*(ms|s)?", argument.strip())
    if number is None:
        raise ValueError("a duration looks like 50ms")
    return replace(script, pause=float(number[1]) / (1000 if number[2] == "ms" else 1))


def _faulty(step: Step | Literal["truncate", "error-event"]) -> Callable[[Script, str, Fill], Script]:
    return lambda script, argument, _: replace(script, fault=Fault(step, argument.strip() == "first"))


def _coded(coding: str) -> Callable[[Script, str, Fill], Script]:
    return lambda script, _, __: replace(script, coding=coding)


_RULES: dict[str, Callable[[Script, str, Fill], Script]] = {
    "say": lambda script, argument, fill: replace(script, text=fill(argument)),
    "tool": _tool,
    "thinking": lambda script, argument, fill: replace(script, thinking=fill(argument) or THOUGHT),
    "big": _big,
    "status": _status,
    "header": _header,
    "redirect": lambda script, argument, _: replace(script, redirect=argument.strip()),
    "slow": _slow,
    "stall": _faulty(Stall()),
    "reset": _faulty(Reset()),
    "cut": _faulty(Cut()),
    "truncate": _faulty("truncate"),
    "error-event": _faulty("error-event"),
    "pieces": lambda script, argument, _: replace(script, piece=int(argument)),
    **{coding: _coded(coding) for coding in CODINGS},
}


def without_directives(text: str) -> str:
    """The text as a person would show it."""
    return _DIRECTIVE.sub("", text).strip()
