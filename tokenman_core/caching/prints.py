"""What is remembered of a request, to tell later which part of it has changed: keyed hashes of its parts, and nothing of its text.

Parts stand in the order in which providers read them: tools, system text and messages, each with its blocks. Marks for the cache
(`cache_control`) are left out of what is hashed, since they move from turn to turn. In a conversation all that stood in the last
request is known again by one hash, so that only what is new is looked at closely.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from tokenman_core.slots import NUMBER, Path, Slot

Section = Literal["tools", "system", "messages"]

FIVE_MINUTES, HOUR, DAY = 300.0, 3600.0, 86_400.0
MOST_PARTS = 4000  # tools and messages of a request that are told apart; what comes behind them is not looked at
TELLING = 24  # bytes of a text that says something: not one that every conversation has, as a role or a flag
_MOST_LEAVES = 64  # of one message
_MOST_PIECES = 64  # of one text
_BYTES = 12  # of a hash: enough that no two texts of an installation are taken for one

# The names under which the wire formats have them, the first that is there.
_KEYS: Mapping[Section, tuple[str, ...]] = {
    "tools": ("tools", "functions"),
    "system": ("system", "instructions", "systemInstruction", "system_instruction"),
    "messages": ("messages", "input", "contents"),
}
# Anthropic: tools, then system, then messages
# (https://platform.claude.com/docs/en/build-with-claude/prompt-caching#how-prompt-caching-works).
ORDER: Mapping[str, tuple[Section, ...]] = {"anthropic": ("tools", "system", "messages")}
USUAL_ORDER: tuple[Section, ...] = ("system", "tools", "messages")

# Fields beside the text that decide what a provider's cache is good for, and before which section they count; "": they do not
# have to, so they are named only where nothing else explains it. Anthropic:
# https://platform.claude.com/docs/en/build-with-claude/prompt-caching#what-invalidates-the-cache (a change of the format of the
# answer ends the whole: …/structured-outputs). OpenAI: https://platform.openai.com/docs/guides/prompt-caching (the schema of the
# answer stands before the system text, the key decides which machine is asked).
FIELDS: Mapping[str, Mapping[str, Section | Literal["", "start"]]] = {
    "anthropic": {
        "output_format": "start", "output_config": "start", "mcp_servers": "start", "speed": "system",
        "tool_choice": "messages", "thinking": "messages", "images": "messages", "context_management": "messages",
    },
    "openai": {
        "prompt_cache_key": "start", "response_format": "start", "text": "start", "reasoning": "", "reasoning_effort": "",
        "tool_choice": "",
    },
    "gemini": {"cachedContent": "start", "toolConfig": "", "generationConfig": ""},
}  # fmt: skip

# Names of the wire formats that may be told; any other is a program's or a person's, and may be a value itself.
_WORDS = frozenset(
    {
        "arguments", "call_id", "citations", "content", "contents", "data", "functionCall", "functionResponse", "function_call",
        "id", "image_url", "input", "inlineData", "is_error", "messages", "name", "output", "parts", "reasoning_content",
        "refusal", "role", "signature", "source", "summary", "text", "thinking", "thoughtSignature", "tool_call_id",
        "tool_calls", "tool_use_id", "type",
    }
)  # fmt: skip

# What changes by itself: clocks, dates, counters, ids.
_MONTH = "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
_DAY = "mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:rs(?:day)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?"
_PASSING = re.compile(
    rf"\b[0-9a-f]{{8}}(?:-?[0-9a-f]{{4}}){{3}}-?[0-9a-f]{{12}}\b|\b(?=[a-f]*[0-9])[0-9a-f]{{6,64}}\b|[0-9]+(?:st|nd|rd|th)?"
    rf"|\b(?:{_MONTH}|nov(?:ember)?|dec(?:ember)?|{_DAY}|[ap]\.?m\.?|utc|gmt)\b",
    re.IGNORECASE | re.ASCII,
)
_DIGITS = b"0123456789"


@dataclass(frozen=True, slots=True)
class Part:
    """A tool, a block of the system text, or a message. `whole`: all of it, `loose`: without its digits. `raw`: as the program
    sent it, where TokenMan masked something in it. `name`: a tool's. `leaves`: of a message, by their place in it; `texts`: those
    of them that say something. `pieces`: of a system text, each with and without what passes by itself. `size` in bytes, `blocks`
    as Anthropic counts them.
    """

    whole: bytes
    loose: bytes
    size: int
    blocks: int = 1
    images: bool = False
    raw: bytes = b""
    name: bytes = b""
    leaves: tuple[tuple[str, bytes], ...] = ()
    texts: frozenset[bytes] = frozenset()
    pieces: tuple[tuple[bytes, bytes], ...] = ()
    weight: int = 320  # bytes of memory, roughly

    @property
    def sent(self) -> bytes:
        """All of it, as the program sent it."""
        return self.raw or self.whole


@dataclass(frozen=True, slots=True)
class Mark:
    """The provider is to keep all up to this block; for so many seconds."""

    block: int
    life: float


@dataclass(frozen=True, slots=True)
class Prints:
    """What is remembered of one request. `places`: what a part is called where a change in it is told."""

    provider: bytes
    model: bytes
    dialect: str
    order: tuple[Section, ...]
    parts: Mapping[Section, tuple[Part, ...]]
    whole: Mapping[Section, bytes]  # one hash of all parts of a section
    places: Mapping[Section, tuple[str, int]]  # how the first is called, and its number there
    fields: Mapping[str, bytes]
    marks: tuple[Mark, ...]
    life: float  # seconds that a provider keeps what has no mark
    weight: int = field(default=0, compare=False)

    def size(self, section: Section) -> int:
        return sum(part.size for part in self.parts[section])

    def place(self, section: Section, index: int, within: str = "") -> str:
        """`messages[3].content[0].text`."""
        name, first = self.places[section]
        at = f"{name}[{first + index}]" if first >= 0 else name
        return f"{at}.{within}" if within else at


def prints(
    key: bytes, dialect: str, provider: str, model: str, value: Any, slots: Iterable[Slot], earlier: Sequence[Prints]
) -> Prints | None:
    """The prints of a request's parsed body, `slots` being those that were changed in it; None if it is no conversation.

    `earlier`: what they may be like; it only saves work. On any thread.
    """
    depth = 0
    if type(value) is dict and type(value.get("request")) is dict:
        value, depth = value["request"], 1  # Code Assist wraps what Gemini is sent
    if type(value) is not dict or not any(name in value for name in _KEYS["messages"]):
        return None
    return _Reading(key, earlier).all(dialect, provider, model, value, slots, depth)


class _Reading:
    def __init__(self, key: bytes, earlier: Sequence[Prints]) -> None:
        self._key, self._earlier = key[:32], earlier

    def hash(self, data: bytes) -> bytes:
        """The key stands before the text, and what comes out is cut: enough to be known again, nothing to be read from."""
        return hashlib.sha256(self._key + data).digest()[:_BYTES]

    def all(
        self, dialect: str, provider: str, model: str, value: dict[str, Any], slots: Iterable[Slot], depth: int
    ) -> Prints:
        found = _sections(dialect, value)
        changed = _changed(found, slots, depth)
        parts, whole, marks = dict[Section, tuple[Part, ...]](), dict[Section, bytes](), list[Mark]()
        order, blocks = ORDER.get(dialect, USUAL_ORDER), 0
        for section in order:
            bare, inside = _bare(found[section].items[:MOST_PARTS])
            parts[section], whole[section] = self._section(section, bare, changed)
            if inside:
                starts = _starts(parts[section], blocks)
                marks += [Mark(starts[at] + block, life) for at, block, life in inside]
            blocks += sum(part.blocks for part in parts[section])
        if (own := _life(value.get("cache_control"))) is not None:  # the provider puts the mark itself, at the end
            marks.append(Mark(max(0, blocks - 1), own))
        fields = {
            name: self.hash(written(value[name])) for name in FIELDS.get(dialect, {}) if value.get(name) is not None
        }
        if dialect == "anthropic":
            fields["images"] = self.hash(b"1" if any(part.images for part in parts["messages"]) else b"0")
        return Prints(
            self.hash(provider.encode()), self.hash(model.encode("utf-8", "surrogatepass")), dialect, order, parts, whole,
            {section: (each.label, each.first) for section, each in found.items()}, fields, tuple(marks),
            DAY if value.get("prompt_cache_retention") == "24h" else FIVE_MINUTES,
            1000 + sum(part.weight for each in parts.values() for part in each),
        )  # fmt: skip

    # -- a section --

    def _section(
        self, section: Section, bare: list[Any], changed: Mapping[tuple[Section, int], list[tuple[Path, Slot]]]
    ) -> tuple[tuple[Part, ...], bytes]:
        """Its parts, and a hash of them all."""
        if not bare:
            return (), b""
        known, digest = self._known(section, bare)
        start = len(known)
        if start < len(bare):
            digest.update(b"," if start else b"")
            digest.update(memoryview(written(bare[start:]))[1:-1])
        # What follows an earlier request is new; else much of it may be known, though not where it stands now.
        like = {} if start else {part.whole: part for each in self._earlier for part in each.parts[section]}
        fresh = [self._part(section, bare[at], like, changed.get((section, at), [])) for at in range(start, len(bare))]
        return (*known, *fresh), digest.digest()[:_BYTES]

    def _known(self, section: Section, bare: list[Any]) -> tuple[tuple[Part, ...], Any]:
        """The parts that stood in an earlier request, if this section begins with all of them, and the hash so far."""
        lasts = dict[int, bytes]()
        for each in self._earlier:
            parts = each.parts[section]
            count = len(parts)
            if not 0 < count <= len(bare):
                continue
            if count not in lasts:
                lasts[count] = self.hash(written(bare[count - 1]))
            if lasts[count] == parts[-1].whole:
                digest = hashlib.sha256(self._key)
                digest.update(memoryview(written(bare[:count]))[1:-1])
                if digest.digest()[:_BYTES] == each.whole[section]:
                    return parts, digest
        return (), hashlib.sha256(self._key)

    def _part(self, section: Section, part: Any, like: Mapping[bytes, Part], slots: list[tuple[Path, Slot]]) -> Part:
        data = written(part)
        whole = self.hash(data)
        if (same := like.get(whole)) is not None:
            return same
        raw = self.hash(written(original)) if slots and (original := _restored(part, slots)) is not None else b""
        loose = self.hash(data.translate(None, _DIGITS))
        if section == "tools":
            return Part(whole, loose, len(data), raw=raw, name=self.hash(_tool_name(part)))
        if section == "system":
            pieces = tuple(self._pieces(_text(part), like))
            return Part(whole, loose, len(data), raw=raw, pieces=pieces, weight=320 + 150 * len(pieces))
        images = b'"type":"image' in data or b'"type":"input_image' in data or b'"inlineData":' in data
        said = [(label, written(leaf)) for label, leaf in _leaves(part)]
        leaves = tuple((label, self.hash(leaf)) for label, leaf in said)
        texts = frozenset(hash for (_, leaf), (_, hash) in zip(said, leaves, strict=True) if len(leaf) >= TELLING)
        weight = 320 + 110 * len(leaves) + 200
        return Part(whole, loose, len(data), _blocks(part), images, raw, leaves=leaves, texts=texts, weight=weight)

    def _pieces(self, text: str, like: Mapping[bytes, Part]) -> Iterator[tuple[bytes, bytes]]:
        """A text in at most so many runs of lines, so that what changed in it is found."""
        known = dict(pair for part in like.values() for pair in part.pieces)
        lines = text.split("\n")
        step = -(-len(lines) // _MOST_PIECES)
        for start in range(0, len(lines), step):
            piece = "\n".join(lines[start : start + step])
            whole = self.hash(piece.encode("utf-8", "surrogatepass"))
            loose = known.get(whole) or self.hash(_PASSING.sub("0", piece).encode("utf-8", "surrogatepass"))
            yield whole, loose


def written(value: Any) -> bytes:
    """JSON without blanks, in the order of the program's own keys: a provider reads them in that order, too."""
    try:
        made: bytes = orjson.dumps(value)
    except TypeError:  # it writes no integers beyond 64 bits, no halves of characters, and nothing deeper than 254
        return json.dumps(value, separators=(",", ":")).encode()
    return made


