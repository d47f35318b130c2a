"""One call as the ledger keeps it and the API shows it: names, numbers and times, each within its bounds."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from tokenman_core.credentials import GONE, Mask
from tokenman_core.exchange import Redacted, Repeats, Spot
from tokenman_core.record import Record, Tried
from tokenman_core.usage import Usage

LONGEST_MODEL = 80
LONGEST_NAME = 64  # of a project, a client, a session
LONGEST_DETAIL = 200
MOST_TRIED = 10  # attempts of a call that are kept one by one: few calls make more, and a row has its bound
MOST_SPOTS = 24
MOST_PARTS = 16  # of a usage, beside its counts
_REMEMBERED = 200  # characters of a name that is remembered as it is kept: most come again and again
UNNAMED = "-"  # for a model whose name is none: it may be a value that a program put into the wrong field

_PICO = Decimal(10) ** 12
_MOST_COST = 9 * 10**18  # 9 million USD, the most that fits; a provider that reports more is not to be believed
_MOST_COUNT = 2**40  # tokens of a call: the sum of millions of such calls still fits
_MASK = Mask()
# As providers name their models; `@` only before a version (Vertex has claude-x@20250514), or it is somebody's address.
_MODEL = re.compile(r"[\w.:/+-]+(?:@[\w-]+)?", re.ASCII)
# Controls, line ends, halves of characters, and what turns the direction of a text or hides in it (Unicode TR 36, 3).
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


@dataclass(frozen=True)
class Row:
    """A call. Durations in seconds; `cost` in USD, None where no price is known; `basis` as in `Bill`, "" for no bill.

    `error` is a kind of INTERFACE §7, "" for none. `status` 0: the client left before there was any. `tried` is empty for a
    call that was answered at the first attempt, or not sent at all.
    """

    id: str
    time: datetime
    provider: str
    model: str
    dialect: str
    operation: str
    project: str
    client: str
    session: str
    login: str
    outcome: str
    status: int
    error: str
    detail: str
    stream: bool
    attempts: int
    cache: str
    usage: Usage
    cost: Decimal | None
    basis: str
    estimated: bool
    notional: bool
    truncated: bool  # of its stream not all was kept for the count
    overrun: bool  # it cost more than was held for it, or wrote more than its request allows
    saved: Decimal
    redactions: tuple[Redacted, ...]
    duration: float
    ttft: float | None
    overhead: float
    tried: tuple[Tried, ...] = ()
    cache_saved: Decimal = Decimal(0)  # by the provider's own cache, as in `Bill`
    spots: tuple[Spot, ...] = ()  # kept for some weeks, and read where one call is asked for
    repeats: Repeats = ""  # while there is no cache of answers: one of which mode would have had this one
    cache_break: str = (
        ""  # why the provider's own cache did not have what it had before, perhaps with ` at ` and a place
    )
    cache_lost: int = 0  # tokens that it should have had
    cache_lost_usd: Decimal = Decimal(0)  # what they cost more for it
    unrestored: int = 0  # placeholders of the answer that stayed
    other_model: bool = False  # its answer came from a model that the caller's key may not use

    @property
    def masked(self) -> int:
        """How many values did not leave as they were."""
        return sum(each.count for each in self.redactions if each.action != "log")


def row_of(record: Record) -> Row:
    """What is kept of a call: texts without control characters and no longer than their bound, money in 1e-12 USD."""
    bill = record.bill
    return Row(
        id=record.id,
        time=record.time,
        provider=short(record.provider, LONGEST_NAME),
        model=model_name(record.model),
        dialect=short(record.dialect, LONGEST_NAME),
        operation=short(record.operation, LONGEST_NAME),
        project=short(record.project, LONGEST_NAME),
        client=short(record.client, LONGEST_NAME),
        session=short(record.session, LONGEST_NAME),
        login=record.login,
        outcome=record.outcome,
        status=record.status,
        error=record.error or "",
        detail=clean(record.detail)[:LONGEST_DETAIL],
        stream=record.stream,
        attempts=record.attempts,
        cache=short(record.cache, LONGEST_NAME),
        usage=_bounded(bill.raw if bill else Usage()),
        cost=dollars(pico(bill.cost)) if bill and bill.cost is not None else None if bill else Decimal(0),
        basis=bill.basis if bill else "",
        estimated=bool(bill and bill.estimated),
        notional=bool(bill and bill.notional),
        truncated=record.truncated,
        overrun=record.overrun,
        saved=dollars(pico(record.saved)),
        redactions=record.redactions,
        duration=record.duration,
        ttft=record.ttft,
        overhead=record.overhead,
        tried=_tried(record.tried),
        cache_saved=dollars(pico(bill.cache_saved)) if bill else Decimal(0),
        spots=record.spots[-MOST_SPOTS:],
        repeats=record.repeats,
        cache_break=clean(record.cache_break)[:LONGEST_DETAIL],
        cache_lost=_count(record.cache_lost),
        cache_lost_usd=dollars(pico(record.cache_lost_usd)),
        unrestored=_count(record.unrestored),
        other_model=record.other_model,
    )


def as_json(row: Row) -> dict[str, Any]:
    """The fields of INTERFACE §7. Money as decimal strings, null where no price is known; `redactions` is how many."""
    return {
        "id": row.id,
        "time": iso(row.time),
        "provider": row.provider,
        "model": row.model,
        "dialect": row.dialect,
        "project": row.project,
        "client": row.client,
        "session": row.session,
        "status": row.status or None,
        "error": row.error or None,
        "stream": row.stream,
        "attempts": row.attempts,
        "cache": row.cache or None,
        "input_tokens": row.usage.input,
        "output_tokens": row.usage.output,
        "cache_read_tokens": row.usage.cache_read,
        "cache_write_tokens": row.usage.cache_write,
        "cost_usd": None if row.cost is None else plain(row.cost),
        "saved_usd": plain(row.saved),
        "redactions": row.masked,
        "duration_ms": _ms(row.duration),
        "ttft_ms": None if row.ttft is None else _ms(row.ttft),
        "overhead_ms": _ms(row.overhead),
    }


def details(row: Row) -> dict[str, Any]:
    """All that is known of a call: the fields of `as_json`, and what a list has no room for."""
    return as_json(row) | {
        "operation": row.operation,
        "login": row.login,
        "outcome": row.outcome,
        "detail": row.detail or None,
        "cache_write_5m_tokens": row.usage.cache_write_5m,
        "cache_write_1h_tokens": row.usage.cache_write_1h,
        "reasoning_tokens": row.usage.reasoning,
        "usage_parts": dict(row.usage.parts),
        "cost_basis": row.basis or None,
        "cost_estimated": row.estimated,
        "cost_notional": row.notional,
        "stream_truncated": row.truncated,
        "cost_overrun": row.overrun,
        "prompt_cache_saved_usd": plain(row.cache_saved),
        "prompt_cache_break": row.cache_break or None,
        "prompt_cache_lost_tokens": row.cache_lost,
        "prompt_cache_lost_usd": plain(row.cache_lost_usd),
        "repeats": row.repeats or None,
        "unrestored": row.unrestored,
        "other_model": row.other_model,
        "redacted": [
            {"entity": each.entity, "action": each.action, "setting": each.setting, "count": each.count}
            for each in row.redactions
        ],
        "tried": [
            {"provider": each.provider, "model": each.model, "outcome": each.outcome, "wait_ms": _ms(each.wait)}
            for each in row.tried
        ],
    }


def spots(row: Row) -> list[dict[str, Any]]:
    """Where what was found in a call stood, the values by their keyed hashes."""
    return [
        {"place": each.place, "entity": each.entity, "action": each.action, "hash": each.hash, "times": each.times}
        for each in row.spots
    ]


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond: `2026-11-24T12:00:00.000Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def pico(amount: Decimal) -> int:
    """USD as a whole number of 1e-12, which SQLite can add without an error."""
    return max(-_MOST_COST, min(_MOST_COST, int((amount * _PICO).to_integral_value())))


def dollars(picodollars: int) -> Decimal:
    return Decimal(picodollars) / _PICO


def plain(amount: Decimal) -> str:
    """A decimal string without exponent and without zeros at its end: `0.00123`, `12`, `0`."""
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def clean(text: str) -> str:
    """Without control characters, line ends and halves of characters: nothing that speaks to a terminal or breaks a line."""
    return _CONTROL.sub("", text)


def short(text: str, longest: int) -> str:
    """A clean text within its bound, credentials masked. Different long ones stay different: what is cut off leaves a hash."""
    return _shortened(text, longest) if len(text) <= _REMEMBERED else _shorten(text, longest)


def _shorten(text: str, longest: int) -> str:
    text = clean(text)
    if len(text) > longest:
        tail = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        text = f"{text[: longest - 1 - len(tail)]}~{tail}"
    return _masked(text)


_shortened = lru_cache(4096)(_shorten)


def model_name(text: str) -> str:
    if not text:
        return ""
    name = short(text, LONGEST_MODEL)
    return name if _MODEL.fullmatch(text) and GONE not in name else UNNAMED


@lru_cache(4096)
def _masked(text: str) -> str:
    """A caller can put a key into any field; what is no field for one is kept and shown without it."""
    return _MASK(text)


def _tried(tried: Sequence[Tried]) -> tuple[Tried, ...]:
    """One attempt that went well is told by the rest of the row."""
    if [each.outcome for each in tried] in ([], ["ok"]):
        return ()
    return tuple(
        Tried(short(each.provider, LONGEST_NAME), each.outcome, model_name(each.model), round(each.wait, 3))
        for each in tried[:MOST_TRIED]
    )


def _count(number: int) -> int:
    return max(0, min(_MOST_COUNT, number))


def _bounded(usage: Usage) -> Usage:
    return Usage(
        _count(usage.input), _count(usage.output), _count(usage.cache_read), _count(usage.cache_write_5m),
        _count(usage.cache_write_1h), _count(usage.reasoning),
        {name: number for name, count in list(usage.parts.items())[:MOST_PARTS] if (number := _count(count))},
    )  # fmt: skip


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
