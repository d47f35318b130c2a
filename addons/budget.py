"""Holds the worst case of every attempt on the budgets that are about it, and books what it cost once it is over."""

import logging
from datetime import UTC, datetime

from tokenman_core import lost
from tokenman_core.ahead.output import lowered, lowers
from tokenman_core.ahead.quote import Bound, Quotes
from tokenman_core.budget.books import LEAST_OUTPUT, Books, Granted, Quote, Short, Uncounted
from tokenman_core.budget.rules import Rule, dollars, units
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.ledger.row import LONGEST_NAME, model_name, short
from tokenman_core.metering import by_the_month
from tokenman_core.providers import Providers
from tokenman_core.scopes import Scope, Subject
from tokenman_core.state import Unavailable
from tokenman_core.verdicts import AttemptVerdict, Candidate, Refuse, Reroute, Verdict

log = logging.getLogger("tokenman.budget")

_NO_RETRY = ((b"x-should-retry", b"false"),)  # the official SDKs obey it; nothing changes before the window ends


class Budget:
    """The stage. `counts_subscriptions`: calls that a subscription pays for count at their list prices; `refuses_unknown`: models
    on no list are refused, whatever budgets there are.
    """

    name = "budget"
    fails = "closed"

    def __init__(
        self,
        books: Books,
        quotes: Quotes,
        providers: Providers,
        *,
        counts_subscriptions: bool = False,
        refuses_unknown: bool = False,
    ) -> None:
        self._books, self._quotes, self._providers = books, quotes, providers
        self._counts_subscriptions, self._refuses_unknown = counts_subscriptions, refuses_unknown

    @property
    def wanted(self) -> bool:
        """Whether it has anything to do for any call."""
        return bool(self._books.rules) or self._refuses_unknown

    async def llm_request(self, exchange: Exchange) -> Verdict | None:
        """A call that a budget could not hold goes to the cheaper model that the budget names."""
        for candidate in exchange.plan[:1]:
            subject = subject_of(exchange, candidate)
            rules = [rule for rule in self._about(exchange, candidate, subject) if rule.on_exceed == "downgrade"]
            if not rules:
                continue
            bound = await self._quotes.bound(exchange, candidate)
            if not bound.priced or bound.unbounded:
                continue
            try:
                short = await self._books.fits(subject, _quote(bound), rules)
            except Unavailable:
                continue  # the attempt is judged by it
            if short is not None and short.downgrade_to != candidate.model:
                plan = dict.fromkeys(Candidate(each.provider, short.downgrade_to) for each in exchange.plan)
                exchange.answer_headers.append(
                    (b"x-tokenman-downgraded", short.downgrade_to.encode("ascii", "replace"))
                )
                return Reroute(tuple(plan))
        return None

    async def llm_attempt(self, exchange: Exchange, attempt: Attempt) -> AttemptVerdict | None:
        candidate = attempt.candidate
        subject = subject_of(exchange, candidate)
        rules = self._about(exchange, candidate, subject)
        if not rules and not (self._refuses_unknown and _costs(exchange)):
            return None
        bound = await self._quotes.bound(exchange, candidate)
        if refusal := self._unpriced(bound, rules, candidate.model or exchange.model):
            return refusal
        if not rules or not bound.priced or (bound.unbounded and not any(rule.blocks for rule in rules)):
            return None
        exchange.notes.setdefault(self.name, {})[attempt] = bound
        about = lost.note(exchange, attempt, bound)
        answer = await self._books.reserve(_lease(exchange, attempt), subject, _quote(bound), about, rules)
        match answer:
            case Granted():
                return await self._cap(exchange, attempt, bound, answer)
            case Short():
                return _short(answer)
            case Uncounted(rule):
                message = f"Budget {rule.name} cannot be counted now, so no call that it is about is sent."
                return Refuse(503, "persistence", message, retry_after=5)

    async def llm_attempt_done(self, exchange: Exchange, attempt: Attempt) -> None:
        bound: Bound | None = exchange.notes.get(self.name, {}).pop(attempt, None)
        lease, bill = _lease(exchange, attempt), attempt.bill
        if bound is None:
            unheld = bill is not None and not _costs(exchange) and not self._is_paid(exchange, attempt.candidate)
            if unheld and bill and bill.cost:
                await self._books.spend(lease, subject_of(exchange, attempt.candidate), units(bill.cost))
            return
        self._quotes.learn(exchange, attempt, bound)
        if bill is None or not attempt.sent:
            await self._books.release(lease)
            return
        over = await self._books.settle(lease, None if bill.cost is None else units(bill.cost))
        if over:
            log.warning("a call cost %s USD more than its bound", f"{dollars(over):f}")
            exchange.overrun = True

    async def _cap(self, exchange: Exchange, attempt: Attempt, bound: Bound, granted: Granted) -> AttemptVerdict | None:
        """A call that the budget holds only in part may write less."""
        others = [header for header in exchange.answer_headers if header[0] != b"x-tokenman-capped"]
        exchange.answer_headers[:] = others  # an attempt before this one may have had less, or more
        if not granted.capped:
            return None
        each, body = granted.output // bound.answers, exchange.body
        small = each <= bound.least or each < min(LEAST_OUTPUT, bound.output // bound.answers)
        if small or body is None or not lowers(exchange.operation, body.value):
            await self._books.release(_lease(exchange, attempt))
            exchange.notes[self.name].pop(attempt)
            message = "What is left of the budget is less than the call may cost, and it cannot be made to write less."
            return Refuse(429, "budget", message, headers=_NO_RETRY)
        model = attempt.candidate.model or exchange.model
        body.replace(lowered(exchange.operation, body.value, each, model))
        exchange.answer_headers.append((b"x-tokenman-capped", b"%d" % each))
        return None

    def _about(self, exchange: Exchange, candidate: Candidate, subject: Subject) -> tuple[Rule, ...]:
        if not _costs(exchange):
            return ()
        return () if self._is_paid(exchange, candidate) else self._books.about(subject)

    def _is_paid(self, exchange: Exchange, candidate: Candidate) -> bool:
        """By a subscription, which budgets do not count."""
        return not self._counts_subscriptions and by_the_month(self._providers, exchange, candidate)

    def _unpriced(self, bound: Bound, rules: tuple[Rule, ...], model: str) -> Refuse | None:
        """What cannot be priced is refused where a budget would have to hold it."""
        if self._refuses_unknown and bound.basis not in ("list", "override", "free"):
            return _no_price(model, "pricing.unknown_model is refuse")
        if bound.priced and not bound.unbounded:
            return None
        blocking = next((rule for rule in rules if rule.blocks), None)
        if blocking is None:
            return None
        strict = next((rule for rule in rules if rule.blocks and not rule.lets_unbounded), None)
        if bound.unbounded and strict is not None:
            message = f"Budget {strict.name} cannot hold this call: {bound.unbounded}. To let such calls pass: unbounded: allow"
            return Refuse(400, "pricing", message)
        if not bound.priced and (model or not bound.unbounded):
            return _no_price(model, f"budget {blocking.name} cannot hold what it may cost")
        return None


HIDDEN = "-"
"""What is shown of a name that holds what may not be shown."""


def subject_of(exchange: Exchange, candidate: Candidate) -> Subject:
    """Whose call it is: told by what the call says, counted and shown as the ledger has it, from which counts can be made anew."""
    model = candidate.model or exchange.model

    def shown(scope: Scope) -> str:
        labels = exchange.labels
        match scope:
            case "client":
                return short(exchange.caller.client, LONGEST_NAME)
            case "project":
                return short(labels.get("project") or (HIDDEN if exchange.project else ""), LONGEST_NAME)
            case "session":
                return short(labels.get("session") or (HIDDEN if exchange.session else ""), LONGEST_NAME)
            case "model":
                own = candidate.model not in ("", exchange.model)  # the configuration's own word
                return model_name(model if own else labels.get("model") or (HIDDEN if model else ""))
            case _:
                return candidate.provider

    return Subject(exchange.caller.client, exchange.project, candidate.provider, model, exchange.session, shown)


def _costs(exchange: Exchange) -> bool:
    return exchange.operation.generates and not exchange.operation.free


def _lease(exchange: Exchange, attempt: Attempt) -> str:
    return f"{exchange.id}:{attempt.number}"


def _quote(bound: Bound) -> Quote:
    return Quote(bound.reading, bound.writing, bound.output)


def _no_price(model: str, why: str) -> Refuse:
    name = model[:100] if model.isprintable() else "…"
    line = f"pricing: {{overrides: {{{name}: {{input_mtok: …, output_mtok: …}}}}}}"
    return Refuse(400, "pricing", f"No price is known of {name or 'this call'}, and {why}. To give it one: {line}")


def _short(answer: Short) -> Refuse:
    rule = answer.rule
    limit = (
        f"{dollars(rule.limit).normalize():f} USD a {rule.span}"
        if rule.span != "total"
        else f"{dollars(rule.limit):f} USD"
    )
    if answer.spent:
        ends = "" if rule.span == "total" else f" The next window begins at {_moment(answer.until)}."
        message = f"Budget {rule.name} ({limit}) has less left than this call may cost.{ends}"
        return Refuse(429, "budget", message, retry_after=answer.retry_after, headers=_NO_RETRY)
    message = f"What is left of budget {rule.name} ({limit}) is held by calls that run. Try again."
    return Refuse(429, "budget", message, retry_after=answer.retry_after, retryable=True)


def _moment(until: float) -> str:
    return f"{datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC"
