"""Finds the text slots of any JSON that a provider takes or gives: all strings but those that the tables leave alone.

One walk serves all dialects, and the tables of `words` apply at any depth: a batch holds whole requests, and an endpoint
that was invented yesterday uses words of today's. What no table knows is text.
"""

import re
from collections import Counter
from decimal import Context
from typing import Any, NamedTuple

import orjson

from tokenman_core.body import encoded, lone
from tokenman_core.body.carried import carried_by_all
from tokenman_core.body.lone import Hidden
from tokenman_core.body.parse import Written, parse
from tokenman_core.dialects import words
from tokenman_core.errors import BodyError
from tokenman_core.slots import BASE64, INNER, NUMBER, Found, Key, Path, Slot, SlotKind

_WORD = re.compile(words.WORD)
_OWN_ID = re.compile(words.OWN_ID)
_FORMAT = re.compile(r"[a-z][a-z0-9_]{1,15}")  # of sound: mp3, wav, pcm16
_LONGEST_WORD = 200
_ID_KEYS = ("_id", "_ids", "Id")
# Keys that may be data: an address, a sentence, a number, a credential. Others are names that a programmer chose.
_DATA_KEY = re.compile(r"[@\s]|[0-9]{3}|[^\x00-\x7f]|(?=[\w./+=-]*[0-9])(?=[\w./+=-]*[A-Z])[\w./+=-]{16}")
_PLAIN_KEY = re.compile(r"[A-Za-z_$-]*+[0-9]{0,2}")  # most keys: told at once
_HEADING = re.compile(r"[^\W\d][\w .()/#-]{0,63}")
_MOST_COLUMNS = 256
_URL = ("data:", "Data:", "DATA:")
_LEAST, _BEYOND = words.LEAST_NUMBER, 10**19  # whole numbers in between have 9 to 19 digits
_NUMBERS = frozenset({int, float, Written})  # and not bool
_DIGITS = Context(prec=40)
_BASE64_KEYS = frozenset({"data", "file_data", "b64_json"})
_MAGIC = tuple(words.MEDIA_MAGIC)
_LEAST_MEDIA = 64  # characters; shorter strings are not taken for media


class Place(NamedTuple):
    """Who says what stands here. `free`: free-form JSON, where keys mean nothing to the protocol."""

    kind: SlotKind = "other"
    tool: str = ""
    message: int = -1
    free: bool = False
    named: str = ""  # see Slot


def find_slots(value: Any) -> Found:
    """All text slots of a request's parsed JSON, in document order."""
    walk = Walk()
    walk.value(value, (), Place())
    walk.unreadable.update(carried_by_all(walk.texts))
    return Found(walk.slots, walk.unreadable)


def answer_slots(value: Any, path: Path = (), kind: SlotKind = "assistant", tool: str = "") -> list[Slot]:
    """All text slots of an answer, or of the part of one that stands at `path`."""
    walk = Walk(answer=True)
    walk.value(value, path, Place(kind, tool))
    return walk.slots


