"""Values that run over a seam: the break of a line (with what stands before the next one), or the end of one text and the next.

The pieces on both sides are joined and judged again. What is found over a seam counts only where it is no accident: a column of
numbers is no card, and a word behind an address is not the rest of it.
"""

import itertools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from tokenman_core.redaction.detectors.rules import SHAPES
from tokenman_core.redaction.detectors.view import View
from tokenman_core.redaction.entities import SECRETS, Finding, Findings

# Blanks, a backslash that says that the line goes on, the end of the line (or how JSON writes it), and what may stand before the
# next one: indentation, the marks of quotations, of comments, of lists and of patches.
_MARKS = r"(?:[ \t]{0,64}+(?:[>|#*;+]{1,3}|//[/!]?|--|-(?=[ \t]))){0,4}+[ \t]{0,64}+"
_BREAK = re.compile(r"[ \t]{0,8}(?:\\?\r?\n|(?:\\{1,8}r)?\\{1,8}n)" + _MARKS)
_LINE = re.compile(r"\n|\\n")
_BEFORE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.@+/=%:-")
_AT_END = frozenset(" \t\r\\r")  # behind the text of a line; `r`: of a written-out `\\r`
_MAY_END = _BEFORE | _AT_END
# The end of a line before which something stands that may go on, not a block of a program, and behind which something may.
_END = r"\n(?<=[A-Za-z0-9_.@+/=%: \t\r\\-]\n)(?<![^0-9:]{4}:\n)"
# What is no part of a number, of a key or of an address without an @: most lines begin with that, and end so.
_PLAIN = r"[A-Za-z_=%](?:[^ \n0-9@:-]|[:-](?![0-9A-Fa-f:-])){0,62}+(?=[ \n]|\Z)"
_NO_PLAIN_END = "".join(rf"(?<![ \n][^0-9@: \t\r\n\\-]{{{size}}}\n)" for size in range(1, 21))
_OPEN = re.compile(f"{_END}{_MARKS}(?=[A-Za-z0-9_.@+/=%:-])")
_OPEN_WITHOUT_AT = re.compile(f"{_END}(?:{_NO_PLAIN_END}|(?!{_MARKS}{_PLAIN})){_MARKS}(?=[A-Za-z0-9_.@+/=%:-])")
_TOKEN = re.compile(r"[A-Za-z0-9_.@+/=%~-]+")
_JUST_A_WORD = re.compile(r"[A-Za-z_]{1,64}+[.:=-]?(?![A-Za-z0-9_.@+/=%:-])")  # as most lines begin
_NUMBER_BEFORE = re.compile(r"[A-Za-z]{0,2}[0-9][A-Za-z0-9 -]*\Z")
# The rest of a number of which the line before has hardly anything: of an IBAN, and of a card.
_IBAN_BEFORE = re.compile(r"(?<![A-Za-z0-9])[A-Z]{1,2}[0-9]?\Z")
_IBAN_GOES_ON = re.compile(r"[A-Z]?[0-9]{1,2}(?: ?[A-Z0-9]{4}){3}")
_CARD_GOES_ON = re.compile(r"[0-9]{3}([ -]?)[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?![0-9])")
_DOTTED = re.compile(r"(?<![0-9A-Za-z_.$-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9A-Za-z_]|\.[0-9])")
_PAIRED = re.compile(
    r"(?<![0-9A-Za-z_:.-])(?:(?=(?:[^:]*:){3})[0-9A-Fa-f:]{8,45}+|[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5})(?![0-9A-Za-z_:-])"
)
_OF_ADDRESSES = frozenset("0123456789abcdefABCDEF.:-")
_LONGEST_ADDRESS = 64  # characters of an address of the net, or of the name before an @ (RFC 5321, 4.5.3.1.1)
_LEAST_KEY = 12
_KEY = re.compile(rf"(?<![A-Za-z0-9_.+/=-])(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_.+/=-]{{{_LEAST_KEY},}}\Z")
_KEY_HEAD = 4  # characters
_KEY_HEADS = frozenset(
    keyword[:_KEY_HEAD] for rule in SHAPES for keyword in rule.keywords if re.fullmatch(r"[a-z0-9_-]{4,}", keyword)
)
_TAIL = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{4,64}\Z")
_KEY_GOES_ON = re.compile(r"(?=[A-Za-z0-9_.+/=-]{16})(?=[A-Za-z_.+/=-]*[0-9])[0-9_.+/=-]*[A-Za-z]")
_DIGIT = re.compile(r"[0-9]")
_DIGIT_OR_COLON = re.compile(r"[0-9:]")
_REACH = 256  # characters on both sides of a seam that are judged with it
_LONGEST = 8192  # characters of a value that goes on over many lines
_LINES = 128

