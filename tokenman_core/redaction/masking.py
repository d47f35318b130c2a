"""The masking of one request, text after text: what was done about it before is done again, what is new is judged."""

import asyncio
import functools
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from tokenman_core.exchange import Spot
from tokenman_core.redaction import known
from tokenman_core.redaction.audit import Hashed, Spots
from tokenman_core.redaction.blocks import blocks, grows
from tokenman_core.redaction.breath import Breath
from tokenman_core.redaction.choose import choose
from tokenman_core.redaction.detectors.merge import Taken
from tokenman_core.redaction.detectors.seams import Joined, moved, over
from tokenman_core.redaction.entities import Finding, Findings, Text
from tokenman_core.redaction.json_source import TextSource
from tokenman_core.redaction.known import Known
from tokenman_core.redaction.memo import Act, Acts, Memo
from tokenman_core.redaction.neighbours import Half, beside
from tokenman_core.redaction.placeholders import Mapping
from tokenman_core.redaction.places import place_of
from tokenman_core.redaction.policy import Policy
from tokenman_core.redaction.so_far import SoFar
from tokenman_core.slots import Path, Slot

_LONG_WORK: Final = 8  # pauses; what shorter work leaves behind is put away at once
_READ: Final = 16 * 1024  # characters of a text that may be read for JSON,
_READ_STEP: Final = 1024  # in steps of so many: well under 1 ms
_ASIDE: Final = 32 * 1024  # characters
_STEP: Final = 16  # values between two looks at the clock
_MODELS_OWN: Final = frozenset(
    {"assistant", "thinking", "tool_input"}
)  # what a model wrote is no evidence of where a value may go

_MASKS: Final = frozenset({"redact", "hash"})

