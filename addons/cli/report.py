"""`tokenman report`: what was spent, used, saved, masked and refused, in groups, from the ledger; no proxy has to run."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer
from pydantic_core import PydanticCustomError

from addons.cli import figures, standing
from addons.cli.settings import complain, loaded
from tokenman_core.clock import Clock, SystemClock
from tokenman_core.config.models import Settings
from tokenman_core.config.values import parse_duration
from tokenman_core.ledger import Break, By, LedgerError, LedgerReader, Sums, Totals, path_of
from tokenman_core.ledger.row import clean, iso
from tokenman_core.ledger.sums import Redactions
from tokenman_core.state import Unavailable

if TYPE_CHECKING:
    from rich.table import Table

Form = Literal["table", "json", "csv"]

MOST_LINES = 50
_MOST_CAUSES = 10
_SHORTEST_NAME = 16
_WIDE = 120  # columns of a terminal in which token counts are written out
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # what makes a spreadsheet calculate a cell


def run(file: Path | None, by: By, since: str, form: Form) -> int:
    """The exit code: 0, also where nothing was recorded; 1 if the ledger cannot be read; 2 for a wrong use."""
    found = loaded(file)
    if found is None:
        return 2
    start = moment(since, SystemClock().now())
    if start is None:
        typer.echo(
            f"tokenman: --since: {clean(since)} is no span of time; good values: 30m, 24h, 7d, 2026-11-01", err=True
        )
        return 2
    reader, clock = LedgerReader(path_of(found.settings)), SystemClock()
    try:
        totals, redactions, breaks = reader.totals(by, start), reader.redactions(start), reader.breaks(start)
        empty = not totals.total.calls and not reader.page(limit=1).rows and not reader.totals("day").groups
    except LedgerError as error:
        complain(error)
        return 1
    budgets = _budgets(found.settings, reader, clock) if form != "csv" else []
    begins = totals.begins or start
    if form == "json":
        said = {"since": iso(begins), **totals.as_json(), "redactions": redactions.as_json()["items"]}
        said["prompt_cache_breaks"] = [each.as_json() for each in breaks]
        said["budgets"] = [standing.as_json(*each) for each in budgets]
        typer.echo(json.dumps(said, indent=2, ensure_ascii=False))
    elif form == "csv":
        _csv(totals)
    elif totals.groups:
        _table(totals, begins)
        for line in [
            *_found(redactions),
            *_broken(breaks),
            *_spared(totals.total, found.settings),
            *standing.lines(budgets),
        ]:
            typer.echo(line)
    if not totals.groups:
        typer.echo(_nothing(empty, begins), err=form != "table")
    return 0


def _budgets(settings: Settings, reader: LedgerReader, clock: Clock) -> list[standing.Standing]:
    """As they stand; where that cannot be read it is said, and the rest is told."""
    try:
        return standing.standing(settings, reader, clock)
    except (Unavailable, LedgerError):
        typer.echo("tokenman: how the budgets stand cannot be read now; the proxy's log says why", err=True)
        return []


def moment(since: str, now: float) -> datetime | None:
    """When a window begins: so long ago (`30m`, `24h`, `7d`), or on a day (`2026-11-01`, UTC); None: neither."""
    try:
        return datetime.fromtimestamp(now, UTC) - timedelta(seconds=parse_duration(since))
    except (PydanticCustomError, OverflowError):
        pass
    try:
        day = datetime.fromisoformat(since)
    except ValueError:
        return None
    return day if day.tzinfo else day.replace(tzinfo=UTC)


def _nothing(empty: bool, begins: datetime) -> str:
    if empty:
        return "Nothing has been recorded yet. Send calls through TokenMan, for example: tokenman run -- claude"
    return f"No calls since {begins:%Y-%m-%d %H:%M} UTC. To look further back: tokenman report --since 90d"


def _found(redactions: Redactions) -> Iterator[str]:
    """What was masked, and what would have been where it is only logged."""
    for words, actions in (("masked", ("redact", "hash")), ("refused", ("block",)), ("would have masked", ("log",))):
        counts = Counter[str]()
        for entity, action, number in redactions.counts:
            if action in actions:
                counts[entity] += number
        if counts:
            yield f"{words}: {', '.join(f'{number:,} {entity}' for entity, number in counts.most_common())}"


def _broken(breaks: tuple[Break, ...]) -> list[str]:
    """Why the providers' own caches did not have what they had before."""
    if not breaks:
        return []
    lines: list[tuple[str, ...]] = [("prompt cache breaks", "times", "tokens", "lost $")]
    digits = figures.FINEST if sum(each.usd for each in breaks) < 1 else 4
    for each in breaks[:_MOST_CAUSES]:
        lines.append((clean(each.cause), _whole(each.count), _whole(each.tokens), _money(each.usd, digits)))
    more = len(breaks) - _MOST_CAUSES
    rest = [f"and {figures.so_many(more, 'cause')} more: tokenman report --json has them all."] if more > 0 else []
    return ["", *_aligned(lines), *rest, "Which place it was: tokenman why ID says it of one call.", ""]


