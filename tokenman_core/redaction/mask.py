"""Masking a request: every value that detection finds, and every value found so far, becomes its placeholder."""

import asyncio
import functools
import hashlib
import hmac
import itertools
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tokenman_core.config.models import Redaction as Settings
from tokenman_core.config.redacting import Action
from tokenman_core.exchange import Spot
from tokenman_core.redaction import known
from tokenman_core.redaction.allowed import NOTHING, Allowed, Permitted
from tokenman_core.redaction.choose import Say, choose
from tokenman_core.redaction.detectors.merge import Taken
from tokenman_core.redaction.detectors.options import PLAIN, Options
from tokenman_core.redaction.detectors.seams import Joined, moved, over
from tokenman_core.redaction.entities import Finding, Findings, Text
from tokenman_core.redaction.json_source import depth_at
from tokenman_core.redaction.keyed import Keyed
from tokenman_core.redaction.known import Known
from tokenman_core.redaction.memo import Act, Acts, Memo
from tokenman_core.redaction.neighbours import Half, beside
from tokenman_core.redaction.placeholders import Mapping
from tokenman_core.redaction.places import MOST, place_of
from tokenman_core.redaction.policy import Policies, Policy
from tokenman_core.slots import Path, Slot

_BREATH_S = 0.0005  # the longest time on the event loop between two pauses
_LONG_WORK = 8  # such pauses; what shorter work leaves behind is put away at once
_READ = 16 * 1024  # characters of a text that may be read for JSON: well under 1 ms
_ASIDE = 32 * 1024  # characters
_ACTS = 16  # values between two looks at the clock
_REMEMBERED = 4096  # values whose hashes are kept for the audit
_MODELS_OWN = frozenset(
    {"assistant", "thinking", "tool_input"}
)  # what a model wrote is no evidence of where a value may go

