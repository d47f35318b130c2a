"""Parent proxies: what `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say of TokenMan's own way to the providers."""

import base64
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

log = logging.getLogger("tokenman.net")


@dataclass(frozen=True)
class Proxy:
    """Plain HTTP to a proxy. `authorization` is the value of its `Proxy-Authorization` header, "" for none."""

    host: str
    port: int
    authorization: str = ""

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"


@dataclass(frozen=True)
class Proxies:
    """Which proxy a destination is reached through. The variables' meaning is curl's, which most programs follow."""

    https: Proxy | None = None
    http: Proxy | None = None
    no_proxy: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Proxies":
        """Raises ValueError naming the variable, never its value (which may hold a password)."""

        def value(name: str) -> str:
            return environ.get(name.lower()) or environ.get(name) or ""

        everywhere = value("ALL_PROXY")
        # Upper-case HTTP_PROXY is not read: in a CGI environment it is what a client's `Proxy` header says (httpoxy).
        plain = environ.get("http_proxy") or everywhere
        excepted = tuple(part.strip().lower() for part in value("NO_PROXY").split(",") if part.strip())
        secure = value("HTTPS_PROXY") or everywhere
        return cls(_parse("HTTPS_PROXY", secure), _parse("http_proxy", plain), excepted)

    def without(self, ours: Collection[tuple[str, int]]) -> "Proxies":
        """Less what would lead back to ourselves, host and port."""
        https, http = (
            None if proxy and (proxy.host, proxy.port) in ours else proxy for proxy in (self.https, self.http)
        )
        if (https, http) != (self.https, self.http):
            log.warning("HTTPS_PROXY names TokenMan itself: providers are called without a parent proxy")
        return Proxies(https, http, self.no_proxy)

    def of(self, scheme: str, host: str, port: int) -> Proxy | None:
        proxy = self.https if scheme == "https" else self.http
        return None if proxy is None or self._excepted(host.lower(), port) else proxy

    def _excepted(self, host: str, port: int) -> bool:
        if host in ("localhost", "127.0.0.1", "::1"):
            return True
        for entry in self.no_proxy:
            name, colon, at = entry.rpartition(":")
            if colon and at.isdigit() and not name.endswith(":") and "[" not in name:
                if int(at) != port:
                    continue
                entry = name
            entry = entry.removeprefix("*").lstrip(".").strip("[]")
            if not entry or host == entry or host.endswith("." + entry):
                return True
        return False


def _parse(variable: str, url: str) -> Proxy | None:
    if not url:
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or 80
    except ValueError:
        raise ValueError(f"{variable} is not the URL of a proxy; a good value: http://proxy.example:3128") from None
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{variable}: only http:// proxies are available; a good value: http://proxy.example:3128")
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(parts.hostname, port, authorization)
