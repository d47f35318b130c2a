"""Dates of birth: a date in any usual form right behind a word that says so, in many languages."""

import datetime
import re
from collections.abc import Iterator
from typing import Final

from tokenman_core.redaction.detectors import words
from tokenman_core.redaction.detectors.words import Spotted
from tokenman_core.redaction.entities import Finding

_REACH = 40  # characters between the word and the date
_BEHIND = 12  # and between the date and a word behind it
_LONGEST = 32  # characters of a date
_YEAR = r"(?:19|20)[0-9]{2}"
_DATE = re.compile(
    # on folded text: small letters, no accents, `-` and `_` as blanks
    rf"(?<![0-9a-z])(?:(?P<y1>{_YEAR})(?P<s>[./ ] ?)(?P<m1>[0-9]{{1,2}})(?P=s)(?P<d1>[0-9]{{1,2}})"
    rf"|(?P<y2>{_YEAR})(?P<m2>[0-9]{{2}})(?P<d2>[0-9]{{2}})"
    rf"|(?P<y3>{_YEAR}) ?[年년] ?(?P<m3>[0-9]{{1,2}}) ?[月월] ?(?P<d3>[0-9]{{1,2}}) ?[日일]"
    rf"|(?P<a>[0-9]{{1,2}})(?P<t>[./ ] ?)(?P<b>[0-9]{{1,2}})(?P=t)(?P<y4>{_YEAR}|[0-9]{{2}})"
    rf"|(?P<d5>[0-9]{{1,2}})(?:st|nd|rd|th|er|re|º|°|ª)?[. ]{{0,2}}(?:of |de |d'|di |den |the )?(?P<n5>[^\W\d_]{{3,12}})"
    rf"[.,]{{0,2}} ?(?:of |de |del |do |din )?(?P<y5>{_YEAR})"
    rf"|(?P<n6>[^\W\d_]{{3,12}})[. ]{{1,2}}(?P<d6>[0-9]{{1,2}})(?:st|nd|rd|th|º)?,? (?P<y6>{_YEAR}))(?![0-9])"
)
# How months begin, without accents, in some twenty languages.
_MONTHS: Final = frozenset(
    {
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "maer", "mrz", "mai",
        "okt", "dez", "gen", "mag", "giu", "lug", "ago", "set", "ott", "dic", "ene", "abr", "fev", "avr", "jui", "aou",
        "out", "maj", "maa", "mei", "sty", "lut", "kwi", "cze", "lip", "sie", "wrz", "paz", "lis", "gru", "led", "uno",
        "bre", "dub", "kve", "cer", "srp", "zar", "rij", "pro", "tam", "hel", "huh", "tou", "kes", "hei", "elo", "syy",
        "lok", "jou", "oca", "sub", "nis", "haz", "tem", "agu", "eyl", "eki", "kas", "ara", "ian", "iun", "iul", "noi",
        "mart", "avg", "янв", "фев", "мар", "апр", "мая", "май", "июн", "июл", "авг", "сен", "окт", "ноя", "дек",
        "січ", "лют", "бер", "кві", "тра", "чер", "лип", "сер", "вер", "жов", "лис", "гру", "ιαν", "φεβ", "μαρ", "απρ",
        "μαι", "ιουν", "ιουλ", "αυγ", "σεπ", "οκτ", "νοε", "δεκ", "szep", "marc", "janv", "febr", "juin", "juil",
        "aout",
    }
)  # fmt: skip
_APART = re.compile(r"[\n;|,]|[0-9]{3}")


class Births:
    def find(self, spotted: Spotted) -> Iterator[Finding]:
        folded = spotted.folded
        if "DATE_OF_BIRTH" in spotted.key_topics and (match := _DATE.search(folded)) is not None and _is_date(match):
            yield Finding(*match.span(), "DATE_OF_BIRTH")
            return
        for start, end in spotted.hits.get("DATE_OF_BIRTH", ()):
            match = _DATE.search(folded, end, min(len(folded), end + _REACH + _LONGEST))
            if (
                match is not None
                and match.start() <= end + _REACH
                and _is_date(match)
                and _joined(folded, end, match.start())
            ):
                yield Finding(*match.span(), "DATE_OF_BIRTH", 0.9)
            elif not words.is_label(spotted.text, end):
                yield from _before(folded, start)


def _joined(folded: str, end: int, start: int) -> bool:
    """Whether no blank line and no other number stands between the word and the date."""
    between = folded[end:start]
    return "\n\n" not in between and between.count("\n") < 3 and re.search(r"[0-9]{3}", between) is None


def _before(folded: str, word: int) -> Iterator[Finding]:
    for match in _DATE.finditer(folded, max(0, word - _BEHIND - _LONGEST), word):
        gap = folded[match.end() : word]
        if len(gap) <= _BEHIND and _APART.search(gap) is None and _is_date(match):
            yield Finding(*match.span(), "DATE_OF_BIRTH", 0.9)


def _is_date(match: re.Match[str]) -> bool:
    """Whether the parts of a match make a day that there was, whichever of day and month comes first."""
    for number in "123":
        if match["y" + number]:
            return _exists(match["y" + number], match["m" + number], match["d" + number])
    if match["y4"]:
        year = match["y4"] if len(match["y4"]) == 4 else "20" + match["y4"]
        return _exists(year, match["a"], match["b"]) or _exists(year, match["b"], match["a"])
    number = "5" if match["y5"] else "6"
    name = match["n" + number]
    return any(name[:size] in _MONTHS for size in (3, 4)) and 1 <= int(match["d" + number]) <= 31


def _exists(year: str, month: str, day: str) -> bool:
    try:
        datetime.date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True
