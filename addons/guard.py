"""Warns, and then stops, agents that repeat themselves or spend too fast."""

import asyncio
import hashlib
from decimal import Decimal

from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.guard.trail import needed, steps
from tokenman_core.guard.watch import Finding, Rules, Watch
from tokenman_core.verdicts import Refuse, Verdict

_LARGE = 512 * 1024  # bytes of a body that is hashed and read on a thread


class Guard:
    """The stage. `counts_subscriptions`: what a subscription pays for is spent as well.

    A loop is refused with 400, so that no program sends it again; who spends too fast is told when to go on, with 429.
    """

    name = "guard"
    fails = "open"  # it spares money, which budgets hold; what it should have stopped is no leak

    def __init__(self, rules: Rules, watch: Watch, *, counts_subscriptions: bool = False) -> None:
        self._rules, self._watch, self._counts_subscriptions = rules, watch, counts_subscriptions

    @property
    def wanted(self) -> bool:
        return self._rules.wanted

    async def llm_request(self, exchange: Exchange) -> Verdict | None:
        if not exchange.session or not exchange.operation.generates or exchange.operation.free:
            return None
        session = exchange.notes[self.name] = self._watch.session(
            exchange.caller.credential, exchange.caller.client, exchange.session
        )
        rules, value = self._rules, exchange.body.value if exchange.body else None
        most = needed(max(rules.repeats, rules.errors))
        request = b"" if _is_retry(exchange) else exchange.raw
        if len(exchange.raw) > _LARGE:
            trail = await asyncio.to_thread(steps, value, self._watch.key, most)
            request = await asyncio.to_thread(_hashed, exchange, request)
        else:
            trail, request = steps(value, self._watch.key, most), _hashed(exchange, request)
        finding = self._watch.judge(rules, session, request, trail)
        return None if finding is None else self._said(exchange, session, finding)

    async def llm_attempt_done(self, exchange: Exchange, attempt: Attempt) -> None:
        session, bill = exchange.notes.get(self.name), attempt.bill
        if session is None or bill is None or not bill.cost or (bill.notional and not self._counts_subscriptions):
            return
        self._watch.spent(session, bill.cost)

    def _said(self, exchange: Exchange, session: bytes, finding: Finding) -> Refuse | None:
        refuses = finding.over and self._rules.blocks
        label = exchange.labels.get("session") or None
        about = {"client": exchange.caller.client or None, "session": label, "request_id": exchange.id}
        self._watch.tell(session, finding, refuses, about)
        header = (b"x-tokenman-guard", f"{finding.kind} {_short(finding.found)}/{finding.limit}".encode())
        exchange.answer_headers.append(header)
        if not refuses:
            return None
        exchange.limited_by = f"guard.{finding.kind}"
        if finding.wait is not None:
            message = f"Held back by TokenMan's guard: {finding.words}. Try again in {finding.wait:.0f} seconds."
            return Refuse(429, "rate_limit", message, retry_after=finding.wait, retryable=True)
        message = f"Stopped by TokenMan's guard: {finding.words}. Tell the agent something new, or begin anew."
        return Refuse(400, "rate_limit", message)


def _is_retry(exchange: Exchange) -> bool:
    """Whether an SDK sends it again after a failure: that is no loop of the agent's."""
    return (exchange.sent.header(b"x-stainless-retry-count") or b"0").strip() not in (b"", b"0")


def _hashed(exchange: Exchange, request: bytes) -> bytes:
    if not request:
        return b""
    return hashlib.blake2b(
        exchange.sent.path.encode("utf-8", "surrogatepass") + b"\0" + request, digest_size=16
    ).digest()


def _short(number: str) -> str:
    return f"{Decimal(number):.4f}" if "." in number else number
