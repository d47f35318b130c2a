"""What an agent did last, read from the conversation that it sends along: each tool call with its answer, as a keyed hash.

Read from the parsed body and not from its text slots: numbers are no slots, and page 2 is another call than page 1. The words are
those of all dialects at once: `tool_use` (Messages), `tool_calls` (Chat Completions), `function_call` (Responses),
`functionCall` (Gemini). What is remembered nowhere is not seen: behind `previous_response_id` lie calls that nobody sends again.
"""

import hashlib
import json
import re
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

_READ = 1024  # characters of an answer or of what a user says: what differs, differs before
_HEAD = 300  # characters of an error that say which one it is
_DIGITS = b"0123456789"
_PERIOD = 8  # steps of the longest circle that is seen
# Chat Completions, Responses and most tools have no field that says so; then an error is told by how it begins.
_FAILED = re.compile(
    r"""\W*(?:[\w./-]+:\ ){0,3}(?:
        (?:\w+\ ){0,3}(?:[A-Z]\w*)?(?:Error|Exception|error|ERROR)(?:[:>\]]|"\s*:\s*["{])
        |Traceback\b|(?i:(?:command|tool|call)\ failed|failed:|failed\ to|fatal:|panic:)
        |(?i:exit(?:ed)?(?:\ with)?(?:\ code|\ status)?):?\ [1-9]
        |(?i:permission\ denied|no\ such\ file|command\ not\ found)
    )""",
    re.VERBOSE,
)
_RESULT = ("_result", "_output", "_response")


@dataclass(frozen=True)
class Step:
    """A tool call with its answer, or something that the user said. Hashes under a key; "" where there is none.

    `key`: of all of it, of an answer without its numbers, since clocks and durations tell no two answers apart. `error`: of the
    tool and what it failed with. `turn`: which message held it.
    """

    key: bytes
    tool: bytes = b""
    error: bytes = b""
    turn: int = 0

    @property
    def is_call(self) -> bool:
        return self.tool != b""


@dataclass(frozen=True)
class Circle:
    """The last `period` steps were done `times` times in a row."""

    times: int = 0
    period: int = 1


def steps(value: Any, key: bytes, most: int) -> list[Step]:
    """The last steps of a request's parsed body, the latest first, `most` at the most; none where it holds no conversation."""
    found: list[Step] = []
    for step in _Trail(key).steps(value):
        found.append(step)
        if len(found) >= most:
            break
    return found


def circle(trail: list[Step]) -> Circle:
    """How often the latest steps were done in a row, in the shortest circle that explains the most; none without a tool call."""
    best = Circle()
    for period in range(1, _PERIOD + 1):
        same = 0
        while same + period < len(trail) and trail[same].key == trail[same + period].key:
            same += 1
        times = same // period + 1
        if len(trail) >= period and times > best.times and any(step.is_call for step in trail[:period]):
            best = Circle(times, period)
    return best


def failures(trail: list[Step]) -> int:
    """How often a tool of the last turn has failed in a row with the same error, whatever other tools did in between.

    0 where the user has said something new since.
    """
    said = [step.key for step in trail if not step.is_call]
    latest = next((step for step in trail if step.is_call or said.count(step.key) == 1), None)
    if latest is None or not latest.is_call:
        return 0
    return max(_run(trail, step) for step in trail if step.is_call and step.turn == latest.turn)


def needed(times: int) -> int:
    """So many steps tell whether something was done more often than so many times."""
    return _PERIOD * (times + 2)


def _run(trail: list[Step], last: Step) -> int:
    if not last.error:
        return 0
    number = 0
    for step in trail:
        if step.tool == last.tool:
            if step.error != last.error:
                break
            number += 1
    return number


