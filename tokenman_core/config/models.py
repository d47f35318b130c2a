"""Every setting of `tokenman.yaml` with its default, as frozen values."""

import zoneinfo
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
)

from tokenman_core.config import known
from tokenman_core.config.cases import Case
from tokenman_core.config.guarding import Guard
from tokenman_core.config.redacting import (
    Action,
    Allowed,
    Denied,
    Egress,
    Entities,
    OffOn,
    Projects,
    Recognizer,
    Unreadable,
)
from tokenman_core.config.routing import Route
from tokenman_core.config.secrets_ref import Source
from tokenman_core.config.section import DialectName, Section
from tokenman_core.config.spending import Budget, RateLimit
from tokenman_core.config.values import (
    AbsolutePath,
    Address,
    BaseUrl,
    Duration,
    Flag,
    Host,
    Key,
    Listen,
    PrivateHost,
    Secret,
    Size,
    Url,
    Word,
    exact,
    exact_schema,
)
from tokenman_core.config.wrong import wrong

Entry = Mapping[str, Any]
"""One entry of a list that this version accepts only empty; the version that obeys it gives it a shape."""

_frozen = AfterValidator(lambda value: MappingProxyType(dict(value)))
_plain = PlainSerializer(dict)

ADMIN_TOKEN = "env:TOKENMAN_ADMIN_TOKEN"


def _section() -> Any:
    # Not an instance: a section's defaults are read in the context of the whole (its environment, its home folder).
    return Field(default_factory=dict)


class Tls(Section):
    cert: AbsolutePath | None = None
    key: AbsolutePath | None = None


def _admin_token(value: Any, info: ValidationInfo) -> Any:
    # The documented default, written out, does not dangle: without the variable a token is made at first start.
    if value == ADMIN_TOKEN and not Source.of(info.context).environ.get("TOKENMAN_ADMIN_TOKEN"):
        return None
    return value


_LEAST_TOKEN = 16  # characters


def _long_enough(value: SecretStr) -> SecretStr:
    count = len(value.get_secret_value().strip())
    if count < _LEAST_TOKEN:
        remedy = f"good values: null (one is made), or env:NAME with {_LEAST_TOKEN} characters or more of chance"
        raise wrong(f"has {count} characters, which can be guessed; {remedy}")
    return value


class Admin(Section):
    listen: Listen = Address("127.0.0.1", 7678)
    token: Annotated[Annotated[Key, AfterValidator(_long_enough)] | None, BeforeValidator(_admin_token)] = Field(
        default=ADMIN_TOKEN
    )  # type: ignore[assignment]
    allowed_origins: tuple[str, ...] = Field(default=(), examples=[["http://localhost:3000"]])
    metrics: Literal["auto", "open", "token"] = "auto"


class Access(Section):
    clients: Literal["auto", "optional", "required"] = "auto"
    allowed_origins: tuple[str, ...] = Field(default=(), examples=[["http://localhost:3000"]])
    public_names: tuple[Host, ...] = Field(default=(), examples=[["box.example.com"]])


class Intercept(Section):
    hosts: tuple[Host, ...] = Field(default=(), examples=[["llm.example.com"]])
    passthrough: tuple[Host, ...] = Field(default=(), examples=[["files.example.com"]])
    private: tuple[PrivateHost, ...] = Field(default=(), examples=[["10.0.0.0/8"]])


class RequestHeaders(Section):
    size: Size = 64 * 1024
    count: int = Field(default=200, ge=1)


class Limits(Section):
    """Sizes in bytes, times in seconds; 0 means no limit."""

    request_body: Size = 32 * 1024**2
    response_body: Size = 100 * 1024**2
    stream_capture: Size = 10 * 1024**2
    client_header_timeout: Duration = 10.0
    client_body_timeout: Duration = 60.0
    keepalive_timeout: Duration = 120.0
    connections: int = Field(default=1000, ge=0)
    request_headers: RequestHeaders = _section()


class Timeouts(Section):
    """Seconds; 0 means no deadline."""

    connect: Duration = 10.0
    first_byte: Duration = 600.0
    first_token: Duration = 600.0
    idle: Duration = 120.0
    total: Duration = 0.0


class Provider(Section):
    """An upstream. `hosts` are its well-known names, which stay intercepted when `base_url` points elsewhere.

    `stream_usage`: streams of Chat Completions are asked to tell their usage; false for servers that refuse the question.
    `breaker`: what a model that is overloaded counts against. `pace`: on has calls wait for what it says of its rate limits.
    """

    base_url: Url = Field(examples=["https://api.example.com"])
    dialect: Annotated[DialectName, Field(examples=["openai"])]
    key: Key | None = None
    models: tuple[str, ...] = ("*",)
    priority: int = 1
    connections: int = Field(default=100, ge=1)
    timeouts: Timeouts = _section()
    hosts: tuple[Host, ...] = Field(default=(), examples=[["api.example.com"]])
    stream_usage: Flag = True
    breaker: Literal["model", "provider"] = "model"
    pace: OffOn = "off"