@dataclass(frozen=True, slots=True)
class _Found:
    """The parts of a section: `root` leads to them in the body, where the first has the number `first`, -1 for a bare text."""

    items: list[Any]
    root: Path
    first: int = 0

    @property
    def label(self) -> str:
        return ".".join(str(step) for step in self.root)


def _sections(dialect: str, value: dict[str, Any]) -> dict[Section, _Found]:
    found = dict[Section, _Found]()
    for section, names in _KEYS.items():
        name = next((name for name in names if name in value), names[0])
        given, root = value.get(name), (name,)
        if type(given) is dict and type(given.get("parts")) is list:
            found[section] = _Found(given["parts"], (name, "parts"))
        elif type(given) is list:
            found[section] = _Found(given, root)
        else:
            found[section] = _Found([] if given in (None, "") else [given], root, -1)
    messages = found["messages"]
    if dialect != "anthropic" and not found["system"].items and (first := _leading(messages.items)):
        found["system"] = _Found(messages.items[:first], messages.root)
        found["messages"] = _Found(messages.items[first:], messages.root, first)
    return found


def _changed(
    found: Mapping[Section, _Found], slots: Iterable[Slot], depth: int
) -> dict[tuple[Section, int], list[tuple[Path, Slot]]]:
    """The changed slots of each part, and where they stand in it."""
    changed = dict[tuple[Section, int], list[tuple[Path, Slot]]]()
    for slot in slots:
        path = slot.path[depth:]
        for section, each in found.items():
            below = len(each.root)
            if path[:below] != each.root:
                continue
            step = path[below] if len(path) > below else None
            if each.first < 0:
                changed.setdefault((section, 0), []).append((path[below:], slot))
            elif type(step) is int and 0 <= step - each.first < len(each.items):
                changed.setdefault((section, step - each.first), []).append((path[below + 1 :], slot))
    return changed


