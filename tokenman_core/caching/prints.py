"""What is remembered of a request, to tell later which part of it has changed: keyed hashes of its parts, and nothing of its text.

Parts stand in the order in which providers read them: tools, system text and messages, each with its blocks. Marks for the cache
(`cache_control`) are left out of what is hashed, since they move from turn to turn. In a conversation what stood in the last
request is known again by the hashes of a few runs of parts, or by its provider's word that it read it again, so that only what is
new is looked at closely.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import orjson

from tokenman_core.slots import NUMBER, Path, Slot

Section = Literal["tools", "system", "messages"]

FIVE_MINUTES, HOUR, DAY = 300.0, 3600.0, 86_400.0
MOST_PARTS = 4000  # tools and messages of a request that are told apart; what comes behind them is not looked at
TELLING = 24  # bytes of a text that says something: not one that every conversation has, as a role or a flag
_MOST_LEAVES = 64  # of one message
_MOST_PIECES = 64  # of one text
_MOST_RUNS = 16  # of a section: then they are made one

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


class Part(NamedTuple):
    """A tool, a block of the system text, or a message. `whole`: all of it, `loose`: without its digits. `raw`: as the program
    sent it, where TokenMan masked something in it. `name`: a tool's. `leaves`: of a message, by their place in it; `texts`: those
    of them that say something. `pieces`: of a system text, each with and without what passes by itself. `size` in bytes, `blocks`
    as Anthropic counts them.
    """

    whole: int
    loose: int
    size: int
    blocks: int = 1
    images: bool = False
    raw: int = 0
    name: int = 0
    leaves: tuple[tuple[str, int], ...] = ()
    texts: frozenset[int] = frozenset()
    pieces: tuple[tuple[int, int], ...] = ()
    weight: int = 320  # bytes of memory, roughly

    @property
    def sent(self) -> int:
        """All of it, as the program sent it."""
        return self.raw or self.whole


class Mark(NamedTuple):
    """The provider is to keep all up to this block; for so many seconds."""

    block: int
    life: float


class Head(NamedTuple):
    """The parts that a section begins with and that the next request is likely to have as they are, their marks too: all tools, the
    whole system text, and the messages before the first that is marked. `runs`: of so many parts each, a hash of their JSON.
    `last`: of the last part alone. The rest is of all of them; `whole` is one hash of theirs.
    """

    length: int = 0
    runs: tuple[tuple[int, int], ...] = ()
    last: int = 0
    marks: tuple[tuple[int, float], ...] = ()  # block in the section, seconds
    whole: int = 0
    blocks: int = 0
    images: bool = False
    weight: int = 0


class Prints(NamedTuple):
    """What is remembered of one request. `places`: what a part is called where a change in it is told."""

    provider: int
    model: int
    dialect: str
    order: tuple[Section, ...]
    parts: Mapping[Section, tuple[Part, ...]]
    heads: Mapping[Section, Head]
    whole: Mapping[Section, int]  # one hash of all parts of a section
    places: Mapping[Section, tuple[tuple[str, ...], int]]  # the way to the first, and its number there
    fields: Mapping[str, int]
    marks: tuple[Mark, ...]
    life: float  # seconds that a provider keeps what has no mark
    weight: int = 0

    def size(self, section: Section) -> int:
        return sum(part.size for part in self.parts[section])

    def place(self, section: Section, index: int, within: str = "") -> str:
        """`messages[3].content[0].text`."""
        root, first = self.places[section]
        name = ".".join(root)
        at = f"{name}[{first + index}]" if first >= 0 else name
        return f"{at}.{within}" if within else at


def prints(
    key: bytes,
    dialect: str,
    provider: str,
    model: str,
    value: Any,
    slots: Sequence[Slot],
    earlier: Sequence[Prints],
    read: Sequence[Prints] = (),
) -> Prints | None:
    """The prints of a request's parsed body, `slots` being those in it, if any was changed; None if it is no conversation.

    `earlier`: what they may be like, `read`: those of them of which the provider read all that it had kept. Both only save work.
    On any thread.
    """
    depth = 0
    if type(value) is dict and type(value.get("request")) is dict:
        value, depth = value["request"], 1  # Code Assist wraps what Gemini is sent
    if type(value) is not dict or not any(name in value for name in _KEYS["messages"]):
        return None
    return _Reading(key, earlier, read).all(dialect, provider, model, value, slots, depth)


class _Reading:
    def __init__(self, key: bytes, earlier: Sequence[Prints], read: Sequence[Prints]) -> None:
        self._key, self._earlier, self._read = key[:32], earlier, read

    def hash(self, data: bytes) -> int:
        """Python's own, which has a key of this process, of our key and the text: nothing that could be read back, and enough that
        no two texts of an installation are taken for one.
        """
        return hash(self._key + data)

    def all(
        self, dialect: str, provider: str, model: str, value: dict[str, Any], slots: Sequence[Slot], depth: int
    ) -> Prints:
        found = _sections(dialect, value)
        parts, whole, marks = dict[Section, tuple[Part, ...]](), dict[Section, int](), list[Mark]()
        heads, images, weight = dict[Section, Head](), False, 3000
        order, blocks = ORDER.get(dialect, USUAL_ORDER), 0
        place = self.hash(provider.encode()), self.hash(model.encode("utf-8", "surrogatepass"))
        read = [each for each in self._read if (each.provider, each.model) == place]
        for section in order:
            items = found[section].items[:MOST_PARTS]
            known, head = self._known(section, items, read, blocks) if items else (None, Head())
            if head.length == len(items):  # all of it is known, or there is none
                parts[section] = known.parts[section][: head.length] if known else ()
                heads[section] = head
            else:
                bare, inside = _bare(items[head.length :])
                changed = _changed(found[section], slots, depth, head.length) if slots else {}
                fresh = self._fresh(section, bare, head.length, known, changed)
                parts[section] = (*known.parts[section][: head.length], *fresh) if known else fresh
                starts = _starts(fresh, head.blocks)
                own = [*head.marks, *((starts[at] + block, life) for at, block, life in inside)]
                first = inside[0][0] if inside and section == "messages" else len(fresh)
                heads[section] = self._longer(head, items, fresh[:first], () if section == "messages" else own)
                head = _with(head, fresh, own)
            whole[section] = head.whole
            marks += [Mark(blocks + block, life) for block, life in head.marks]
            blocks, weight, images = blocks + head.blocks, weight + head.weight, head.images  # messages are the last
        if (own_life := _life(value.get("cache_control"))) is not None:  # the provider puts the mark itself, at the end
            marks.append(Mark(max(0, blocks - 1), own_life))
        named = FIELDS.get(dialect, {}).keys() & value.keys()
        fields = {name: self.hash(written(value[name])) for name in named if value[name] is not None}
        if dialect == "anthropic":
            fields["images"] = int(images)
        return Prints(
            *place, dialect, order, parts, heads, whole,
            {section: (each.root, each.first) for section, each in found.items()}, fields, tuple(marks),
            DAY if value.get("prompt_cache_retention") == "24h" else FIVE_MINUTES, weight,
        )  # fmt: skip

    # -- a section --

    def _known(
        self, section: Section, items: list[Any], read: Sequence[Prints], before: int
    ) -> tuple[Prints | None, Head]:
        """An earlier request with whose head this section begins, and that head; none: an empty one. `before`: blocks of the
        sections before it.
        """
        lasts = dict[int, int]()
        for at, each in enumerate((*read, *self._earlier)):
            head = each.heads[section]
            if not 0 < head.length <= len(items):
                continue
            if head.length not in lasts:
                lasts[head.length] = self.hash(written(items[head.length - 1]))
            if lasts[head.length] != head.last:
                continue
            kept = at < len(read) and any(mark.block >= before + head.blocks - 1 for mark in each.marks)
            if kept or self._stands(head, items):  # what was kept was read
                return each, head
        return None, Head()

    def _stands(self, head: Head, items: list[Any]) -> bool:
        at = 0
        for count, known in head.runs:
            if self.hash(written(items[at : at + count])) != known:
                return False
            at += count
        return True

    def _longer(self, head: Head, items: list[Any], more: Sequence[Part], marks: Sequence[tuple[int, float]]) -> Head:
        """The head with so many more parts behind it."""
        if not more:
            return head
        length = head.length + len(more)
        runs = head.runs
        if len(runs) < _MOST_RUNS:
            runs = (*runs, (len(more), self.hash(written(items[head.length : length]))))
        else:
            runs = ((length, self.hash(written(items[:length]))),)
        last = self.hash(written(items[length - 1]))
        return _with(head, more, marks)._replace(length=length, runs=runs, last=last)

    def _fresh(
        self,
        section: Section,
        bare: list[Any],
        start: int,
        known: Prints | None,
        changed: Mapping[int, list[tuple[Path, Slot]]],
    ) -> tuple[Part, ...]:
        """The parts behind the head. Much of them may be known, though not where it stands now."""
        those = self._earlier if known is None else (known,)
        like = {part.whole: part for each in those for part in each.parts[section][start:]}
        return tuple([self._part(section, part, like, changed.get(at, [])) for at, part in enumerate(bare, start)])

    def _part(self, section: Section, part: Any, like: Mapping[int, Part], slots: list[tuple[Path, Slot]]) -> Part:
        data = written(part)
        whole = self.hash(data)
        if (same := like.get(whole)) is not None:
            return same
        raw = self.hash(written(original)) if slots and (original := _restored(part, slots)) is not None else 0
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
        weight = 320 + 130 * len(leaves) + 220
        return Part(whole, loose, len(data), _blocks(part), images, raw, leaves=leaves, texts=texts, weight=weight)

    def _pieces(self, text: str, like: Mapping[int, Part]) -> Iterator[tuple[int, int]]:
        """A text in at most so many runs of lines, so that what changed in it is found."""
        known = dict(pair for part in like.values() for pair in part.pieces)
        lines = text.split("\n")
        step = -(-len(lines) // _MOST_PIECES)
        for start in range(0, len(lines), step):
            piece = "\n".join(lines[start : start + step])
            whole = self.hash(piece.encode("utf-8", "surrogatepass"))
            loose = known.get(whole) or self.hash(_PASSING.sub("0", piece).encode("utf-8", "surrogatepass"))
            yield whole, loose


def _with(head: Head, more: Sequence[Part], marks: Sequence[tuple[int, float]]) -> Head:
    """What is said of the head's parts, said of these too."""
    whole = head.whole
    for part in more:
        whole = hash((whole, part.whole))
    return head._replace(
        marks=tuple(marks),
        whole=whole,
        blocks=head.blocks + sum([part.blocks for part in more]),
        images=head.images or any(part.images for part in more),
        weight=head.weight + sum([part.weight for part in more]),
    )


