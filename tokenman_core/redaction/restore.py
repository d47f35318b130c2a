"""Restoration: placeholders that this exchange made become their values again, in whole texts and in streams cut anywhere."""

import json
import re
from collections.abc import Sequence

from tokenman_core.redaction.egress import JUDGED, Egress, ToolClass, call_allows, in_url, tool_class
from tokenman_core.redaction.entities import PLACEHOLDER
from tokenman_core.redaction.forms import EDGE
from tokenman_core.redaction.json_source import JsonSource, TextSource, unescaped
from tokenman_core.redaction.placeholders import Mapping
from tokenman_core.slots import INNER, Slot

TAIL = 4096  # characters of sent text that are remembered to see whether a placeholder stands in a URL
HOLD = 4096  # and at most so many held back until the host of a URL is complete
CALL = (
    128 * 1024
)  # characters of one call's input that are judged whole (Linux takes no longer argument); a longer one stays masked

_MOST_STAYED = 10_000  # placeholders that are counted: an answer may hold any number of strange ones
_FIRST_WORDS = frozenset({"A", "I", "a"})  # the first word of an answer waits for nothing, though a name may begin so
_LINE = re.compile(r"[\n\r\"]")
_BLANK = re.compile(r"[\s\"'<>`]")
_CALL_ROOTS = frozenset({"input", "arguments", "args", "action"})


