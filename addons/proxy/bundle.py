"""Puts TokenMan's add-ons at the end of a master's chain, once: there they outlive a script's reload and see what is final."""

import asyncio
import logging
import os
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from mitmproxy.master import Master

from addons import caching, chain
from addons.failover import PassedOver
from addons.proxy import internals
from addons.proxy.dispatch import remember
from addons.proxy.exchange import Exchanges
from addons.proxy.gate import Gate
from addons.proxy.leaves import Leaves
from addons.proxy.options import OptionTable
from addons.proxy.policies import LOOPBACK_NAMES, Arrivals, Lasting, Policies, breaker_rules, make, model_breakers
from tokenman_core import background, bound_store, ca, lost, price_lists, secret, underway
from tokenman_core.admin.keys import Codes, Keys, admin_token
from tokenman_core.admin.runs import Runs
from tokenman_core.ahead.quote import Sizes
from tokenman_core.ahead.texts import Counter
from tokenman_core.budget import books
from tokenman_core.caching.detective import Detective
from tokenman_core.caching.flights import RENEW_S, Flights, StoreLeases
from tokenman_core.caching.kept import Kept
from tokenman_core.caching.repeats import Repeats
from tokenman_core.clients import Clients, Failures
from tokenman_core.clock import SystemClock, request_id
from tokenman_core.config.load import Loaded
from tokenman_core.config.models import Settings
from tokenman_core.errors import ConfigError
from tokenman_core.failover.breakers import Breakers
from tokenman_core.failover.sharing import Sharing
from tokenman_core.guard import watch
from tokenman_core.instance import Prover
from tokenman_core.ledger.ledger import Ledger, open_ledger
from tokenman_core.makers import Makers
from tokenman_core.metering import Meter
from tokenman_core.net import Guard, Proxies, Upstream
from tokenman_core.pricing import Prices
from tokenman_core.providers import Providers
from tokenman_core.ratelimit import limiter
from tokenman_core.ratelimit.pace import Paces
from tokenman_core.redaction import Detection, Held, Memo
from tokenman_core.redaction.policy import options_of
from tokenman_core.state import State, open_state
from tokenman_core.telemetry.feed import Feed
from tokenman_core.telemetry.health import Health
from tokenman_core.telemetry.metrics import Metrics
from tokenman_core.telemetry.tally import Tallies
from tokenman_core.webhook import LAST_S, Webhook

log = logging.getLogger("tokenman")

_CUT_S = 0.3  # for calls whose connections have just been closed to tell their clients
_BOOK_S = 1.0  # for those to be booked that were ended, also those that go on for others


@dataclass
class Bundle:
    """What was put in, for whoever starts and stops it. `policies` are the ones that calls begin with; all else lasts."""

    exchanges: Exchanges
    authority: ca.Authority
    lasting: Lasting
    guard: Guard
    sharing: Sharing
    bound: bound_store.BoundStore
    state: State
    ledger: Ledger
    metrics: Metrics
    feed: Feed
    health: Health
    tallies: Tallies
    codes: Codes
    keys: Keys
    runs: Runs
    prover: Prover
    gate: Gate
    hook: Webhook
    underway: underway.Underway

    @property
    def policies(self) -> Policies:
        return self.exchanges.policies

    @property
    def detection(self) -> Detection:
        return self.lasting.detection

    @property
    def breakers(self) -> Breakers:
        return self.lasting.breakers

    async def obey(self, loaded: Loaded) -> None:
        """Calls that begin from now on are judged by this configuration; those that run, by the one they began with.

        Raises ConfigError; then all is as it was.
        """
        settings, lasting = loaded.settings, self.lasting
        self.authority.cover(settings.authority_hosts())
        policies, token = make(loaded, lasting), admin_token(settings)
        await lasting.cache.kept.obey(settings)
        lasting.cache.repeats.configure(settings.cache.ttl)
        # Nothing waits from here on, so that there is no moment with a part of both.
        lasting.breakers.configure(breaker_rules(settings), model_breakers(settings))
        lasting.detection.configure(options_of(settings.redaction))
        self.keys.renew(token)
        self.exchanges.use(policies)
        self.hook.address = policies.hook
        self.gate.close_governed()
        self.tidy()

    def tidy(self) -> None:
        """What no configuration in use names any more is permitted and kept no longer. To be called again once calls have ended."""
        used = {self.policies, *self.exchanges.active.values()}
        self.guard.permit(frozenset().union(*(each.permitted for each in used)))
        self.lasting.upstream.keep_only(frozenset().union(*(each.origins for each in used)))