def written(value: Any) -> bytes:
    """JSON without blanks, in the order of the program's own keys: a provider reads them in that order, too."""
    try:
        made: bytes = orjson.dumps(value)
    except TypeError:  # it writes no integers beyond 64 bits, no halves of characters, and nothing deeper than 254
        return json.dumps(value, separators=(",", ":")).encode()
    return made


class _Found(NamedTuple):
    """The parts of a section: `root` leads to them in the body, where the first has the number `first`, -1 for a bare text."""

    items: list[Any]
    root: tuple[str, ...]
    first: int = 0


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


def _changed(found: _Found, slots: Sequence[Slot], depth: int, start: int) -> dict[int, list[tuple[Path, Slot]]]:
    """The changed slots of each part from `start` on, and where they stand in it."""
    changed = dict[int, list[tuple[Path, Slot]]]()
    below = len(found.root)
    for slot in reversed(slots):  # they come in the order of the document
        path = slot.path[depth:]
        if path[:below] != found.root:
            continue
        step = path[below] if len(path) > below else None
        at, rest = (0, path[below:]) if found.first < 0 else (step, path[below + 1 :])
        at = at - found.first if type(at) is int and found.first > 0 else at
        if type(at) is not int or at >= len(found.items):
            continue
        if at < start:
            break
        if slot.changed:
            changed.setdefault(at, []).insert(0, (rest, slot))
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
            part = _put(part, _spelt(part, path), text)
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


def _put(value: Any, path: Path, text: Any) -> Any:
    if not path:
        return text
    step: Any = path[0]
    copy = value.copy()
    copy[step] = _put(value[step], path[1:], text)
    return copy