_NUMBERS = frozenset({"CREDIT_CARD", "CRYPTO", "IBAN_CODE"})  # check digits tell whether the pieces belong together
_GROUPED = frozenset(
    {"US_SSN", "PHONE_NUMBER", "IP_ADDRESS", "MAC_ADDRESS"}
)  # written in groups, which nothing but their marks holds together
_ANNOUNCED = 1.0  # the score of what a word near it, or its form alone, leaves no doubt of
_FULL = 40  # characters of a line that has no room for more
_WRAPPED = _NUMBERS | _GROUPED | frozenset(SECRETS) | {"EMAIL_ADDRESS"}
_WORD = re.compile(r"[A-Za-z]?[a-z]*[.,:;!?]*|[A-Z]+[.,:;!?]*|[A-Z]+(?:_[A-Z]+)+")
_STAMP = re.compile(r"(?:19|20)[0-9]{2}[-/][01][0-9][-/][0-3][0-9]|[0-2][0-9]:[0-5][0-9]:[0-5][0-9]")
_NEXT = re.compile(r"--?[a-z]|[A-Za-z_][A-Za-z0-9_.-]{0,64}[ \t]*[=:][ \t]*[^\s=]")  # an option, or another assignment
_LETTER = re.compile(r"[A-Za-z]")
# What begins an address, and is neither a word nor a number, a file or a host that stands in the line before one.
_HEAD = re.compile(r"(?=[0-9.-]*[A-Za-z])(?!v?[0-9.-]+\Z)[A-Za-z0-9]+(?:[._+-]+[A-Za-z0-9]+)+|[A-Za-z]+[0-9]+")
_DOMAIN = re.compile(
    r"(?i)\.(?:com|org|net|edu|gov|eu|uk|de|fr|it|es|nl|ch|at|be|pl|se|no|dk|fi|pt|ie|br|in|jp|cn|kr|au|ca|mx|ru)\Z"
)
_HOST_OR_FILE = re.compile(
    r"(?i)www\..*|.*\.(?:com|org|net|edu|gov|io|dev|app|md|txt|rst|py|js|ts|go|rs|rb|java|c|h|cpp|cs|php|sh|json|ya?ml|toml|cfg|ini|html?|css|pdf|csv|log|lock)"
)

Look = Callable[[str], Iterable[Finding]]


