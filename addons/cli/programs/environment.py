"""The environment that leads a program's calls here: base URLs, the proxy, and the certificates to trust."""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from addons.cli.programs.table import Program, Via
from tokenman_core.ca import Authority
from tokenman_core.config.models import Provider, Settings
from tokenman_core.config.values import Address
from tokenman_core.secret import write_private

LOOPBACK = ("localhost", "127.0.0.1", "::1")

REPLACED = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables whose file takes the place of the system's roots: OpenSSL and httpx, requests, curl."""

ADDED = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
"""Variables whose file is trusted besides the roots that are built in."""

_PORTS = {"http": 80, "https": 443}
_CERTIFICATE = re.compile(
    rb"-----BEGIN (?:TRUSTED )?CERTIFICATE-----[\sA-Za-z0-9+/=]+-----END (?:TRUSTED )?CERTIFICATE-----"
)
_MOST_ROOTS = 8 << 20  # bytes of a file of certificates


@dataclass(frozen=True)
class Place:
    """Where the proxy listens, and the mark of the run; "" for a program that is started without `tokenman run`.

    `key`: of the run, where calls need a virtual key; "" where they do not.
    """

    proxy: Address
    mark: str = ""
    key: str = field(default="", repr=False)

    def base(self, path: str = "") -> str:
        key = f".{self.key}" if self.key else ""
        return f"http://{self.proxy}" + (f"/r/{self.mark}{key}" if self.mark else "") + path

    @property
    def url(self) -> str:
        """As a proxy. A password goes with the mark, for git asks for one at the terminal where there is none."""
        return f"http://{self.mark}:{self.key or 'run'}@{self.proxy}" if self.mark else f"http://{self.proxy}"


@dataclass
class Prepared:
    """What is changed for a program: variables, words behind its name, and what its user should know of it."""

    variables: dict[str, str] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)  # variables
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
    """`via` None is the program's own way, else both; `arguments` are its own words.

    Raises OSError if a file of certificates cannot be made.
    """
    made = Prepared()
    via = via or program.via
    for name in program.elsewhere:
        if environ.get(name, "") not in ("", "0", "false") or name in arguments:
            made.notes.append(
                f"warning: with {name} its calls go to another host, which is not governed: do without it here"
            )
    if via == "proxy":
        _no_base_urls(made, program, place, settings, environ)
    else:
        _base_urls(made, program, place, settings, environ, tuple(arguments), only=via == "base-url")
    if via != "base-url":
        _proxy(made, place, settings)
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
    *,
    only: bool,
) -> None:
    for one in program.base_urls:
        if one.provider not in settings.providers:
            continue
        made.variables[one.variable] = place.base(one.path)
        before = environ.get(one.variable)
        if before and not ours(before, settings, place) and not served(before, settings.providers[one.provider]):
            made.notes.append(
                f"{one.variable} was {shown(before)}; here its calls go to {settings.providers[one.provider].base_url}. "
                f"To keep the other, set providers.{one.provider}.base_url: {shown(before)}"
            )
    for setting in program.settings:
        if setting.given(arguments):
            made.notes.append(f"{setting.key} is given on the command line, so these calls may not come here")
        elif place.key:  # everybody on this machine can read a program's words
            remedy = (
                "leave out --via base-url, or its calls are refused" if only else "it is led here by HTTPS_PROXY alone"
            )
            made.notes.append(
                f"on {program.name}'s command line a base URL would show the run's virtual key to others: {remedy}"
            )
        else:
            made.words += setting.words(place.base(setting.path))
    made.variables |= {name: value for name, value in program.variables.items() if name not in environ}
    made.notes += program.loses


def _no_base_urls(
    made: Prepared, program: Program, place: Place, settings: Settings, environ: Mapping[str, str]
) -> None:
    """Those that an `eval "$(tokenman env)"` has left in the shell are taken out; the user's own stay as they are."""
    for one in program.base_urls:
        before = environ.get(one.variable)
        if before and ours(before, settings, place):
            made.removed.add(one.variable)
        elif before and not (one.provider in settings.providers and served(before, settings.providers[one.provider])):
            made.notes.append(
                f"warning: {one.variable} is {shown(before)}, which may be no provider's: then its calls are not governed"
            )


def _parts(url: str) -> tuple[str, str, int]:
    """Scheme, host and port; empty for what is no URL."""
    try:
        parts = urlsplit(url)
        return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", "", 0


def ours(url: str, settings: Settings, place: Place) -> bool:
    """Whether it leads to our own listener already."""
    _, host, port = _parts(url)
    return host in (*LOOPBACK, place.proxy.host) and port in (place.proxy.port, settings.listen.port)


def served(url: str, provider: Provider) -> bool:
    """Whether calls that come here go there anyway."""
    scheme, host, port = _parts(url)
    there = provider.base_url
    return (scheme == "https" and host in provider.hosts) or (scheme, host, port) == (
        there.scheme,
        there.host,
        there.port,
    )


def shown(url: str) -> str:
    """Without a user, a password or a query, which may be secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "no URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


# -- the proxy --


def parent_proxy(environ: Mapping[str, str], place: Place, settings: Settings) -> str:
    """The proxy that a shell names for HTTPS, if it is another one than ours; "" for none."""
    named = environ.get("https_proxy") or environ.get("HTTPS_PROXY") or ""
    url = named if "://" in named else f"http://{named}"
    return shown(url) if named and not ours(url, settings, place) else ""


def _proxy(made: Prepared, place: Place, settings: Settings) -> None:
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
        made.notes.append(f"NO_PROXY has {names}, which would lead calls past TokenMan: left out here")
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
    if named in (authority.bundle_path, authority.pem_path):
        return usual
    own = authority.pem_path.read_bytes()
    try:
        roots = _certificates_in(named)
    except OSError as error:
        made.notes.append(f"{name} names {named}, which cannot be read ({error.strerror}): left out here")
        return usual
    if roots.endswith(own):
        return named  # made here for this shell before
    if not roots:
        made.notes.append(f"{name} names {named}, which holds no certificates (PEM): left out here")
        return usual
    content = roots + own
    path = authority.folder / f"with-{hashlib.sha256(content).hexdigest()[:16]}.pem"
    if not path.exists():
        write_private(path, content, mode=0o644)
    return path


def _certificates_in(path: Path) -> bytes:
    """Its blocks of certificates and nothing else, such as a key beside them. Raises OSError, also for what is no file."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # a pipe would be waited for
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_ROOTS:
            raise OSError(errno.EINVAL, f"it is no file of {_MOST_ROOTS >> 20} MiB or less")
        text = file.read(_MOST_ROOTS)
    return b"".join(block.replace(b"\r", b"") + b"\n" for block in _CERTIFICATE.findall(text))


def child(environ: Mapping[str, str], prepared: Prepared) -> dict[str, str]:
    """The whole environment of the program."""
    kept = {name: value for name, value in environ.items() if name not in prepared.removed}
    return kept | prepared.variables
