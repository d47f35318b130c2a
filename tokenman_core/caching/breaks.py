"""Says what in a request kept a provider's cache from having its beginning again, by the prints of the request before it.

The words are of a table, and the place holds names of the wire format and numbers: nothing of the call.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from tokenman_core.caching.prints import FIELDS, Part, Prints, Section

PROVIDER: Final = "provider changed"
MODEL: Final = "model changed"
REORDERED: Final = "tools reordered"
ADDED: Final = "tool added"
REMOVED: Final = "tool removed"
EXCHANGED: Final = "tools added and removed"
CHANGED: Final = "tool changed"
PASSING: Final = "a time or date in the system prompt changed"
SYSTEM: Final = "system prompt changed"
MESSAGE: Final = "an earlier message changed"
INSERTED: Final = "an earlier message was added"
CUT: Final = "history cut or compacted"
MARKS: Final = "cache marks moved or missing"
MASKED: Final = "TokenMan masked differently"
IDLE: Final = "idle for longer than the cache lives"
FIELD: Final = "parameters changed: "
UNTOLD: Final = "not told by the request"

CAUSES: Final = frozenset(
    {
        PROVIDER, MODEL, REORDERED, ADDED, REMOVED, EXCHANGED, CHANGED, PASSING, SYSTEM, MESSAGE, INSERTED, CUT, MARKS, MASKED,
        IDLE, UNTOLD, *(FIELD + name for names in FIELDS.values() for name in names),
    }
)  # fmt: skip
"""All causes there are. What is said of a call is one of them, or one of them, ` at `, and a place."""

_LONG = 160  # bytes of a message, all of its JSON: a shorter one ("go on") may stand there in any conversation
_LOOKBACK = 20  # blocks before a mark in which Anthropic looks for what it has kept


def begins_alike(old: Prints, new: Prints) -> bool:
    """Whether the first message is the same."""
    theirs, mine = old.parts["messages"][:1], new.parts["messages"][:1]
    return bool(mine) and theirs == mine


def same_conversation(old: Prints, new: Prints) -> bool:
    """Whether one goes on with the other: they begin with the same message, or with one that is the same but for its digits, or
    half of what is said in the shorter one is said in the other.
    """
    mine, others = new.parts["messages"], old.parts["messages"]
    for part, other in zip(mine, others, strict=False):
        first = part is mine[0]
        if part.sent == other.sent and (first or part.size >= _LONG):
            return True
        if first and part.loose == other.loose:
            return True
    ours, theirs = _said(mine), _said(others)
    return 0 < min(len(ours), len(theirs)) <= 2 * len(ours & theirs)


def _said(messages: Sequence[Part]) -> set[int]:
    return {hash for part in messages for hash in part.texts}


def same_preamble(old: Prints, new: Prints) -> bool:
    """Whether they have the same system text but for what passes by itself, so that the one could have been the other."""
    if old.whole["system"] == new.whole["system"] or not new.parts["system"]:
        return False
    mine, others = new.parts["system"], old.parts["system"]
    return len(mine) == len(others) and all(_passing(a, b) for a, b in zip(others, mine, strict=True))


def in_common(old: Prints, new: Prints) -> int:
    """How many messages they begin with alike."""
    count = 0
    for theirs, mine in zip(old.parts["messages"], new.parts["messages"], strict=False):
        if theirs is not mine and theirs.whole != mine.whole:
            break
        count += 1
    return count


def forks(old: Prints, new: Prints) -> bool:
    """Whether `new` leaves the conversation of `old` for another way, or ends before it does: somebody asks anew from an earlier
    turn, and has lost nothing.
    """
    theirs, mine = old.parts["messages"], new.parts["messages"]
    at = in_common(old, new)
    if at >= len(theirs) or (at < len(mine) and theirs[at].sent == mine[at].sent):
        return False
    return not _messages(theirs, mine, new, at)


def before_messages(old: Prints) -> float:
    """How much of a request stands before its messages, from 0 to 1."""
    before = old.size("tools") + old.size("system")
    return before / max(1, before + old.size("messages"))


def explain(old: Prints, new: Prints, gap: float, *, nothing: bool, kept: bool) -> str:
    """Why the provider's cache did not have what it had of `old`, `gap` seconds before.

    `nothing`: it had nothing at all; `kept`: something was written to it this time.
    """
    if old.provider != new.provider:
        return PROVIDER
    if old.model != new.model:
        return MODEL
    if old.marks and not new.marks and nothing and not kept:
        return MARKS
    lives = [mark.life for mark in old.marks] or [old.life]
    if nothing and gap > max(lives):
        return IDLE
    end = max((mark.block for mark in old.marks), default=None)
    return (
        _field(old, new, "start")
        or _first(old, new, end)
        or (MARKS if end is not None and _out_of_reach(old, new, end) else "")
        or (IDLE if gap > min(lives) else "")
        or _field(old, new, "")
        or UNTOLD
    )


def _first(old: Prints, new: Prints, end: int | None) -> str:
    """The first difference, in the order in which the provider reads; `end` is the last block that was kept."""
    before = 0
    for section in new.order:
        if found := _field(old, new, section):
            return found
        if old.whole[section] != new.whole[section] and (found := _difference(old, new, section, before, end)):
            return found
        before += sum(part.blocks for part in old.parts[section])
    return ""


def _field(old: Prints, new: Prints, when: str) -> str:
    names = [name for name, section in FIELDS.get(new.dialect, {}).items() if section == when]
    return next((FIELD + name for name in names if old.fields.get(name) != new.fields.get(name)), "")


def _difference(old: Prints, new: Prints, section: Section, before: int, end: int | None) -> str:
    theirs, mine = old.parts[section], new.parts[section]
    at = next((i for i, (a, b) in enumerate(zip(theirs, mine, strict=False)) if a.whole != b.whole), None)
    if at is None:
        if len(theirs) == len(mine) or (section == "messages" and len(mine) > len(theirs)):
            return ""
        at = min(len(theirs), len(mine))
    if end is not None and before + sum(part.blocks for part in theirs[:at]) > end:
        return ""  # it was not kept anyway
    if at < min(len(theirs), len(mine)) and theirs[at].sent == mine[at].sent:
        return f"{MASKED} at {new.place(section, at)}"
    match section:
        case "tools":
            return _tools(theirs, mine, new, at)
        case "system":
            passing = len(theirs) == len(mine) and all(_passing(a, b) for a, b in zip(theirs, mine, strict=True))
            return f"{PASSING if passing else SYSTEM} at {new.place('system', min(at, max(0, len(mine) - 1)))}"
        case "messages":
            return _messages(theirs, mine, new, at)


def _tools(theirs: Sequence[Part], mine: Sequence[Part], new: Prints, at: int) -> str:
    if Counter(part.whole for part in theirs) == Counter(part.whole for part in mine):
        return REORDERED
    gone, come = {part.name for part in theirs}, {part.name for part in mine}
    gone, come = gone - come, come - gone
    if gone and come:
        return EXCHANGED
    if gone or come:
        return f"{ADDED} at {new.place('tools', at)}" if come else REMOVED
    return f"{CHANGED} at {new.place('tools', at)}"


def _messages(theirs: Sequence[Part], mine: Sequence[Part], new: Prints, at: int) -> str:
    if at >= len(mine) - 1:
        return ""  # the last one is new: it is asked anew from here
    changed = f"{MESSAGE} at {new.place('messages', at, _within(theirs[at], mine[at]))}"
    if _alike(theirs, mine, at):
        return changed
    later = {part.whole: index for index, part in enumerate(theirs) if index >= at}
    for index in range(at, len(mine)):
        stood = later.get(mine[index].whole, index)
        if stood != index:
            return CUT if stood > index else f"{INSERTED} at {new.place('messages', at)}"
    return CUT if len(mine) < len(theirs) else changed


def _alike(theirs: Sequence[Part], mine: Sequence[Part], at: int) -> bool:
    """Whether the message stands where it stood, and only something in it has changed."""
    if theirs[at].loose == mine[at].loose:
        return True
    if at + 1 < min(len(theirs), len(mine)):
        return theirs[at + 1].whole == mine[at + 1].whole
    return not theirs[at].texts.isdisjoint(mine[at].texts)


def _within(theirs: Part, mine: Part) -> str:
    known = dict(theirs.leaves)
    return next((label for label, hash in mine.leaves if known.get(label) != hash), "")


def _passing(old: Part, new: Part) -> bool:
    """Whether a system text is the same but for times, dates, ids and numbers."""
    if old.whole == new.whole:
        return True
    return bool(old.pieces) and [loose for _, loose in old.pieces] == [loose for _, loose in new.pieces]


def _out_of_reach(old: Prints, new: Prints, end: int) -> bool:
    """Whether no mark is near enough behind what was kept: only so many blocks before a mark are looked at."""
    return not any(end <= mark.block <= end + _LOOKBACK for mark in new.marks)
