"""Restoration: placeholders that this exchange made become their values again, in whole texts and in streams cut anywhere."""

import json
import re
from collections.abc import Sequence

from tokenman_core.redaction import calls
from tokenman_core.redaction.calls import Argument
from tokenman_core.redaction.egress import JUDGED, Egress, ToolClass, allowed, in_url, opens, tool_class
from tokenman_core.redaction.entities import PLACEHOLDER
from tokenman_core.redaction.forms import EDGE
from tokenman_core.redaction.json_source import JsonSource, TextSource, unescaped
from tokenman_core.redaction.placeholders import Mapping
from tokenman_core.redaction.taint import Tainted
from tokenman_core.slots import Slot

TAIL = 4096  # characters of sent text that are remembered to see whether a placeholder stands in a URL
HOLD = 4096  # and at most so many held back until the host of a URL is complete
CALL = (
    128 * 1024
)  # characters of one call's input that are judged whole (Linux takes no longer argument); a longer one stays masked

LONG_CALL = 1024 * 1024  # and of a call of a tool whose name tells nothing, or where names may hold values

_MOST_OPENINGS = 64
_MOST_STAYED = 10_000  # placeholders that are counted: an answer may hold any number of strange ones
_FIRST_WORDS = frozenset({"A", "I", "a"})  # the first word of an answer waits for nothing, though a name may begin so
_LINE = re.compile(r"[\n\r\"]")
_BLANK = re.compile(r"[\s\"'<>`]")
# Under which keys stands what the model says to the reader.
_SPOKEN = frozenset(
    {"text", "content", "output_text", "value", "delta", "message", "response", "completion", "generated_text"}
)
_HEAD = 64  # characters by which a text is known again that has been said in pieces


class _Channel:
    """One running text of an answer. What `feed` and `close` return, joined, is the restored text."""

    def __init__(self, restorer: "Restorer", tool: str, source: bool, before: str | None = None) -> None:
        """`before`: what the model has said before, if this is said to the reader; a program may put both together."""
        self._restorer = restorer
        self._forms = restorer.mapping.forms
        self._gate = self._forms.gates.search  # for speed: most text has no gate
        self._tool = tool
        self._class: ToolClass = tool_class(tool)
        self._source: JsonSource | TextSource = JsonSource() if source else TextSource()
        self._base = 1 if source else 0  # strings of the source, one in another, in which a placeholder stands at least
        self._held = ""  # what may be the beginning of a placeholder, or waits for the host of its URL
        # The end of the model's own text that has gone out, its placeholders in their own form, of so many characters.
        self._said: list[str] = [before] if before else []
        self._length = len(before) if before else 0
        self._spoken = before is not None
        self.head = ""  # how it begins, if what was said before is needed once more
        self._edge = ""  # and its last characters as they were
        # The input of a tool goes out until its first placeholder, and then waits to be judged whole; one that may send out what
        # stands in variables waits from its beginning.
        judges = self._class in JUDGED or (self._class == "other" and tool != "" and source)
        self._judged = judges and restorer.egress != "always"
        self._tainted = self._judged and bool(restorer.tainted)
        self._most = LONG_CALL if self._tainted or self._class == "other" else CALL
        self._barred: set[str] | None = None
        self._sent: list[str] = []
        self._kept: list[str] = [""] if self._tainted else []
        self._size = 0

    def feed(self, piece: str) -> str:
        if self._kept:
            self._kept.append(piece)
            self._size += len(piece)
            return self._let_go() if self._size > self._most else ""
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

    def bar(self, placeholders: set[str] | None) -> None:
        """These stay, wherever they stand."""
        self._barred = placeholders

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
        if self._spoken:
            self._restorer.spoken(shown)
            if len(self.head) < _HEAD:
                self.head = (self.head + shown)[:_HEAD]
        if self._length > 2 * TAIL:
            self._said = [self._tail]
            self._length = TAIL
        if self._judged:
            self._sent.append(text)
            self._size += len(text)
            if self._size > self._most:
                self._give_up()
        return text

    def _give_up(self) -> None:
        """Of a call that is too long to be judged: what comes stays masked."""
        self._judged = False
        self._sent.clear()
        self._kept.clear()

    def _let_go(self) -> str:
        text = "".join(self._kept)
        self._give_up()
        self._restorer.leave(text)
        return self._send(self._restorer.tainted.shown(text) if self._tainted else text)

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
        if self._barred is not None and placeholder in self._barred:
            return False
        if value is None or egress == "always" or self._class == "write":
            return value is not None
        if self._class in JUDGED or self._size > self._most:
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
        if self._tainted:
            text = whole = self._untainted(whole)
        arguments = calls.arguments(whole) if self._base else [("", whole)]
        shown = [(key, self._forms.canonical(read)) for key, read in arguments or ()]
        if self._class == "other":
            return self._restore_other(whole, text, shown if arguments is not None else None)
        fine: set[str] | None = set()
        # What is put back is looked for in the source, what is judged in what it says: both must have the same forms.
        if arguments and self._forms.count(text) == self._forms.count("\n".join(read for _, read in arguments)):
            fine = restorer.judge(self._tool, shown)
        self._give_up()
        return restorer.put(text, self._source, self._base, fine, self._tail)

    def _restore_other(self, whole: str, text: str, arguments: list[Argument] | None) -> str:
        """The end of the input of a tool whose name tells nothing: its values go no further than its addresses say."""
        found = set(PLACEHOLDER.findall(self._forms.canonical(whole)))
        # Of what is no JSON nobody can tell which argument goes where.
        hidden: set[str] | None = set() if "://" in whole else None
        fine = self._restorer.judge(self._tool, arguments) if arguments is not None else hidden
        self._barred = None if fine is None else found - fine
        self._give_up()
        at = len(self._edge)
        text = self._edge + text
        return self._restore(text, at, self._forms.gate(text, at), final=True) if len(text) > at else ""

    def _untainted(self, source: str) -> str:
        """A call's input with placeholders for the names whose values must not be sent where it goes."""
        restorer = self._restorer
        if not self._base:
            return restorer.untainted(self._tool, [("", source)])[0]
        try:
            value = json.loads(source)
        except (ValueError, RecursionError):
            return restorer.tainted.shown(source)
        arguments = calls.texts(value)
        made = restorer.untainted(self._tool, arguments)
        if made == [text for _, text in arguments]:
            return source
        return json.dumps(calls.with_texts(value, iter(made)), ensure_ascii=False)

    def wrote(self) -> None:
        """Take note of a file that this call writes; a long one is read when the next request has it."""
        if self._class == "write" and self._source.depth == 0 and self._restorer.egress != "always":
            source = "".join(self._said)
            if "[" in source and (arguments := calls.arguments(source) if self._base else None):
                self._restorer.tainted.call(self._tool, arguments)