# Found by their own form wherever they stand: a text in which one was found needs no second search for it.
_PLAIN_EVERYWHERE = frozenset({"EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "JWT", "PRIVATE_KEY", "CONNECTION_STRING"})


class Finder(Protocol):
    async def find(self, texts: Sequence[Text]) -> list[Findings]: ...


@dataclass
class Masked:
    """What masking did. `blocked` names an entity whose setting forbids the call, and stands at `place`: then the slots are
    unfinished. `spots`: the last of the places where something was found; `paths`: of all slots that hold placeholders now.
    """

    masked: Counter[str] = field(default_factory=Counter)  # values masked for the first time in this exchange
    logged: Counter[str] = field(default_factory=Counter)  # values found and left as they are, as the settings say
    blocked: str = ""
    place: str = ""
    spots: tuple[Spot, ...] = ()
    paths: list[Path] = field(default_factory=list)


class _Breath:
    """Long work on the event loop pauses here, so that other calls get their turn."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + _BREATH_S
        self.taken = 0  # how often

    @property
    def due(self) -> bool:
        return time.perf_counter() > self._until

    async def take(self) -> None:
        self.taken += 1
        await asyncio.sleep(0)
        self._until = time.perf_counter() + _BREATH_S


class _Spots:
    """Where what was found, the last places of all; values are here for as long as the masking lasts."""

    def __init__(self) -> None:
        self._last: deque[tuple[Slot, str, Acts]] = deque(maxlen=MOST)

    def add(self, slot: Slot, text: str, acts: Acts) -> None:
        """What was done about a slot that held `text`."""
        self._last.append((slot, text, acts))

    async def told(self, hashed: "_Hashed", breath: _Breath) -> tuple[Spot, ...]:
        """In the order of the request; a value by its keyed hash."""
        spots = []
        for slot, text, acts in reversed(self._last):
            if not acts.told:
                found: dict[tuple[str, Action, str, str], int] = {}
                for number, (start, end, entity, action, placeholder, _, _) in enumerate(acts.acts):
                    said = (entity, action, text[start:end], placeholder)
                    found[said] = found.get(said, 0) + 1
                    if number % _ACTS == _ACTS - 1 and breath.due:
                        await breath.take()
                acts.told[:] = [
                    (entity, action, hashed.hash(value, placeholder), count)
                    for (entity, action, value, placeholder), count in [*found.items()][: -MOST - 1 : -1]
                ]
            place = place_of(slot.path)
            spots += [Spot(place, *said) for said in acts.told]
            if len(spots) >= MOST:
                break
        return tuple(spots[:MOST][::-1])


class _Hashed:
    """The keyed hashes by which values are told; of those that have a placeholder they are remembered under that."""

    def __init__(self, key: bytes) -> None:
        self._key = Keyed(key)
        self._hashes: dict[str, str] = {}

    def hash(self, value: str, placeholder: str) -> str:
        hash = self._hashes.get(placeholder) if placeholder else None
        if hash is None:
            hash = self._key.hexdigest(value.encode("utf-8", "surrogatepass"))[:16]
            if placeholder:
                if len(self._hashes) >= _REMEMBERED:
                    self._hashes.clear()
                self._hashes[placeholder] = hash
        return hash


class _Behind:
    """A digest of values, made of the one of those before them."""

    def __init__(self, digest: bytes) -> None:
        self._before, self._hash = digest, hashlib.blake2b(digest, digest_size=16)
        self._more = False

    def add(self, entity: str, value: str) -> None:
        self._more = True
        self._hash.update(f"{entity} {len(value)} {value}".encode("utf-8", "surrogatepass"))

    @property
    def digest(self) -> bytes:
        return self._hash.digest() if self._more else self._before


class _SoFar:
    """The values found so far, and a digest of them: part of the name under which it is remembered what is done about a text.

    What may pass is fixed with it, for one masking as a whole. `tag`: of the key that makes the placeholders.
    """

    def __init__(self, policy: Policy, permitted: Permitted, tag: bytes) -> None:
        self.known = Known()
        self.values: set[tuple[str, str]] = set()
        self.policy, self._permitted = policy, permitted
        self.digest = hashlib.blake2b(policy.digest + permitted.version + tag, digest_size=16).digest()

    def say(self, text: str, finding: Finding) -> Say:
        """What becomes of a finding. A value passes by a pattern of the settings or by `tokenman allow`."""
        start, end, entity, _ = finding
        value = text[start:end]
        return self.policy.say(finding, self.policy.allows(value, entity) or self._permitted.permits(value, entity))

    def behind(self) -> "_Behind":
        """The digest that will be, once more values are added."""
        return _Behind(self.digest)

    def add(self, entity: str, value: str) -> None:
        """A new value; one of several parts is added once."""
        self.values.add((entity, value))
        self.known.add(entity, value)


class Redactor:
    """Masks the slots of a request. `key` (any length) makes the placeholders; the memory is shared by all calls.

    `options`: those that the detection is configured with; what was found by others is not remembered as theirs.
    """

    def __init__(
        self,
        settings: Settings,
        key: bytes,
        detection: Finder,
        memo: Memo | None = None,
        allowed: Allowed | None = None,
        options: Options = PLAIN,
    ) -> None:
        self.settings = settings
        self.policies = Policies(settings)
        self._keyed = Keyed(key)
        self._hashed = _Hashed(hmac.digest(key, b"tokenman audit", "sha256"))
        self._tag = hmac.digest(key, b"tokenman memory", "sha256")[:16]
        self._detection = detection
        self._memo = memo if memo is not None else Memo()
        self._allowed = allowed
        self._options = options.digest

    def mapping(self) -> Mapping:
        """An empty mapping for a new exchange."""
        return Mapping(self._keyed)

    async def mask(self, slots: Sequence[Slot], mapping: Mapping, policy: Policy | None = None) -> Masked:
        """Set `slot.text` of every slot that holds a value, left to right: earlier slots are not rewritten for later finds.

        Called again for the same exchange it also masks, everywhere, what it has masked before. `policy`: the one of the
        call's project, None for that of all others. Raises what the detection raises; then nothing may be sent.
        """
        masked, spots = Masked(), _Spots()
        policy = policy or self.policies.base
        if policy.off:
            return masked
        breath = _Breath()
        so_far = _SoFar(policy, self._allowed.now() if self._allowed else NOTHING, self._tag)
        behind = so_far.behind()
        for number, each in enumerate(mapping.values()):
            said = (each.entity, each.whole or each.text)
            if said not in so_far.values:
                behind.add(*said)
                so_far.add(*said)
            if number % _ACTS == _ACTS - 1 and breath.due:
                await breath.take()
        so_far.digest = behind.digest
        names = await self._named(slots, breath)
        edges = await self._edges(slots, breath)
        known = 0
        for slot in itertools.islice(slots, min((each.sources[0] for each in edges), default=len(slots))):
            acts = self._remembered(names[known], so_far)
            if acts is None:
                break
            known += 1
            if acts.acts:
                spots.add(slot, slot.text, acts)
                await self._apply(slot, acts, (), mapping, so_far, masked, breath)
                if masked.blocked:
                    break
            if (known % _ACTS == 0 or acts.acts) and breath.due:
                await breath.take()
        if known < len(slots) and not masked.blocked:
            await self._judge(slots, known, names, edges, mapping, so_far, masked, spots, breath)
        masked.spots = await spots.told(self._hashed, breath)
        if breath.taken > _LONG_WORK:  # what long work leaves behind is put away in steps of its own
            await breath.take()
            so_far.known = Known()
            await breath.take()
        return masked

    def _remembered(self, name: bytes, so_far: _SoFar) -> Acts | None:
        """What was done about a text of this name where the same was known as now; None if that is not remembered."""
        acts = self._memo.acts(name + so_far.digest)
        if acts is None and not so_far.values and not so_far.policy.denied and self._memo.get(name) == ():
            return Acts((), so_far.digest, [])
        return acts

    async def _judge(
        self,
        slots: Sequence[Slot],
        since: int,
        names: list[bytes],
        edges: list[Joined],
        mapping: Mapping,
        so_far: _SoFar,
        masked: Masked,
        spots: _Spots,
        breath: _Breath,
    ) -> None:
        """Mask the slots from place `since` on, of which not all are remembered. `edges`: of these slots."""
        findings = await self._detected(slots, names, since, breath)
        halves = await self._over_edges(slots, edges, names, findings, so_far, breath)
        for place in range(since, len(slots)):
            slot, found = slots[place], findings[place]
            if found or so_far.values or so_far.policy.denied:
                here = halves.get(place, ())
                name = names[place] + so_far.digest
                acts = self._memo.acts(name)
                if acts is None:
                    acts = await self._judged(slot.text, name, found, here, mapping, so_far, breath)
                if acts.acts:
                    spots.add(slot, slot.text, acts)
                    await self._apply(slot, acts, here, mapping, so_far, masked, breath)
                    if masked.blocked:
                        break
            if breath.due:
                await breath.take()

    async def _named(self, slots: Sequence[Slot], breath: _Breath) -> list[bytes]:
        """The names under which it is remembered what was found in each text."""
        names: list[bytes] = []
        memo, prefixes = self._memo, dict[str, bytes]()
        for number, slot in enumerate(slots, 1):
            text, key = slot.text, slot.key
            prefix = prefixes.get(key)
            if prefix is None:
                prefix = prefixes[key] = memo.prefix(key, self._options)
            names.append(memo.name(prefix, text.encode("utf-8", "surrogatepass")))
            if (number % _ACTS == 0 or len(text) > _READ) and breath.due:
                await breath.take()
        return names

    async def _edges(self, slots: Sequence[Slot], breath: _Breath) -> list[Joined]:
        """What stands where texts meet over which a value may run."""
        edges: list[Joined] = []
        for each in beside(slots):
            if each is not None:
                edges.append(each)
            if breath.due:
                await breath.take()
        return edges

    async def _detected(
        self, slots: Sequence[Slot], names: Sequence[bytes], since: int, breath: _Breath
    ) -> list[Findings]:
        """What detection says of each slot from place `since` on: remembered, or found now."""
        findings: list[Findings] = [()] * len(slots)
        fresh: dict[bytes, list[int]] = {}
        for place in range(since, len(slots)):
            found = self._memo.get(names[place])
            if found is None:
                fresh.setdefault(names[place], []).append(place)
            else:
                findings[place] = found
            if breath.due:
                await breath.take()
        if fresh:
            texts = [Text(slots[places[0]].text, slots[places[0]].key) for places in fresh.values()]
            for (name, places), found in zip(fresh.items(), await self._detection.find(texts), strict=True):
                self._memo.put(name, found)
                for place in places:
                    findings[place] = found
                if breath.due:
                    await breath.take()
        return findings

    async def _over_edges(
        self,
        slots: Sequence[Slot],
        edges: list[Joined],
        names: list[bytes],
        findings: list[Findings],
        so_far: _SoFar,
        breath: _Breath,
    ) -> dict[int, list[Half]]:
        """The values that begin in one text and end in the next; each part is put among the findings of its text.

        What a text's name stands for then depends on its neighbours, so they become a part of it.
        """
        halves: dict[int, list[Half]] = {}
        if not edges:
            return halves
        pieces = [Slot((slots[each.sources[0]].key,), "other", each.text) for each in edges]
        found = await self._detected(pieces, await self._named(pieces, breath), 0, breath)
        for joined, over_all in zip(edges, found, strict=True):
            alone = moved(joined, [findings[source] for source in joined.sources])
            for value in over(joined, alone, over_all, lines=False):
                if so_far.say(joined.text, value) not in ("mask", "block", "log"):
                    continue
                whole = joined.text[value.start : value.end]
                for source, start, end in joined.cut(value.start, value.end):
                    halves.setdefault(source, []).append(Half(start, end, whole))
                    findings[source] = (*findings[source], Finding(start, end, value.entity, value.score))
            if breath.due:
                await breath.take()
        for source, here in halves.items():
            names[source] += hashlib.blake2b(repr(here).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        return halves

    async def _judged(
        self,
        text: str,
        name: bytes,
        found: Findings,
        halves: Sequence[Half],
        mapping: Mapping,
        so_far: _SoFar,
        breath: _Breath,
    ) -> Acts:
        """What is done about a text; remembered under `name`."""
        acts: list[Act] = []
        new: set[tuple[str, str]] = set()
        behind = so_far.behind()
        for number, (start, end, entity, _) in enumerate(await self._with_known(text, found, halves, so_far, breath)):
            if number % _ACTS == _ACTS - 1 and breath.due:
                await breath.take()
            action = so_far.policy.action(entity)
            if action in ("block", "log"):
                acts.append(Act(start, end, entity, action))
                if action == "block":
                    break
                continue
            value = text[start:end]
            whole = _whole(halves, start, end)
            # Where it stands escaped for a JSON string, it is restored escaped for the place that it comes to.
            depth = depth_at(text, start) if "\\" in value and start < _READ else 0
            placeholder = mapping.placeholder(
                entity, value, action == "redact", whole if whole != value else "", depth
            )[0]
            said = (entity, whole or value)
            first = said not in so_far.values and said not in new
            if first:
                new.add(said)
                behind.add(*said)
            acts.append(Act(start, end, entity, action, placeholder, depth, first))
        judged = Acts(tuple(acts), behind.digest, [])
        self._memo.put_acts(name, judged)
        return judged

    async def _with_known(
        self, text: str, found: Findings, halves: Sequence[Half], so_far: _SoFar, breath: _Breath
    ) -> Findings:
        """The findings of a text, and all places in it of the values found before it or in it."""
        policy = so_far.policy
        if policy.denied:
            found = (*found, *await _denied(policy, text))
        chosen = await self._chosen(text, found, so_far, breath)
        standing: list[Finding] = []
        own: dict[tuple[str, str], None] = {}
        for number, each in enumerate(chosen):
            start, end, entity, _ = each
            if policy.action(entity) in ("redact", "hash") and not _whole(halves, start, end):
                standing.append(each)
                if entity not in _PLAIN_EVERYWHERE and (said := (entity, text[start:end])) not in so_far.values:
                    own[said] = None
            if number % _ACTS == _ACTS - 1 and breath.due:
                await breath.take()
        here = Known(own)
        places: list[Finding] = []
        for place in known.find((policy.exact, so_far.known, here), text, standing):
            if place is not None:
                places.append(place)
            if breath.due:
                await breath.take()
        if places:
            if taken := Taken(text):
                places = [place for place in places if not taken.inside(place.start, place.end)]
            chosen = await self._chosen(text, (*found, *places), so_far, breath)
        return chosen

    async def _chosen(self, text: str, found: Findings, so_far: _SoFar, breath: _Breath) -> Findings:
        """What is to be acted on."""
        chosen: list[Finding] = []
        for each in choose(text, found, functools.partial(so_far.say, text), so_far.policy.rank):
            if each is not None:
                chosen.append(each)
            elif breath.due:
                await breath.take()
        return tuple(chosen)

    async def _apply(
        self,
        slot: Slot,
        acts: Acts,
        halves: Sequence[Half],
        mapping: Mapping,
        so_far: _SoFar,
        masked: Masked,
        breath: _Breath,
    ) -> None:
        text = slot.text
        stood = text if slot.kind not in _MODELS_OWN else None
        pieces: list[str] = []
        last = 0
        for number, (start, end, entity, action, placeholder, depth, first) in enumerate(acts.acts):
            if number % _ACTS == _ACTS - 1 and breath.due:
                await breath.take()
            if action == "block":
                masked.blocked, masked.place = entity, place_of(slot.path)
                return
            if action == "log":
                masked.logged[entity] += 1
                continue
            value = text[start:end]
            whole = _whole(halves, start, end) if halves else ""
            placeholder = mapping.again(
                placeholder, entity, value, action == "redact", whole if whole != value else "", depth, stood
            )
            if first:
                so_far.add(entity, whole or value)
                masked.masked[entity] += 1
            pieces += text[last:start], placeholder
            last = end
        so_far.digest = acts.after
        if last:
            pieces.append(text[last:])
            slot.text = "".join(pieces)
            masked.paths.append(slot.path)


def _whole(halves: Sequence[Half], start: int, end: int) -> str:
    """The value that a finding holds a part of, "" if it is one itself."""
    return next((each.whole for each in halves if start <= each.start and each.end <= end), "")


async def _denied(policy: Policy, text: str) -> Findings:
    """Where values stand that the settings name; of a long text aside, for it is looked through in one go."""
    if len(text) > _ASIDE:
        return await asyncio.to_thread(lambda: tuple(policy.denied.find(text)))
    return tuple(policy.denied.find(text))
