"""Where a line to the model can stand in a request: at the end of the system prompt, or, for what comes up later, where it does.

The providers' prompt caches hold what a request begins with. A line that is wanted from the first message on closes the system
prompt; one that is wanted only since a later message stands with that one, so that nothing moves that was sent before. Where a
dialect has no place there that every server takes (behind the result of a tool in Chat Completions and Gemini), it is the system
prompt all the same, and the conversation up to there is written to the cache once more. The place is told by what came before
alone, so it is the same in all later turns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenman_core.body.insert import Insertion
from tokenman_core.slots import Path


@dataclass(frozen=True)
class Append:
    """The line is written behind the text of the string at `path`."""

    path: Path


Where = Append | Insertion

_CONVERSATION = {"anthropic": "messages", "openai": "messages", "gemini": "contents"}
_SYSTEM_ROLES = ("system", "developer")


def where(dialect: str, operation: str, value: Any, wanted_by: Sequence[Path], line: str) -> Where | None:
    """The place for `line`, which strings at the paths `wanted_by` ask for; None where the dialect has none.

    `value`: the request's JSON. `operation`: as the dialect names it.
    """
    if not isinstance(value, dict) or operation not in ("messages", "chat", "responses", "generate", "count_tokens"):
        return None
    if dialect == "openai" and "input" in value:
        return _responses(value, wanted_by, line)
    name = _CONVERSATION.get(dialect, "")
    turns = value.get(name)
    if not isinstance(turns, list):
        return None
    at = _first(name, wanted_by)
    later = at is not None and any(_role(turn) in ("assistant", "model") for turn in turns[:at])
    if later and at is not None and (place := _in_turn(dialect, name, turns, at, line)) is not None:
        return place
    return _SYSTEM[dialect](value, line)


def _first(name: str, paths: Sequence[Path]) -> int | None:
    """The first turn that asks for it; None: what stands before all of them does."""
    turns = [path[1] for path in paths if len(path) > 1 and path[0] == name and isinstance(path[1], int)]
    before = [path for path in paths if path and path[0] != name]
    return min(turns) if turns and not before else None


def _role(turn: Any) -> str:
    role = turn.get("role") if isinstance(turn, dict) else None
    return role if isinstance(role, str) else ""


def _in_turn(dialect: str, name: str, turns: list[Any], at: int, line: str) -> Where | None:
    """Behind what the user says in that turn."""
    turn = turns[at] if at < len(turns) else None
    if not isinstance(turn, dict) or _role(turn) != "user":
        return None
    if dialect == "gemini":
        parts = turn.get("parts")
        if isinstance(parts, list) and all(isinstance(part, dict) and set(part) == {"text"} for part in parts):
            return Insertion((name, at, "parts"), len(parts), {"text": line})
        return None
    return _into_content((name, at), turn, line)


def _into_content(path: tuple[str | int, ...], turn: dict[str, Any], line: str, kind: str = "text") -> Where | None:
    content = turn.get("content")
    if isinstance(content, str) and content:
        return Append((*path, "content"))
    if isinstance(content, list) and content:
        return Insertion((*path, "content"), len(content), {"type": kind, "text": line})
    return None


def _anthropic(value: dict[str, Any], line: str) -> Where | None:
    system = value.get("system")
    if isinstance(system, str) and system:
        return Append(("system",))
    if isinstance(system, list):
        return Insertion(("system",), len(system), {"type": "text", "text": line})
    return Insertion((), "system", line) if "system" not in value else None


def _chat(value: dict[str, Any], line: str) -> Where | None:
    turns = value["messages"]
    leading = _leading(turns)
    if leading and (place := _into_content(("messages", leading - 1), turns[leading - 1], line)) is not None:
        return place
    return Insertion(("messages",), leading, {"role": "system", "content": line})


def _gemini(value: dict[str, Any], line: str) -> Where | None:
    if "cachedContent" in value:  # a system prompt beside one is refused
        return None
    name = "system_instruction" if "system_instruction" in value else "systemInstruction"
    said = value.get(name)
    if isinstance(said, dict) and isinstance(parts := said.get("parts"), list):
        return Insertion((name, "parts"), len(parts), {"text": line})
    return Insertion((), name, {"parts": [{"text": line}]}) if name not in value else None


_SYSTEM = {"anthropic": _anthropic, "openai": _chat, "gemini": _gemini}


def _responses(value: dict[str, Any], wanted_by: Sequence[Path], line: str) -> Where | None:
    """An item of the developer's: `instructions` are left as they are, since some servers know them by heart."""
    items = value["input"]
    if isinstance(items, str):
        if isinstance(value.get("instructions"), str) and value["instructions"]:
            return Append(("instructions",))
        return Insertion((), "instructions", line) if "instructions" not in value else None
    if not isinstance(items, list):
        return None
    said = {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": line}]}
    at = _first("input", wanted_by)
    if at is None or not any(_is_models(item) for item in items[:at]) or _is_models(items[at]):
        return Insertion(("input",), _leading(items), said)
    at += 1
    while at < len(items) and _is_result(items[at - 1]) and _is_result(items[at]):
        at += 1  # results of calls that were made together stay together
    return Insertion(("input",), at, said)


def _leading(turns: list[Any]) -> int:
    """How many turns of the system or the developer a conversation begins with."""
    count = 0
    while count < len(turns) and _role(turns[count]) in _SYSTEM_ROLES:
        count += 1
    return count


def _is_models(item: Any) -> bool:
    kind = item.get("type") if isinstance(item, dict) else None
    return _role(item) == "assistant" or kind == "reasoning" or (isinstance(kind, str) and kind.endswith("_call"))


def _is_result(item: Any) -> bool:
    kind = item.get("type") if isinstance(item, dict) else None
    return isinstance(kind, str) and kind.endswith("_output")