def _passing(status: int) -> int:
    """It passes by itself: a wrong key or a wrong question is as wrong the second time."""
    if status < 500 and status not in (408, 409, 425, 429):
        raise wrong("is no status that passes by itself; good values: 408, 409, 425, 429 and all from 500 on")
    return status


class Retry(Section):
    attempts: int = Field(default=3, ge=1)
    base_delay: Duration = 0.5
    max_delay: Duration = 30.0
    max_wait: Duration = 60.0
    statuses: tuple[Annotated[int, Field(ge=400, le=599), AfterValidator(_passing)], ...] = (429, 502, 503, 504, 529)


class Breaker(Section):
    failures: int = Field(default=5, ge=1)
    ratio: float = Field(default=0.5, gt=0, le=1, strict=False)
    min_calls: int = Field(default=20, ge=0)
    window: Duration = 60.0
    reset: Duration = 60.0
    probes: int = Field(default=1, ge=1)


class Redaction(Section):
    mode: Annotated[Action, Word] = "redact"
    entities: Entities = Field(default_factory=dict)
    secrets: Annotated[Action, Word] = "redact"
    ner: Annotated[str, Word, Field(min_length=1)] = "off"
    restore: Flag = True
    restore_egress: Egress = "same_host"
    note: OffOn = "off"
    unreadable: Unreadable = "pass"
    allow: tuple[Allowed, ...] = Field(default=(), examples=[["*@example.com"]])
    deny: tuple[Denied, ...] = Field(default=(), examples=[["Project Aurora"]])
    recognizers: tuple[Recognizer, ...] = ()
    projects: Projects = Field(default_factory=dict)


class Injection(Section):
    mode: Annotated[Literal["log", "warn", "sanitize", "block", "off"], Word] = "log"
    threshold: float = Field(default=0.7, ge=0, le=1, strict=False)
    scan: tuple[Literal["system", "user", "assistant", "tool_results"], ...] = ("tool_results", "user")
    exfiltration: Flag = True


_DEAREST = 10**6
Price = Annotated[
    Decimal,
    BeforeValidator(
        exact('is not a price; good values: 0, 2.5, "0.075" (USD for a million tokens)', _DEAREST, zero=True)
    ),
    PlainSerializer(str),
    exact_schema(_DEAREST, (0.5, "0.075"), zero=True),
]
"""USD for a million tokens, exact."""


def _discount(value: Any) -> Decimal:
    good = wrong('is no discount; good values: 0.15, "15%"')
    try:
        text = str(value).strip()
        share = Decimal(text[:-1]) / 100 if text.endswith("%") else Decimal(text)
    except InvalidOperation:
        raise good from None
    if isinstance(value, bool) or not (share.is_finite() and 0 <= share <= 1):
        raise good
    return share


Discount = Annotated[
    Decimal,
    BeforeValidator(_discount),
    PlainSerializer(str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": r"^\d+(\.\d+)?%?$"},
            ],
            "examples": [0.15, "15%"],
        }
    ),
]
"""What is taken off a list price, as a share of it."""


class PriceOverride(Section):
    """The user's own prices of a model. What is read from a cache or written to one is at `input_mtok` where nothing is said."""

    input_mtok: Price = Field(examples=[0.5])
    output_mtok: Price = Field(examples=[2])
    cache_read_mtok: Price | None = None
    cache_write_mtok: Price | None = None
    cache_write_1h_mtok: Price | None = None  # not said: as `cache_write_mtok`


class Pricing(Section):
    """`overrides`: by a model's name, in which `*` and `?` stand for any text and any character. `discounts`: by provider, off what
    its list says, not off an override.
    """

    unknown_model: Literal["ceiling", "refuse", "allow"] = "ceiling"
    subscriptions: Literal["notional", "free", "count"] = "notional"
    overrides: Annotated[Mapping[Annotated[str, Field(min_length=1)], PriceOverride], _frozen, _plain] = Field(
        default_factory=dict
    )
    discounts: Annotated[Mapping[Annotated[str, Field(min_length=1)], Discount], _frozen, _plain] = Field(
        default_factory=dict
    )


class Cache(Section):
    mode: Annotated[Literal["off", "deterministic", "all"], Word] = "off"
    ttl: Duration = 300.0
    entries: int = Field(default=1000, ge=0)
    size: Size = 1024**3
    scope: Literal["caller", "shared"] = "caller"
    encrypt: Annotated[Literal["auto", "on", "off"], Word] = "auto"
    tools: OffOn = "off"
    tool_calls: OffOn = "off"
    pace: Literal["at_once", "original"] = "at_once"


class History(Section):
    keep_turns: int = Field(default=0, ge=0)


