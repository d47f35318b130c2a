"""The configured providers as the flow needs them: whose host is it, and where does a call to them go."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from tokenman_core.config import known, models
from tokenman_core.config.values import is_ip, is_near
from tokenman_core.dialects.base import Dialect
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.net import Deadlines, embedded

DEFAULT_PORTS = {"http": 80, "https": 443}
# They answer 422 to a `stream_options` that they do not know, and tell the usage in a stream's last chunk unasked
# (https://docs.mistral.ai/api/).
REFUSE_STREAM_USAGE = frozenset({"api.mistral.ai", "codestral.mistral.ai"})


@dataclass(frozen=True)
class Provider:
    """One upstream. `native_path` is the path under which the provider's own host serves the API ("" for most).

    `stream_usage`: its streams may be asked to tell their usage. `pace`: calls wait for what it says of its rate limits.
    """

    name: str
    dialect: Dialect
    scheme: str
    host: str
    port: int
    base_path: str = ""
    native_path: str = ""
    hosts: frozenset[str] = frozenset()
    key: str | None = field(default=None, repr=False)
    deadlines: Deadlines = field(default_factory=Deadlines)
    stream_usage: bool = True
    models: tuple[str, ...] = ("*",)  # patterns: which it serves
    priority: int = 1
    connections: int = 100
    pace: bool = False

    @property
    def open(self) -> bool:
        """Whether it may be asked for a caller who named another one: with a key of its own, or where none is needed."""
        return self.key is not None or is_near(self.host)

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def target(self, path: str) -> str:
        """The path to ask for at `base_url`. A prefix that both have is never doubled."""
        base = self.base_path
        if self.native_path:
            for prefix in (self.native_path, "/v1"):
                if path == prefix or path.startswith(prefix + "/"):
                    return base + path[len(prefix) :]
            return path if base in ("", self.native_path) and self.holds(path) else base + path
        if not base or path == base or path.startswith(base + "/"):
            return path
        slashes = len(path) - len(path.lstrip("/"))
        first = "/" + path[slashes:].partition("/")[0]
        if base.endswith(first):
            return base + path[slashes - 1 + len(first) :]
        return base + path

    def holds(self, path: str) -> bool:
        """Whether the configured key may go there: what `base_url` does not lead to is not what it was given for."""
        return self.key is None or not self.base_path or path == self.base_path or path.startswith(self.base_path + "/")

    def api_path(self, path: str) -> str:
        """The path as the API's own documentation has it: what a path at this provider is at another one's `target`."""
        for prefix in (self.native_path, self.base_path):
            if prefix and path.startswith(prefix + "/"):
                rest = path[len(prefix) :]
                return f"/v1{rest}" if prefix == self.native_path or prefix.endswith("/v1") else rest
        return path


def normal_host(host: str) -> str:
    """As hosts are compared: lower case, no final dot, no brackets, an IPv4 address within an IPv6 one as what it is."""
    name = host.rstrip(".").lower().strip("[]")
    if ":" not in name:
        return name
    try:
        address = ip_address(name)
    except ValueError:
        return name
    return str(embedded(address) or address)


class Providers:
    """All providers of a configuration. What is governed is decided here, and by host names alone."""

    def __init__(self, providers: Iterable[Provider], intercept: Iterable[str] = ()) -> None:
        self.by_name = {provider.name: provider for provider in providers}
        self._by_host: dict[str, Provider] = {}
        self._by_origin: dict[tuple[str, int], Provider] = {}
        self.intercept = frozenset(normal_host(host) for host in intercept)
        for provider in self.by_name.values():
            # An address or localhost serves many things: only the configured port of it is the provider.
            if is_ip(provider.host) or provider.host == "localhost":
                for host in (
                    normal_host(provider.host),
                    *(("127.0.0.1", "::1") if provider.host == "localhost" else ()),
                ):
                    self._by_origin.setdefault((host, provider.port), provider)
            else:
                self._by_host.setdefault(provider.host, provider)
        for provider in self.by_name.values():
            for host in provider.hosts:  # a well-known host belongs to its own provider, whoever else points at it
                self._by_host[normal_host(host)] = provider

    def governs(self, host: str | None, port: int | None = None) -> bool:
        if not host:
            return False
        host = normal_host(host)
        return host in self._by_host or host in self.intercept or (port is not None and (host, port) in self._by_origin)

    def of_host(self, host: str, port: int) -> Provider | None:
        host = normal_host(host)
        return self._by_host.get(host) or self._by_origin.get((host, port))

    def names_at(self, port: int) -> frozenset[str]:
        """Names at which providers are reached without TLS, so that nothing but their address tells whose it is."""
        plain = (it.host for it in self.by_name.values() if it.scheme == "http" and it.port == port)
        return frozenset(host for host in plain if not is_ip(host))

    @property
    def origins(self) -> frozenset[tuple[str, int]]:
        """Host and port of every base URL: these may be dialled even where the address is private."""
        return frozenset((provider.host, provider.port) for provider in self.by_name.values())


def of_settings(settings: models.Settings) -> Providers:
    """The table that a configuration describes."""
    return Providers((_provider(name, one) for name, one in settings.providers.items()), settings.intercept.hosts)


def _provider(name: str, one: models.Provider) -> Provider:
    native = urlsplit(known.PROVIDERS.get(name, {}).get("base_url", "")).path.rstrip("/")
    times = one.timeouts
    return Provider(
        name, DIALECTS[one.dialect], one.base_url.scheme, one.base_url.host, one.base_url.port, one.base_url.path, native,
        frozenset(one.hosts), one.key.get_secret_value() if one.key else None,
        Deadlines(times.connect, times.first_byte, times.idle, times.total, times.first_token),
        one.stream_usage and one.base_url.host not in REFUSE_STREAM_USAGE, one.models, one.priority, one.connections,
        one.pace == "on",
    )  # fmt: skip