class Walk:
    """One walk through one value. Tool names are remembered by the id of their call, for the results that come later.

    `answer`: of an answer, signed thinking is offered for reading; numbers and words of the protocol are not, because no
    placeholder can stand in them.
    """

    def __init__(self, *, answer: bool = False) -> None:
        self._answer = answer
        self.slots: list[Slot] = []
        self.unreadable: Counter[str] = Counter()
        self.texts: list[str] = []  # what may carry media in itself
        self.tools: dict[str, str] = {}

    def value(self, value: Any, path: Path, place: Place) -> None:
        """All text of any value that stands at `path`."""
        kind = type(value)
        if kind is str:
            self.text(value, path, place)
        elif kind is dict:
            if place.free:
                self._free(value, path, place)
            else:
                self.object(value, path, place)
        elif kind is list:
            if len(value) > 1 and type(value[0]) is list and (names := _headings(value[0])):
                self._rows(value, path, place, names)
            else:
                for index, item in enumerate(value):
                    self.value(item, (*path, index), place)
        elif kind in _NUMBERS and (value >= _LEAST or value <= -_LEAST):
            self._number(value, path, place)

    def _rows(self, rows: list[Any], path: Path, place: Place, names: list[str]) -> None:
        """A table of lists: each cell is told by the heading of its column."""
        columns = [place._replace(named=name) for name in names]
        for index, row in enumerate(rows):
            if type(row) is not list or len(row) != len(names):
                self.value(row, (*path, index), place)
                continue
            for number, (cell, column) in enumerate(zip(row, columns, strict=True)):
                self.value(cell, (*path, index, number), place if type(cell) in (dict, list) else column)

    def _number(self, number: float, path: Path, place: Place) -> None:
        """A card's number, say, which programs put into JSON without quotes; some make a float of it."""
        if -_BEYOND < number < _BEYOND and not self._answer and (digits := _whole(number)):
            path = (*path, NUMBER)
            self.slots.append(Slot(path, place.kind, digits, place.tool, message=place.message, named=place.named))

    def text(self, text: str, path: Path, place: Place) -> None:
        """A string: a slot, or media that are counted."""
        if not text:
            return
        if text.startswith(_URL) and (url := encoded.DATA_URL.match(text)):
            self._media(text, text[url.end() :], url.group(1).strip().lower(), path, place)
        elif text.startswith(_MAGIC) and len(text) >= _LEAST_MEDIA and encoded.is_base64(text):
            self.unreadable[next(word for magic, word in words.MEDIA_MAGIC.items() if text.startswith(magic))] += 1
        else:
            self.texts.append(text)
            self.slots.append(Slot(path, place.kind, text, place.tool, message=place.message, named=place.named))

    def object(self, value: dict[str, Any], path: Path, place: Place) -> None:
        """An object whose keys have the meanings of the tables."""
        kind = value.get("type")
        place = self._placed(value, kind if type(kind) is str else "", place)
        sealed = _sealed(value) if kind in ("thinking", "redacted_thinking") else None
        for key, item in value.items():
            here = (*path, key)
            if key not in words.IDENTIFIERS and _PLAIN_KEY.fullmatch(key) is None and _DATA_KEY.search(key):
                self._key(key, path, place)
            if type(item) is str:
                if key == sealed:
                    self._sealed_text(key, item, here, place)
                else:
                    self._member(value, key, item, here, place)
            elif type(item) in (dict, list):
                self._nested(value, key, item, here, place)
            elif type(item) in _NUMBERS and (item >= _LEAST or item <= -_LEAST) and not _is_protocols_number(key):
                self._number(item, here, place)

    def _sealed_text(self, key: str, text: str, path: Path, place: Place) -> None:
        """What a signature covers, or only the provider can read: never changed; its words are shown of an answer."""
        if key == "thinking" and self._answer and text:
            self.slots.append(Slot(path, "thinking", text, message=place.message, signed=True))

    def _placed(self, value: dict[str, Any], kind: str, place: Place) -> Place:
        """Who speaks in this object, told by its role, or by its type where that is a call of a tool or its result."""
        role = value.get("role")
        if type(role) is str and role in words.ROLES:
            tool = self._tool_of(value) if words.ROLES[role] == "tool_result" else ""
            return Place(words.ROLES[role], tool, place.message)
        if kind.endswith(("_use", "_call")):
            tool = _name(value) or kind.removesuffix("_call")
            for key in ("id", "call_id"):
                if type(value.get(key)) is str:
                    self.tools[value[key]] = tool
            return Place("tool_input", tool, place.message)
        if kind.endswith(("_result", "_output", "_response")) and not kind.startswith("input_"):
            return Place("tool_result", self._tool_of(value) or place.tool, place.message)
        if kind in ("reasoning", "thinking"):
            return Place("thinking", "", place.message)
        return place

    def _tool_of(self, value: dict[str, Any]) -> str:
        for key in ("tool_use_id", "tool_call_id", "call_id"):
            call = value.get(key)
            if type(call) is str and call in self.tools:
                return self.tools[call]
        return _name(value)

    def _member(self, owner: dict[str, Any], key: str, text: str, path: Path, place: Place) -> None:
        """A string of an object."""
        if key in words.IDENTIFIERS or key.endswith(_ID_KEYS) or (key == "name" and _names_tool(owner, path, place)):
            of_protocol = text in words.COMMON or self._plain(text)
            if not of_protocol and (words.is_persons(key) or not _is_protocols_word(key, text)):
                self.text(text, path, place)
        elif key in words.OPAQUE_KEYS:
            if not self._plain(text) and (len(text) < words.LEAST_OPAQUE or not encoded.is_base64(text)):
                self.text(text, path, place)
        elif key == "arguments":
            name = _name(owner)
            self._arguments(text, path, Place("tool_input", name or place.tool, place.message))
        elif key in _BASE64_KEYS and not text.startswith(_URL) and (said := _media_type(owner, key)) is not None:
            self._media(text, text, said, path, place)
        elif key in words.SPEAKERS and place.kind == "other":
            self.text(text, path, Place(words.SPEAKERS[key], place.tool, place.message))
        else:
            self.text(text, path, place)

    def _plain(self, text: str) -> bool:
        """Whether this is a string of an answer in which no placeholder stands."""
        return self._answer and "[" not in text

    def _nested(self, owner: dict[str, Any], key: str, item: Any, path: Path, place: Place) -> None:
        """An object or a list of an object."""
        if key in ("input", "prompt") and type(item) is list and _is_tokens(item):
            self.unreadable["tokens"] += 1
        elif key in words.CONVERSATIONS and type(item) is list and place.kind in ("other", "user"):
            for index, message in enumerate(item):
                self.value(message, (*path, index), Place("user", "", index))
        elif key in ("tools", "functions") and type(item) is list:
            self._definitions(item, path, place)
        elif key in ("tool_choice", "mcp_servers"):
            self._definition(item, path, place)
        elif key in words.SCHEMAS and place.kind == "other" and type(item) is dict and _is_schema(item):
            self._schema(item, path, place)
        elif key == "tool_calls" and type(item) is list:
            self._calls(item, path, place)
        elif key in ("function_call", "functionCall"):
            self.value(item, path, Place("tool_input", _name(item) if type(item) is dict else "", place.message))
        elif key in ("functionResponse", "function_response"):
            self.value(item, path, Place("tool_result", _name(item) if type(item) is dict else "", place.message))
        elif (
            (key == "response" and place.kind == "tool_result")
            or key in words.FREE_FORM
            or (key in ("input", "arguments", "action") and place.kind == "tool_input")
        ):  # whatever the tool said: no word of it is the protocol's
            self.value(item, path, Place(place.kind, place.tool, place.message, True))
        elif key in words.SPEAKERS and place.kind == "other":
            self.value(item, path, Place(words.SPEAKERS[key], place.tool, place.message))
        elif _are_rows(item) and (names := _columns(owner)):
            self._rows(item, path, place, names)
        else:
            self.value(item, path, place)

    def _free(self, value: dict[str, Any], path: Path, place: Place) -> None:
        name = next((value[key] for key in words.PAIRED_NAMES if type(value.get(key)) is str), "")
        named = place._replace(named=name) if name else place
        names = _columns(value)
        for key, item in value.items():
            if _PLAIN_KEY.fullmatch(key) is None and _DATA_KEY.search(key):
                self._key(key, path, place)
            if names and _are_rows(item):
                self._rows(item, (*path, key), place, names)
            else:
                self.value(item, (*path, key), named if key in words.PAIRED_VALUES and type(item) is str else place)

    def _key(self, key: str, path: Path, place: Place) -> None:
        self.slots.append(Slot((*path, Key(key)), place.kind, key, place.tool, message=place.message))

    def _calls(self, calls: list[Any], path: Path, place: Place) -> None:
        """The `tool_calls` of Chat Completions: the name stands one level deeper than the id."""
        for index, call in enumerate(calls):
            tool = ""
            if type(call) is dict:
                inner: dict[str, Any] = next(
                    (call[key] for key in ("function", "custom") if type(call.get(key)) is dict), {}
                )
                tool = _name(inner)
                if type(call.get("id")) is str:
                    self.tools[call["id"]] = tool
            self.value(call, (*path, index), Place("tool_input", tool, place.message))

    def _arguments(self, text: str, path: Path, place: Place) -> None:
        """Arguments as JSON in a string; what is no JSON object or list, or might be read in two ways, is one text."""
        if not text:
            return
        value = inner_value(text)
        if value is None:
            self.texts.append(text)
            making = text.lstrip().startswith(("{", "["))
            self.slots.append(Slot(path, place.kind, text, place.tool, partial_json=making, message=place.message))
        else:
            self.value(value, (*path, INNER), Place(place.kind, place.tool, place.message, True))

    def _definitions(self, tools: list[Any], path: Path, place: Place) -> None:
        for index, tool in enumerate(tools):
            self._definition(tool, (*path, index), place)

    def _definition(self, tool: Any, path: Path, place: Place) -> None:
        """What a program says of a tool, or of the server that has some: text, but for its name and the way to it."""
        if type(tool) is list:
            for index, item in enumerate(tool):
                self._definition(item, (*path, index), place)
            return
        if type(tool) is not dict:
            self.value(tool, path, place)
            return
        for key, item in tool.items():
            here = (*path, key)
            if key in words.TOOL_NAMES or key in words.TOOL_CONNECTION:
                continue
            if key in words.SCHEMAS:
                self._schema(item, here, place)
            elif key in words.TOOL_NESTING:
                self._definition(item, here, place)
            elif type(item) is str:
                self._member(tool, key, item, here, place)
            else:
                self.value(item, here, Place(place.kind, place.tool, place.message, key in words.FREE_FORM))

    def _schema(self, schema: Any, path: Path, place: Place) -> None:
        """The text of a JSON Schema: not its own words, and not the names that it defines."""
        if type(schema) is list:
            for index, item in enumerate(schema):
                self._schema(item, (*path, index), place)
            return
        if type(schema) is not dict:
            self.value(schema, path, place)
            return
        for key, item in schema.items():
            here = (*path, key)
            if key in words.SCHEMA_MEMBERS and type(item) is dict:
                for name, member in item.items():
                    self._schema(member, (*here, name), place)
            elif type(item) is str and key not in words.SCHEMA_NAMES:
                self._member(schema, key, item, here, place)
            elif key not in words.SCHEMA_NAMES:
                self._schema(item, here, place)

    def _media(self, source: str, coded: str, media_type: str, path: Path, place: Place) -> None:
        """base64: of a text type its text is a slot, of another type it is counted; what is no base64 is text as it stands."""
        is_text = words.is_text_type(media_type)
        if is_text or words.media_of(media_type) == "file" or encoded.begins_as_text(coded):
            made = encoded.decode(source, any_text=is_text)
            if made is not None:
                self.slots.append(Slot((*path, BASE64), place.kind, made.text, place.tool, message=place.message))
                return
        known = encoded.is_base64(coded)
        if known:
            self.unreadable[words.media_of(media_type)] += 1
        elif not self._answer:
            self.texts.append(source)
        if not known or (not media_type and len(coded) < _LEAST_MEDIA):  # no media are so short
            self.slots.append(Slot(path, place.kind, source, place.tool, message=place.message))


