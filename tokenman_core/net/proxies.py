"""Parent proxies: what `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say of TokenMan's own way to the providers."""

import base64
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from tokenman_core.errors import ConfigError
from tokenman_core.verdicts import Headers

log = logging.getLogger("tokenman.net")


@dataclass(frozen=True)
class Proxy:
    """Plain HTTP to a proxy. `authorization` is the value of its `Proxy-Authorization` header, empty for none."""

    host: str
    port: int
    authorization: bytes = field(default=b"", repr=False)

    @property
    def headers(self) -> Headers:
        return ((b"Proxy-Authorization", self.authorization),) if self.authorization else ()


@dataclass(frozen=True)
class Proxies:
    """Which proxy a destination is reached through, if any."""

    https: Proxy | None = None
    http: Proxy | None = None
    no_proxy: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Proxies":
        """Each variable in lower case, else in capitals; `ALL_PROXY` where the scheme's own is missing.

        Raises ConfigError naming the variable, never its value (which may hold a password).
        """
        # In a CGI environment HTTP_PROXY is what a client's `Proxy` header says (httpoxy, CVE-2016-5385).
        forged = "HTTP_PROXY" if "REQUEST_METHOD" in environ else ""

        def named(*names: str) -> Proxy | None:
            for name in names:
                for variable in (name.lower(), name):
                    if (url := environ.get(variable, "").strip()) and variable != forged:
                        return _parse(variable, url)
            return None

        without = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
        entries = tuple(entry.lower() for part in without.split(",") for entry in part.split())
        return cls(named("HTTPS_PROXY", "ALL_PROXY"), named("HTTP_PROXY", "ALL_PROXY"), entries)

    def without(self, ours: Collection[tuple[str, int]]) -> "Proxies":
        """Less what would lead back to ourselves, host and port; that is said in the log."""
        https, http = (
            None if proxy and (proxy.host, proxy.port) in ours else proxy for proxy in (self.https, self.http)
        )
        if (https, http) != (self.https, self.http):
            log.warning("HTTPS_PROXY or HTTP_PROXY names TokenMan itself: it is not used as a parent proxy")
        return Proxies(https, http, self.no_proxy)

    def of(self, scheme: str, host: str, port: int) -> Proxy | None:
        """This machine itself is never reached through a proxy, for there the name means another one."""
        proxy = self.https if scheme == "https" else self.http
        host = host.lower().rstrip(".")
        if proxy is None or host == "localhost" or host.endswith(".localhost") or _is_loopback(host):
            return None
        return None if any(_matches(entry, host, port) for entry in self.no_proxy) else proxy


def _matches(entry: str, host: str, port: int) -> bool:
    """One word of NO_PROXY: `*`, a domain and all below it (with or without a dot in front), an address, a network; a port
    may follow. There is no standard; this is what curl and Go have in common."""
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return ip_address(host) in ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, at = entry.rpartition(":")
    if colon and at.isdigit() and (":" not in name or name.startswith("[")):
        if int(at) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").lstrip(".").rstrip(".")
    return bool(entry) and (host == entry or host.endswith("." + entry))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _parse(variable: str, url: str) -> Proxy:
    good = "a good value: http://proxy.example:3128"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        raise ConfigError(f"{variable} is not the address of a proxy; {good}") from None
    if parts.scheme != "http" or not host:
        raise ConfigError(f"{variable}: only http:// proxies can be used; {good}")
    authorization = b""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = b"Basic " + base64.b64encode(pair.encode())
    return Proxy(host, port, authorization)
