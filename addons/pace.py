"""Has calls wait until their provider's own rate limit lets them through, where the provider has said when that is."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tokenman_core.clock import Clock
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.failover.retry import retry_after
from tokenman_core.providers import Providers
from tokenman_core.ratelimit.pace import MOST_WAIT_S, Key, Paces
from tokenman_core.verdicts import AttemptVerdict, Candidate, Skip

log = logging.getLogger("tokenman.pace")

_AGAIN = 5  # looks: others may have been faster
_BYTES = 4  # of a request's text that are taken for a token


class Pace:
    """The stage. It learns of every provider, and has calls wait for those whose `pace` is on."""

    name = "pace"
    fails = "open"  # it spares a call a refusal; without it the provider says no itself
    deadline_s = MOST_WAIT_S + 10.0

    def __init__(
        self,
        paces: Paces,
        providers: Providers,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._paces, self._providers, self._clock, self._sleep = paces, providers, clock, sleep

    async def llm_attempt(self, exchange: Exchange, attempt: Attempt) -> AttemptVerdict | None:
        candidate = attempt.candidate
        if not exchange.operation.generates:
            return None
        key, tokens = self._key(exchange, candidate), len(exchange.raw) // _BYTES
        if self._providers.by_name[candidate.provider].pace:
            began = self._clock.monotonic()
            for _ in range(_AGAIN):
                wait = self._paces.wait(key, tokens)
                if not wait:
                    break
                if wait > MOST_WAIT_S - (self._clock.monotonic() - began):
                    if candidate != exchange.plan[-1]:
                        return Skip("its rate limit is used up", "upstream", wait)
                    break
                log.info("provider %s: its rate limit lets the call through in %.2f s", candidate.provider, wait)
                await self._sleep(wait)
        self._paces.sent(key, tokens)
        return None

    async def llm_attempt_done(self, exchange: Exchange, attempt: Attempt) -> None:
        failure = attempt.failure
        head = attempt.said or (failure.headers if failure is not None else ())
        limited = 429 in (attempt.status, failure.status if failure is not None else None)
        asked = retry_after(head, self._clock.now()) if limited else None
        if head:
            self._paces.learn(self._key(exchange, attempt.candidate), head, asked)

    def _key(self, exchange: Exchange, candidate: Candidate) -> Key:
        """Another user's limit, or another model's, is not this one's; a configured key is the same for all."""
        provider = self._providers.by_name[candidate.provider]
        who = exchange.caller.credential if provider.key is None else f"key {hash(provider.key)}"
        own = candidate.model not in (
            "",
            exchange.model,
        )  # the configuration's word; the call's own is shown as it was judged
        return who, candidate.provider, candidate.model if own else exchange.labels.get("model", "")