class _Channel:
    """One running text of an answer. What `feed` and `close` return, joined, is the restored text."""

    def __init__(self, restorer: "Restorer", tool: str, source: bool) -> None:
        self._restorer = restorer
        self._forms = restorer.mapping.forms
        self._gate = self._forms.gates.search  # for speed: most text has no gate
        self._class: ToolClass = tool_class(tool)
        self._source: JsonSource | TextSource = JsonSource() if source else TextSource()
        self._base = 1 if source else 0  # strings of the source, one in another, in which a placeholder stands at least
        self._held = ""  # what may be the beginning of a placeholder, or waits for the host of its URL
        self._said: list[
            str
        ] = []  # the end of the model's own text that has gone out, its placeholders in their own form,
        self._length = 0  # of so many characters
        self._edge = ""  # and its last characters as they were
        # The input of a shell or a network tool goes out until its first placeholder, and then waits to be judged whole.
        self._judged = self._class in JUDGED and restorer.egress != "always"
        self._sent: list[str] = []
        self._kept: list[str] = []
        self._size = 0

    def feed(self, piece: str) -> str:
        if self._kept:
            self._kept.append(piece)
            self._size += len(piece)
            return self._let_go() if self._size > CALL else ""
        at = len(self._edge)
        if self._held:
            piece, self._held = self._held + piece, ""
        text = self._edge + piece
        if (begin := self._gate(text, at)) is None or (not at and piece in _FIRST_WORDS):
            return self._send(piece)
        return self._restore(text, at, begin.start(), final=False)

    def close(self) -> str:
        if self._kept:
            return self._restore_call()
        text, self._held = self._edge + self._held, ""
        at = len(self._edge)
        return self._restore(text, at, self._forms.gate(text, at), final=True) if len(text) > at else ""

    @property
    def _tail(self) -> str:
        return "".join(self._said)[-TAIL:]

    def _send(self, text: str, shown: str | None = None) -> str:
        """Take note of text that goes out; `shown` is its placeholder in its own form, where it is one."""
        self._source.feed(text)
        self._edge = (self._edge + text)[-EDGE:]
        shown = text if shown is None else shown
        self._said.append(shown)
        self._length += len(shown)
        if self._length > 2 * TAIL:
            self._said = [self._tail]
            self._length = TAIL
        if self._judged:
            self._sent.append(text)
            self._size += len(text)
            if self._size > CALL:
                self._give_up()
        return text

    def _give_up(self) -> None:
        """A call too long to be judged: what comes stays masked."""
        self._judged = False
        self._sent.clear()
        self._kept.clear()

    def _let_go(self) -> str:
        text = "".join(self._kept)
        self._give_up()
        self._restorer.leave(text)
        return self._send(text)

    def _restore(self, text: str, at: int, begin: int, final: bool) -> str:
        """What of `text` goes out, from `at` on; a form may begin at `begin`, if that is not negative."""
        out: list[str] = []
        end = len(text)  # of what goes out now
        while begin >= 0:
            form = self._forms.read(text, begin, final)
            if form == "open":
                end = begin
                break
            if form is None:
                begin = self._forms.gate(text, begin + 1)
                continue
            out.append(self._send(text[at : form.start]))
            at = form.start
            if self._judged:
                self._held = ""
                self._kept = [text[at:]]
                self._size += len(text) - at
                return "".join(out) + (self.close() if final else "")
            after = text[form.end : form.end + HOLD]
            allowed = self._allowed(form.placeholder, after + " " if final and len(after) < HOLD else after)
            if allowed is None:
                if not final and len(text) - at <= HOLD:
                    self._held = text[at:]
                    return "".join(out)
                allowed = False
            depth = self._depth()
            at = form.end
            if form.stray and in_brackets(unescaped(self._tail, depth)):
                at -= 1
            written = text[form.start : at]
            self._send(written, form.placeholder)
            value = self._restorer.mapping.value(form.placeholder)
            out.append(form.written(*value.standing(depth)) if allowed and value is not None else written)
            self._restorer.count(form.placeholder, allowed)
            begin = self._forms.gate(text, at)
        out.append(self._send(text[at:end]))
        self._held = text[end:]
        return "".join(out)

    def _depth(self) -> int:
        return max(self._base, self._source.depth)

    def _allowed(self, placeholder: str, after: str) -> bool | None:
        value = self._restorer.mapping.value(placeholder)
        egress = self._restorer.egress
        if value is None or egress == "always" or self._class == "write":
            return value is not None
        if self._class in JUDGED:
            return False  # too long to be judged
        before = self._tail
        if len(before) >= TAIL and not _BLANK.search(before):
            return False  # one word as long as that: no telling where it began
        before, after = unescaped(before, self._depth()), unescaped(after, self._depth())
        return in_url(before, placeholder, after, self._restorer.mapping, egress)

    def _restore_call(self) -> str:
        """The end of a call's input, judged together with what has gone out before."""
        text = "".join(self._kept)
        whole = "".join(self._sent) + text
        restorer = self._restorer
        allowed: set[str] = set()
        if len(whole) <= CALL and (read := _strings(whole) if self._base else whole) is not None:
            # What is put back is looked for in the source, what is judged in what it says: both must have the same forms.
            shown = self._forms.canonical(read)
            if self._forms.count(text) == self._forms.count(read):
                allowed = call_allows(self._class, shown, restorer.mapping, restorer.egress)
        self._give_up()
        return restorer.put(text, self._source, self._base, allowed, self._tail)