def inner_value(text: str) -> Any:
    """The object or list that a string holds as JSON, or None: then the string is to be read as it stands."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return parse(text.encode("utf-8"))
    except (BodyError, UnicodeEncodeError):
        return None


def load(data: bytes) -> Any:
    """The JSON value of an answer, None if it is none: what a provider says is read as far as it can be."""
    return loaded(data)[0]


def loaded(data: bytes) -> tuple[Any, Hidden | None]:
    """The same, and how its lone surrogates were hidden, where it has some."""
    try:
        return lone.load(data)
    except orjson.JSONDecodeError:
        return None, None


def _are_rows(value: Any) -> bool:
    return type(value) is list and bool(value) and type(value[0]) is list


def _columns(value: dict[str, Any]) -> list[str]:
    """What the columns are called of the rows that an object holds (`{"columns": […], "rows": [[…]]}`); none if it holds none."""
    for item in value.values():
        if _are_rows(item):
            said = (each for each in value.values() if type(each) is list and len(each) == len(item[0]))
            return next((names for names in map(_headings, said) if names), [])
    return []


def _headings(listed: list[Any]) -> list[str]:
    """A list of names, or of objects that have one each: of at least two columns; none if it is none."""
    if not 2 <= len(listed) <= _MOST_COLUMNS:
        return []
    names = [
        each
        if type(each) is str
        else next((each[key] for key in words.COLUMN_NAMES if type(each.get(key)) is str), "")
        if type(each) is dict
        else ""
        for each in listed
    ]
    return names if all(map(_HEADING.fullmatch, names)) and len(set(names)) == len(names) else []


def _is_tokens(value: list[Any]) -> bool:
    """Whether a text, or each of a list of texts, is sent as the numbers of its tokens (embeddings and completions take that)."""
    if value and type(value[0]) is list:
        return all(type(text) is list and _are_tokens(text) for text in value)
    return _are_tokens(value)


def _are_tokens(value: list[Any]) -> bool:
    return bool(value) and all(type(item) is int and 0 <= item < _LEAST for item in value)


def _is_protocols_word(key: str, text: str) -> bool:
    if key in words.OWN_IDS and _OWN_ID.fullmatch(text) is not None:
        return True
    return len(text) <= _LONGEST_WORD and _WORD.fullmatch(text) is not None


def _is_schema(value: dict[str, Any]) -> bool:
    """Whether an object under a key of schemas is one: its type is one of theirs, or it holds some."""
    if any(type(value.get(key)) is dict for key in words.SCHEMA_MEMBERS):
        return True
    kind = value.get("type")
    return type(kind) is str and kind.lower() in words.SCHEMA_TYPES


def _whole(number: float) -> str:
    """A whole number's digits, however it is written (`4.1e15`); "" of another one."""
    if isinstance(number, Written):
        exact = _DIGITS.create_decimal(number.source)
        return f"{exact:.0f}" if exact == exact.to_integral_value() else ""
    return str(int(number)) if number == int(number) else ""


