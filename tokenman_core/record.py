"""What is kept of a call when it is over: who asked what of whom, what it used and cost, what was masked. No body, no value."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

from tokenman_core.errors import ErrorKind
from tokenman_core.exchange import Attempt, Exchange, Login, Outcome, Redacted, Repeats, Spot
from tokenman_core.usage import Bill, Usage
from tokenman_core.verdicts import Candidate


@dataclass(frozen=True)
class Tried:
    """One attempt: `ok`, `rate_limited` (429), `client_error`, `server_error`, the kind of failure on the way, `broken` for an
    answer that ended before its end, `not_sent` (passed over, or refused by a stage), or `unanswered`. `wait`: seconds before it.
    """

    provider: str
    outcome: str
    model: str = ""
    wait: float = 0.0


@dataclass(frozen=True)
class Record:
    """One call. Times in seconds, money in USD; `status` is what the client got, 0 if it left before there was any.

    `error` is a kind of INTERFACE §7 ("" for none; a client that leaves is none). `ttft` is None where nothing was answered.
    `overhead` is what the call took here: until the first attempt was sent, and the stages on the way back.
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
    run: str
    login: Login
    outcome: Outcome
    status: int
    error: ErrorKind | None
    detail: str  # the text of a refusal, which holds nothing of the call
    stream: bool
    attempts: int
    cache: str
    bill: Bill | None  # of all attempts together; None: the call cost nothing by its nature, or was never sent
    saved: Decimal
    redactions: tuple[Redacted, ...]
    duration: float
    ttft: float | None
    overhead: float
    stages: Mapping[tuple[str, str], float]  # (stage, phase) -> seconds
    tried: tuple[Tried, ...] = ()  # each attempt, in order
    truncated: bool = False  # its stream was longer than what limits.stream_capture keeps of one
    generates: bool = True  # a model was asked
    limited_by: str = ""  # the rate limit that refused it
    overrun: bool = False  # it cost more than was held for it, or wrote more than its request allows
    spots: tuple[Spot, ...] = ()  # where the last of what was found stood; never a value
    repeats: Repeats = ""  # while there is no cache of answers: one of which mode would have had this one
    cache_break: str = (
        ""  # why the provider's own cache did not have what it had before, perhaps with ` at ` and a place
    )
    cache_lost: int = 0  # tokens that it should have had
    cache_lost_usd: Decimal = Decimal(0)  # what they cost more for it
    unrestored: int = 0  # placeholders of the answer that stayed
    other_model: bool = False  # its answer came from a model that the caller's key may not use

    @property
    def usage(self) -> Usage:
        return self.bill.usage if self.bill else Usage()

    @property
    def turned_down(self) -> bool:
        """Whether the provider itself answered that it does not do this (4xx): no error here, and yet no success."""
        return self.outcome == "answered" and 400 <= self.status < 500

    @property
    def masked(self) -> int:
        """How many values did not leave as they were."""
        return sum(each.count for each in self.redactions if each.action != "log")


def cause_of(cache_break: str) -> str:
    """Why a provider's cache broke, without the place: one of a table (`caching.breaks`)."""
    return cache_break.partition(" at ")[0]


class Observer(Protocol):
    """Is told of calls as they end, on the event loop: it returns at once, and never raises for what it cannot do."""

    def ended(self, record: Record) -> None:
        """A call is over, whatever became of it. Exactly once for each."""

    def turned_away(self, kind: ErrorKind) -> None:
        """A request was refused before it was known to be a call: it has no record."""


_BACK = frozenset({"event", "response"})


def record_of(exchange: Exchange, ended: float) -> Record:
    """`ended` by the same clock as `exchange.times.complete`. Labels that were not judged are left out: they may be anything."""
    times = exchange.times
    made = exchange.tried or exchange.attempts
    candidate = made[-1].candidate if made else exchange.plan[0] if exchange.plan else None
    refusal = exchange.refusal
    sent = times.sent if times.sent is not None else ended
    back = sum(took for (_, phase), took in exchange.stage_seconds.items() if phase in _BACK)
    return Record(
        id=exchange.id,
        time=datetime.fromtimestamp(times.begun, UTC),
        provider=candidate.provider if candidate else "",
        model=model_of(exchange, candidate),
        dialect=exchange.dialect.name,
        operation=exchange.operation.name,
        project=exchange.labels.get("project", ""),
        client=exchange.caller.client,
        session=exchange.labels.get("session", ""),
        run=exchange.caller.run,
        login=exchange.caller.login,
        outcome=exchange.outcome,
        status=exchange.status,
        error=_error(exchange),
        detail=refusal.message if refusal else "",
        stream=exchange.stream,
        attempts=len(exchange.tried),
        cache=exchange.cache,
        bill=Bill.together([each.bill for each in exchange.attempts if each.bill is not None]),
        saved=exchange.saved,
        redactions=exchange.redactions,
        duration=max(0.0, ended - times.complete),
        ttft=None if times.first is None else max(0.0, times.first - times.complete),
        overhead=max(0.0, sent - times.complete) + (back if times.sent is not None else 0.0),
        stages=dict(exchange.stage_seconds),
        truncated=exchange.captured is not None and exchange.captured.truncated,
        generates=exchange.operation.generates,
        limited_by=exchange.limited_by,
        overrun=exchange.overrun,
        spots=exchange.spots,
        repeats=exchange.repeats,
        cache_break=exchange.cache_break,
        cache_lost=exchange.cache_lost,
        cache_lost_usd=exchange.cache_lost_usd,
        unrestored=exchange.unrestored,
        other_model=exchange.other_model,
        tried=tuple(
            Tried(each.candidate.provider, _tried(exchange, each), model_of(exchange, each.candidate), each.waited)
            for each in exchange.attempts
        ),
    )


def _tried(exchange: Exchange, attempt: Attempt) -> str:
    failure, status = attempt.failure, attempt.status
    if failure is not None:
        if failure.kind != "status" or failure.status is None:
            return failure.kind
        status = failure.status  # what an error in the first event of a 200 stands for
    if status is None:
        return "unanswered" if attempt.sent else "not_sent"  # unanswered: the client left
    if status == 429:
        return "rate_limited"
    if status >= 400:
        return "client_error" if status < 500 else "server_error"
    cut = exchange.outcome == "broken" and exchange.broken != "stage" and attempt.answered
    return "broken" if cut else "ok"


def model_of(exchange: Exchange, candidate: Candidate | None) -> str:
    """As the call names it, judged, or as the route does, which is the configuration's own."""
    if candidate is None or candidate.model in ("", exchange.model):
        return exchange.labels.get("model", "")
    return candidate.model


def _error(exchange: Exchange) -> ErrorKind | None:
    match exchange.outcome:
        case "refused":
            return exchange.refusal.kind if exchange.refusal else "internal"
        case "broken":
            return exchange.broken or "upstream"
        case "crashed":
            return "internal"
        case "answered":
            return "upstream" if exchange.status >= 500 else None
        case "aborted":
            return None