def _leading(messages: list[Any]) -> int:
    """How many messages at the beginning are the system text."""
    count = 0
    for message in messages:
        if type(message) is not dict or message.get("role") not in ("system", "developer"):
            break
        count += 1
    return count


def _bare(parts: list[Any]) -> tuple[list[Any], list[tuple[int, int, float]]]:
    """The parts without marks, texts as the blocks that they stand for; and where marks were: part, block, seconds."""
    made, marks = [], list[tuple[int, int, float]]()
    for at, part in enumerate(parts):
        if type(part) is dict:
            if "cache_control" in part:
                marks += [(at, 0, life)] if (life := _life(part["cache_control"])) is not None else []
                part = {key: item for key, item in part.items() if key != "cache_control"}
            content = part.get("content")
            if type(content) is str:
                part = {**part, "content": [{"type": "text", "text": content}]}
            elif type(content) is list and _is_marked(content):
                blocks, inner = _bare(content)
                marks += [(at, block, life) for block, _, life in inner]
                part = {**part, "content": blocks}
        elif type(part) is str:
            part = {"type": "text", "text": part}
        made.append(part)
    return made, marks


def _is_marked(blocks: list[Any]) -> bool:
    for block in blocks:  # noqa: SIM110, a generator takes three times as long, and this is done for every message
        if type(block) is dict and "cache_control" in block:
            return True
    return False


