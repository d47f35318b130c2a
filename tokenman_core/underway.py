"""The calls that are under way, noted in a file: a process that is killed cannot record them, so the next one does.

Of each call that costs there is what its record would say, and what was booked of it so far; its place is free again once its
row is in the ledger. A note is one small write that waits for no disk: it outlives the process, and not the power.
"""

import logging
import os
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson

from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.ledger.row import LONGEST_MODEL, LONGEST_NAME, short
from tokenman_core.record import Record, model_of
from tokenman_core.usage import Bill, Usage

log = logging.getLogger("tokenman.ledger")

FILE: Final = "underway"  # in data_dir
PLACES: Final = (
    2048  # calls at once that are noted; more are not, and would leave no row if the process were killed then
)
_SIZE: Final = (
    2048  # bytes of a place: a power of two, so that none lies on two pages, of which one alone could be written
)
_FREE: Final = b"\0\0"
_HEAD: Final = 2  # bytes: how long the note is
_COUNTS: Final = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "reasoning")
_SAME: Final = ("provider", "model", "dialect", "operation", "project", "client", "session", "login", "stream")


@dataclass(frozen=True)
class Left:
    """A call whose process ended before it was recorded. `said`: what was noted of it. `settled`: what was booked of it by then,
    with the attempt numbered `done` the last. `input`: tokens, roughly, of an attempt that was not over; None: there was none.
    """

    id: str
    said: dict[str, Any]
    settled: Bill | None
    done: int
    input: int | None


class Underway:
    """Of one process at a time. Nothing of it raises: a call is worth more than its note."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._places: dict[
            str, int
        ] = {}  # by the call's id; taken on the event loop, given back by the ledger's thread
        self._free: deque[int] = deque()
        self._failed = False
        self.left: dict[str, Left] = {}
        """By id, what the process before has left, and nobody has taken up yet."""

    def open(self) -> None:
        """Reads what is left in the file, and goes on with it."""
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            os.fchmod(self._file, 0o600)
            os.ftruncate(self._file, PLACES * _SIZE)  # takes no room on the disk before it is written
            for place in range(PLACES):
                self._take_up(place, os.pread(self._file, _SIZE, place * _SIZE))
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def note(self, exchange: Exchange, attempt: Attempt | None) -> None:
        """A call as it stands: `attempt` is about to be sent, or is over (None)."""
        if self._file is None or exchange.operation.free or not exchange.operation.generates:
            return
        place = self._places.get(exchange.id)
        if place is None:
            if attempt is None or not self._free:
                return
            place = self._places[exchange.id] = self._free.popleft()
        self._write(place, _note(exchange, attempt))

    def forget(self, id: str) -> None:
        """Its row is written. For any thread."""
        place = self._places.pop(id, None)
        if place is not None:
            self._write(place, b"")
            self._free.append(place)

    def known(self, record: Record) -> Record:
        """The record of an attempt that is told of otherwise, with what its call had cost before, which was noted."""
        left = self.left.pop(record.id, None)
        if left is None or left.settled is None or left.done >= record.attempts or record.bill is None:
            return record
        return replace(record, bill=Bill.together([left.settled, record.bill]))

    def _take_up(self, place: int, data: bytes) -> None:
        length = int.from_bytes(data[:_HEAD])
        if length:
            try:
                left = _read(orjson.loads(data[_HEAD : _HEAD + length]))
            except Exception:  # whatever the file holds: it is no note of ours
                log.warning("what was noted of a call that ran when its process ended cannot be read")
                self._write(place, b"")
            else:
                self.left[left.id] = left
                self._places[left.id] = place
                return
        self._free.append(place)

    def _write(self, place: int, data: bytes) -> None:
        file = self._file
        if file is None:
            return
        try:
            os.pwrite(file, len(data).to_bytes(_HEAD) + data if data else _FREE, place * _SIZE)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            log.error(
                "%s cannot be written (%s): calls would leave no row if the process were killed",
                self._path,
                error.strerror,
            )


def record(left: Left, sent: Bill | None) -> Record:
    """`sent`: what is booked for the attempt that was not over."""
    bills = [bill for bill in (left.settled, sent) if bill is not None]
    if left.input is None:
        detail = "TokenMan ended before this call was recorded."
    else:
        detail = "TokenMan ended while it ran: what it read is booked by an estimate; what it had written is not known."
    return Record(
        id=left.id, time=datetime.fromtimestamp(left.said["begun"], UTC), run="", outcome="crashed", status=0, error="internal",
        detail=detail, attempts=left.done + (left.input is not None), cache="", bill=Bill.together(bills), saved=Decimal(0),
        redactions=(), duration=0.0, ttft=None, overhead=0.0, stages={}, **{name: left.said[name] for name in _SAME},
    )  # fmt: skip


def _note(exchange: Exchange, attempt: Attempt | None) -> bytes:
    """In the words that a record may show."""
    made, labels = exchange.tried, exchange.labels
    done = [each for each in made if each is not attempt]
    candidate = attempt.candidate if attempt is not None else done[-1].candidate if done else exchange.plan[0]
    settled = Bill.together([each.bill for each in done if each.bill is not None])
    said: dict[str, Any] = {
        "id": exchange.id,
        "begun": exchange.times.begun,
        "provider": candidate.provider,
        "model": short(model_of(exchange, candidate), LONGEST_MODEL),
        "dialect": exchange.dialect.name,
        "operation": exchange.operation.name,
        "project": short(labels.get("project", ""), LONGEST_NAME),
        "client": exchange.caller.client,
        "session": short(labels.get("session", ""), LONGEST_NAME),
        "login": exchange.caller.login,
        "named": exchange.named,
        "stream": exchange.stream,
        "done": done[-1].number if done else 0,
        "input": None if attempt is None else _roughly(exchange),
    }
    if settled is not None:
        usage = settled.usage
        said["bill"] = {
            "usage": [getattr(usage, name) for name in _COUNTS],
            "parts": dict(usage.parts),
            "cost": None if settled.cost is None else str(settled.cost),
            "basis": settled.basis,
            "estimated": settled.estimated,
            "notional": settled.notional,
            "cache_saved": str(settled.cache_saved),
        }
    data = orjson.dumps(said)
    if len(data) > _SIZE - _HEAD:  # names of four bytes a character
        data = orjson.dumps({**said, "project": "-", "session": "-", "client": said["client"][:LONGEST_NAME]})
    return data


def _roughly(exchange: Exchange) -> int:
    """The tokens of what is sent, at once: four characters have one, two where they are no ASCII."""
    slots = exchange.body.slots if exchange.body is not None else ()
    return -(-sum(len(text) if (text := slot.text).isascii() else 2 * len(text) for slot in slots) // 4)


def _read(said: Any) -> Left:
    """Raises whatever it may for what `_note` has not written."""
    settled = None
    if bill := said.get("bill"):
        counts = [int(count) for count in bill["usage"]]
        usage = Usage(
            **dict(zip(_COUNTS, counts, strict=True)), parts={str(it): int(n) for it, n in bill["parts"].items()}
        )
        cost = None if bill["cost"] is None else Decimal(bill["cost"])
        settled = Bill(usage, cost, bill["basis"], bill["estimated"], bill["notional"], Decimal(bill["cache_saved"]))
    datetime.fromtimestamp(said["begun"], UTC)
    for name in (*_SAME, "named", "id"):
        said[name]
    input = None if said["input"] is None else int(said["input"])
    return Left(str(said["id"]), said, settled, int(said["done"]), input)
