"""Puts TokenMan's add-ons at the end of a master's chain, once: there they outlive a script's reload and see what is final."""

import logging
import os
import random
from collections.abc import Callable
from dataclasses import dataclass

from mitmproxy.master import Master

from addons import chain
from addons.failover import Failover
from addons.proxy import internals
from addons.proxy.admission import Front, Limits
from addons.proxy.dispatch import remember
from addons.proxy.exchange import Exchanges
from addons.proxy.gate import Gate
from addons.proxy.leaves import Leaves
from addons.proxy.options import OptionTable
from tokenman_core import ca, secret
from tokenman_core.admin.keys import Codes
from tokenman_core.admin.runs import Runs
from tokenman_core.clock import SystemClock
from tokenman_core.conductor import Conductor
from tokenman_core.config.load import Loaded
from tokenman_core.config.models import Settings
from tokenman_core.errors import ConfigError
from tokenman_core.failover import breaker, policy
from tokenman_core.instance import Prover
from tokenman_core.ledger.ledger import Ledger, open_ledger
from tokenman_core.metering import Meter
from tokenman_core.net import Guard, Proxies, Upstream
from tokenman_core.outward import Caps
from tokenman_core.pricing import Prices
from tokenman_core.providers import Providers, of_settings
from tokenman_core.redaction import Detection
from tokenman_core.routes import Routes
from tokenman_core.sending import Sender
from tokenman_core.session import Sessions
from tokenman_core.stages import Stages
from tokenman_core.telemetry.feed import Feed
from tokenman_core.telemetry.health import Health
from tokenman_core.telemetry.metrics import Metrics
from tokenman_core.telemetry.tally import Tallies
from tokenman_core.tries import Means

log = logging.getLogger("tokenman")

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1", "ip6-localhost")


@dataclass
class Bundle:
    """What was put in, for whoever starts and stops it."""

    exchanges: Exchanges
    authority: ca.Authority
    detection: Detection
    providers: Providers
    upstream: Upstream
    meter: Meter
    stages: Callable[[], Stages | None]
    ours: list[object]
    failover: Failover
    ledger: Ledger
    metrics: Metrics
    feed: Feed
    health: Health
    tallies: Tallies
    codes: Codes
    runs: Runs
    prover: Prover
    gate: Gate


class Keeper:
    """Starts and ends what the stages share. Its hooks are mitmproxy's `running` and `done`."""

    name = "keeper"
    sealed = True

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    async def running(self) -> None:
        self._bundle.meter.start()
        await self._bundle.ledger.start()
        await self._bundle.detection.start()

    async def done(self) -> None:
        self._bundle.exchanges.closing = True
        await self._bundle.upstream.aclose()
        await self._bundle.detection.close()
        self._bundle.meter.close()
        await self._bundle.ledger.aclose()


class ChainKeeper:
    """The chain as it is now. Forgotten whenever add-ons come or go; None while a wanted script is not there."""

    def __init__(self, master: Master, ours: list[object]) -> None:
        self._master, self._ours = master, ours
        self._known: Stages | None = None
        self._clock = SystemClock()

    def forget(self) -> None:
        self._known = None

    def __call__(self) -> Stages | None:
        if self._known is None:
            try:
                self._known = self._arrange()
            except chain.ChainError as e:
                log.error("no call is sent: %s", e)
        return self._known

    def _arrange(self) -> Stages:
        addons = list(internals.addonmanager.traverse(self._master.addons.chain))
        for addon in addons:
            if isinstance(addon, internals.script.Script) and addon.ns is None:
                raise chain.ChainError(f"the script {addon.path} could not be loaded")
        return chain.arrange([addon for addon in addons if addon is not None], self._ours, self._clock)