class Restorer:
    """Of one answer. Pieces of one channel come in order; texts without a channel are complete in themselves.

    `restored`: how often a value was put back. `unrestored`: how many placeholders stayed in some place; one counts once, for many
    streams say all that they said once more at their end. `strange`: so are those in complete texts that this exchange does not
    know, because the provider may have them from earlier calls. `tainted`: what variables and files hold by the calls of the
    request; those of the answer are added to a copy. `prose`: what the answer goes on with (see `prefill`).
    """

    def __init__(
        self,
        mapping: Mapping,
        egress: Egress,
        *,
        strange: bool = False,
        tainted: Tainted | None = None,
        prose: str = "",
    ) -> None:
        self.tainted = tainted.copy() if tainted is not None else Tainted()
        self._start = prose[-TAIL:]
        self._prose = self._start  # the end of what the model has said to the reader
        self._pieces = False  # whether it has said any of it in pieces
        self._openings: list[tuple[str, _Channel]] = []  # texts that began within a URL, and what was said before them
        self.mapping = mapping
        self.egress: Egress = egress
        self._strange = strange
        self.restored = 0
        self._stayed: set[str] = set()
        self._channels: dict[str, _Channel] = {}

    @property
    def unrestored(self) -> int:
        return len(self._stayed)

    @property
    def _before(self) -> str:
        """What a text of the model's goes on with: another one of several answers may, too, go on with the request's end."""
        if self._start and not opens(self._prose) and opens(self._start):
            return self._start
        return self._prose

    def spoken(self, text: str) -> None:
        """Take note of what the model has said, its placeholders in their own form."""
        self._prose = (self._prose + text)[-TAIL:]

    def judge(self, tool: str, arguments: Sequence[Argument]) -> set[str] | None:
        """Which placeholders of a call may be put back (see `egress.allowed`); what the call puts elsewhere is noted."""
        if tool_class(tool) in JUDGED and sum(len(text) for _, text in arguments) > CALL:
            return set()
        fine = allowed(tool, arguments, self.mapping, self.egress)
        self.tainted.call(tool, arguments)
        return fine

    def untainted(self, tool: str, arguments: Sequence[Argument]) -> list[str]:
        """The texts of one call with placeholders for those names in them whose values must not go where it goes."""
        texts = [text for _, text in arguments]
        made = self.tainted.of_call(tool, [(key, self.mapping.forms.canonical(text)) for key, text in arguments])
        if made == texts:
            return texts
        known = self.tainted.placeholders
        present = {each for text in made for each in PLACEHOLDER.findall(text) if each in known}
        shown = [(key, text) for (key, _), text in zip(arguments, made, strict=True)]
        long = tool_class(tool) in JUDGED and sum(map(len, made)) > CALL
        fine = set() if long else allowed(tool, shown, self.mapping, self.egress)
        return texts if fine is None or present <= fine else made

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
            before = self._before if slot.kind == "assistant" else None
            self._pieces = self._pieces or before is not None
            channel = self._channels[slot.channel] = _Channel(
                self, slot.tool if slot.kind == "tool_input" else "", slot.partial_json, before
            )
            if before and len(self._openings) < _MOST_OPENINGS and opens(before):
                self._openings.append((before, channel))
        return channel.feed(slot.text)

    def close(self, channel: str) -> str:
        """The rest of a channel's text, which was held back."""
        closed = self._channels.pop(channel, None)
        if closed is None:
            return ""
        rest = closed.close()
        closed.wrote()
        return rest

    @property
    def open(self) -> list[str]:
        """The channels that were fed and not closed."""
        return list(self._channels)

    def whole(self, slots: Sequence[Slot], alone: bool = False) -> None:
        """Restore texts that are complete, each as it stands; the parts of one tool call are judged together, and so is what the
        model says in several texts, one behind the other, also behind what it has said in pieces; `alone`: before no others.
        """
        if alone:
            self._prose = ""
        forms = self.mapping.forms
        of_calls: dict[object, list[Slot]] = {}
        said, again = self._prose, self._said_again(slots) if self._prose and self._pieces else None
        if again is not None:
            self._prose = again
        for slot in slots:
            if self._strange:
                self._count_strange(slot.text)
            if slot.kind == "tool_input" and slot.tool and not slot.partial_json:
                of_calls.setdefault((slot.tool, calls.call_of(slot)), []).append(slot)
                continue
            spoken = _is_spoken(slot)
            if forms.gate(slot.text) < 0:
                if spoken:
                    self.spoken(slot.text[-TAIL:])
            elif slot.signed:
                self._signed(slot.text)
            else:
                self._running(slot, self._before if spoken else None)
        for parts in of_calls.values():
            self._call(parts)
        if again is not None:
            self._prose = said

    def _said_again(self, slots: Sequence[Slot]) -> str | None:
        """If texts have been said in pieces, and streams say at their end once more what they said, what was said before them."""
        text = self.mapping.forms.canonical("".join(slot.text for slot in slots if _is_spoken(slot)))
        if not text or not self._prose.endswith(text[-TAIL:]):
            return None
        known = (before for before, channel in self._openings if channel.head and text.startswith(channel.head))
        return next(known, "")

    def _count_strange(self, text: str) -> None:
        for found in PLACEHOLDER.finditer(text):
            if len(self._stayed) >= _MOST_STAYED:
                return
            if found[0] not in self.mapping:
                self._stayed.add(found[0])

    def _running(self, slot: Slot, before: str | None = None, barred: set[str] | None = None) -> None:
        channel = _Channel(self, "", slot.partial_json, before)
        channel.bar(barred)
        slot.text = channel.feed(slot.text) + channel.close()

    def _call(self, slots: list[Slot]) -> None:
        tool = slots[0].tool
        forms = self.mapping.forms
        if self.egress != "always" and tool_class(tool) != "write" and self.tainted:
            made = self.untainted(tool, [calls.argument(slot, slot.text) for slot in slots])
            for slot, text in zip(slots, made, strict=True):
                slot.text = text
        if all(forms.gate(slot.text) < 0 for slot in slots) and not self.tainted:
            return
        fine = self.judge(tool, [calls.argument(slot, forms.canonical(slot.text)) for slot in slots])
        if tool_class(tool) == "other":
            found = {each for slot in slots for each in PLACEHOLDER.findall(forms.canonical(slot.text))}
            barred = None if fine is None else found - fine
            for slot in slots:
                if forms.gate(slot.text) >= 0:
                    self._running(slot, None, barred)
            return
        for slot in slots:
            if forms.gate(slot.text) >= 0:
                slot.text = self.put(slot.text, TextSource(), 0, fine)

    def _signed(self, text: str) -> str:
        """A signature covers the text: it stays as it is."""
        self.leave(text)
        return text


def _is_spoken(slot: Slot) -> bool:
    """Whether a complete text is what the model says to the reader."""
    return slot.kind == "assistant" and next((each for each in reversed(slot.path) if type(each) is str), "") in _SPOKEN


def in_brackets(before: str) -> bool:
    """Whether an opening bracket is not yet closed at the end of a line, or of a string, that is not over."""
    line = _LINE.split(before)[-1]
    return line.count("[") > line.count("]")