class Joined(NamedTuple):
    """Pieces of texts as one. `seams` are the places in it where two meet; piece `i` stood at `places[i]` of text `sources[i]`."""

    text: str
    seams: tuple[int, ...]
    sources: tuple[int, ...]
    places: tuple[int, ...]

    def cut(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """A span of the whole as spans of its pieces: number of the text, start, end."""
        for piece, source in enumerate(self.sources):
            low = self.seams[piece - 1] if piece else 0
            high = self.seams[piece] if piece < len(self.seams) else len(self.text)
            if start < high and end > low:
                at = self.places[piece] - low
                yield source, max(start, low) + at, min(end, high) + at


def over(joined: Joined, alone: Findings, found: Iterable[Finding], *, lines: bool) -> Iterator[Finding]:
    """Those of `found` in the whole that run over a seam and belong to both sides; `alone` are what its pieces hold by themselves.

    `lines`: the seams are breaks of lines, where more stands side by side by accident than at the end of a text. At the end of
    a text what announces a secret may stand alone, too.
    """
    known = set(alone)
    for finding in found:
        if not lines and finding.entity in SECRETS and _begins(joined, finding.start) and finding not in known:
            yield finding
            continue
        first = bisect_right(joined.seams, finding.start)
        seams = joined.seams[first : bisect_right(joined.seams, finding.end - 1)]
        if seams and (not lines or finding.entity in _WRAPPED) and _belongs(joined.text, finding, seams, alone, lines):
            yield finding


def _begins(joined: Joined, start: int) -> bool:
    """Whether a piece begins there, or with a quote before it."""
    return start in joined.seams or (start - 1 in joined.seams and joined.text[start - 1] in "\"'`")


def _belongs(text: str, finding: Finding, seams: tuple[int, ...], alone: Findings, lines: bool) -> bool:
    entity = finding.entity
    if entity in _NUMBERS:
        return not lines or not _is_column(text, finding, seams)
    ends = [each for each in alone if each.end in seams and each.start >= finding.start]
    begins = [each for each in alone if each.start in seams and each.end <= finding.end]
    if entity in _GROUPED and lines:
        # A mark that says that more must come, or a number that is none before the break.
        marked = all(text[seam - 1] in "-.:" or text[seam] in "-.:" for seam in seams)
        if entity == "IP_ADDRESS" and ":" in text[finding.start : finding.end]:
            certain = bool(begins) and ":" in text[finding.start : seams[0]]
        else:
            certain = (finding.score >= _ANNOUNCED and not begins) or text[seams[0] - 1] == "-"
        return not ends and (certain or (not begins and (marked or seams[0] >= _FULL)))
    if entity == "PRIVATE_KEY":
        return True
    if entity in SECRETS:
        if lines and _STAMP.match(text, seams[0]):
            return False  # the next line of a log
        rest = text[seams[0] : finding.end]
        if begins and begins[0].entity in SECRETS:
            return False
        if entity == "PASSWORD" and not ends and _WORD.fullmatch(text, finding.start, seams[0]) is not None:
            return False  # a word of the sentence that announces it
        if lines and ends and _NEXT.match(text, seams[0]) is not None:
            return False  # it is whole, and the next line begins another one
        return not ends or (len(rest) >= 4 and _WORD.fullmatch(rest) is None)
    if ends:
        return False  # it was whole before the seam
    if not lines:
        return True
    head = text[finding.start : seams[0]]
    if begins:
        return not any(each.end == seams[0] for each in alone) and (
            head[-1] in "_+-" or (_HEAD.fullmatch(head) is not None and _HOST_OR_FILE.fullmatch(head) is None)
        )
    # A decorator, or a name that is called, stands there much more often than the domain of an address.
    return text[seams[0]] != "@" or _DOMAIN.search(text, seams[0], finding.end) is not None


def _is_column(text: str, finding: Finding, seams: tuple[int, ...]) -> bool:
    """Whether each line holds nothing but digits, so that any few lines of many may pass the check."""
    if _LETTER.search(text, 0, finding.start):
        return False
    edges = (finding.start, *seams, finding.end)
    pieces = [text[low:high] for low, high in itertools.pairwise(edges)]
    return len({len(piece.strip()) for piece in pieces}) == 1 and all(" " not in piece.strip() for piece in pieces)


def broken_lines(text: str) -> Iterator[Joined]:
    """The places of a text where a value may go on in the next line, each with its surroundings and without the break."""
    done = 0
    for at, start in _ends(text):
        if at < done or text[at - 1] not in _MAY_END or (joined := _at_break(text, at, start)) is None:
            continue
        done = joined.places[-1]
        yield joined


def _ends(text: str) -> Iterator[tuple[int, int]]:
    """Where lines end, also those whose ends are written out, and where the next ones begin behind blanks (0: not known)."""
    if "\\n" in text:
        yield from ((line.start(), 0) for line in _LINE.finditer(text))
        return
    # Most lines are told to be of no interest by the expression, in a tenth of the time that a look at them takes.
    yield from (line.span() for line in (_OPEN if "@" in text else _OPEN_WITHOUT_AT).finditer(text))


def _at_break(text: str, at: int, start: int = 0) -> Joined | None:
    """What stands around the line's end at `at`, if something of it may be the half of a value. `start`: see `_ends`."""
    end = at
    while end and text[end - 1] in _AT_END and at - end < 8:
        if text[end - 1] == "r":
            if text[end - 2] != "\\":
                break
            end -= 1
        end -= 1
    if end <= 0 or text[end - 1] not in _BEFORE:
        return None
    if text[end - 1] == ":" and _DIGIT_OR_COLON.search(text, max(0, end - 5), end - 1) is None:
        return None  # a block of a program begins, or a list
    if not start or end < at:
        if (gap := _BREAK.match(text, end)) is None:
            return None
        start = gap.end()
    if text[start : start + 1] not in _BEFORE:
        return None
    floor = max(0, end - _REACH)
    low = max(text.rfind(" ", floor, end) + 1, text.rfind("\n", floor, end) + 1, floor)
    left = text[low:end]
    if len(left) >= _LEAST_KEY and _KEY.search(left):
        return _join(text, end, start, many=True)
    if not text[end - 1].isdigit() and "@" not in left and _JUST_A_WORD.match(text, start):
        return None
    rest = text[start : start + _LONGEST_ADDRESS]
    if "@" in left or "@" in rest.partition(" ")[0] or _is_address(left, rest) or _is_number(text, end, start):
        return _join(text, end, start, many=False)
    if len(left) > 1 and not left.endswith("--") and (_KEY_GOES_ON.match(rest) or _begins_a_key(left, rest)):
        return _join(text, end, start, many=True)
    return None


def _is_address(left: str, rest: str) -> bool:
    """Whether an address of the net, by its form, begins in what ends a line and ends in what begins the next one."""
    if left[-1] not in _OF_ADDRESSES or rest[0] not in _OF_ADDRESSES:
        return False
    left = left[-_LONGEST_ADDRESS:]
    both = left + rest
    if both.count(".") >= 3 and any(match.start() < len(left) < match.end() for match in _DOTTED.finditer(both)):
        return True
    return (both.count(":") >= 3 or both.count("-") >= 5) and any(
        match.start() < len(left) < match.end() for match in _PAIRED.finditer(both)
    )


def _is_number(text: str, end: int, start: int) -> bool:
    """Whether a number may end a line at `end`, and go on in the next one at `start`."""
    last, first = text[end - 1], text[start]
    if not (last.isdigit() or last.isupper() or first.isdigit()):
        return False
    if first.isdigit() or (
        last.isdigit() and (first.isupper() or (first in "-." and text[start + 1 : start + 2].isdigit()))
    ):
        number = _NUMBER_BEFORE.search(text, max(0, end - 40), end)
        if number is not None and sum(map(str.isdigit, number[0])) >= 2:
            return True
        if last.isdigit() and not text[end - 2 : end - 1].isdigit() and _CARD_GOES_ON.match(text, start):
            return True
    return _IBAN_GOES_ON.match(text, start) is not None and _IBAN_BEFORE.search(text, max(0, end - 4), end) is not None


def _begins_a_key(left: str, rest: str) -> bool:
    """Whether a line ends with what some vendor's keys begin with, and the next one with it may hold one."""
    if not left[-1].isalnum() or _DIGIT.search(left + rest) is None:
        return False
    tail = _TAIL.search(left)
    if tail is None or tail[0][:_KEY_HEAD].lower() not in _KEY_HEADS:
        return False
    return _KEY_GOES_ON.match(tail[0] + rest) is not None


def _join(text: str, end: int, start: int, many: bool) -> Joined:
    """What stands in a line before `end`, from `start` on, and in further lines: one, or as many as hold nothing else."""
    low = max(text.rfind("\n", 0, end) + 1, end - _REACH)
    pieces, places = [text[low:end]], [low]
    size = end - low
    for _ in range(_LINES if many else 2):
        gap = _BREAK.search(text, start, start + _REACH)
        stop = gap.start() if gap else min(len(text), start + _REACH)
        pieces.append(text[start:stop])
        places.append(start)
        size += stop - start
        if gap is None or size > _LONGEST or text[gap.end() : gap.end() + 1] not in _BEFORE:
            break
        if many and _TOKEN.fullmatch(pieces[-1]) is None:
            break
        start = gap.end()
    return Joined(
        "".join(pieces), tuple(itertools.accumulate(map(len, pieces[:-1]))), (0,) * len(pieces), tuple(places)
    )


def unwrapped(text: str) -> View | None:
    """A text without the breaks of its lines, where what stands on both sides may be one value; None if there is none."""
    parts: list[str] = []
    seen, starts, ends = [], [], []
    last = size = 0
    for line in _LINE.finditer(text):
        end = line.start()
        while end > last and text[end - 1] in _AT_END and line.start() - end < 8:
            if text[end - 1] == "r" and text[end - 2 : end - 1] != "\\":
                break
            end -= 1
        if end <= last or text[end - 1] not in _BEFORE:
            continue
        gap = _BREAK.match(text, end)
        if gap is None or gap.end() <= line.start() or text[gap.end() : gap.end() + 1] not in _BEFORE:
            continue
        parts.append(text[last:end])
        seen.append(size)
        starts.append(last)
        ends.append(end)
        size += end - last
        last = gap.end()
    if not parts:
        return None
    return View("".join((*parts, text[last:])), [*seen, size], [*starts, last], [*ends, len(text)])


class _Near:
    """The findings that stand somewhere, by their sizes: one that is as long as the text must not make all of them near."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self._findings = findings
        self._sizes: dict[int, list[tuple[int, int, int]]] = {}
        for start, end, number in sorted((each.start, each.end, number) for number, each in enumerate(findings)):
            self._sizes.setdefault((end - start).bit_length(), []).append((start, end, number))

    def between(self, low: int, high: int) -> list[Finding]:
        """Those of which a character stands between two places, in the order in which they came."""
        near: list[int] = []
        for bits, its in self._sizes.items():
            first, last = bisect_left(its, (low - (1 << bits),)), bisect_left(its, (high,))
            near += [number for _, end, number in its[first:last] if end > low]
        return [self._findings[number] for number in sorted(near)]


def wrapped(text: str, alone: Findings, look: Look) -> Iterator[Finding]:
    """The values of a text that are wrapped over lines. `alone`: what was found in it as it stands; `look` judges a text."""
    near: _Near | None = None
    for joined in broken_lines(text):
        near = near or _Near(alone)
        inside = near.between(joined.places[0], joined.places[-1] + _REACH)
        for finding in over(joined, moved(joined, [inside] * len(joined.places)), look(joined.text), lines=True):
            spans = list(joined.cut(finding.start, finding.end))
            yield Finding(spans[0][1], spans[-1][2], finding.entity, finding.score)


def moved(joined: Joined, findings: Sequence[Iterable[Finding]]) -> Findings:
    """The findings of the texts that the pieces are of, by piece, where they stand in the whole."""
    made: list[Finding] = []
    for piece, (place, found) in enumerate(zip(joined.places, findings, strict=True)):
        low = joined.seams[piece - 1] if piece else 0
        high = joined.seams[piece] if piece < len(joined.seams) else len(joined.text)
        for each in found:
            start, end = each.start - place + low, each.end - place + low
            if low <= start < end <= high:
                made.append(Finding(start, end, each.entity, each.score))
    return tuple(made)
