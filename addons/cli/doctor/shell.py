"""Of the shell that asks: variables by which calls go past TokenMan, and the programs that are installed."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from addons.cli.doctor.bounded import side_by_side
from addons.cli.doctor.finding import Finding, Patient, ok, warn
from addons.cli.programs.table import PROGRAMS, SDKS, Program
from tokenman_core.config.values import Address
from tokenman_core.net.proxies import Proxies, Proxy

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_VERSION_S = 3.0
_VERSION = re.compile(r"\d+\.\d+[\w.+-]{0,40}")
_OFF = ("", "0", "false")
_UNTOLD = "(does not say its version)"


def environment(patient: Patient) -> Iterator[Finding]:
    found = [*_base_urls(patient), *_proxies(patient), *_others(patient)]
    yield from found or [ok("no variable of this shell leads calls past TokenMan")]


def _base_urls(patient: Patient) -> Iterator[Finding]:
    rows = {one.variable: one for program in PROGRAMS for one in (*SDKS, *program.base_urls)}
    for variable, one in rows.items():
        value = patient.environ.get(variable)
        if not value:
            continue
        if not _is_ours(value, patient):
            yield warn(
                f"{variable} leads to {_shown(value)}, past TokenMan",
                f"unset {variable}; if calls are to go there, set providers.{one.provider}.base_url to it",
            )
        elif patient.client is None:
            yield warn(f"{variable} leads to TokenMan, which does not run", f"tokenman up, or: unset {variable}")
        else:
            yield ok(f"{variable} leads here")


def _proxies(patient: Patient) -> Iterator[Finding]:
    environ = patient.environ
    named = environ.get("https_proxy") or environ.get("HTTPS_PROXY") or ""
    if not named:
        return
    if not _is_ours(named if "://" in named else f"http://{named}", patient):
        yield ok(
            f"HTTPS_PROXY names {_shown(named)}: TokenMan itself goes out through it; `tokenman run` leads programs here"
        )
        return
    if patient.client is None:
        yield warn(
            "HTTPS_PROXY leads to TokenMan, which does not run", "tokenman up, or: unset HTTPS_PROXY https_proxy"
        )
    else:
        yield ok("HTTPS_PROXY leads here")
    entries = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").replace(",", " ").lower().split()
    proxies = Proxies(Proxy("here", 1), None, tuple(entries))
    past = [host for host in patient.settings.authority_hosts() if proxies.of("https", host, 443) is None]
    if past:
        yield warn(f"NO_PROXY leads calls to {', '.join(past[:3])} past TokenMan", "take these out of NO_PROXY")


def _others(patient: Patient) -> Iterator[Finding]:
    for program in PROGRAMS:
        for name in program.elsewhere:
            if not name.startswith("-") and patient.environ.get(name, "").lower() not in _OFF:
                yield warn(f"with {name} the calls of {program.name} go to another host, ungoverned", f"unset {name}")
    if patient.environ.get("NODE_TLS_REJECT_UNAUTHORIZED") == "0":
        yield warn(
            "NODE_TLS_REJECT_UNAUTHORIZED=0: Node programs believe any host", "unset NODE_TLS_REJECT_UNAUTHORIZED"
        )


def programs(patient: Patient) -> Iterator[Finding]:
    places = [(program, shutil.which(program.name, path=patient.environ.get("PATH"))) for program in PROGRAMS]
    there = [(program, path) for program, path in places if path]
    if not there:
        yield ok(
            f"none of {', '.join(program.name for program in PROGRAMS)} is installed; any other: tokenman run -- PROGRAM"
        )
        return
    versions = side_by_side([partial(_version, path, patient) for _, path in there], patient.until)
    for (program, path), version in zip(there, versions, strict=True):
        yield ok(
            f"{program.name} {version or _UNTOLD} ({path}): tokenman run -- {program.name}; led here {_recipe(program)}"
        )


def _recipe(program: Program) -> str:
    ways = [one.variable for one in program.base_urls if one.provider == _MAIN.get(program.name)][:1]
    ways += [f"{setting.flag} {setting.key}" for setting in program.settings]
    if program.via == "proxy" or not ways:
        return "as its HTTPS proxy"
    return f"by {' and '.join(ways)}" + ("" if program.via else ", and as its HTTPS proxy")


_MAIN = {"claude": "anthropic", "gemini": "gemini"}  # whose base URL a program of the table reads


def _version(path: str, patient: Patient) -> str:
    try:
        done = subprocess.run(
            [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=patient.within(_VERSION_S), check=False, env={**patient.environ},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return _UNTOLD
    found = _VERSION.search(done.stdout)
    return found[0] if found else _UNTOLD


def _is_ours(url: str, patient: Patient) -> bool:
    """Whether it leads to our own listener: the one that runs, or the one that is configured."""
    listen = patient.client.running.proxy if patient.client else patient.settings.listen
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    return port == listen.port and (host == listen.host or (host in _LOOPBACK and _local(listen)))


def _local(listen: Address) -> bool:
    return listen.loopback or listen.host in ("0.0.0.0", "::")


def _shown(url: str) -> str:
    """Without user, password and query, which may hold a key."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    except ValueError:
        return "something that is no URL"


def on_path(patient: Patient) -> Iterator[Finding]:
    """Whether the command is found by its name, as `tokenman run` in other terminals needs it."""
    path = shutil.which("tokenman", path=patient.environ.get("PATH"))
    if path is None:
        yield ok(f"`tokenman` is not on PATH; it is run from {Path(os.path.realpath(__file__)).parents[3]}")
    else:
        yield ok(path)
