"""What one configuration says about calls, made once when it is read: a call keeps the policies that it began with.

Beside them stands what outlives a change of the configuration: connections, detection, memories, breakers, figures.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mitmproxy.master import Master

from addons import caching, chain
from addons.access import Access
from addons.budget import Budget
from addons.failover import Failover, PassedOver
from addons.guard import Guard
from addons.pace import Pace
from addons.proxy import internals
from addons.proxy.admission import Front, Limits
from addons.proxy.own_limits import OwnLimits
from addons.ratelimit import RateLimit
from addons.spending import budget_rule
from tokenman_core import price_lists, secret, webhook
from tokenman_core.ahead.quote import Quotes, Sizes
from tokenman_core.ahead.texts import Counter
from tokenman_core.budget import books, windows
from tokenman_core.clients import Clients, Failures, keys_needed
from tokenman_core.clock import Clock
from tokenman_core.conductor import Conductor
from tokenman_core.config import spending
from tokenman_core.config.load import Loaded
from tokenman_core.config.models import Settings
from tokenman_core.errors import ConfigError
from tokenman_core.failover import breaker, policy, retry
from tokenman_core.failover.breakers import Breakers
from tokenman_core.guard import watch
from tokenman_core.ledger import LedgerError, LedgerReader
from tokenman_core.ledger import path_of as ledger_path
from tokenman_core.makers import Makers
from tokenman_core.metering import Meter
from tokenman_core.net import Upstream
from tokenman_core.outward import Caps
from tokenman_core.pricing import Prices
from tokenman_core.providers import Providers, of_settings
from tokenman_core.ratelimit import limiter
from tokenman_core.ratelimit.pace import Paces
from tokenman_core.ratelimit.rules import Rate
from tokenman_core.ratelimit.rules import Rule as RateRule
from tokenman_core.redaction import Allowed, Detection, Held, Memo
from tokenman_core.routes import Routes
from tokenman_core.scopes import Reach, Subject
from tokenman_core.sending import Sender
from tokenman_core.session import Sessions
from tokenman_core.stages import Stages
from tokenman_core.state import AskStore, Unavailable
from tokenman_core.tries import Means
from tokenman_core.underway import Underway

log = logging.getLogger("tokenman")

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1", "ip6-localhost")


@dataclass(frozen=True)
class Lasting:
    """What policies work with and do not own. `root` is the installation's secret; `listeners` are our own addresses."""

    master: Master
    root: bytes = field(repr=False)
    clock: Clock
    listeners: Callable[[], Collection[tuple[str, int]]]
    upstream: Upstream
    detection: Detection
    memo: Memo
    allowed: Allowed
    turns: Held
    meter: Meter
    breakers: Breakers
    passed_over: PassedOver
    makers: Makers
    retries: dict[str, retry.Budget]
    arrivals: "Arrivals"
    counter: Counter
    sizes: Sizes
    held: books.Lasting
    limited: limiter.Lasting
    ask: AskStore
    tell: Callable[[books.Alert], None]
    lost: Callable[[books.Lost], None]
    watch: watch.Watch
    clients: Clients
    failures: Failures
    paces: Paces
    cache: caching.Lasting
    underway: Underway


@dataclass(frozen=True, eq=False)
class Policies:
    """All that judges a call."""

    loaded: Loaded
    providers: Providers
    conductor: Conductor
    stages: Callable[[], Stages | None]
    ours: Callable[[], tuple[object, ...]]
    """Those of our stages that have something to do now: clients may come with limits of their own."""
    clients: Clients
    keys_needed: bool
    front: Front
    limits: Limits
    connections: int
    permitted: frozenset[tuple[str, int | None]]
    """What may be dialled though its address is private: base URLs, and what `intercept.private` names."""
    books: books.Books
    limiter: limiter.Limiter
    meter: Meter
    origins: frozenset[tuple[str, str, int]]
    """Scheme, host and port of every base URL, and of the webhook."""
    hook: webhook.Address | None


