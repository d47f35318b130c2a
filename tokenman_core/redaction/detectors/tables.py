"""Tables in a text: under which heading a value stands, far below it, where no word is near that tells what it is.

Lines of cells (CSV, tabs, bars, columns of blanks; also with their ends written out, as in a string of JSON), lists of lists in
JSON with a list of their columns, SQL's `INSERT` and `COPY`, and the tables of HTML.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

_LONGEST_LINE: Final = 4096  # characters of a row
_MOST_CELLS: Final = 256  # of a row
_LEAST_COLUMNS: Final = 2
_MOST_MISFITS: Final = 2  # lines in a row that have another number of cells: the table is over
_LONGEST_HEAD: Final = 4096  # characters of a list of columns
_GAP: Final = 2048  # characters between the list of columns and the rows
_BACK: Final = 16 * 1024  # and as far before it, where the rows come first
_LONGEST_NAME: Final = 64
_DEEPEST: Final = 7  # backslashes before a quote: three strings of JSON, one in another
_OF_NAMES: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_ .-"
_BEFORE_SQL: Final = frozenset('(,"`[')

_LINE_END = re.compile(r"\r?\n|(?:\\{1,7}r)?\\{1,7}n")
_RULE_LINE = re.compile(r"[-+|:=~ \t\\rn]*[-=]{2}[-+|:=~ \t]*")  # between the headings and the rows
# What a column may be called: a name, or some words. Around it blanks, quotes, and what a list, a quotation or a patch begins with.
_MARKS = r"[ \t]*(?:[-+>#*/!]{1,3}[ \t]?)?"
_NAME = r"(?![^\r\n]{0,48}\.\.)(?!(?:[^ ]*+ ){4})[^\W\d][\w .()/#-]{0,47}?"  # of at most four words
_HEADING = re.compile(rf"{_MARKS}[\"'`*\\]*(?P<name>{_NAME}|#|)[ \t]*[\"'`*\\]*[ \t]*\Z")  # `#`: the number of a row
_AT_ITS_END = re.compile(rf"(?P<name>{_NAME})[ \t]*[\"'`*\\]*[ \t]*\Z")
_BLANKS = " \t\r"
_QUOTES = "\"'`"
_SPACES = re.compile(r"[ \t]{2,}")
_TABS = re.compile(r"\t|\\{1,7}t")

Span = tuple[int, int]
Rows = Iterator[Sequence[Span]]


class Cell(NamedTuple):
    """Characters `start` to `end` stand under a heading. `firm`: in what can be nothing but a table."""

    start: int
    end: int
    heading: str
    firm: bool


class _Table(NamedTuple):
    """`rows`: the places of each row's cells, without what quotes them; read when asked for, once."""

    headings: tuple[str, ...]
    rows: Rows
    firm: bool = True


def cells(text: str, places: Iterable[int], tells: Callable[[str], bool]) -> Iterator[Cell]:
    """The cells of the columns whose heading tells something.

    `places`: where words stand that may be headings, in rising order. Each table is read once, whatever stands in it.
    """
    reader, done = _Reader(text), 0
    for place in places:
        if place < done or (table := reader.at(place)) is None:
            continue
        wanted = [(number, name) for number, name in enumerate(table.headings) if name and tells(name)]
        if not wanted:
            continue
        for row in table.rows:
            done = max(done, row[-1][1])
            for number, name in wanted:
                start, end = row[number]
                if end > start:
                    yield Cell(start, end, name, table.firm)