class Keeper:
    """Starts and ends what the stages share. Its hooks are mitmproxy's `running` and `done`."""

    name = "keeper"
    sealed = True

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._tasks: list[asyncio.Task[None]] = []

    async def running(self) -> None:
        bundle = self._bundle
        bundle.lasting.meter.start()
        bundle.underway.open()
        await bundle.ledger.start()
        await bundle.state.start()
        await bundle.sharing.start()
        await bundle.bound.start()
        await bundle.detection.start()
        await bundle.lasting.cache.kept.obey(bundle.policies.loaded.settings)
        bundle.hook.address = bundle.policies.hook
        self._tasks = [
            _kept("budget_holds", books.RENEW_S, self._keep),
            _kept("cache_leases", RENEW_S, self._keep_flights),
            _kept("webhook", LAST_S, lambda alive: bundle.hook.run(alive.ran)),
        ]

    async def _keep(self, alive: background.Task) -> None:
        """What running calls hold of budgets is renewed for as long as we run."""
        await self._take_up()
        await self._bundle.policies.limiter.take_over()
        while True:
            await asyncio.sleep(books.RENEW_S)
            alive.ran()
            await self._bundle.policies.books.keep()
            await self._bundle.policies.limiter.keep()
            if self._bundle.underway.left:
                await self._take_up()

    async def _take_up(self) -> None:
        """Records the calls that ended with the process before: first those that budgets held, as they were booked there."""
        bundle = self._bundle
        await bundle.policies.books.look(alone=True)  # the data folder is ours
        if bundle.state.trouble is not None:
            return  # nobody knows yet which of them budgets held
        for left in list(bundle.underway.left.values()):
            bundle.underway.left.pop(left.id, None)
            bundle.ledger.ended(underway.record(left, await bundle.policies.meter.lost(left)))

    async def _keep_flights(self, alive: background.Task) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            alive.ran()
            await self._bundle.lasting.cache.leases.keep()

    async def done(self) -> None:
        bundle = self._bundle
        bundle.exchanges.closing = True
        bundle.lasting.meter.hasten()  # before there is anything to count
        await bundle.lasting.upstream.aclose()
        await bundle.exchanges.drained(_CUT_S)
        bundle.exchanges.abandon()  # a client that reads nothing would keep its call for minutes
        await bundle.exchanges.drained(_BOOK_S)
        await bundle.detection.close()
        bundle.lasting.meter.close()
        for task in self._tasks:
            task.cancel()
        await bundle.policies.books.keep()
        await bundle.lasting.cache.kept.aclose()
        await bundle.bound.aclose()
        await bundle.sharing.aclose()
        await bundle.state.aclose()
        await bundle.ledger.aclose()
        bundle.underway.close()


def _kept(
    name: str, every: float, work: Callable[[background.Task], Coroutine[None, None, None]]
) -> asyncio.Task[None]:
    alive = background.began(name, every)
    return alive.of(asyncio.create_task(work(alive)))


