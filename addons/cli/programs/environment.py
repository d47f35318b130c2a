"""The environment that leads a program's calls here: base URLs, the proxy, and the certificates to trust."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from addons.cli.programs.table import BaseUrl, Program
from tokenman_core.ca import Authority
from tokenman_core.config.models import Settings
from tokenman_core.config.values import Address
from tokenman_core.providers import normal_host
from tokenman_core.secret import write_private

Via = Literal["base-url", "proxy"]
LOOPBACK = ("localhost", "127.0.0.1", "::1")

REPLACED = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables whose file takes the place of the system's roots: OpenSSL and httpx, requests, curl."""

ADDED = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
"""Variables whose file is trusted besides the roots that are built in."""

_MOST_ROOTS = 8 << 20  # bytes of a file of certificates


@dataclass(frozen=True)
class Place:
    """Where the proxy listens, and the mark of the run; "" for a program that is started without `tokenman run`."""

    proxy: Address
    mark: str = ""

    def base(self, path: str = "") -> str:
        return f"http://{self.proxy}" + (f"/r/{self.mark}" if self.mark else "") + path

    @property
    def url(self) -> str:
        """As a proxy. A password goes with the mark, for git asks for one at the terminal where there is none."""
        return f"http://{self.mark}:run@{self.proxy}" if self.mark else f"http://{self.proxy}"


@dataclass
class Prepared:
    """What is changed for a program: variables, words behind its name, and what its user should know of it."""

    variables: dict[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def prepare(
    program: Program,
    via: Via | None,
    place: Place,
    settings: Settings,
    authority: Authority,
    environ: Mapping[str, str],
    arguments: Sequence[str] = (),
) -> Prepared:
    """`via` None is both ways; `arguments` are the program's own. Raises OSError if a file of certificates cannot be made."""
    made = Prepared()
    if via != "proxy":
        _base_urls(made, program, place, settings, environ, tuple(arguments))
    if via != "base-url":
        _proxy(made, place, settings, environ)
        _certificates(made, authority, environ)
    _no_proxy(made, settings, environ, past_providers=via == "base-url")
    return made


# -- base URLs --


def _base_urls(
    made: Prepared,
    program: Program,
    place: Place,
    settings: Settings,
    environ: Mapping[str, str],
    arguments: tuple[str, ...],
) -> None:
    for one in program.base_urls:
        if one.provider not in settings.providers:
            continue
        made.variables[one.variable] = place.base(one.path)
        if (before := environ.get(one.variable)) and not _served(before, one, settings, place):
            made.notes.append(
                f"{one.variable} was {before}; here its calls go to {settings.providers[one.provider].base_url}. "
                f"To keep the other, set providers.{one.provider}.base_url: {before}"
            )
    for setting in program.settings:
        if setting.given(arguments):
            made.notes.append(f"{setting.key} is given on the command line, so these calls may not come here")
        else:
            made.words += setting.words(place.base(setting.path))
    made.variables |= {name: value for name, value in program.variables.items() if name not in environ}
    made.notes += program.loses


def _served(url: str, one: BaseUrl, settings: Settings, place: Place) -> bool:
    """Whether a base URL that the user had set is where calls go anyway: the provider's, or our own."""
    try:
        parts = urlsplit(url)
        host, port = normal_host(parts.hostname or ""), parts.port
    except ValueError:
        return False
    if host in LOOPBACK and port in (place.proxy.port, settings.listen.port):
        return True
    provider = settings.providers[one.provider]
    there = provider.base_url
    own = host in provider.hosts and parts.scheme == "https"
    return own or (parts.scheme, host, port or {"http": 80, "https": 443}.get(parts.scheme)) == (
        there.scheme,
        there.host,
        there.port,
    )


# -- the proxy --


def _proxy(made: Prepared, place: Place, settings: Settings, environ: Mapping[str, str]) -> None:
    for name in _spellings("HTTPS_PROXY"):
        made.variables[name] = place.url
    plain = [it.base_url.host for it in settings.providers.values() if it.base_url.scheme == "http"]
    if any(not Address(host, 1).loopback for host in plain):
        for name in _spellings("HTTP_PROXY"):
            made.variables[name] = place.url
    made.variables["NODE_USE_ENV_PROXY"] = "1"  # Node's own fetch reads the variables only if this says so


def _spellings(name: str) -> tuple[str, str]:
    """curl and Go read the one, others the other."""
    return name, name.lower()


def _no_proxy(made: Prepared, settings: Settings, environ: Mapping[str, str], *, past_providers: bool) -> None:
    """This machine's own names never go through a proxy, ours the least; a provider's name always does."""
    given = dict.fromkeys(_entries(environ.get("NO_PROXY", "")) + _entries(environ.get("no_proxy", "")))
    hosts = settings.hosts()
    taken = [] if past_providers else [entry for entry in given if any(_covers(entry, host) for host in hosts)]
    kept = [entry for entry in given if entry not in taken]
    if taken:
        names = ", ".join(taken)
        made.notes.append(f"NO_PROXY has {names}, which would lead calls past TokenMan: left out for this program")
    value = ",".join(dict.fromkeys([*kept, *LOOPBACK]))
    made.variables |= dict.fromkeys(_spellings("NO_PROXY"), value)


def _entries(value: str) -> list[str]:
    return [entry for entry in re.split(r"[,\s]+", value) if entry]


def _covers(entry: str, host: str) -> bool:
    if host in LOOPBACK:
        return False  # a provider on this machine is reached by its base URL
    name = entry.lower().rpartition("://")[2].partition(":")[0].removeprefix("*").strip(".")
    return entry == "*" or (bool(name) and (host == name or host.endswith(f".{name}")))


# -- certificates --


def _certificates(made: Prepared, authority: Authority, environ: Mapping[str, str]) -> None:
    for name in REPLACED:
        made.variables[name] = str(_with_own(made, name, authority.bundle_path, authority, environ))
    for name in ADDED:
        made.variables[name] = str(_with_own(made, name, authority.pem_path, authority, environ))


def _with_own(made: Prepared, name: str, usual: Path, authority: Authority, environ: Mapping[str, str]) -> Path:
    """A company's roots, which the user has named, stay trusted: a file of both."""
    named = Path(environ.get(name) or usual)
    if authority.folder in named.parents:
        return usual
    try:
        with named.open("rb") as file:
            roots = file.read(_MOST_ROOTS)
    except OSError as error:
        made.notes.append(f"{name} names {named}, which cannot be read ({error.strerror}): left out for this program")
        return usual
    content = roots.rstrip() + b"\n" + authority.pem_path.read_bytes()
    path = authority.folder / f"with-{hashlib.sha256(content).hexdigest()[:16]}.pem"
    if not path.exists():
        write_private(path, content, mode=0o644)
    return path


def child(environ: Mapping[str, str], prepared: Prepared) -> dict[str, str]:
    """The whole environment of the program."""
    return {**environ, **prepared.variables}