def make(loaded: Loaded, lasting: Lasting) -> Policies:
    """Changes nothing of what lasts. Raises ConfigError."""
    settings, clock = loaded.settings, lasting.clock
    providers = of_settings(settings)
    redaction = chain.redaction(
        settings, lasting.root, lasting.detection, lasting.memo, lasting.allowed, lasting.turns
    )  # fmt: skip
    failover = Failover(lasting.breakers, settings.retry.max_delay, providers, clock, lasting.passed_over)
    prices = Prices(settings.pricing, price_lists.at(settings.data_dir))
    meter = lasting.meter.by(prices, providers)
    configured = [budget_rule(it) for it in settings.budgets]
    own = OwnLimits(lasting.clients, configured)
    kept = books.Books(
        configured,
        windows.zone(settings.timezone),
        clock,
        lasting.ask,
        lasting.tell,
        lasting.held,
        own.budgets,
        _past(settings),
        lasting.lost,
    )
    quotes = Quotes(prices, providers, lasting.counter, lasting.sizes, asyncio.to_thread)
    budget = Budget(
        kept, quotes, providers,
        counts_subscriptions=settings.pricing.subscriptions == "count",
        refuses_unknown=settings.pricing.unknown_model == "refuse",
    )  # fmt: skip
    limited = limiter.Limiter(
        [_rate_limit(it) for it in settings.rate_limits],
        secret.derive(lasting.root, "rate limits"),
        clock,
        lasting.ask,
        lasting.limited,
        own.rates,
    )
    ratelimit = RateLimit(limited, quotes)
    guard = Guard(
        _guard(settings), lasting.watch, counts_subscriptions=settings.pricing.subscriptions == "count"
    )  # fmt: skip
    pace = Pace(lasting.paces, providers, clock)
    cache = caching.Caching(
        caching.rules_of(settings), lasting.cache, providers, prices, secret.derive(lasting.root, "cache"), clock
    )  # fmt: skip
    hook = _hook(settings, lasting.root)
    needed = keys_needed(settings)
    access = Access(
        lasting.clients, providers, needed, [it.name for it in settings.budgets], lasting.failures, clock
    )  # fmt: skip

    def ours() -> tuple[object, ...]:
        limits = own.now()
        return (
            access,
            *((ratelimit,) if ratelimit.wanted or limits.rates else ()),
            redaction,
            *((guard,) if guard.wanted else ()),
            pace,
            *((budget,) if budget.wanted or limits.budgets else ()),
            cache,
            failover,
        )

    stages = ChainKeeper(lasting.master, ours, lambda: (lasting.arrivals.count, lasting.clients.now().version), clock)
    caps = Caps(settings.limits.request_body, settings.limits.response_body, settings.limits.stream_capture)
    judge = policy.Policy(_retry(settings), clock, random.random, lasting.retries)
    sender = Sender(providers, lasting.upstream, clock)
    means = Means(sender, judge, meter, clock, caps.response_body, may=failover.may, note=lasting.underway.note)
    sessions = Sessions(secret.derive(lasting.root, "session"))
    routes = Routes(settings.routes, providers, lasting.makers)
    return Policies(
        loaded, providers, Conductor(stages, providers, means, caps, clock, sessions, routes), stages, ours,
        lasting.clients, needed,
        _front(settings, lasting), _limits(settings), settings.limits.connections,
        frozenset([
            *providers.origins,
            *((host, None) for host in settings.intercept.private),
            *(((hook.host.lower(), hook.port),) if hook else ()),
        ]),
        kept, limited, meter,
        frozenset([
            *((it.scheme, it.host, it.port) for it in providers.by_name.values()), *((hook.origin,) if hook else ()),
        ]),
        hook,
    )  # fmt: skip


class Arrivals:
    """How often add-ons have come or gone: chains are arranged anew then."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


class ChainKeeper:
    """The chain as it is now. Arranged again when add-ons or clients have come or gone, which `mark` tells; None while a wanted
    script is not there."""

    def __init__(
        self,
        master: Master,
        ours: Callable[[], tuple[object, ...]],
        mark: Callable[[], object],
        clock: Clock,
    ) -> None:
        self._master, self._ours, self._mark, self._clock = master, ours, mark, clock
        self._known: Stages | None = None
        self._of: object = None

    def __call__(self) -> Stages | None:
        mark = self._mark()
        if self._known is None or self._of != mark:
            self._known, self._of = None, mark
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
        return chain.arrange([addon for addon in addons if addon is not None], self._ours(), self._clock)


def breaker_rules(settings: Settings) -> breaker.Rules:
    it = settings.breaker
    return breaker.Rules(it.failures, it.ratio, it.min_calls, it.window, it.reset, it.probes)


def model_breakers(settings: Settings) -> dict[str, bool]:
    """By the name of each provider, whether a failure may be one of a model alone."""
    return {name: it.breaker == "model" for name, it in settings.providers.items()}


def _retry(settings: Settings) -> policy.Rules:
    retry = settings.retry
    return policy.Rules(retry.attempts, retry.base_delay, retry.max_delay, retry.max_wait, frozenset(retry.statuses))


def _front(settings: Settings, lasting: Lasting) -> Front:
    names = frozenset((*LOOPBACK_NAMES, settings.listen.host.lower(), *settings.access.public_names))
    return Front(lasting.listeners, names, frozenset(settings.access.allowed_origins))


def _past(settings: Settings) -> books.Past:
    """What the ledger has of earlier calls, as budgets count it."""
    reader, counts_all = LedgerReader(ledger_path(settings)), settings.pricing.subscriptions == "count"

    async def past(since: float) -> list[tuple[Subject, int]]:
        try:
            rows = await asyncio.to_thread(reader.spent, datetime.fromtimestamp(since, UTC))
        except LedgerError as e:
            log.error("what budgets have spent cannot be told: their counts are gone, and the ledger: %s", e)
            raise Unavailable from None
        return [
            (
                Subject(it.client, it.project, it.provider, it.model, it.session),
                it.cost - (0 if counts_all else it.notional),
            )
            for it in rows
        ]

    return past


def _rate_limit(it: spending.RateLimit) -> RateRule:
    return RateRule(
        it.name, Reach(it.scope, it.match.patterns), Rate(*it.requests) if it.requests else None,
        Rate(*it.tokens) if it.tokens else None, it.concurrent, it.wait,
    )  # fmt: skip


def _guard(settings: Settings) -> watch.Rules:
    it = settings.guard
    return watch.Rules(it.repeats, it.errors, it.usd_per_minute, it.then == "block")


def _hook(settings: Settings, root: bytes) -> webhook.Address | None:
    """Where alerts are told. The key that signs them is put where the operator finds it."""
    alerts = settings.alerts
    if alerts.webhook is None:
        return None
    if alerts.secret is not None:
        key = webhook.key_of(alerts.secret.get_secret_value())
    else:
        key = secret.derive(root, "webhook")
        path = settings.data_dir / webhook.SECRET_FILE
        try:
            secret.write_private(path, webhook.shown(key).encode() + b"\n")
        except OSError as error:
            raise ConfigError(
                f"alerts.secret: {path} cannot be written: {error.strerror}; or set alerts.secret"
            ) from None
    return webhook.Address.of(alerts.webhook.get_secret_value(), key)


def _limits(settings: Settings) -> Limits:
    limits = settings.limits
    return Limits(
        limits.request_body, limits.request_headers.size, limits.request_headers.count,
        limits.client_header_timeout, limits.client_body_timeout, limits.keepalive_timeout,
    )  # fmt: skip