class _Reader:
    """Of one text. What was looked at and is the head of no table is not looked at again for the next word in it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line = -1  # the end of the last line that was looked at
        self._lists: dict[str, int] = {}  # where the last list began that was looked at, by what opens it

    def at(self, at: int) -> _Table | None:
        """The table that the word at `at` is a heading of."""
        text = self._text
        before = text[max(0, at - _LONGEST_NAME) : at].rstrip(_OF_NAMES)[-1:]
        table = None
        if before == '"' and (start := self._opened("[", at)) is not None:
            table = _in_json(text, start, at)
        elif before == ">" and (start := self._opened("<tr", at)) is not None:
            table = _in_html(text, start, at)
        if table is None and before in _BEFORE_SQL and (start := self._opened("(", at)) is not None:
            table = _in_sql(text, start)
        if table is None and at >= self._line:
            table, self._line = _in_lines(text, at)
        return table

    def _opened(self, opening: str, at: int) -> int | None:
        """Where the list begins that a word stands in; None if it is none, or was looked at before."""
        low = max(0, at - _LONGEST_HEAD)
        start = self._text.rfind(opening, low, at)
        if opening == "<tr" and start < 0:
            start = self._text.rfind("<TR", low, at)
        if start < 0 or self._lists.get(opening) == start:
            return None
        self._lists[opening] = start
        return start


# -- lines --


class _Cut(NamedTuple):
    """How a line is cut into cells: by a character, or by what an expression finds. `edged`: it stands at both ends, too."""

    apart: str | re.Pattern[str]
    edged: bool = False


_TAB: Final = _Cut(_TABS)
_CUTS: Final = (_Cut("|", edged=True), _TAB, _Cut(";"), _Cut(","), _Cut(_SPACES))


def _in_lines(text: str, at: int) -> tuple[_Table | None, int]:
    """The table whose headings' line holds `at`, and where that line ends."""
    low = max(0, at - _LONGEST_LINE)
    low = max(low, text.rfind("\n", low, at) + 1)
    low = max(low, text.rfind("\\n", low, at) + len("\\n") if "\\n" in text[low:at] else 0)
    end = _LINE_END.search(text, at, at + _LONGEST_LINE)
    if end is None:
        return None, at + _LONGEST_LINE // 2
    line = text[low : end.start()]
    written = end[0][0] == "\\"
    for cut in _CUTS:
        apart = cut.apart
        if (apart not in line) if isinstance(apart, str) else (apart.search(line) is None):
            continue
        found = _split(text, low, end.start(), cut)
        names = _headings(text, found, first_free=written)
        if names is not None and len({name for name in names if name}) >= _LEAST_COLUMNS:
            firm = _is_firm(text, line, cut, end)
            return _Table(names, _lines(text, end, cut, names), firm), end.end()
    return None, end.end()


def _is_firm(text: str, line: str, cut: _Cut, end: re.Match[str]) -> bool:
    """Whether a line of names and the next one are a table, and no list of names in a program or in a sentence."""
    if cut is _TAB:
        return True
    below = _LINE_END.search(text, end.end(), end.end() + _LONGEST_LINE)
    ruled = below is not None and _RULE_LINE.fullmatch(text, end.end(), below.start()) is not None
    if isinstance(cut.apart, str) and not ruled:
        return f"{cut.apart} " not in line.strip() and "`" not in line
    return ruled


def _headings(text: str, found: Sequence[Span], *, first_free: bool) -> tuple[str, ...] | None:
    """What the columns are called; None if one of them is no name. `first_free`: of the first cell only the end counts."""
    names: list[str] = []
    for number, (start, end) in enumerate(found):
        cell = text[start:end]
        match = _HEADING.match(cell)
        if match is None and first_free and number == 0:
            match = _AT_ITS_END.search(cell)
        if match is None:
            return None
        names.append(match["name"])
    return tuple(names)


def _lines(text: str, end: re.Match[str], cut: _Cut, names: Sequence[str]) -> Rows:
    """The rows behind the end of the headings' line: as many cells as those have, each without blanks and quotes."""
    written = end[0][0] == "\\"
    at, misfits = end.end(), 0
    while at < len(text) and misfits < _MOST_MISFITS:
        stop = _LINE_END.search(text, at, at + _LONGEST_LINE)
        while stop is not None and stop[0][0] == "\\" and not written:  # no end of a line here
            stop = _LINE_END.search(text, stop.end(), at + _LONGEST_LINE)
        if stop is None and len(text) - at > _LONGEST_LINE:
            return
        high = stop.start() if stop is not None else len(text)
        if high == at or text[at:high].isspace():
            return
        if _RULE_LINE.fullmatch(text, at, high) is None:
            found = _split(text, at, high, cut)
            misfits = 0 if len(found) == len(names) else misfits + 1
            if not misfits:
                row = [_bare(text, *each, in_string=written) for each in found]
                if any(name and text[slice(*cell)] == name for name, cell in zip(names, row, strict=True)):
                    return  # lines that begin alike, as in a program
                yield row
        if stop is None:
            return
        at = stop.end()


def _split(text: str, low: int, high: int, cut: _Cut) -> list[Span]:
    """The places of a line's cells; of bars without the empty ones at both ends, and none if there are too many."""
    apart = cut.apart
    if isinstance(apart, str):
        places = _character(text, low, high, apart)
    else:
        line = text[low:high]
        low += len(line) - len(line.lstrip(" \t" if apart is _SPACES else " "))
        places = [match.span() for match in apart.finditer(text, low, low + len(line.rstrip(" \r")))]
    if len(places) > _MOST_CELLS:
        return []
    edges = [(low, low), *places, (high, high)]
    found = [(left[1], right[0]) for left, right in pairwise(edges)]
    if cut.edged:
        if len(found) > 1 and not text[slice(*found[0])].strip(" \t>#*/+-"):
            found = found[1:]
        if len(found) > 1 and not text[slice(*found[-1])].strip():
            found = found[:-1]
    return found