def _spared(total: Sums, settings: Settings) -> Iterator[str]:
    """What a cache would have saved, as long as there is none."""
    if settings.caches or not total.repeated:
        return
    exact, mode = "", "all"
    if total.exact:
        exact, mode = (
            f"; deterministic {figures.money(total.exact_cost)} ({figures.so_many(total.exact, 'call')})",
            "deterministic",
        )
    calls = figures.so_many(total.repeated, "call")
    yield f"a cache would have saved {figures.money(total.repeated_cost)} ({calls}){exact}: cache: {{mode: {mode}}}"


# -- for programs --


def _csv(totals: Totals) -> None:
    """No line of totals: whoever adds up a column would count it twice."""
    names = list(Sums().as_json())
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([totals.by, *names])
    for name, sums in totals.groups:
        writer.writerow([cell(name), *sums.as_json().values()])


def cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""
    guarded = text.startswith(_FORMULA)
    return "'" + clean(text) if guarded or clean(text).startswith(_FORMULA) else clean(text)


# -- for people --


@dataclass(frozen=True)
class Column:
    """`of` gives the cell of one line; with a `rank` it gives way where there is no room, the highest first."""

    head: str
    of: Callable[[Sums], str]
    rank: int = 0


def _table(totals: Totals, begins: datetime) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=not sys.stdout.isatty())
    room = console.width if console.is_terminal else None
    console.print(f"Calls since {begins:%Y-%m-%d %H:%M} UTC, by {totals.by}", style="bold", end="\n\n")
    lines, lacking = _lines(totals, room)
    if room is None:
        for line in _aligned(lines):
            console.print(line)
    else:
        console.print(_rich(lines))
    for note in _notes(totals, lacking):
        console.print(note)


def _lines(totals: Totals, room: int | None) -> tuple[list[tuple[str, ...]], list[str]]:
    """Heads, groups and the total, and which columns had no room."""
    digits = _digits(totals)
    tokens = _whole if room is None or room >= _WIDE else _short
    columns = [
        Column("calls", lambda it: _whole(it.calls)),
        Column("cost $  ", lambda it: _cost(it, digits)),
        Column("saved $", lambda it: _money(it.saved, digits), 2),
        Column("input", lambda it: tokens(it.input)),
        Column("cached", lambda it: tokens(it.cache_read), 4),
        Column("cached%", lambda it: _share(it.read_ratio), 1),
        Column("output", lambda it: tokens(it.output)),
        Column("masked", lambda it: _whole(it.masked)),
        Column("errors", lambda it: _whole(it.errors)),
        Column("refused", lambda it: _whole(it.refused), 3),
        Column("hits%", lambda it: _share(it.hit_ratio), 2),
    ]
    idle = {
        "saved $": not totals.total.saved,
        "refused": not totals.total.refused,
        "hits%": not totals.total.hits,
    }
    columns = [column for column in columns if not idle.get(column.head)]
    groups = [(clean(name) or "(none)", sums) for name, sums in totals.groups[:MOST_LINES]] + [("total", totals.total)]
    lacking: list[str] = []
    while True:
        cells = [tuple(column.head for column in columns)]
        cells += [tuple(column.of(sums) for column in columns) for _, sums in groups]
        width = sum(2 + max(len(line[i]) for line in cells) for i in range(len(columns)))
        last = max(columns, key=lambda it: it.rank)
        if room is None or _SHORTEST_NAME + width <= room or not last.rank:
            break
        columns.remove(last)
        lacking.append(last.head.split()[0])
    longest = max(_SHORTEST_NAME, room - width) if room else None
    names = [totals.by, *(name for name, _ in groups)]
    return [(_cut(name, longest), *line) for name, line in zip(names, cells, strict=True)], lacking


