"""What a text must hold for the checks of personal data to be worth running, as expressions that Hyperscan and RE2 both read.

They look at UTF-8 bytes, without look-around or back references. Those of the ids are made from their table, those of the
words from the kinds: a word that the gate does not see would never be looked for.
"""

import itertools
import math
import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

from tokenman_core.kinds import BY_NAME, NATIONAL
from tokenman_core.redaction.detectors.personal.table import ROWS

_BASE58 = "[1-9A-HJ-NP-Za-km-z]"
_SHORT: Final = 4  # letters up to which a word needs borders, so that `span` is no `pan`
_RUN: Final = "run"
_CAPTURED = re.compile(r"\((?!\?)([^()]*)\)")
_RUNS = re.compile(r" |[\x21-\x7e]+|[^\x00-\x7f]")
_LATIN_END: Final = 0x250


def _head(shape: str) -> str:
    """A shape of the table without its back references: the separators need not be the same."""
    captured = _CAPTURED.search(shape)
    if captured is None or r"\1" not in shape:
        return shape
    group = f"(?:{captured[1]})"
    return shape.replace(captured[0], group, 1).replace(r"\1", group)


def _piece(run: str) -> str:
    """Part of a word in any case; a Latin letter also without its accents."""
    if run == " ":
        return "[ _-]?"
    if run.isascii():
        return f"(?i:{re.escape(run)})"
    base = unicodedata.normalize("NFD", run)[0]
    return "(?:" + "|".join(sorted({run.lower(), run.upper(), base, base.upper()})) + ")"


class Word(NamedTuple):
    """`keywords`: byte strings, in small letters as far as ASCII goes, of which one stands in every match of `head`."""

    id: str
    keywords: tuple[bytes, ...]
    head: str


_MOST_FORMS: Final = 256


def _forms(pieces: list[str]) -> tuple[bytes, ...]:
    """All ways to write a word, in small letters as far as ASCII goes; of one with too many, its longest piece."""
    ways: list[set[str]] = []
    for piece in pieces:
        if piece == " ":
            ways.append({"", " ", "_", "-"})
        elif piece.isascii():
            ways.append({piece.lower()})
        else:
            ways.append({piece.lower(), piece.upper(), unicodedata.normalize("NFD", piece)[0].lower()})
    if math.prod(map(len, ways)) > _MOST_FORMS:
        return (max((piece for piece in pieces if piece.isascii()), key=len).encode(),)
    return tuple(sorted("".join(each).encode() for each in itertools.product(*ways)))


def _word(id: str, word: str) -> Word:
    """A word in any case, with or without its accents, its parts joined as names in programs join them."""
    if any(ord(char) >= _LATIN_END for char in word):  # Greek, Cyrillic and whatever has no case
        forms = sorted({word, word.upper(), word.capitalize()})
        keywords = tuple(sorted({max(form.split(" "), key=len).encode().lower() for form in forms}))
        return Word(id, keywords, "|".join("[ _-]?".join(map(re.escape, form.split(" "))) for form in forms))
    pieces = _RUNS.findall(word)
    body = "".join(map(_piece, pieces))
    keywords = _forms(pieces)
    if len(word) > _SHORT or not word[-1].isalnum() or not word.isascii():
        return Word(id, keywords, body)
    bordered = f"(?:^|[^A-Za-z]){body}(?:[^a-z]|s(?:[^a-z]|$)|$)"
    return Word(id, keywords, f"{bordered}|[a-z]{re.escape(word.capitalize())}")


def words() -> Iterator[Word]:
    """The words that announce an id or a birth; without those that hold a shorter one, which the gate sees anyway."""
    for id, of in (
        ("id-words", {word for kind in NATIONAL for word in kind.words} - {_RUN}),
        ("birth-words", set(BY_NAME["DATE_OF_BIRTH"].words)),
    ):
        whole = [word for word in of if len(word) > _SHORT or not word.isascii()]
        yield from (_word(id, word) for word in sorted(of) if not any(each != word and each in word for each in whole))


NEEDS: Final = {"id-words": "id-number", "birth-words": "birth-number"}
"""The words that announce a number, and the number that each of them needs."""


def hold(ids: set[str]) -> frozenset[str]:
    """The conditions that mean something: a word that announces a number means nothing without one, nor a number by itself."""
    return frozenset(id for id in ids if id not in NEEDS.values() and (id not in NEEDS or NEEDS[id] in ids))


def heads() -> Iterator[tuple[str, str, str]]:
    """(id, a literal that stands in every match or "", expression); without look-around."""
    yield "email", "@", r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-]@[A-Za-z0-9\x80-\xff]"
    yield "digits", "", r"[0-9](?:[ ().\-/_]{0,3}[0-9]){6}"
    yield "ipv4", ".", r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"
    yield "ipv6", ":", r"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:?[0-9A-Fa-f]"
    yield "iban", "", r"(?i)[A-Z]{2}[0-9]{2}[ -]?[A-Z0-9]{4}[ -]?[A-Z0-9]{4}"
    pair = "[0-9A-Fa-f]{2}"
    yield "mac", "", rf"{pair}(?:[:-]{pair}){{5}}|[0-9A-Fa-f]{{4}}\.[0-9A-Fa-f]{{4}}\.[0-9A-Fa-f]{{4}}"
    yield (
        "crypto",
        "",
        rf"(?:^|[^A-Za-z0-9])[13LMDTXAr48]{_BASE58}{{24}}|0x[0-9a-fA-F]{{40}}",
    )
    yield "bech32", "1", "(?:bc|tb|ltc|addr|stake|cosmos|osmo|BC|LTC)1[02-9ac-hj-np-zA-HJ-NP-Z]{11}"
    # Five digits, or a form with fewer: a postcode or plate of the UK, a plate of Nigeria.
    yield (
        "id-number",
        "",
        r"[0-9](?:[^0-9\n]{0,2}[0-9]){4}"
        r"|(?i:[A-Z][0-9][0-9A-Z]? [0-9][A-Z]{2}|[A-Z]{2}[0-9]{2}[ -]?[A-Z]{3}|[A-Z]{3}[- ]?[0-9]{3}[A-Z]{2})",
    )
    # Chile's word for its number stands in every second program: it counts right before such a number only.
    yield (
        "id-words",
        "",
        rf"(?i:{_RUN})[^0-9A-Za-z]{{1,5}}(?:[a-z]{{2,3}} )?[0-9]{{1,2}}\.?[0-9]{{3}}\.?[0-9]{{3}}-[0-9Kk]",
    )
    yield "birth-number", "", r"[0-9][^0-9\n]{0,16}[0-9]{2}"
    for row in ROWS:
        if row.alone:
            yield f"id:{row.entity}", "", "|".join(f"(?:{_head(shape)})" for shape in row.alone)
