"""Lets in who has a good virtual key, or needs none, and holds each key to what its client may use."""

import logging
from collections.abc import Collection
from dataclasses import replace

from tokenman_core import besides
from tokenman_core.clients import Client, Clients, Failures, Unfit, spend_of
from tokenman_core.clock import Clock
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.model_names import deployed, is_of
from tokenman_core.paths import QUIET
from tokenman_core.providers import Providers
from tokenman_core.verdicts import AttemptVerdict, Candidate, Refuse, Reroute, Verdict

log = logging.getLogger("tokenman.access")

_HOW = "in x-tokenman-key, or in the place of the provider's key"


class Access:
    """The stage. `needed`: whether a call must have a key. `budgets`: the names of those that are configured."""

    name = "access"
    fails = "closed"

    def __init__(
        self,
        clients: Clients,
        providers: Providers,
        needed: bool,
        budgets: Collection[str],
        failures: Failures,
        clock: Clock,
    ) -> None:
        self._clients, self._providers, self._needed = clients, providers, needed
        self._budgets, self._failures, self._clock = frozenset(budgets), failures, clock

    def llm_head(self, exchange: Exchange) -> Refuse | None:
        caller = exchange.caller
        if not caller.key:
            if caller.admitted or not self._needed:
                return None
            return _unknown(
                exchange, f"A virtual key is needed here: `tokenman clients add NAME` makes one; send it {_HOW}."
            )
        known = self._clients.now()
        client = known.of(caller.key)
        if client is None and known.trouble:
            return Refuse(503, "persistence", "Virtual keys cannot be checked now; the log says why.", retry_after=5)
        if refusal := self._ended(exchange, client):
            if wait := self._failures.add(caller.address):
                return Refuse(429, "auth", "Too many bad virtual keys came from this address.", retry_after=wait)
            return refusal
        assert client is not None
        return self._enter(exchange, client)

    def _ended(self, exchange: Exchange, client: Client | None) -> Refuse | None:
        """Whether a key opens nothing, or nothing more."""
        if client is None:
            return _unknown(
                exchange, "This virtual key is not known here: it was mistyped or revoked, or two different ones came."
            )
        if client.expired(self._clock.now()):
            return _unknown(exchange, f"The virtual key of {client.name} has expired.")
        return None

    def _enter(self, exchange: Exchange, client: Client) -> Refuse | None:
        if client.project and exchange.project not in ("", client.project):
            return _denied(f"This key is for project {client.project}; x-tokenman-project names another one.")
        if client.budget and not self._is_kept(client.budget):
            message = (
                f"The budget {client.budget} of {client.name} is configured no more, so its key may spend nothing."
            )
            return Refuse(400, "budget", message)
        exchange.project = client.project or exchange.project
        exchange.caller = replace(exchange.caller, client=client.name)
        exchange.notes[self.name] = client
        return None

    def _is_kept(self, budget: str) -> bool:
        try:
            return budget in self._budgets or spend_of(budget) is not None
        except Unfit:
            return False

    async def llm_request(self, exchange: Exchange) -> Verdict | None:
        client: Client | None = exchange.notes.get(self.name)
        if client is None:
            return None
        if refusal := _models(exchange, client):
            return refusal
        verdicts = {candidate: self._judge(client, candidate) for candidate in exchange.plan}
        plan = tuple(candidate for candidate in exchange.plan if verdicts[candidate] is None)
        if not plan:
            return next((refusal for refusal in verdicts.values() if refusal), None)
        return None if plan == exchange.plan else Reroute(plan)

    async def llm_attempt(self, exchange: Exchange, attempt: Attempt) -> AttemptVerdict | None:
        """Stages behind may have led the call elsewhere, or had it wait until its key was revoked."""
        client: Client | None = exchange.notes.get(self.name)
        if client is None:
            return None
        known = self._clients.now()
        if not known.trouble and (refusal := self._ended(exchange, known.of(exchange.caller.key))):
            return refusal
        return self._judge(client, attempt.candidate)

    async def llm_attempt_done(self, exchange: Exchange, attempt: Attempt) -> None:
        """The answer is paid for, and of a stream most is with the program already: whoever gave it, and to whom, is told."""
        client: Client | None = exchange.notes.get(self.name)
        reader = exchange.reader
        if client is None or not client.models or reader is None or not attempt.answered:
            return
        asked = attempt.candidate.model or exchange.model
        for model in (reader.model or "", *reader.others):
            if model and not (may_ask(client, model) or is_of(model, asked)):
                exchange.other_model = True
                log.warning(
                    "model %s answered %s, whose key may not use it%s", _shown(model), client.name, _may(client.models)
                )

    def _judge(self, client: Client, candidate: Candidate) -> Refuse | None:
        """None: the key may use it."""
        if not client.may_use(candidate.provider):
            return _denied(
                f"The key of {client.name} may not use provider {candidate.provider}{_may(client.providers)}."
            )
        if candidate.model and not client.may_ask(candidate.model):
            return _denied(
                f"The key of {client.name} may not use model {_shown(candidate.model)}{_may(client.models)}."
            )
        if not self._providers.by_name[candidate.provider].open:
            name = candidate.provider
            message = (
                f"With a virtual key, calls are made with the key of their provider, and none is configured for {name}: "
                f"set providers.{name}.key, or send {name}'s own key alone."
            )
            return Refuse(400, "auth", message)
        return None


def may_ask(client: Client, model: str) -> bool:
    """Whether it fits a pattern of the key, with or without its maker's name before it."""
    return client.may_ask(model.removeprefix("models/")) or client.may_ask(model.rpartition("/")[2])


def _models(exchange: Exchange, client: Client) -> Refuse | None:
    """A key that may use some models is not for calls that do not name theirs, such as batches, whose files do."""
    if not client.models or exchange.sent.method in QUIET:
        return None
    if not exchange.model:
        return _denied(
            f"The key of {client.name} is for some models only, and this call names none{_may(client.models)}."
        )
    value = exchange.body.value if exchange.body is not None else None
    at = deployed(exchange.sent.plain)
    for model in (*besides.models(value), *((at,) if at else ())):
        if not client.may_ask(model):
            return _denied(f"The key of {client.name} may not use model {_shown(model)}{_may(client.models)}.")
    return None


def _unknown(exchange: Exchange, message: str) -> Refuse:
    """Programs answer 401 by asking their user to log in again: beside a provider's own login that would end the wrong one."""
    return Refuse(400 if exchange.caller.login == "oauth" else 401, "auth", message)


def _denied(message: str) -> Refuse:
    return Refuse(400, "forbidden", message)


def _may(patterns: tuple[str, ...]) -> str:
    return f"; it may use {', '.join(patterns[:5])}{', …' if len(patterns) > 5 else ''}" if patterns else ""


def _shown(model: str) -> str:
    return model[:100] if model.isprintable() else "…"
