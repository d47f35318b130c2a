"""`tokenman report --against`: a provider's own export of costs beside what the ledger has of the same days and models."""

import codecs
import csv
import io
import json
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

import typer

from addons.cli import figures
from addons.cli.settings import complain, loaded
from tokenman_core.ledger import LedgerError, LedgerReader, path_of
from tokenman_core.ledger.row import clean, plain

MOST_BYTES = 64 * 1024**2
MOST_DAYS = 400
_NONE = ""  # the model of a line that names none

Key = tuple[date, str]
Form = Literal["table", "json", "csv"]


@dataclass(frozen=True)
class Columns:
    """What the columns of an export are called; "" for one that it lacks. `provider`: whose export has such columns."""

    date: str
    model: str
    amount: str
    currency: str = ""
    provider: str = ""


KNOWN = (
    # Console, Cost, Export (https://support.claude.com/en/articles/9534590-cost-and-usage-reporting-in-the-claude-console).
    Columns("usage_date_utc", "model", "cost_usd", provider="anthropic"),
    # Usage, Export, Cost; also with the names that the API of costs has (https://platform.openai.com/docs/api-reference/usage/costs).
    Columns("start_time_iso", "line_item", "amount_value", "amount_currency", "openai"),
    Columns("start_time", "line_item", "amount_value", "amount_currency", "openai"),
)
"""Exports that are told by their heads. The first whose date and amount are there is taken."""

_DATES = ("date", "day", "usage_date", "timestamp", "start_time")
_MODELS = ("model", "model_version", "line_item", "sku", "description")
_AMOUNTS = ("amount_usd", "cost_usd", "amount", "cost", "total")
_CURRENCIES = ("currency", "amount_currency")
_SEPARATOR = re.compile(r'\s*"?sep=(.)"?\r?\n', re.IGNORECASE)  # the first line of what Excel makes for itself
_AROUND = re.compile(r"US\$|\$|\bUSD\b|['’\s]", re.IGNORECASE)
_FOREIGN = re.compile(r"[€£¥₹]|\b(?!USD)[A-Z]{3}\b")
_NUMBER = re.compile(r"[-+]?[\d.,]+(?:[eE][-+]?\d{1,2})?|\([\d.,]+\)", re.ASCII)
# Which of the two marks stands before the cents: the last of both; one that stands once, and not before three digits (or behind 0).
_COMMA = re.compile(r"\D*(?:[\d.]*\.[\d.]*,\d+|\d*,(?:\d{1,2}|\d{4,})|0,\d+|\d+(?:\.\d{3}){2,})\D*", re.ASCII)
_POINT = re.compile(
    r"\D*(?:[\d,]*,[\d,]*\.\d+|\d*\.(?:\d{1,2}|\d{4,})|0\.\d+|\d+(?:,\d{3}){2,})(?:[eE].*|\D*)", re.ASCII
)
_DATED = re.compile(r"-(?:\d{8}|\d{4}-\d\d-\d\d|latest)\Z")


class Unreadable(Exception):
    """The export cannot be read. The message says why, and what would help."""


@dataclass(frozen=True)
class Line:
    """A day and a model, `theirs` None: not on the invoice; `ours` None: not in the ledger. USD."""

    day: date
    model: str
    theirs: Decimal | None
    ours: Decimal | None
    unpriced: int = 0

    @property
    def difference(self) -> Decimal:
        """What they ask for more than is booked here."""
        return (self.theirs or Decimal(0)) - (self.ours or Decimal(0))


@dataclass(frozen=True)
class Invoice:
    """`amounts` by day and by the model as the invoice calls it; `skipped`: lines without a day or an amount."""

    amounts: Mapping[Key, Decimal]
    provider: str = ""
    skipped: int = 0
    by_model: bool = True


def run(config: Path | None, file: Path, columns: str | None, provider: str | None, form: Form) -> int:
    """The exit code: 0, whatever differs; 1 if the ledger cannot be read; 2 for a wrong use."""
    found = loaded(config)
    if found is None:
        return 2
    try:
        invoice = read(file, columns)
    except Unreadable as error:
        typer.echo(f"tokenman: --against: {clean(str(error))}", err=True)
        return 2
    whose = invoice.provider if provider is None else provider
    try:
        lines = compared(invoice, LedgerReader(path_of(found.settings)), whose)
    except LedgerError as error:
        complain(error)
        return 1
    {"table": _table, "json": _json, "csv": _csv}[form](lines, invoice, whose)
    return 0


# -- theirs --