def _life(mark: Any) -> float | None:
    if type(mark) is not dict:
        return None
    return HOUR if mark.get("ttl") == "1h" else FIVE_MINUTES


def _starts(parts: Sequence[Part], first: int) -> list[int]:
    """The number of each part's first block in the whole."""
    found = []
    for part in parts:
        found.append(first)
        first += part.blocks
    return found


def _blocks(message: Any) -> int:
    content = message.get("content", message.get("parts")) if type(message) is dict else None
    return max(1, len(content)) if type(content) is list else 1


def _tool_name(tool: Any) -> bytes:
    if type(tool) is not dict:
        return b""
    inner = tool.get("function")
    name = tool.get("name") or (inner.get("name") if type(inner) is dict else None) or tool.get("type") or ""
    return written(name)


def _text(part: Any) -> str:
    """The text of a block, or of all blocks of a message."""
    if type(part) is str:
        return part
    if type(part) is not dict:
        return ""
    if type(part.get("text")) is str:
        return str(part["text"])
    content = part.get("content")
    return "\n".join(_text(block) for block in content) if type(content) is list else ""


def _leaves(message: Any) -> Iterator[tuple[str, Any]]:
    """What a message holds, one and two levels deep, each by its place."""
    count = 0
    for key, item in message.items() if type(message) is dict else ():
        name = key if key in _WORDS else "*"
        if type(item) is list and item and all(type(block) is dict for block in item):
            for index, block in enumerate(item):
                for inner, leaf in block.items():
                    yield f"{name}[{index}].{inner if inner in _WORDS else '*'}", leaf
                    if (count := count + 1) >= _MOST_LEAVES:
                        return
        else:
            yield name, item
            count += 1


def _restored(part: Any, slots: Sequence[tuple[Path, Slot]]) -> Any:
    """The part as the program sent it; None where that cannot be told, since the texts lie inside another text."""
    for path, slot in slots:
        text: Any = slot.original
        if path and path[-1] is NUMBER:
            path, text = path[:-1], int(text)
        if not all(type(step) in (str, int) for step in path):
            return None
        try:
            part = _with(part, _spelt(part, path), text)
        except (LookupError, TypeError):
            return None
    return part


def _spelt(part: Any, path: Path) -> Path:
    """A text that was taken for its only block stands one block deeper."""
    if not path and type(part) is dict:
        return ("text",)
    if path == ("content",) and type(part) is dict and type(part.get("content")) is list:
        return ("content", 0, "text")
    return path


def _with(value: Any, path: Path, text: Any) -> Any:
    if not path:
        return text
    step: Any = path[0]
    copy = value.copy()
    copy[step] = _with(value[step], path[1:], text)
    return copy