class Compaction(Section):
    prompt_cache: Annotated[Literal["suggest", "auto", "off"], Word] = "suggest"
    minify_json: OffOn = "off"
    whitespace: OffOn = "off"
    history: History = _section()
    heartbeat: OffOn = "off"


class State(Section):
    url: Secret = SecretStr("")


class Ledger(Section):
    url: Secret = SecretStr("")
    retention: Duration = 90 * 86400.0
    bodies: Annotated[Literal["off", "redacted"], Word] = "off"


class Inspect(Section):
    plain: Flag = False


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"
    file: AbsolutePath | None = None


class Otel(Section):
    endpoint: Secret | None = None
    propagate: Flag = False
    sample: float = Field(default=1.0, ge=0, le=1, strict=False)


class Telemetry(Section):
    log: Log = _section()
    otel: Otel = _section()


def _webhook(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        parts = urlsplit(value.get_secret_value())
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise wrong(
                "is no address of a web server; good values: env:NAME, file:PATH, https://hooks.example.com/tokenman"
            )
    return value


class Alerts(Section):
    """`secret`: what messages are signed with; null: made in data_dir, in the file webhook-secret."""

    webhook: Annotated[Secret | None, AfterValidator(_webhook)] = None
    secret: Key | None = None


def _providers(value: Any) -> Any:
    """What is known, with the user's entries over it: a known name keeps what the user does not say."""
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        return value
    merged: dict[Any, Any] = {}
    for name in (*known.PROVIDERS, *(name for name in value if name not in known.PROVIDERS)):
        default = known.PROVIDERS.get(name, {})
        given = {} if value.get(name) is None else value[name]
        if isinstance(given, Provider) or not isinstance(given, Mapping):
            merged[name] = given
            continue
        merged[name] = {**default, **given}
        if isinstance(hosts := given.get("hosts"), list | tuple):  # the user's first: an error counts from there
            merged[name]["hosts"] = [*hosts, *(host for host in default.get("hosts", ()) if host not in hosts)]
    return merged


def _timezone(value: str) -> str:
    if value != "UTC":  # known without the system's time zone data, which slim images lack
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise wrong("is not a time zone that this machine knows; good values: UTC, Europe/Berlin") from None
    return value


class Settings(Section):
    """The whole configuration. Made by `tokenman_core.config.load.load`; `Settings()` is the defaults."""

    listen: Listen = Address("127.0.0.1", 7677)
    data_dir: AbsolutePath = Path("~/.local/share/tokenman")
    tls: Tls = _section()
    admin: Admin = _section()
    access: Access = _section()
    intercept: Intercept = _section()
    limits: Limits = _section()
    providers: Annotated[
        Mapping[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")], Provider],
        BeforeValidator(_providers),
        _frozen,
        _plain,
    ] = Field(default_factory=dict)
    retry: Retry = _section()
    breaker: Breaker = _section()
    routes: tuple[Route, ...] = ()
    redaction: Redaction = _section()
    injection: Injection = _section()
    budgets: tuple[Budget, ...] = ()
    pricing: Pricing = _section()
    rate_limits: tuple[RateLimit, ...] = ()
    guard: Guard = _section()
    cache: Cache = _section()
    compaction: Compaction = _section()
    secret: Key | None = None
    state: State = _section()
    ledger: Ledger = _section()
    inspect: Inspect = _section()
    telemetry: Telemetry = _section()
    alerts: Alerts = _section()
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    tests: tuple[Case, ...] = ()

    def owner(self, host: str) -> str | None:
        """The provider that a host belongs to: by its well-known names first, then by its base URL; None: nobody's."""
        host = host.lower().rstrip(".")
        return next((name for name, it in self.providers.items() if host in it.hosts), None) or next(
            (name for name, it in self.providers.items() if host == it.base_url.host), None
        )

    def foreign_base_urls(self) -> dict[str, BaseUrl]:
        """By name, the base URLs of known providers that are not the provider's own, and those of all others."""
        own = {name: entry["base_url"] for name, entry in known.PROVIDERS.items()}
        return {name: it.base_url for name, it in self.providers.items() if str(it.base_url) != own.get(name)}

    @property
    def caches(self) -> bool:
        """Whether any call may be answered from the cache."""
        return self.cache.mode != "off" or any(it.cache not in (None, "off") for it in self.routes)

    def hosts(self) -> tuple[str, ...]:
        """All hosts whose calls are opened and judged: the providers' and `intercept.hosts`."""
        found = [host for it in self.providers.values() for host in (*it.hosts, it.base_url.host)]
        return tuple(dict.fromkeys([*found, *self.intercept.hosts]))

    def authority_hosts(self) -> tuple[str, ...]:
        """The hosts that our certificate authority must be able to vouch for: those that are reached by HTTPS."""
        found: list[str] = []
        for provider in self.providers.values():
            found += provider.hosts
            if provider.base_url.scheme == "https":
                found.append(provider.base_url.host)
        return tuple(dict.fromkeys([*found, *self.intercept.hosts]))
