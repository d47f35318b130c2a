"""Whether providers can be reached from here: a connection and TLS, through the machine's parent proxy; nothing is asked."""

import http.client
import ssl
import time
from collections.abc import Iterator
from functools import partial

from addons.cli.doctor.bounded import side_by_side
from addons.cli.doctor.finding import Finding, Patient, fail, ok, warn
from tokenman_core.config.values import BaseUrl
from tokenman_core.errors import ConfigError
from tokenman_core.net.proxies import Proxies, Proxy
from tokenman_core.net.roots import client_context

_PATIENCE_S = 3.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def providers(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    try:
        ours = {(name, settings.listen.port) for name in (*_LOOPBACK, settings.listen.host)}
        proxies = Proxies.from_environment(patient.environ).without(ours)
        context = client_context(patient.environ)
    except ConfigError as error:
        yield fail(str(error), "mend the variable that it names")
        return
    urls = {name: provider.base_url for name, provider in settings.providers.items()}
    patience = patient.within(_PATIENCE_S)
    tries = [partial(_why_not, url, proxies, context, patience) for url in urls.values()]
    found = side_by_side(tries, time.monotonic() + patience)
    why = {name: _silent(patience) if said is None else said for name, said in zip(urls, found, strict=True)}
    reached = [name for name in urls if not why[name]]
    if reached:
        yield ok(f"reached: {', '.join(reached)}")
    given = {
        name for name in urls if any(f"{origin}.".startswith(f"providers.{name}.") for origin in patient.found.origins)
    }
    remedy = "see the network, HTTPS_PROXY, and the provider's base_url"
    for name in (name for name in urls if why[name]):
        line = f"{name} at {urls[name]}: {why[name]}"
        if not reached:
            yield fail(line, remedy)
        elif name in given:
            yield warn(line, remedy)
        else:
            yield ok(f"not reached: {line} (matters only if you use it)")


def _silent(patience: float) -> str:
    return f"no answer within {patience:.0f} s"


def _why_not(url: BaseUrl, proxies: Proxies, context: ssl.SSLContext, patience: float) -> str:
    """Why it cannot be reached; "" if it can. Never an error's own text, which may hold an inner address."""
    proxy = proxies.of(url.scheme, url.host, url.port)
    connection = _connection(url, proxy, context, patience)
    try:
        connection.connect()
    except ssl.SSLCertVerificationError:
        return (
            "its certificate is not trusted by this machine (is there an inspecting proxy? SSL_CERT_FILE adds its root)"
        )
    except TimeoutError:
        return _silent(patience)
    except (OSError, http.client.HTTPException, ValueError):
        return "no connection can be opened" + (f" through the proxy {proxy.host}:{proxy.port}" if proxy else "")
    finally:
        connection.close()
    return ""


def _connection(
    url: BaseUrl, proxy: Proxy | None, context: ssl.SSLContext, patience: float
) -> http.client.HTTPConnection:
    host, port = (proxy.host, proxy.port) if proxy else (url.host, url.port)
    if url.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=patience)
    connection = http.client.HTTPSConnection(host, port, timeout=patience, context=context)
    if proxy:
        connection.set_tunnel(url.host, url.port, {k.decode(): v.decode() for k, v in proxy.headers})
    return connection