# Found by their own form wherever they stand: a text in which one was found needs no second search for it.
_PLAIN_EVERYWHERE: Final = frozenset(
    {"EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "JWT", "PRIVATE_KEY", "CONNECTION_STRING"}
)


type _Fresh = dict[bytes, tuple[Text, list[int]]]
"""Texts that nobody remembers, by name, each with the places where it stands."""


class Finder(Protocol):
    async def find(self, texts: Sequence[Text]) -> list[Findings]: ...


@dataclass
class Masked:
    """What masking did. `blocked` names an entity whose setting forbids the call, and stands at `place`: then the slots are
    unfinished. `spots`: the last of the places where something was found; `paths`: of all slots that hold placeholders now.
    `known`: names the values that the exchange knows now, under the policy of the call; b"" if it does not name all of each.
    """

    masked: Counter[str] = field(default_factory=Counter)  # values masked for the first time in this exchange
    logged: Counter[str] = field(default_factory=Counter)  # values found and left as they are, as the settings say
    blocked: str = ""
    place: str = ""
    spots: tuple[Spot, ...] = ()
    paths: list[Path] = field(default_factory=list)
    known: bytes = b""


class Masking:
    """Of some slots, once. `options`: the digest of those that the detection was made with."""

    def __init__(
        self, slots: Sequence[Slot], mapping: Mapping, so_far: SoFar, memo: Memo, detection: Finder, options: bytes
    ) -> None:
        self._slots, self._mapping, self._so_far = slots, mapping, so_far
        self._memo, self._detection, self._options = memo, detection, options
        self._names: dict[int, bytes] = {}
        self._block_names: dict[int, bytes] = {}  # by their first place
        self._findings: dict[int, Findings] = {}
        self._halves: dict[int, list[Half]] = {}
        self._edges: list[Joined] = []
        self._beside: frozenset[int] = frozenset()  # the places that an edge touches
        self._masked, self._spots, self._breath = Masked(), Spots(), Breath()

    async def run(self, hashed: Hashed) -> Masked:
        """Mask, and say what was done, the values by their hashes. Raises what the detection raises."""
        breath, masked = self._breath, self._masked
        await self._take_up()
        for edge in beside(self._slots):
            if edge is not None:
                self._edges.append(edge)
            if breath.due:
                await breath.take()
        self._beside = frozenset(source for edge in self._edges for source in edge.sources)
        for block in blocks(self._slots):
            await self._do(block)
            if masked.blocked:
                break
            if breath.due:
                await breath.take()
        masked.known = b"" if self._mapping.parts else self._so_far.digest
        masked.spots = await self._spots.told(hashed, breath)
        if breath.taken > _LONG_WORK:  # what long work leaves behind is put away in steps of its own
            await breath.take()
            self._so_far.forget()
            await breath.take()
        return masked

    async def _take_up(self) -> None:
        """The values that the exchange has met before."""
        if not len(self._mapping):
            return
        so_far = self._so_far
        behind, seen = so_far.behind(), dict[tuple[str, str], None]()
        for number, each in enumerate(self._mapping.values(), 1):
            said = (each.entity, each.whole or each.text)
            if said not in seen:
                seen[said] = None
                behind.add(*said)
            if number % _STEP == 0 and self._breath.due:
                await self._breath.take()
        so_far.add(seen)
        so_far.digest = behind.digest

    # -- what is remembered --

    async def _do(self, block: range) -> None:
        """Mask the texts of a block, all at once where the same was done before."""
        so_far, slots = self._so_far, self._slots
        name = self._block_name(block)
        if name:
            name += so_far.digest
            known = self._memo.block(name)
            if known is not None:
                for number, acts in known:  # none of them blocks: that would have ended the masking
                    await self._apply(block[number], acts)
                return
        done: list[tuple[int, Acts]] = []
        for number, place in enumerate(block):
            acts = await self._acts(place)
            if acts.acts:
                done.append((number, acts))
                await self._apply(place, acts)
                if self._masked.blocked:
                    return
            if (acts.acts or len(slots[place].text) > _READ) and self._breath.due:
                await self._breath.take()
        if name:
            self._memo.put_block(name, tuple(done))

    def _block_name(self, block: range) -> bytes:
        """The name of a block's texts; b"" if they are not known by one: more may come, or what is done depends on neighbours."""
        name = self._block_names.get(block.start)
        if name is None:
            slots = self._slots
            alone = len(block) > 1 and not grows(slots, block) and self._beside.isdisjoint(block)
            name = self._memo.block_name(slots[block.start : block.stop], self._options) if alone else b""
            self._block_names[block.start] = name
        return name

    def _name(self, place: int) -> bytes:
        """The name under which it is remembered what was found in a text."""
        name = self._names.get(place)
        if name is None:
            slot = self._slots[place]
            name = self._names[place] = self._memo.name(slot.text, slot.key, self._options)
        return name

    async def _acts(self, place: int) -> Acts:
        """What is to be done about a text."""
        so_far, memo = self._so_far, self._memo
        if place in self._beside and self._edges:
            await self._over_edges()
        name = self._name(place)
        acts = memo.acts(name + so_far.digest)
        if acts is not None:
            return acts
        found = await self._found(place)
        if not found and not so_far.searches:
            return Acts((), so_far.digest, [])
        return await self._judged(place, found)

    # -- what is found --

    async def _found(self, place: int) -> Findings:
        """What detection says of a text: remembered, or found now, with all others that nobody remembers."""
        found = self._findings.get(place)
        if found is None:
            found = self._memo.get(self._name(place))
        if found is None:
            await self._detect(place)
            found = self._findings[place]
        return found

    async def _detect(self, since: int) -> None:
        """Ask the detection about the text at a place, and about those behind it that it will be asked about."""
        fresh: _Fresh = {}
        for block in blocks(self._slots):
            if self._breath.due:
                await self._breath.take()
            if block.stop <= since:
                continue
            name = self._block_name(block) if block.start > since else b""
            if name and self._memo.block(name + self._so_far.digest) is not None:
                continue  # if nothing new is found before it, nobody asks
            for place in block:
                if place < since or place in self._findings:
                    continue
                found = self._memo.get(self._name(place))
                if found is None:
                    slot = self._slots[place]
                    fresh.setdefault(self._name(place), (Text(slot.text, slot.key), []))[1].append(place)
                else:
                    self._findings[place] = found  # by the time it is asked for, it may be forgotten
        await self._ask(fresh, self._findings)

    async def _ask(self, fresh: _Fresh, findings: dict[int, Findings]) -> None:
        """What is found is remembered, and put among the findings."""
        texts: list[Text] = []
        for text, _ in fresh.values():
            texts.append(text)
            if self._breath.due:
                await self._breath.take()
        answers = await self._detection.find(texts)
        for (name, (_, places)), found in zip(fresh.items(), answers, strict=True):
            self._memo.put(name, found)
            findings.update(dict.fromkeys(places, found))
            if self._breath.due:
                await self._breath.take()

    async def _over_edges(self) -> None:
        """The values that begin in one text and end in the next; each part is put among the findings of its text.

        What a text's name stands for then depends on its neighbours, so they become a part of it.
        """
        edges, self._edges = self._edges, []
        breath = self._breath
        for place in sorted(self._beside):
            self._findings[place] = await self._found(place)
            if breath.due:
                await breath.take()
        over_all: dict[int, Findings] = {}
        fresh: _Fresh = {}
        for number, each in enumerate(edges):
            piece = Text(each.text, self._slots[each.sources[0]].key)
            name = self._memo.name(*piece, self._options)
            found = self._memo.get(name)
            if found is None:
                fresh.setdefault(name, (piece, []))[1].append(number)
            else:
                over_all[number] = found
            if breath.due:
                await breath.take()
        if fresh:
            await self._ask(fresh, over_all)
        for number, joined in enumerate(edges):
            alone = moved(joined, [self._findings[source] for source in joined.sources])
            for value in over(joined, alone, over_all[number], lines=False):
                if self._so_far.say(joined.text, value) not in ("mask", "block", "log"):
                    continue
                whole = joined.text[value.start : value.end]
                for source, start, end in joined.cut(value.start, value.end):
                    end = min(end, len(self._slots[source].text))  # a blank behind it is none of its characters
                    half = Half(start, end, whole, value.entity, value.score)
                    self._halves.setdefault(source, []).append(half)
                    part = Finding(start, end, value.entity, value.score)
                    self._findings[source] = (*self._findings[source], part)
            if breath.due:
                await breath.take()
        for source, here in self._halves.items():
            said = repr(here).encode("utf-8", "surrogatepass")
            self._names[source] = self._name(source) + hashlib.blake2b(said, digest_size=16).digest()
            if breath.due:
                await breath.take()

    # -- what is judged --

    async def _judged(self, place: int, found: Findings) -> Acts:
        """What is done about a text in which this was found; that is remembered."""
        text, so_far, breath = self._slots[place].text, self._so_far, self._breath
        for _ in itertools.chain(so_far.settle(), self._mapping.settle()):
            if breath.due:
                await breath.take()
        acts: list[Act] = []
        new: set[tuple[str, str]] = set()
        behind = so_far.behind()
        source, read = TextSource(), 0
        for number, (start, end, entity, _) in enumerate(await self._with_known(place, found), 1):
            if number % _STEP == 0 and breath.due:
                await breath.take()
            action = so_far.policy.action(entity)
            if action in ("block", "log"):
                acts.append(Act(start, end, entity, action))
                if action == "block":
                    break
                continue
            value = text[start:end]
            whole = self._whole(place, start, end)
            # Where it stands escaped for a JSON string, it is restored escaped for the place that it comes to.
            depth = 0
            if "\\" in value and start < _READ:
                for low in range(read, start, _READ_STEP):
                    source.feed(text[low : min(low + _READ_STEP, start)])
                    if breath.due:
                        await breath.take()
                depth, read = source.depth, start
            placeholder = self._mapping.placeholder(
                entity, value, action == "redact", whole if whole != value else "", depth
            )[0]
            said = (entity, whole or value)
            first = said not in so_far.values and said not in new
            if first:
                new.add(said)
                behind.add(*said)
            acts.append(Act(start, end, entity, action, placeholder, depth, first))
        judged = Acts(tuple(acts), behind.digest, [])
        self._memo.put_acts(self._name(place) + so_far.digest, judged)
        return judged

    async def _with_known(self, place: int, found: Findings) -> Findings:
        """The findings of a text, and all places in it of the values found before it or in it."""
        text, policy, breath = self._slots[place].text, self._so_far.policy, self._breath
        if policy.denied:
            found = (*found, *await _denied(policy, text))
        chosen = await self._chosen(text, found)
        standing: list[Finding] = []
        own: dict[tuple[str, str], None] = {}
        for number, each in enumerate(chosen, 1):
            start, end, entity, _ = each
            if policy.action(entity) in _MASKS and not self._whole(place, start, end):
                standing.append(each)
                if entity not in _PLAIN_EVERYWHERE and (said := (entity, text[start:end])) not in self._so_far.values:
                    own[said] = None
            if number % _STEP == 0 and breath.due:
                await breath.take()
        here = Known(own)
        places: list[Finding] = []
        for each_place in known.find((policy.exact, self._so_far.known, here), text, standing):
            if each_place is not None:
                places.append(each_place)
            if breath.due:
                await breath.take()
        if places:
            if taken := Taken(text):
                places = [each for each in places if not taken.inside(each.start, each.end)]
            chosen = await self._chosen(text, (*found, *places))
        return chosen

    async def _chosen(self, text: str, found: Iterable[Finding]) -> Findings:
        """What is to be acted on."""
        chosen: list[Finding] = []
        so_far = self._so_far
        for each in choose(text, found, functools.partial(so_far.say, text), so_far.policy.rank):
            if each is not None:
                chosen.append(each)
            elif self._breath.due:
                await self._breath.take()
        return tuple(chosen)

    def _whole(self, place: int, start: int, end: int) -> str:
        """The value that a finding in a text holds a part of, "" if it is one itself."""
        halves = self._halves.get(place, ()) if self._halves else ()
        return next((each.whole for each in halves if start <= each.start and each.end <= end), "")

    # -- what is done --

    async def _apply(self, place: int, acts: Acts) -> None:
        """Do it; a text with a value that blocks stays as it is."""
        slot, masked, so_far = self._slots[place], self._masked, self._so_far
        self._spots.add(slot, acts)
        here = acts.acts
        if here[-1].action == "block":  # nothing is judged behind it
            masked.blocked, masked.place = here[-1].entity, place_of(slot.path)
            return
        text = slot.text
        stood = text if slot.kind not in _MODELS_OWN else None
        pieces: list[str] = []
        last = 0
        for low in range(0, len(here), _STEP):
            if low and self._breath.due:
                await self._breath.take()
            some: Sequence[Act] = here[low : low + _STEP]
            if not {act.action for act in some} <= _MASKS:
                masked.logged.update([act.entity for act in some if act.action == "log"])
                some = [act for act in some if act.action != "log"]
                if not some:
                    continue
            wholes = [self._whole(place, act.start, act.end) for act in some] if self._halves else itertools.repeat("")
            more, first = self._mapping.again(text, last, some, wholes, stood)
            pieces += more
            last = some[-1].end
            if first:
                so_far.add(first)
                masked.masked.update([entity for entity, _ in first])
        so_far.digest = acts.after
        if last:
            pieces.append(text[last:])
            slot.text = "".join(pieces)
            masked.paths.append(slot.path)


async def _denied(policy: Policy, text: str) -> Findings:
    """Where values stand that the settings name; of a long text aside, for it is looked through in one go."""
    if len(text) > _ASIDE:
        return await asyncio.to_thread(lambda: tuple(policy.denied.find(text)))
    return tuple(policy.denied.find(text))