def read(file: Path, columns: str | None = None) -> Invoice:
    """An export as it is on the disk. `columns`: `date=…,amount=…,model=…` where its heads say nothing. Raises Unreadable."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise Unreadable(f"the file has more than {MOST_BYTES // 1024**2} MiB; export fewer days")
        data = file.read_bytes()
        text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8 or UTF-16"
        raise Unreadable(f"the file cannot be read: {reason}") from None
    separator = _SEPARATOR.match(text)
    text = text[separator.end() :] if separator else text
    head = text.partition("\n")[0]
    lines = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator[1] if separator else max(",;\t", key=head.count)
    )
    heads = [clean(name).strip().lower() for name in next(lines, [])]
    names = _named(columns, heads) if columns else _told(heads)
    places = {
        each: heads.index(name) for each in ("date", "model", "amount", "currency") if (name := getattr(names, each))
    }
    found: list[tuple[date, str, str]] = []
    skipped = 0
    try:
        for cells in lines:
            line = {each: cells[at].strip() for each, at in places.items() if at < len(cells)}
            day, amount = _day(line.get("date", "")), line.get("amount", "")
            if day is None or not amount:
                skipped += any(cell.strip() for cell in cells)
                continue
            other = _FOREIGN.search(amount)
            currency = (other[0] if other else line.get("currency", "")).lower()
            if currency not in ("usd", "$", "us$", ""):
                raise Unreadable(f"line {lines.line_num} is in {clean(currency)[:10]}, and the ledger in USD")
            found.append((day, _model(line.get("model", "")), _AROUND.sub("", amount)))
    except csv.Error as error:
        raise Unreadable(f"line {lines.line_num} is no CSV: {error}") from None
    comma = _decimal_comma([amount for *_, amount in found])
    amounts: defaultdict[Key, Decimal] = defaultdict(Decimal)
    for day, model, text in found:
        value = _amount(text, comma=comma)
        if value is None:
            skipped += 1
        else:
            amounts[day, model] += value
    if not amounts:
        raise Unreadable(f"no line has a day and an amount in the columns {names.date} and {names.amount}")
    if len({day for day, _ in amounts}) > MOST_DAYS:
        raise Unreadable(f"the file has more than {MOST_DAYS} days; export fewer")
    return Invoice(dict(amounts), names.provider, skipped, bool(names.model))


def _told(heads: Sequence[str]) -> Columns:
    known = next((it for it in KNOWN if {it.date, it.amount} <= set(heads)), None)
    if known is not None:
        model = known.model if known.model in heads else ""
        return Columns(
            known.date, model, known.amount, known.currency if known.currency in heads else "", known.provider
        )

    def first(names: Sequence[str]) -> str:
        return next((name for name in names if name in heads), "")

    found = Columns(first(_DATES), first(_MODELS), first(_AMOUNTS), first(_CURRENCIES))
    if not (found.date and found.amount):
        there = ", ".join(name[:30] for name in heads[:12]) or "none"
        raise Unreadable(f"its columns are {there}; say which they are: --columns date=NAME,model=NAME,amount=NAME")
    return found


def _named(columns: str, heads: Sequence[str]) -> Columns:
    said = dict(part.strip().partition("=")[::2] for part in columns.split(","))
    good = "a good value: --columns date=NAME,model=NAME,amount=NAME"
    if unknown := sorted(said.keys() - {"date", "model", "amount", "currency"}):
        raise Unreadable(f"{unknown[0] or 'nothing'} is no such column; {good}")
    names = {key: name.strip().lower() for key, name in said.items()}
    if missing := next((name for name in names.values() if name not in heads), None):
        raise Unreadable(f"it has no column {missing}; {good}")
    if not {"date", "amount"} <= names.keys():
        raise Unreadable(f"a date and an amount are needed; {good}")
    return Columns(names["date"], names.get("model", ""), names["amount"], names.get("currency", ""))


def _day(text: str) -> date | None:
    """In UTC: a date, a moment of ISO 8601, or seconds since the epoch."""
    try:
        if text.isascii() and text.isdigit() and len(text) in (10, 13):
            return datetime.fromtimestamp(int(text[:10]), UTC).date()
        moment = datetime.fromisoformat(text.removesuffix(" UTC"))
    except (ValueError, OverflowError, OSError):
        return None
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date()


def _decimal_comma(amounts: Sequence[str]) -> bool:
    """Whether a comma stands before the cents, by all amounts together: `1,234` alone says nothing. Raises Unreadable."""
    comma = any(_COMMA.fullmatch(text) for text in amounts)
    point = any(_POINT.fullmatch(text) for text in amounts)
    unclear = next((text for text in amounts if "," in text), None)
    if comma and point:
        raise Unreadable("some of its amounts have a comma before the cents and some a point")
    if unclear is not None and not (comma or point):
        raise Unreadable(
            f"{unclear[:20]} may be a thousand or a part of one: export amounts with a point before the cents"
        )
    return comma


def _amount(text: str, *, comma: bool = False) -> Decimal | None:
    """Amounts in brackets are credits, as accountants write them."""
    if not _NUMBER.fullmatch(text):
        return None
    number = text.strip("()")
    number = number.replace(".", "").replace(",", ".") if comma else number.replace(",", "")
    try:
        amount = Decimal(number)
    except InvalidOperation:
        return None
    if not amount.is_finite() or abs(amount) >= 10**9:
        return None
    return -amount if text.startswith("(") else amount


def _model(text: str) -> str:
    """OpenAI's lines say what of a model they are about behind a comma: `gpt-5-2025-08-07, cached input`."""
    return clean(text.partition(",")[0]).strip()[:100]