def install(master: Master, loaded: Loaded, detection: Detection) -> Bundle:
    """Raises ConfigError, OptionRefused, WrongVersion; nothing listens then."""
    internals.check_version()
    internals.mend()
    settings = loaded.settings
    table = OptionTable(master.options)
    table.settle()
    root = secret.installation_secret(settings)
    providers = of_settings(settings)
    authority = ca.ensure(settings.data_dir / "ca", settings.authority_hosts())

    def listeners() -> list[tuple[str, int]]:
        found = [(settings.admin.listen.host, settings.admin.listen.port)]
        server = master.addons.get("proxyserver")
        return found + [(str(address[0]), int(address[1])) for address in server.listen_addrs()]

    guard = Guard(permitted=_permitted(settings, providers), listeners=listeners)
    upstream = Upstream(guard=guard, proxies=_proxies(settings))
    redaction = chain.redaction(settings, root, detection)
    clock = SystemClock()
    failover = Failover(_breaker(settings), settings.retry.max_delay, providers, clock)
    stages = ChainKeeper(master, [redaction, failover])
    caps = Caps(settings.limits.request_body, settings.limits.response_body, settings.limits.stream_capture)
    meter = Meter(Prices(settings.pricing), providers)
    sessions = Sessions(secret.derive(root, "session"))
    judge = policy.Policy(_retry(settings), clock, random.random)
    sender = Sender(providers, upstream, clock)
    means = Means(sender, judge, meter, clock, caps.response_body, may=failover.may)
    conductor = Conductor(stages, providers, means, caps, clock, sessions, Routes(settings.routes, providers))
    identity = secret.derive(root, "caller")
    tallies = Tallies(lambda: len(exchanges.active))
    runs, prover = Runs(tallies), Prover(secret.derive(root, "proof"))
    metrics, feed, health = Metrics(), Feed(), Health(clock)
    ledger = open_ledger(settings, metrics.not_recorded)
    observers = (ledger, tallies, metrics, feed, health)
    exchanges = Exchanges(
        conductor, stages, _front(settings, listeners), _limits(settings), clock, identity, observers, runs, prover
    )
    gate = Gate(exchanges, guard, settings.limits.connections)
    bundle = Bundle(
        exchanges, authority, detection, providers, upstream, meter, stages, [redaction], failover, ledger, metrics, feed,
        health, tallies, Codes(clock), runs, prover, gate,
    )  # fmt: skip
    remember(master, stages.forget)
    master.addons.add(Leaves(authority), gate, redaction, failover, Keeper(bundle), exchanges, table)
    return bundle


def _proxies(settings: Settings) -> Proxies:
    """Our own way out. A shell that is set up for programs behind TokenMan names TokenMan itself: that is left out."""
    try:
        found = Proxies.from_environment(os.environ)
    except ValueError as e:
        raise ConfigError(str(e)) from None
    ours = {(name, settings.listen.port) for name in (*LOOPBACK_NAMES, settings.listen.host)}
    return found.without(ours)


def _permitted(settings: Settings, providers: Providers) -> list[tuple[str, int | None]]:
    """What may be dialled though its address is private: base URLs, and what `intercept.private` names."""
    return [*providers.origins, *((host, None) for host in settings.intercept.private)]


def _retry(settings: Settings) -> policy.Rules:
    retry = settings.retry
    return policy.Rules(retry.attempts, retry.base_delay, retry.max_delay, retry.max_wait, frozenset(retry.statuses))


def _breaker(settings: Settings) -> breaker.Rules:
    it = settings.breaker
    return breaker.Rules(it.failures, it.ratio, it.min_calls, it.window, it.reset, it.probes)


def _front(settings: Settings, listeners: object) -> Front:
    names = frozenset((*LOOPBACK_NAMES, settings.listen.host.lower(), *settings.access.public_names))
    return Front(listeners, names, frozenset(settings.access.allowed_origins))  # type: ignore[arg-type]


def _limits(settings: Settings) -> Limits:
    limits = settings.limits
    return Limits(
        limits.request_body, limits.request_headers.size, limits.request_headers.count,
        limits.client_header_timeout, limits.client_body_timeout, limits.keepalive_timeout,
    )  # fmt: skip
