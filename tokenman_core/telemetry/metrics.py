"""What Prometheus is told: how many calls, how they went, how long each part took, what they used and cost.

The names and labels are those of INTERFACE §5. What a caller chooses and becomes a label is bounded: the first 200 names of
models are labels, all others are `other`, and so is what does not look like the name of a model. What a provider chooses is
bounded too: a status that nobody registered is told as `4xx`.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from http import HTTPStatus
from typing import get_args

from tokenman_core import __version__
from tokenman_core.caching.breaks import CAUSES
from tokenman_core.credentials import Mask
from tokenman_core.errors import ErrorKind
from tokenman_core.record import Record, cause_of
from tokenman_core.telemetry.series import Count, Gauge, Histogram, Series

MOST_MODELS = 200
OTHER = "other"

CALL_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
OWN_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Upper bounds of buckets, in seconds: of what a provider takes part in, and of what is done here."""

_MODEL = re.compile(r"[\w.:/+-]{1,80}(?:@[\w-]{1,20})?", re.ASCII)  # Vertex has claude-x@20250514
# 0: the client left before there was one. 499 is nginx's, 520 to 527 and 530 Cloudflare's, 529 Anthropic's.
_STATUSES = frozenset({0, 499, *range(520, 528), 529, 530, *(status.value for status in HTTPStatus)})
_HITS = frozenset({"hit", "coalesced"})
_mask = Mask()


class Metrics:
    """An `Observer`. Used from one thread; what `snapshot` gives another one may write out."""

    def __init__(self) -> None:
        call = ("provider", "model", "stream")
        self.requests = Count(
            "tokenman_requests", "Calls that ended.", ("provider", "model", "dialect", "status", "stream")
        )
        self.errors = Count("tokenman_errors", "What failed or was refused, by kind.", ("type",))
        self.errors.values.update({(kind,): 0 for kind in get_args(ErrorKind)})
        self.duration = Histogram(
            "tokenman_request_duration_seconds", "From the whole request to the end of its answer.", call, CALL_BOUNDS
        )
        self.first = Histogram(
            "tokenman_time_to_first_token_seconds", "From the whole request to the first token.", call, CALL_BOUNDS
        )
        self.overhead = Histogram("tokenman_overhead_seconds", "What a call took here.", call, OWN_BOUNDS)
        self.stages = Histogram(
            "tokenman_stage_duration_seconds", "What each stage took of a call.", ("stage", "phase"), OWN_BOUNDS
        )
        self.tokens = Count("tokenman_tokens", "Tokens, as booked.", ("kind", "provider", "model"))
        self.cost = Count("tokenman_cost_usd", "Known cost in USD.", ("provider", "model"))
        self.unpriced = Count("tokenman_unpriced", "Calls of which no price is known.", ("provider", "model"))
        self.saved = Count("tokenman_saved_usd", "USD that were not spent, by what saved them.", ("by",))
        self.cache = Count("tokenman_cache_requests", "Calls, by what the cache had for them.", ("result",))
        self.breaks = Count(
            "tokenman_prompt_cache_breaks",
            "Calls of which a provider's own cache did not have what it had before, by cause.",
            ("cause",),
        )
        self.lost = Count(
            "tokenman_prompt_cache_lost_usd", "USD that such calls cost more for it.", ("provider", "model")
        )
        self.redactions = Count("tokenman_redactions", "Values found, by kind and action.", ("entity", "action"))
        self.unrestored = Count("tokenman_unrestored", "Placeholders of answers that stayed.", ())
        self.unrestored.values[()] = 0
        self.limited = Count("tokenman_rate_limited", "Calls that a rate limit refused.", ("limit",))
        self.attempts = Count("tokenman_upstream_attempts", "Attempts, by how they went.", ("provider", "outcome"))
        self.aborts = Count("tokenman_client_aborts", "Calls that their program left before the end.", ())
        self.aborts.values[()] = 0
        self._models: dict[str, str] = {"": ""}
        self._watched: list[Callable[[], Series]] = []
        self.watch(lambda: Gauge("tokenman_build_info", "The version.", ("version",), {(__version__,): 1}))

    def watch(self, read: Callable[[], Series]) -> None:
        """What somebody else keeps: read when it is asked for, from the thread that `snapshot` is called from."""
        self._watched.append(read)

    def ended(self, record: Record) -> None:
        provider, model = record.provider, self._model(record.model)
        stream = "true" if record.stream else "false"
        call, place = (provider, model, stream), (provider, model)
        self.requests.values[provider, model, record.dialect, _status(record.status), stream] += 1
        if record.error is not None:
            self.errors.values[record.error,] += 1
        if record.outcome == "aborted":
            self.aborts.values[()] += 1
        self.duration.observe(call, record.duration)
        self.overhead.observe(call, record.overhead)
        if record.ttft is not None:
            self.first.observe(call, record.ttft)
        for stage, seconds in record.stages.items():
            self.stages.observe(stage, seconds)
        if record.limited_by:
            self.limited.values[record.limited_by,] += 1
        for tried in record.tried:
            self.attempts.values[tried.provider, tried.outcome] += 1
        for redacted in record.redactions:
            self.redactions.values[redacted.entity, redacted.action] += redacted.count
        self.unrestored.values[()] += record.unrestored
        if record.cache:
            self.cache.values[record.cache,] += 1
        if record.saved:
            by = ("cache" if record.cache in _HITS else OTHER,)
            self.saved.values[by] = record.saved + Decimal(self.saved.values[by])
        if record.cache_break:
            cause = cause_of(record.cache_break)
            self.breaks.values[cause if cause in CAUSES else OTHER,] += 1
            self.lost.values[place] = record.cache_lost_usd + Decimal(self.lost.values[place])
        if record.bill is not None:
            self._book(record, place)

    def _book(self, record: Record, place: tuple[str, str]) -> None:
        usage, cost = record.usage, record.bill.cost if record.bill else None
        if cost is None:
            self.unpriced.values[place] += 1
        else:
            self.cost.values[place] = cost + Decimal(self.cost.values[place])
        counts = (
            ("input", usage.input), ("output", usage.output), ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write), ("reasoning", usage.reasoning),
        )  # fmt: skip
        for kind, count in counts:
            if count:
                self.tokens.values[kind, *place] += count

    def turned_away(self, kind: ErrorKind) -> None:
        self.errors.values[kind,] += 1

    def not_recorded(self, request_id: str) -> None:
        """The ledger could not write the row of a call (whose id the log tells)."""
        self.errors.values["persistence",] += 1

    def snapshot(self) -> list[Series]:
        """A copy of all series as they are now."""
        kept: tuple[Count | Histogram, ...] = (
            self.requests, self.errors, self.duration, self.first, self.overhead, self.stages, self.tokens, self.cost,
            self.unpriced, self.saved, self.cache, self.breaks, self.lost, self.redactions, self.unrestored, self.limited,
            self.attempts, self.aborts,
        )  # fmt: skip
        return [*(series.copy() for series in kept), *(read() for read in self._watched)]

    def _model(self, name: str) -> str:
        """The label of a model."""
        known = self._models.get(name)
        if known is not None:
            return known
        if len(self._models) > MOST_MODELS or not _MODEL.fullmatch(name) or _mask(name) != name:
            return OTHER
        self._models[name] = name
        return name


def _status(status: int) -> str:
    """The label of a status."""
    if status in _STATUSES:
        return str(status)
    return f"{status // 100}xx" if 100 <= status < 600 else OTHER