# -- both --


def alike(model: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The same for the names of one model: `Claude Sonnet 4.5` and `claude-sonnet-4-5-20250929`, `Claude Haiku 3.5` and
    `claude-3-5-haiku`.
    """
    name = re.sub(r"[\s._]+", "-", model.lower().removeprefix("models/").rpartition("/")[2])
    words = [word for word in _DATED.sub("", name).split("-") if word]
    numbers = tuple(word for word in words if word[0].isdigit())
    return numbers, tuple(sorted(word for word in words if not word[0].isdigit()))


def compared(invoice: Invoice, reader: LedgerReader, provider: str = "") -> list[Line]:
    """Line by line; `provider` "": of all. What subscriptions paid for is on no invoice. Raises LedgerError."""
    found: list[Line] = []
    for day in sorted({day for day, _ in invoice.amounts}):
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        sums = reader.totals("model", begin, begin + timedelta(days=1), provider=provider)
        ours: defaultdict[Any, tuple[str, Decimal, int]] = defaultdict(lambda: (_NONE, Decimal(0), 0))
        for name, it in sums.groups if invoice.by_model else [(_NONE, sums.total)]:
            shown, cost, unpriced = ours[alike(name)]
            ours[alike(name)] = shown or name, cost + it.cost - it.notional, unpriced + it.unpriced
        theirs: defaultdict[Any, tuple[str, Decimal]] = defaultdict(lambda: (_NONE, Decimal(0)))
        for (on, name), amount in invoice.amounts.items():
            if on == day:
                theirs[alike(name)] = theirs[alike(name)][0] or name, theirs[alike(name)][1] + amount
        for key in sorted(ours.keys() | theirs.keys()):
            mine, there = ours.get(key), theirs.get(key)
            name = (mine or there or (_NONE,))[0]
            if there is not None or (mine is not None and (mine[1] or mine[2])):
                found.append(Line(day, name, there and there[1], mine and mine[1], mine[2] if mine else 0))
    return found


def _together(lines: Sequence[Line]) -> Line:
    day = lines[-1].day
    return Line(
        day, "total", sum((it.theirs or Decimal(0) for it in lines), Decimal(0)),
        sum((it.ours or Decimal(0) for it in lines), Decimal(0)), sum(it.unpriced for it in lines),
    )  # fmt: skip


def _note(line: Line) -> str:
    if line.ours is None:
        return "not in the ledger"
    if line.theirs is None:
        return "not on the invoice"
    return f"{figures.so_many(line.unpriced, 'call')} without a price here" if line.unpriced else ""


# -- told --


def _as_json(line: Line) -> dict[str, Any]:
    return {
        "theirs_usd": None if line.theirs is None else plain(line.theirs),
        "ours_usd": None if line.ours is None else plain(line.ours),
        "difference_usd": plain(line.difference),
        "unpriced_calls": line.unpriced,
    }


def _json(lines: Sequence[Line], invoice: Invoice, provider: str) -> None:
    items = [
        {"day": f"{it.day}", "model": clean(it.model) or None, **_as_json(it), "note": _note(it) or None}
        for it in lines
    ]
    total = _as_json(_together(lines))
    said = {"provider": provider or None, "items": items, "total": total, "skipped_lines": invoice.skipped}
    typer.echo(json.dumps(said, indent=2, ensure_ascii=False))


def _csv(lines: Sequence[Line], invoice: Invoice, provider: str) -> None:
    from addons.cli.report import cell

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["day", "model", *_as_json(lines[0]), "note"])
    for it in lines:
        writer.writerow([it.day, cell(it.model), *_as_json(it).values(), _note(it)])


def _table(lines: Sequence[Line], invoice: Invoice, provider: str) -> None:
    whole = [("day", "model", "theirs $", "ours $", "difference $", "")]
    for it in lines:
        whole.append((f"{it.day}", clean(it.model) or "(all)", *_amounts(it), _note(it)))
    whole.append(("total", "", *_amounts(_together(lines)), ""))
    widths = [max(len(line[at]) for line in whole) for at in range(6)]
    for line in whole:
        cells = [
            text.ljust(width) if at in (0, 1, 5) else text.rjust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())
    whose = f" of {clean(provider)}" if provider else ""
    typer.echo(
        f"\nThe invoice against the ledger's calls{whose} on the same days (UTC); a positive difference: they ask for more."
    )
    if invoice.skipped:
        typer.echo(f"{figures.so_many(invoice.skipped, 'line')} of the file without a day or an amount were left out.")


def _amounts(line: Line) -> tuple[str, str, str]:
    theirs, ours = ("-" if amount is None else figures.rounded(amount, 4) for amount in (line.theirs, line.ours))
    return theirs, ours, figures.rounded(line.difference, 4)
