"""The corpora as lists of labelled texts. The parts `tune` and `report` share neither a template nor the seed of their values."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.corpora import keys, people, places
from tests.corpora.digits import draw
from tests.corpora.misses import MISSES
from tests.corpora.people import KINDS, Kind
from tests.corpora.places import Place

Part = Literal["tune", "report"]
PARTS: tuple[Part, ...] = ("tune", "report")


@dataclass(frozen=True)
class Planted:
    """Characters `start` to `end` are a value of kind `entity`. `about`: which form of it."""

    start: int
    end: int
    entity: str
    about: str = ""


@dataclass(frozen=True)
class Sample:
    """`group`: under which aim it counts. `missed`: the spans of near misses, which nothing may touch."""

    text: str
    group: str
    place: str
    planted: tuple[Planted, ...] = ()
    missed: tuple[tuple[int, int], ...] = ()
    about: str = ""


_WORD = [
    "Aldo",
    "Brigitta",
    "Chidi",
    "Dagny",
    "Ewan",
    "Fumiko",
    "Gideon",
    "Halima",
    "Ingvar",
    "Joana",
    "Kasimir",
    "Lavinia",
    "Milos",
    "Nanami",
    "Osvaldo",
    "Priya",
]


def _noise(rng: Random) -> dict[str, str]:
    return {
        "n": str(rng.randrange(2, 900)),
        "id": draw(rng, 6, "abcdefgh234567"),
        "hex": draw(rng, 32, "0123456789abcdef"),
        "when": f"2026-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}T{rng.randrange(24):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}Z",
        "word": rng.choice(_WORD),
    }


_MARK = "\ue000"  # of private use: stands where a value goes


def _put(
    place: Place, values: Sequence[tuple[str, str]], rng: Random, names: dict[str, str]
) -> tuple[str, tuple[Planted, ...]]:
    """The template filled, and where the values stand; `values`: (value, entity), one for each hole that is used."""
    marked = place.text.format(v=_MARK + "0", v2=_MARK + "1", **names, **_noise(rng))
    planted: list[Planted] = []
    parts = marked.split(_MARK)
    text = parts[0]
    for part in parts[1:]:
        value, entity = values[int(part[0])]
        written = places.WRITTEN[place.how](value)
        planted.append(Planted(len(text), len(text) + len(written), entity))
        text += written + part[1:]
    return text, tuple(planted)


def _names(label: str) -> dict[str, str]:
    words = "".join(char.lower() if char.isalnum() else " " if char != "'" else "" for char in label).split()
    snake = "_".join(words)
    return {
        "label": label,
        "snake": snake,
        "UPPER": snake.upper(),
        "camel": words[0] + "".join(each.title() for each in words[1:]),
    }


def _personal(part: Part) -> Iterator[Sample]:
    rng = Random(f"personal {part}")
    for kind in KINDS:
        for place in places.LABELLED[part]:
            language = place.language or "en"
            if language not in kind.labels and (place.language or "en" in kind.labels):
                continue
            labels = kind.labels.get(language) or next(iter(kind.labels.values()))
            for label in labels[:2]:
                yield _sample(kind, place, rng, part, _names(label))
        if kind.bare:
            for place in places.BARE[part]:
                yield _sample(kind, place, rng, part, {})
                yield _sample(kind, place, rng, part, {})


def _sample(kind: Kind, place: Place, rng: Random, part: Part, names: dict[str, str]) -> Sample:
    values = [(kind.draw(rng), kind.entity) for _ in range(2)]
    text, planted = _put(place, values, rng, names)
    return Sample(text, kind.group, place.id, planted, about=kind.name)


_DISGUISED = ("EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE")


def _disguised(part: Part) -> Iterator[Sample]:
    rng = Random(f"disguised {part}")
    for kind in KINDS:
        if kind.entity not in _DISGUISED:
            continue
        for place in places.DISGUISED[part]:
            if place.how.endswith("-at") and kind.entity != "EMAIL_ADDRESS":
                continue
            for _ in range(8):
                text, planted = _put(place, [(kind.draw(rng), kind.entity)], rng, {})
                yield Sample(text, "disguised", place.id, planted, about=place.how)
    for secret in keys.VENDORS[:12]:
        for place in places.DISGUISED[part]:
            if place.how in ("narrow", "wide", "url"):
                text, planted = _put(place, [(secret.draw(rng), secret.entity)], rng, {})
                yield Sample(text, "disguised", place.id, planted, about=f"{place.how} key")


def _secret_names(secret: keys.Secret, rng: Random) -> dict[str, str]:
    name = rng.choice(secret.names)
    words = name.lower().split("_") if "_" in name or name.isupper() else [name]
    key = words[0] + "".join(each.title() for each in words[1:])
    return {
        "NAME": name.upper(),
        "name": "_".join(words).lower(),
        "key": key,
        "say": " ".join(words).lower() if len(words) > 1 else "password",
    }


def _secrets(part: Part) -> Iterator[Sample]:
    rng = Random(f"secrets {part}")

    def put(secret: keys.Secret, place: Place, group: str = "secrets") -> Sample:
        names = _secret_names(secret, rng)
        text, planted = _put(place, [(secret.draw(rng), secret.entity) for _ in range(2)], rng, names)
        return Sample(text, group, place.id, planted, about=secret.id)

    for secret in keys.VENDORS:
        group = "big vendors" if secret.big else "secrets"
        if secret.bare:
            for place in places.BARE[part]:
                yield put(secret, place, group)
        for place in rng.sample(places.NAMED[part], 12):
            yield put(secret, place, group)
    for secret in keys.NAMED:
        for place in places.NAMED[part]:
            yield put(secret, place)
    for place in places.PASSWORDS[part]:
        for _ in range(10):
            yield put(keys.PASSWORD, place)
    for place in places.NAMED[part]:
        if "prose" not in place.id:
            for _ in range(6):
                yield put(keys.PASSWORD, place)
    for secret, where in (
        (keys.BEARER, places.BEARERS), (keys.BASIC, places.BASICS), (keys.CONNECTION, places.CONNECTIONS), (keys.PRIVATE_KEY, places.LONG), (keys.JWT, places.BARE),
    ):  # fmt: skip
        for place in where[part]:
            for _ in range(10):
                yield put(secret, place)


def _misses(part: Part) -> Iterator[Sample]:
    rng = Random(f"misses {part}")
    for miss in MISSES:
        for number, template in enumerate(getattr(miss, part)):
            for _ in range(12):
                place = Place(f"{miss.id}-{number}", template)
                text, planted = _put(place, [(miss.draw(rng), "")] * 2, rng, {})
                spans = tuple((each.start, each.end) for each in planted)
                yield Sample(text, f"near misses, {miss.group}", place.id, missed=spans, about=miss.id)


@functools.cache
def corpus(part: Part) -> tuple[Sample, ...]:
    """All samples of a part, the same each time."""
    return (*_personal(part), *_disguised(part), *_secrets(part), *_misses(part))


def also(entity: str) -> frozenset[str]:
    """The kinds that a value of this kind may be called too."""
    return frozenset({entity, *(each for kind in people.KINDS if kind.entity == entity for each in kind.also)})