class _Trail:
    """One walk, from the end: a call's answer stands behind it. Answers wait by the id of their call; by its tool where there is
    none. Of calls that share an id, as some servers number them in each turn anew, each takes the nearest.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key[:64]
        self._answers: defaultdict[str, deque[tuple[str, bool]]] = defaultdict(deque)

    def steps(self, value: Any) -> Iterator[Step]:
        messages = next((it for name in ("messages", "input", "contents") if type(it := _of(value, name)) is list), [])
        for turn in range(len(messages) - 1, -1, -1):
            message = messages[turn]
            if type(message) is not dict:
                continue
            answers = False
            for block in _blocks(message):
                if (answer := _answer(block)) is not None:
                    self._answers[answer[0]].append(answer[1:])
                    answers = True
                elif (call := _call(block)) is not None:
                    yield self._step(*call, turn)
            if message.get("role") == "user" and not answers:
                yield Step(self._hash("said", _plain(message.get("content", message.get("parts")))), turn=turn)

    def _step(self, name: str, tool: str, given: bytes, turn: int) -> Step:
        waiting = self._answers.get(name)
        text, failed = waiting.popleft() if waiting else ("", False)
        tool_name = tool.encode("utf-8", "surrogatepass")
        called = self._hash("tool", tool_name)
        error = self._hash("error", tool_name, text[:_HEAD]) if failed else b""
        return Step(self._hash("call", tool_name, given, text), called, error, turn)

    def _hash(self, *parts: str | bytes) -> bytes:
        """Texts without their numbers, bytes as they are."""
        digest = hashlib.blake2b(digest_size=16, key=self._key)
        for part in parts:
            data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass").translate(None, _DIGITS)
            digest.update(b"%d:" % len(data) + data)
        return digest.digest()


def _blocks(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What may be a call or an answer, the last first."""
    for name in ("tool_calls", "content", "parts"):
        inner = message.get(name)
        if type(inner) is list:
            yield from (block for block in reversed(inner) if type(block) is dict)
    yield message


def _call(block: Mapping[str, Any]) -> tuple[str, str, bytes] | None:
    """The id of a tool's call, the tool's name, and what it was given; None for what is no call."""
    kind = _text(block, "type")
    for name in ("function", "custom", "functionCall", "function_call"):
        inner = block.get(name)
        if type(inner) is dict and type(inner.get("name")) is str:
            given = next((inner[key] for key in ("arguments", "args", "input") if key in inner), None)
            return _id(block) or _id(inner) or inner["name"], inner["name"], _written(given)
    if not kind.endswith(("_use", "_call")):
        return None
    tool = _text(block, "name") or kind
    given = next((block[key] for key in ("input", "arguments", "action", "queries", "code") if key in block), None)
    return _id(block) or tool, tool, _written(given)


def _answer(block: Mapping[str, Any]) -> tuple[str, str, bool] | None:
    """The id of the call that is answered, the answer, and whether it is an error; None for what is none."""
    kind, role = _text(block, "type"), _text(block, "role")
    name = next((it for key in ("functionResponse", "function_response") if type(it := block.get(key)) is dict), None)
    if name is not None:
        said = name.get("response")
        failed = type(said) is dict and bool(said.get("error"))
        return _id(name) or _text(name, "name"), _plain(said), failed
    if role not in ("tool", "function") and not (kind.endswith(_RESULT) and not kind.startswith("input_")):
        return None
    answered = _text(block, "tool_use_id") or _text(block, "tool_call_id") or _text(block, "call_id")
    text = _plain(block.get("content", block.get("output")))
    failed = block.get("is_error") is True or block.get("isError") is True or _FAILED.match(text[:_HEAD]) is not None
    return answered or _text(block, "name"), text, failed


def _id(block: Mapping[str, Any]) -> str:
    return _text(block, "call_id") or _text(block, "id")


def _text(block: Mapping[str, Any], key: str) -> str:
    found = block.get(key)
    return found if type(found) is str else ""


def _of(value: Any, name: str) -> Any:
    return value.get(name) if type(value) is dict else None


def _plain(said: Any) -> str:
    """The texts of an answer, or of what was said."""
    if type(said) is list:
        said = "\n".join(it if type(it) is str else _text(it, "text") for it in said if type(it) in (str, dict))
    elif type(said) is not str:
        said = "" if said is None else _written(said).decode("utf-8", "replace")
    return str(said)[:_READ]


def _written(given: Any) -> bytes:
    """The same for the same arguments, in whatever order and with whatever blanks a model writes them."""
    if type(given) is str:
        try:
            given = orjson.loads(given)
        except ValueError:
            return b"text:" + str(given).encode("utf-8", "surrogatepass")
    try:
        written: bytes = orjson.dumps(given, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # it writes no integers beyond 64 bits, no halves of characters, and nothing deeper than 254
        return json.dumps(given, sort_keys=True).encode()
    return written
