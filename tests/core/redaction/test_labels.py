"""The labels of calls: judged by the values of the call, once for all calls that have the same ones."""

from collections.abc import Sequence

import pytest

from tokenman_core.config.models import Redaction as Settings
from tokenman_core.redaction import Labels, Mapping, Redactor, Text, labels
from tokenman_core.redaction.allowed import Permitted, digest
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate
from tokenman_core.redaction.entities import PLACEHOLDER, Findings
from tokenman_core.slots import Slot

KEY = b"k" * 32
DETECTOR = Detector(Re2Gate())
SAID = {"project": "Zebra-77", "session": "s", "model": "m"}


class Finder:
    async def find(self, texts: Sequence[Text]) -> list[Findings]:
        return [DETECTOR.find(*each) for each in texts]


class World:
    def __init__(self, **settings: object) -> None:
        self.redactor = Redactor(Settings.model_validate(settings), KEY, Finder())
        self.labels = Labels(self.redactor)
        self.asides = 0

    async def of(self, *texts: str, said: dict[str, str] = SAID, policy: str = "") -> dict[str, str]:
        """What is said of a call that holds these texts."""
        slots = [Slot(("content", place), "user", text, message=0) for place, text in enumerate(texts)]
        mapping = self.redactor.mapping()
        chosen = self.redactor.policies.of(policy)
        masked = await self.redactor.mask(slots, mapping, chosen)
        self.asides = 0
        aside = mapping.aside

        def counted() -> Mapping:
            self.asides += 1
            return aside()

        mapping.aside = counted  # type: ignore[method-assign]
        return await self.labels.judged(said, mapping, chosen, masked.known)


async def test_labels_are_judged_once_for_all_calls_with_the_same_values() -> None:
    world = World()
    first = await world.of("the password is Zebra-77")
    assert PLACEHOLDER.fullmatch(first["project"])
    assert world.asides == 1
    first["project"] = "changed by whoever got it"
    again = await world.of("the password is Zebra-77", "and more that holds nothing")
    assert world.asides == 0
    assert PLACEHOLDER.fullmatch(again["project"])


async def test_they_are_judged_anew_where_a_value_a_label_or_the_policy_differs() -> None:
    world = World(projects={"free": {"entities": {"PASSWORD": "off"}}})
    assert (await world.of("nothing"))["project"] == "Zebra-77"
    assert (await world.of("the password is Zebra-77"))["project"] != "Zebra-77"
    assert (await world.of("the password is Kite-8812"))["project"] == "Zebra-77"
    assert (await world.of("the password is Zebra-77", policy="free"))["project"] == "Zebra-77"
    assert (await world.of("the password is Zebra-77", said={"project": "of Zebra-77"}))["project"].startswith("of [")
    swapped = await world.of("the password is Zebra-77", said={"project": "s", "session": "Zebra-77"})
    assert swapped["project"] == "s"
    assert PLACEHOLDER.fullmatch(swapped["session"])


async def test_values_that_two_texts_hold_together_are_not_named_by_what_they_are_together() -> None:
    """Their parts are judged too, and those may differ where the whole does not."""
    world = World()
    halves = ("my card is 4111 1111", " 1111 1111 and that is it")
    for _ in range(2):
        await world.of(*halves)
        assert world.asides == 1


async def test_what_is_remembered_is_bounded_and_holds_no_label_that_holds_a_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(labels, "_REMEMBERED", 2)
    world = World()
    for value in ("Zebra-77", "Kite-8812", "Heron-31x", "Zebra-77"):
        await world.of(f"the password is {value}", said={"session": value})
        assert len(world.labels._judged) <= 2
        assert value not in repr(world.labels._judged)
        assert world.asides == 1


async def test_long_labels_are_judged_and_not_remembered() -> None:
    world = World()
    for _ in range(2):
        said = await world.of("the password is Zebra-77", said={"project": "Zebra-77", "model": "m" * 100_000})
        assert PLACEHOLDER.fullmatch(said["project"])
        assert world.asides == 1
        assert not world.labels._judged


class Changing:
    """A file of values that are let through, which changes while a call is under way."""

    def __init__(self) -> None:
        self.of = Permitted(b"k")

    def now(self) -> Permitted:
        return self.of


async def test_what_is_let_through_for_a_moment_is_not_remembered_for_longer() -> None:
    allowed = Changing()
    redactor = Redactor(Settings(), KEY, Finder(), allowed=allowed)  # type: ignore[arg-type]
    judge = Labels(redactor)
    said = {"project": "alice@example.com"}
    nothing, she = allowed.of, Permitted(b"k", frozenset({digest(b"k", "alice@example.com")}), b"v" * 16)
    for then in (she, nothing):
        allowed.of = nothing
        mapping = redactor.mapping()
        masked = await redactor.mask([Slot(("content",), "user", "hello")], mapping)
        allowed.of = then
        shown = await judge.judged(said, mapping, None, masked.known)
        assert (shown == said) is (then is she)