def _character(text: str, low: int, high: int, apart: str) -> list[Span]:
    """Where a character stands in a line, but for what stands between quotes that begin a cell."""
    places: list[Span] = []
    at = low
    while at < high:
        begin = at
        while begin < high and text[begin] in " \\":
            begin += 1
        if begin < high and text[begin] == '"':
            close = text.find('"', begin + 1, high)
            while close >= 0 and text[close + 1 : close + 2] == '"':  # a quote in the cell, written twice
                close = text.find('"', close + 2, high)
            at = max(at, close + 1)
        stop = text.find(apart, at, high)
        if stop < 0 or len(places) > _MOST_CELLS:
            break
        places.append((stop, stop + 1))
        at = stop + 1
    return places


def _bare(text: str, start: int, end: int, *, in_string: bool = False) -> Span:
    """A cell without the blanks around it, and without its quotes. `in_string`: what holds the table may end behind it."""
    while start < end and text[start] in _BLANKS:
        start += 1
    while start < end and text[end - 1] in _BLANKS:
        end -= 1
    opening = start
    while opening < end and text[opening] == "\\":
        opening += 1
    quote = text[opening : opening + 1]
    if quote and quote in _QUOTES:
        close = text.find(quote, opening + 1, end)
        while close >= 0 and text[close + 1 : close + 2] == quote and close + 1 < end:
            close = text.find(quote, close + 2, end)
        if close > opening:
            return opening + 1, opening + 1 + len(text[opening + 1 : close].rstrip("\\"))
    elif in_string and (stop := text.find('"', start, end)) >= start:
        end = start + len(text[start:stop].rstrip("\\"))
    return start, end


# -- JSON --


class _Json(NamedTuple):
    """Expressions for a document whose quotes have so many backslashes before them."""

    head: re.Pattern[str]
    name: re.Pattern[str]
    objects: re.Pattern[str]
    member: re.Pattern[str]
    rows: re.Pattern[str]
    row: re.Pattern[str]
    element: re.Pattern[str]
    next: re.Pattern[str]


@functools.cache
def _json(depth: int) -> _Json:
    blank = r"(?:\s|\\{1,7}[nrt])*+"
    quote = rf"(?<!\\)\\{{{depth}}}\""
    name = rf"{quote}(?:(?!{quote})[^\"\[\]{{}}\r\n]){{0,64}}{quote}"
    string = rf"{quote}(?:(?!{quote})[^\r\n])*+{quote}"
    plain = r"(?:-?[0-9][0-9.eE+-]{0,40}+|true|false|null)"
    element = rf"(?:{string}|{plain}|\[[^\[\]\r\n]{{0,512}}\]|\{{[^{{}}\r\n]{{0,512}}\}})"
    thing = r"\{[^{}\[\]]{0,512}\}"
    return _Json(
        re.compile(rf"\[{blank}{name}(?:{blank},{blank}{name}){{0,255}}+{blank}\]"),
        re.compile(name),
        re.compile(rf"\[{blank}{thing}(?:{blank},{blank}{thing}){{0,255}}+{blank}\]"),
        re.compile(rf"{quote}(?:name|Name|column|columnName|label|title|field|key|id){quote}{blank}:{blank}({name})"),
        re.compile(rf"\[{blank}(?=\[)"),
        re.compile(rf"\[{blank}{element}(?:{blank},{blank}{element}){{0,255}}+{blank}\]"),
        re.compile(element),
        re.compile(rf"{blank},{blank}(?=\[)"),
    )


def _in_json(text: str, start: int, at: int) -> _Table | None:
    """`start`: where the list begins that the word at `at` stands in."""
    if text.find("]", start, at) >= 0:
        return None
    quote = text.rfind('"', start, at)
    depth = quote - len(text[start:quote].rstrip("\\")) - start if quote > 0 else 0
    if depth > _DEEPEST:
        return None
    forms = _json(depth)
    head = forms.head.match(text, start, start + _LONGEST_HEAD)
    if head is not None:
        names = tuple(_inside(each[0]) for each in forms.name.finditer(head[0]))
    elif (head := forms.objects.match(text, start, start + _LONGEST_HEAD)) is not None:
        things = (forms.member.search(each) for each in head[0].split("}")[:-1])
        names = tuple(_inside(each[1]) if each is not None else "" for each in things)
    else:
        return None
    end = head.end()
    if len(names) < _LEAST_COLUMNS:
        return None
    if forms.next.match(text, end):  # it is the first row
        begin = end
    elif (rows := forms.rows.search(text, end, end + _GAP)) is not None:
        begin = rows.start()
    elif _ROWS_BEFORE.search(text, max(0, start - _LONGEST_NAME), start):
        begin = max((each.start() for each in forms.rows.finditer(text, max(0, start - _BACK), start)), default=-1)
    else:
        begin = -1
    return _Table(names, _lists(text, begin, forms, len(names))) if begin >= 0 else None