def install(master: Master, loaded: Loaded, detection: Detection) -> Bundle:
    """Raises ConfigError, OptionRefused, WrongVersion; nothing listens then."""
    internals.check_version()
    internals.mend()
    settings, clock = loaded.settings, SystemClock()
    table = OptionTable(master.options)
    table.settle()
    root = secret.installation_secret(settings)
    authority = ca.ensure(settings.data_dir / "ca", settings.authority_hosts())

    def listeners() -> list[tuple[str, int]]:
        found = [(settings.admin.listen.host, settings.admin.listen.port)]
        server = master.addons.get("proxyserver")
        return found + [(str(address[0]), int(address[1])) for address in server.listen_addrs()]

    guard = Guard(listeners=listeners)
    arrivals = Arrivals()
    state = open_state(settings, clock)
    breakers = Breakers(
        breaker_rules(settings), model_breakers(settings), clock, secret.derive(root, "breaker of a model")
    )

    def alert(it: books.Alert) -> None:
        log.warning("%s", books.told(it))
        hook.tell("budget.overrun" if it.overrun else "budget.alert", books.as_json(it))

    makers = Makers(secret.derive(root, "bound"))
    prices = Prices(settings.pricing, price_lists.at(settings.data_dir))
    upstream = Upstream(guard=guard, proxies=_proxies(settings))
    leases = StoreLeases(state.ask, clock)
    kept = Kept(settings, root, clock)
    kept.prepare(settings)
    cache = caching.Lasting(
        kept, Flights(clock, leases), leases, Repeats(settings.cache.ttl),
        Detective(clock, secret.derive(root, "cache breaks")),
    )  # fmt: skip
    noted = underway.Underway(settings.data_dir / underway.FILE)
    hook = Webhook(upstream, clock, lambda: f"msg_{request_id()[4:]}", random.random)
    lasting = Lasting(
        master, root, clock, listeners, upstream, detection, Memo(),
        chain.allowed(settings, root), Held(secret.derive(root, "held by providers"), clock),
        Meter(prices, Providers(())), breakers, PassedOver(clock),
        makers, {}, arrivals, Counter(), Sizes(), books.Lasting(), limiter.Lasting(), state.ask, alert,
        lambda it: ledger.ended(noted.known(lost.record(it))),
        watch.Watch(secret.derive(root, "guard"), clock, lambda what: hook.tell("guard.alert", what)),
        Clients(settings.data_dir, secret.derive(root, "clients")), Failures(clock),
        Paces(clock), cache, noted,
    )  # fmt: skip
    detection.configure(options_of(settings.redaction))
    policies = make(loaded, lasting)
    tallies = Tallies(lambda: len(exchanges.active))
    runs, prover = Runs(tallies), Prover(secret.derive(root, "proof"))
    metrics, feed, health = Metrics(), Feed(), Health(clock)
    ledger = open_ledger(settings, metrics.not_recorded, noted.forget)
    observers = (ledger, tallies, metrics, feed, health)
    exchanges = Exchanges(policies, clock, secret.derive(root, "caller"), observers, runs, prover)
    runs.keys_needed = lambda: exchanges.policies.keys_needed
    gate = Gate(exchanges, guard, lambda: exchanges.policies.connections)
    codes = Codes(clock)
    bundle = Bundle(
        exchanges, authority, lasting, guard, Sharing(state, breakers, clock), bound_store.BoundStore(state, makers, clock), state,
        ledger, metrics, feed, health, tallies, codes, Keys(admin_token(settings), codes, clock), runs, prover, gate, hook, noted,
    )  # fmt: skip
    bundle.tidy()
    remember(master, arrivals)
    master.addons.add(Leaves(authority), gate, Keeper(bundle), exchanges, table)
    return bundle


def _proxies(settings: Settings) -> Proxies:
    """Our own way out. A shell that is set up for programs behind TokenMan names TokenMan itself: that is left out."""
    try:
        found = Proxies.from_environment(os.environ)
    except ValueError as e:
        raise ConfigError(str(e)) from None
    ours = {(name, settings.listen.port) for name in (*LOOPBACK_NAMES, settings.listen.host)}
    return found.without(ours)