def _cut(name: str, longest: int | None) -> str:
    return name if longest is None or len(name) <= longest else name[: longest - 1] + "…"


def _rich(lines: list[tuple[str, ...]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    heads, *rest, total = lines
    table = Table(box=None, show_footer=True, pad_edge=False, padding=(0, 2, 0, 0), collapse_padding=True)
    table.header_style = table.footer_style = "bold"
    for i, head in enumerate(heads):
        table.add_column(
            Text(head), Text(total[i]), justify="right" if i else "left", no_wrap=True, overflow="ellipsis",
        )  # fmt: skip
    for line in rest:
        table.add_row(*(Text(one) for one in line))
    return table


def _aligned(lines: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return ["  ".join(_fitted(text, i, widths[i]) for i, text in enumerate(line)).rstrip() for line in lines]


def _fitted(text: str, column: int, width: int) -> str:
    return text.rjust(width) if column else text.ljust(width)


def _notes(totals: Totals, lacking: list[str]) -> list[str]:
    total, notes = totals.total, [""]
    if len(totals.groups) > MOST_LINES:
        notes.append(
            f"{len(totals.groups) - MOST_LINES} more lines: tokenman report --by {totals.by} --csv has them all."
        )
    if lacking:
        notes.append(f"No room here for {' and '.join(lacking)}: a wider terminal or --csv shows them.")
    if total.estimated:
        notes.append(
            f"~ The tokens of {figures.so_many(total.estimated, 'call')} were counted here: their provider did not say them."
        )
    if total.ceiling:
        notes.append(
            f"≤ The price of {figures.so_many(total.ceiling, 'call')} is a guess, the dearest of the provider, "
            "since the model is in no list."
        )
    if total.unpriced:
        which = "" if totals.by == "model" else "; tokenman report --by model says of which models"
        notes.append(
            f"+ The price of {figures.so_many(total.unpriced, 'call')} is not known; what they cost comes on top{which}."
        )
    if total.notional:
        notes.append(
            f"* {figures.money(total.notional)} is the list price of what subscriptions paid for: nobody is billed for it."
        )
    if total.cache_saved > 0:
        notes.append(
            f"The providers' own prompt caches saved {figures.money(total.cache_saved)}; the cost is without it."
        )
    if total.cache_saved < 0:
        notes.append(
            f"The providers' own prompt caches cost {figures.money(-total.cache_saved)} more than they saved: "
            "what was written to them was not read again."
        )
    if total.refused:
        notes.append(
            f"Their provider refused {figures.so_many(total.refused, 'call')} (status 4xx), "
            "no errors of TokenMan's: see tokenman why last."
        )
    if totals.begins and totals.by == "session":
        notes.append("Sessions of calls older than ledger.retention are not told any more.")
    elif totals.begins:
        notes.append("Calls older than ledger.retention are kept as whole days, so this begins with a day.")
    return notes if len(notes) > 1 else []


def _whole(number: int) -> str:
    return f"{number:,}"


def _share(ratio: float | None) -> str:
    """Of one, in whole hundredths; nothing but nothing is 0, and only all is 100."""
    if ratio is None:
        return "-"
    return f"{ratio:.0%}" if ratio in (0, 1) else f"{min(0.99, max(0.01, ratio)):.0%}"


def _short(number: int) -> str:
    """`12,345` as `12k`, `5,200,000` as `5.2M`."""
    for unit, size, digits in (("G", 10**9, 1), ("M", 10**6, 1), ("k", 10**3, 0)):
        if number >= max(size, 10_000):
            return f"{number / size:.{digits}f}{unit}"
    return f"{number:,}"


def _cost(sums: Sums, digits: int) -> str:
    marks = ("+" if sums.unpriced else "") + ("*" if sums.notional else "")
    before = ("~" if sums.estimated else "") + ("≤" if sums.ceiling else "")
    return before + _money(sums.cost, digits) + f"{marks:<2}"


def _digits(totals: Totals) -> int:
    """Behind the point, for all lines alike: so many that also small ones add up to their total."""
    return figures.FINEST if totals.total.cost < 1 else 4


def _money(amount: Decimal, digits: int) -> str:
    """--json and --csv have all digits."""
    least = Decimal(1).scaleb(-digits)
    return f"<{least:f}" if 0 < amount < least else figures.rounded(amount, digits)