_ROWS_BEFORE = re.compile(r"\]\s*\]\s*,\s*\\{0,7}\"[^\"]{0,40}\"\s*:\s*\Z")


def _inside(literal: str) -> str:
    return literal.strip('\\"')


def _lists(text: str, at: int, forms: _Json, count: int) -> Rows:
    """The rows behind `at`, where the first of them begins within a list, or what sets it apart from the headings does."""
    step = forms.rows.match(text, at) or forms.next.match(text, at)
    while step is not None:
        row = forms.row.match(text, step.end())
        if row is None:
            return
        found = [match.span() for match in forms.element.finditer(text, row.start() + 1, row.end() - 1)]
        if len(found) == count:
            yield [_literal(text, *each) for each in found]
        step = forms.next.match(text, row.end())


def _literal(text: str, start: int, end: int) -> Span:
    """A JSON value without its quotes; nothing of one that is a list or an object."""
    if text[start] in "[{":
        return start, start
    if text[end - 1] != '"':
        return start, end
    start = text.index('"', start) + 1
    return start, start + len(text[start : end - 1].rstrip("\\"))


# -- SQL and HTML --

_SQL_HEAD = re.compile(
    r"\(\s*((?:[\"`\[]?\w{1,64}[\"`\]]?\s*,\s*){1,255}+[\"`\[]?\w{1,64}[\"`\]]?)\s*\)\s*"
    r"(?i:(?P<values>VALUES)\s*(?=\()|FROM\s+stdin\b[^\n;]{0,64};?[ \t]*(?P<copy>\r?\n))"
)
_SQL_STRING = r"(?:[NEB]?'(?:[^'\\]|\\.|'')*+'|\"(?:[^\"\\]|\\.)*+\")"
_SQL_ELEMENT = re.compile(rf"{_SQL_STRING}|(?:[^,()'\"]|\([^()]{{0,128}}\)){{1,256}}+")
_SQL_ROW = re.compile(
    rf"\(\s*(?:{_SQL_STRING}|[^,()'\"]{{0,64}}\([^()]{{0,128}}\)|[^,()'\"]{{1,256}})\s*"
    rf"(?:,\s*(?:{_SQL_STRING}|[^,()'\"]{{0,64}}\([^()]{{0,128}}\)|[^,()'\"]{{1,256}})\s*){{0,255}}\)"
)
_SQL_NEXT = re.compile(r"\s*,\s*(?=\()")


def _in_sql(text: str, start: int) -> _Table | None:
    head = _SQL_HEAD.match(text, start, start + _LONGEST_HEAD)
    if head is None:
        return None
    names = tuple(name.strip(' \t\r\n"`[]') for name in head[1].split(","))
    if head["copy"] is not None:
        end = _LINE_END.match(text, head.start("copy"))
        assert end is not None  # the expression ends with it
        return _Table(names, _lines(text, end, _TAB, names))
    return _Table(names, _tuples(text, head.end(), len(names)))


def _tuples(text: str, at: int, count: int) -> Rows:
    while (row := _SQL_ROW.match(text, at, at + 4 * _LONGEST_LINE)) is not None:
        found = [match.span() for match in _SQL_ELEMENT.finditer(text, row.start() + 1, row.end() - 1)]
        found = [span for span in (_bare(text, *each) for each in found) if span[1] > span[0] or len(found) == count]
        if len(found) == count:
            yield found
        step = _SQL_NEXT.match(text, row.end())
        if step is None:
            return
        at = step.end()


_HTML_CELL = re.compile(r"<t[hd](?:\s[^<>]{0,512})?>\s*(?P<cell>[^<]{0,2048}?)\s*</t[hd]\s*>", re.IGNORECASE)
_HTML_ROW_END = re.compile(r"</tr\s*>", re.IGNORECASE)
_HTML_ROW = re.compile(r"<tr\b", re.IGNORECASE)


def _in_html(text: str, start: int, at: int) -> _Table | None:
    end = _HTML_ROW_END.search(text, at, at + _LONGEST_HEAD)
    if end is None:
        return None
    names = tuple(each["cell"] for each in _HTML_CELL.finditer(text, start, end.start()))
    return _Table(names, _html(text, end.end(), len(names))) if len(names) >= _LEAST_COLUMNS else None


def _html(text: str, at: int, count: int) -> Rows:
    while (row := _HTML_ROW.search(text, at, at + 256)) is not None:
        end = _HTML_ROW_END.search(text, row.end(), row.end() + 4 * _LONGEST_LINE)
        if end is None:
            return
        found = [match.span("cell") for match in _HTML_CELL.finditer(text, row.end(), end.start())]
        if len(found) == count:
            yield found
        at = end.end()
