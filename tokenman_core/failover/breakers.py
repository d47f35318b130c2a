"""The breakers of all providers, and of those models of theirs that were overloaded by themselves.

They outlive a change of the configuration, and may be shared with other processes of the machine (`sharing.py`).
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tokenman_core.clock import Clock
from tokenman_core.failover.breaker import Breaker, Rules, State, Ticket

log = logging.getLogger("tokenman.failover")

MOST_MODELS = 50  # of a provider that have a breaker of their own: callers can make names up
_WORSE: Mapping[State, int] = {"closed": 0, "half_open": 1, "open": 2}

Outcome = Literal["success", "failure", "failure_of_model", "reply", "neutral"]
"""As `Breaker` has them; `failure_of_model`: the provider is there, and says that the model cannot serve."""


class Running(Protocol):
    """An attempt; `answered` once its answer has begun."""

    answered: bool


class Shared(Protocol):
    """Other processes on the same data folder."""

    def changed(self, name: str) -> None:
        """The breaker of that name was opened or closed here."""

    async def lease(self, name: str) -> str | Literal[False] | None:
        """Leave for one more probe: the name of the lease; None where nobody can tell; False: others have all of them, or it
        is no longer open."""

    def free(self, lease: str) -> None:
        """The probe found nothing out."""

    def over(self, lease: str) -> None:
        """It found something out, and that is told to the others with the change, which ends it."""


@dataclass(eq=False)
class Entry:
    """A breaker under its name: `PROVIDER`, or `PROVIDER/DIGEST` of a model. `by_hand`: it was, and others are to obey."""

    name: str
    breaker: Breaker
    by_hand: bool = False


@dataclass(eq=False)
class Pass:
    """Leave to make one attempt; its outcome is told with it."""

    provider: str
    model: str
    held: list[tuple[Entry, Ticket, str | None]] = field(default_factory=list)  # with the lease of a probe


class Breakers:
    def __init__(self, rules: Rules, models: Mapping[str, bool], clock: Clock, key: bytes = b"") -> None:
        """`models`: by the name of each provider, whether a failure may be one of a model alone. `key` hides models' names."""
        self._clock, self._key = clock, key
        self._rules = rules
        self._by_model: Mapping[str, bool] = {}
        self._entries: dict[str, dict[str, Entry]] = {}  # provider -> digest of the model, "" for the provider itself
        self._running: dict[Running, Pass] = {}
        self._answered: dict[str, float] = {}  # provider -> when an answer of it began last
        self.shared: Shared | None = None
        self.configure(rules, models)

    def configure(self, rules: Rules, models: Mapping[str, bool]) -> None:
        """The rules and the providers are these from now on; what is known of those that stay stays known."""
        self._rules, self._by_model = rules, dict(models)
        kept = {name: self._entries.get(name) or {"": self._new(name)} for name in models}
        self._entries = {name: them if models[name] else {"": them[""]} for name, them in kept.items()}
        for them in self._entries.values():
            for entry in them.values():
                entry.breaker.rules = rules

    def _new(self, name: str) -> Entry:
        return Entry(name, Breaker(self._rules, self._clock))

    # -- what is told of them --

    @property
    def states(self) -> Mapping[str, State]:
        """Of each provider: its own, or of its models the one that is worst off."""
        self._told_early()
        return {name: max((it.breaker.state for it in them.values()), key=_WORSE.__getitem__)
                for name, them in self._entries.items()}  # fmt: skip

    def rests(self, provider: str) -> bool:
        """Whether it gets no call now: its own breaker is open, or one of a model, and nothing was answered there since.

        Raises KeyError.
        """
        own, *models = self._entries[provider].values()
        answered = self._answered.get(provider, float("-inf"))
        return own.breaker.rests or any(it.breaker.rests and it.breaker.opened >= answered for it in models)

    def turns_away(self, provider: str, model: str) -> bool:
        """Whether a call would get no leave now."""
        self._told_early()
        return any(it.breaker.turns_away for it in self._concerned(provider, model))

    def idle(self, provider: str) -> bool:
        """Whether all who ask the provider, for whatever model, are turned away. One of a configuration that is no more is not."""
        them = self._entries.get(provider)
        return them is not None and them[""].breaker.rests

    # -- by hand --

    def hold(self, provider: str) -> None:
        """Gives a provider a rest, until `release`. Raises KeyError."""
        entry = self._entries[provider][""]
        entry.breaker.hold()
        entry.by_hand = True
        self._changed(entry)
        log.warning("provider %s is given a rest by hand", provider)

    def release(self, provider: str) -> None:
        """Takes it back, with all of its models. Raises KeyError."""
        for entry in self._entries[provider].values():
            entry.breaker.release()
            entry.by_hand = True
            self._changed(entry)
        log.warning("provider %s is taken back by hand", provider)

    # -- attempts --

    async def ask(self, running: Running, provider: str, model: str) -> float | None:
        """None: the attempt may be made, and `told` is to be called when it is over. Else for how many seconds there will be no
        leave (0: until a probe is over)."""
        self._told_early()
        given = Pass(provider, model)
        try:
            for entry in self._concerned(provider, model):
                wait = await self._ask(entry, given)
                if wait is not None:
                    self._tell(given, "neutral")
                    return wait
        except BaseException:  # whoever asked has left: what he was given must come back
            self._tell(given, "neutral")
            raise
        self._running[running] = given
        return None

    async def _ask(self, entry: Entry, given: Pass) -> float | None:
        breaker = entry.breaker
        ticket = breaker.ask()
        if not isinstance(ticket, Ticket):
            return ticket
        if breaker.state == "closed" or self.shared is None:
            given.held.append((entry, ticket, None))
            return None
        given.held.append((entry, ticket, ""))  # a probe, as far as is known here; the others are asked
        lease = await self.shared.lease(entry.name)
        given.held.pop()
        if lease is not False:
            given.held.append((entry, ticket, lease))
            return None
        breaker.neutral(ticket)
        return await self._ask(entry, given) if self._closed(entry) else 0.0  # in the meantime

    def told(self, running: Running, outcome: Outcome) -> None:
        """How an attempt went; nothing where it was not let through. Called again it does nothing."""
        given = self._running.pop(running, None)
        if given is not None:
            self._tell(given, outcome)

    def _tell(self, given: Pass, outcome: Outcome) -> None:
        if outcome == "success":
            self._answered[given.provider] = self._clock.monotonic()
        if outcome == "failure_of_model" and not self._has_own(given):
            outcome = "failure"
        for entry, ticket, lease in given.held:
            breaker, before = entry.breaker, entry.breaker.state
            match self._meaning(entry, outcome):
                case "success":
                    breaker.success(ticket)
                case "failure":
                    breaker.failure(ticket)
                case "reply":
                    breaker.reply(ticket)
                case _:
                    breaker.neutral(ticket)
            if breaker.state != before:
                self._changed(entry)
                log.warning("%s was %s and is %s now", _said(entry), before, breaker.state)
                if lease and self.shared is not None:
                    self.shared.over(lease)
            elif lease and self.shared is not None:
                self.shared.free(lease)
        given.held.clear()

    def _meaning(self, entry: Entry, outcome: Outcome) -> Outcome:
        """Of an outcome for one of the breakers concerned."""
        if "/" not in entry.name:
            return "reply" if outcome == "failure_of_model" else outcome
        if outcome == "failure":  # of the provider: of the model it says something only if that was being probed
            return "failure" if entry.breaker.state == "half_open" else "neutral"
        return "failure" if outcome == "failure_of_model" else outcome

    def _has_own(self, given: Pass) -> bool:
        """Gives the model its own breaker, if it may have one and has none."""
        them = self._entries.get(given.provider)
        if not them or not self._by_model.get(given.provider) or not given.model:
            return False
        digest = self._digest(given.model)
        if digest not in them and not self._make_room(them):
            return False
        if digest not in them:
            them[digest] = self._new(f"{given.provider}/{digest}")
        if not any(entry is them[digest] for entry, _, _ in given.held):
            ticket = them[digest].breaker.ask()
            if isinstance(ticket, Ticket):
                given.held.append((them[digest], ticket, None))
        return True

    def _make_room(self, them: dict[str, Entry]) -> bool:
        if len(them) <= MOST_MODELS:
            return True
        closed = next((digest for digest, it in them.items() if digest and it.breaker.state == "closed"), None)
        if closed is not None:
            del them[closed]
        return closed is not None

    def _concerned(self, provider: str, model: str) -> list[Entry]:
        them = self._entries.get(provider)
        if them is None:  # of a configuration that is no more, whose last calls still run
            return []
        found = [them[""]]
        if len(them) > 1 and (own := them.get(self._digest(model))) is not None:
            found.append(own)
        return found

    def _digest(self, model: str) -> str:
        text = model.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=8, key=self._key).hexdigest()

    def _told_early(self) -> None:
        """A probe whose stream runs for an hour has told with its first token that its provider is back."""
        for running, given in list(self._running.items()):
            if running.answered and any(entry.breaker.state == "half_open" for entry, _, _ in given.held):
                for entry, ticket, _ in given.held:
                    if entry.breaker.state == "half_open":
                        entry.breaker.success(ticket)
                        if self._closed(entry):
                            self._changed(entry)
                self._answered[given.provider] = self._clock.monotonic()

    @staticmethod
    def _closed(entry: Entry) -> bool:
        return entry.breaker.state == "closed"

    # -- other processes --

    def _changed(self, entry: Entry) -> None:
        if self.shared is not None:
            self.shared.changed(entry.name)

    def entry(self, name: str, *, make: bool = False) -> Entry | None:
        """The breaker of that name. `make`: one of a model that another process has is there then, if there is room."""
        provider, _, digest = name.partition("/")
        them = self._entries.get(provider)
        if them is None or (digest and not self._by_model[provider]):
            return None
        if digest not in them and make and self._make_room(them):
            them[digest] = self._new(name)
        return them.get(digest)

    @property
    def providers(self) -> frozenset[str]:
        return frozenset(self._entries)

    @property
    def probes(self) -> int:
        """Attempts at a time that may find out whether one is back."""
        return self._rules.probes


def _said(entry: Entry) -> str:
    provider, _, model = entry.name.partition("/")
    return f"the breaker of {'a model of ' if model else ''}provider {provider}"