def _is_protocols_number(key: str) -> bool:
    return key in words.NUMBERS or key.endswith(words.NUMBER_KEYS)


def _sealed(block: dict[str, Any]) -> str | None:
    """The key of a thinking block under which stands what must go back to the provider as it came, None if nothing does."""
    if block.get("type") == "thinking":
        return "thinking" if block.get("signature") else None
    data = block.get("data")
    return "data" if type(data) is str and encoded.is_base64(data) else None


def _name(value: Any) -> str:
    name = value.get("name")
    return name if type(name) is str else ""


def _names_tool(owner: dict[str, Any], path: Path, place: Place) -> bool:
    if place.kind == "tool_input":
        return True
    return not words.BESIDE_TOOL_NAMES.isdisjoint(owner) or owner.get("role") in ("tool", "function")


def _media_type(owner: dict[str, Any], key: str) -> str | None:
    """The media type of base64 under `key`, "" if it is not stated, None if it is no base64 at all."""
    for said in ("media_type", "mimeType", "mime_type"):
        media_type = owner.get(said)
        if type(media_type) is str:
            return None if owner.get("type") == "text" else media_type.partition(";")[0].strip().lower()
    audio = owner.get("format")
    if key == "data" and type(audio) is str and _FORMAT.fullmatch(audio):
        return f"audio/{audio}"
    return "" if key != "data" or owner.get("type") == "base64" else None