class Restorer:
    """Of one answer. Pieces of one channel come in order; texts without a channel are complete in themselves.

    `restored`: how often a value was put back. `unrestored`: how many placeholders stayed in some place; one counts once, for many
    streams say all that they said once more at their end. `strange`: so are those in complete texts that this exchange does not
    know, because the provider may have them from earlier calls.
    """

    def __init__(self, mapping: Mapping, egress: Egress, *, strange: bool = False) -> None:
        self.mapping = mapping
        self.egress: Egress = egress
        self._strange = strange
        self.restored = 0
        self._stayed: set[str] = set()
        self._channels: dict[str, _Channel] = {}

    @property
    def unrestored(self) -> int:
        return len(self._stayed)

    def count(self, placeholder: str, allowed: bool) -> None:
        if allowed:
            self.restored += 1
        else:
            self._stayed.add(placeholder)

    def leave(self, text: str) -> None:
        self._stayed.update(form.placeholder for form in self.mapping.forms.all(text))

    def put(
        self, text: str, source: JsonSource | TextSource, base: int, allowed: set[str] | None, before: str = ""
    ) -> str:
        """A text with the values of the placeholders that are allowed (None: all), each as the place where it stands needs it.

        `before` is what stands before the text, as far as it is known.
        """
        out: list[str] = []
        at = 0
        for form in self.mapping.forms.all(text):
            value = self.mapping.value(form.placeholder)
            if value is None:
                continue
            piece = text[at : form.start]
            source.feed(piece)
            before = (before + piece)[-TAIL:]
            depth = max(base, source.depth)
            at = form.end
            if form.stray and in_brackets(unescaped(before, depth)):
                at -= 1
            written = text[form.start : at]
            source.feed(written)
            before += form.placeholder
            fine = allowed is None or form.placeholder in allowed
            out += piece, form.written(*value.standing(depth)) if fine else written
            self.count(form.placeholder, fine)
        out.append(text[at:])
        return "".join(out)

    def feed(self, slot: Slot) -> str:
        """What of a piece of running text may go out now."""
        if slot.signed:
            return self._signed(slot.text)
        channel = self._channels.get(slot.channel)
        if channel is None:
            channel = self._channels[slot.channel] = _Channel(
                self, slot.tool if slot.kind == "tool_input" else "", slot.partial_json
            )
        return channel.feed(slot.text)

    def close(self, channel: str) -> str:
        """The rest of a channel's text, which was held back."""
        closed = self._channels.pop(channel, None)
        return closed.close() if closed is not None else ""

    @property
    def open(self) -> list[str]:
        """The channels that were fed and not closed."""
        return list(self._channels)

    def whole(self, slots: Sequence[Slot]) -> None:
        """Restore texts that are complete, each as it stands; the parts of one tool call are judged together."""
        forms = self.mapping.forms
        calls: dict[object, list[Slot]] = {}
        for slot in slots:
            if self._strange:
                self._count_strange(slot.text)
            if forms.gate(slot.text) < 0 and slot.kind != "tool_input":
                continue
            if slot.signed:
                self._signed(slot.text)
            elif slot.kind == "tool_input" and tool_class(slot.tool) != "other":
                calls.setdefault((slot.tool, _call_of(slot)), []).append(slot)
            else:
                self._running(slot)
        for parts in calls.values():
            self._call(parts)

    def _count_strange(self, text: str) -> None:
        for found in PLACEHOLDER.finditer(text):
            if len(self._stayed) >= _MOST_STAYED:
                return
            if found[0] not in self.mapping:
                self._stayed.add(found[0])

    def _running(self, slot: Slot) -> None:
        channel = _Channel(self, "", slot.partial_json)
        slot.text = channel.feed(slot.text) + channel.close()

    def _call(self, slots: list[Slot]) -> None:
        kind = tool_class(slots[0].tool)
        allowed: set[str] | None = None
        if kind != "write":
            texts = [self.mapping.forms.canonical(slot.text) for slot in slots]
            short = sum(map(len, texts)) <= CALL
            allowed = call_allows(kind, "\n".join(texts), self.mapping, self.egress) if short else set()
        for slot in slots:
            if self.mapping.forms.gate(slot.text) >= 0:
                slot.text = self.put(slot.text, TextSource(), 0, allowed)

    def _signed(self, text: str) -> str:
        """A signature covers the text: it stays as it is."""
        self.leave(text)
        return text


def in_brackets(before: str) -> bool:
    """Whether an opening bracket is not yet closed at the end of a line, or of a string, that is not over."""
    line = _LINE.split(before)[-1]
    return line.count("[") > line.count("]")


def _strings(source: str) -> str | None:
    """All strings of a JSON document, the names of its members too, one a line; None if it is none."""
    try:
        left = [json.loads(source, object_pairs_hook=list)]
    except (ValueError, RecursionError):
        return None
    found: list[str] = []
    while left:
        each = left.pop()
        if isinstance(each, str):
            found.append(each)
        elif isinstance(each, (list, tuple)):
            left += reversed(each)
    return "\n".join(found)


def _call_of(slot: Slot) -> object:
    """What all parts of one tool call's input have in common: the path down to it."""
    for place, step in enumerate(slot.path):
        if step is INNER or step in _CALL_ROOTS:
            return slot.path[: place + 1]
    return slot.path[:-1]
