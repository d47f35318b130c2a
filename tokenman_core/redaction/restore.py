"""Restoration: placeholders that this exchange made become their values again, in whole texts and in streams cut anywhere."""

import re
from collections.abc import Sequence

from tokenman_core.redaction.egress import Egress, ToolClass, call_allows, in_url, tool_class
from tokenman_core.redaction.entities import PLACEHOLDER
from tokenman_core.redaction.json_source import JsonSource, escaped, unescaped
from tokenman_core.redaction.placeholders import Mapping
from tokenman_core.slots import INNER, Slot

TAIL = 4096  # characters of sent text that are remembered to see whether a placeholder stands in a URL
HOLD = 4096  # and at most so many held back until the host of a URL is complete
CALL = 1024 * 1024  # characters of one call's input that are held back to be judged whole; a longer one stays masked

_BLANK = re.compile(r"[\s\"'<>`]")
_CALL_ROOTS = frozenset({"input", "arguments", "args", "action"})


class _Channel:
    """One running text of an answer. What `feed` and `close` return, joined, is the restored text."""

    def __init__(self, restorer: "Restorer", tool: str, source: bool) -> None:
        self._restorer = restorer
        self._class: ToolClass = tool_class(tool)
        self._source = JsonSource() if source else None
        self._held = ""
        self._sent = (
            ""  # the model's own text that has gone out: its tail, or all of it for a call that is judged whole
        )
        self._whole = False  # held back until the end
        self._judged = source and self._class in ("shell", "network")

    def feed(self, piece: str) -> str:
        text = self._held + piece
        if self._whole:
            self._held = text
            return self._let_go() if len(text) + len(self._sent) > CALL else ""
        if "[" not in text:
            self._held = ""
            return self._send(text)
        return self._restore(text, final=False)

    def close(self) -> str:
        text, self._held = self._held, ""
        if self._whole:
            return self._restore_call(text)
        return self._restore(text, final=True) if text else ""

    def _send(self, text: str) -> str:
        if self._source is not None:
            self._source.feed(text)
        self._sent = self._sent + text if self._judged else (self._sent + text)[-TAIL:]
        if self._judged and len(self._sent) > CALL:
            self._judged, self._class = False, "network"
            self._sent = self._sent[-TAIL:]
        return text

    def _let_go(self) -> str:
        """Too much to hold: it goes out masked."""
        text, self._held = self._held, ""
        self._restorer.leave(len(PLACEHOLDER.findall(text)))
        self._whole = self._judged = False
        return self._send(text)

    def _restore(self, text: str, final: bool) -> str:
        mapping = self._restorer.mapping
        out: list[str] = []
        at = 0
        for match in PLACEHOLDER.finditer(text):
            placeholder = match[0]
            value = mapping.value(placeholder)
            if value is None:
                continue
            out.append(self._send(text[at : match.start()]))
            at = match.start()
            if self._judged:
                self._held = text[at:]
                self._whole = True
                return "".join(out) + (self.close() if final else "")
            allowed = self._allowed(placeholder, text[match.end() :], final)
            if allowed is None:
                if len(text) - at <= HOLD:
                    self._held = text[at:]
                    return "".join(out)
                allowed = False
            at = match.end()
            depth = self._depth()
            self._send(placeholder)
            out.append(escaped(value.text, depth) if allowed else placeholder)
            self._restorer.count(allowed)
        pending = 0 if final else mapping.pending(text[at:])
        end = len(text) - pending
        out.append(self._send(text[at:end]))
        self._held = text[end:]
        return "".join(out)

    def _depth(self) -> int:
        return 0 if self._source is None else max(1, self._source.depth)

    def _allowed(self, placeholder: str, after: str, final: bool) -> bool | None:
        if self._class == "write":
            return True
        if self._class in ("shell", "network") and self._source is not None:
            return self._restorer.egress == "always"
        value = self._restorer.mapping.value(placeholder)
        assert value is not None
        before = self._sent
        if len(before) >= TAIL and not _BLANK.search(before):
            return self._restorer.egress == "always"  # one word as long as that: no telling where it began
        if self._source is not None:
            before, after = unescaped(before, self._depth()), unescaped(after, self._depth())
        return in_url(before, placeholder, after + " " if final else after, value, self._restorer.egress)

    def _restore_call(self, text: str) -> str:
        """The end of a call's input, judged together with what has gone out before."""
        self._judged = self._whole = False
        seen = unescaped(self._sent + text, 2)
        allowed = call_allows(self._class, seen, self._restorer.mapping, self._restorer.egress)
        out: list[str] = []
        at = 0
        for match in PLACEHOLDER.finditer(text):
            value = self._restorer.mapping.value(match[0])
            if value is None:
                continue
            out.append(self._send(text[at : match.start()]))
            depth = self._depth()
            self._send(match[0])
            out.append(escaped(value.text, depth) if match[0] in allowed else match[0])
            self._restorer.count(match[0] in allowed)
            at = match.end()
        out.append(text[at:])
        return "".join(out)


class Restorer:
    """Of one answer. Pieces of one channel come in order; texts without a channel are complete in themselves."""

    def __init__(self, mapping: Mapping, egress: Egress) -> None:
        self.mapping = mapping
        self.egress: Egress = egress
        self.restored = 0
        self.unrestored = 0
        self._channels: dict[str, _Channel] = {}

    def count(self, allowed: bool) -> None:
        if allowed:
            self.restored += 1
        else:
            self.unrestored += 1

    def leave(self, count: int) -> None:
        self.unrestored += count

    def feed(self, slot: Slot) -> str:
        """What of a piece of running text may go out now."""
        if slot.signed:
            return self._signed(slot.text)
        channel = self._channels.get(slot.channel)
        if channel is None:
            channel = self._channels[slot.channel] = _Channel(self, slot.tool, slot.partial_json)
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
        calls: dict[object, list[Slot]] = {}
        for slot in slots:
            if "[" not in slot.text and slot.kind != "tool_input":
                continue
            if slot.signed:
                self._signed(slot.text)
            elif slot.kind == "tool_input" and tool_class(slot.tool) in ("shell", "network", "write"):
                calls.setdefault((slot.tool, _call_of(slot)), []).append(slot)
            else:
                self._running(slot)
        for parts in calls.values():
            self._call(parts)

    def _running(self, slot: Slot) -> None:
        channel = _Channel(self, "", slot.partial_json)
        slot.text = channel.feed(slot.text) + channel.close()

    def _call(self, slots: list[Slot]) -> None:
        kind = tool_class(slots[0].tool)
        if kind != "write":
            allowed = call_allows(kind, "\n".join(slot.text for slot in slots), self.mapping, self.egress)
        for slot in slots:

            def put(match: re.Match[str]) -> str:
                value = self.mapping.value(match[0])
                if value is None:
                    return match[0]
                fine = kind == "write" or match[0] in allowed
                self.count(fine)
                return value.text if fine else match[0]

            if "[" in slot.text:
                slot.text = PLACEHOLDER.sub(put, slot.text)

    def _signed(self, text: str) -> str:
        """A signature covers the text: it stays as it is."""
        self.leave(sum(1 for each in PLACEHOLDER.findall(text) if self.mapping.value(each) is not None))
        return text


def _call_of(slot: Slot) -> object:
    """What all parts of one tool call's input have in common: the path down to it."""
    for place, step in enumerate(slot.path):
        if step is INNER or step in _CALL_ROOTS:
            return slot.path[: place + 1]
    return slot.path[:-1]
