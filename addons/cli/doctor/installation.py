"""Of the installation itself: versions, configuration, data folder, secret, keys, ledger, and what is not done yet."""

import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from addons.cli.doctor.finding import Finding, Patient, fail, ok, warn
from tokenman_core import __version__
from tokenman_core.config import available
from tokenman_core.ledger import path_of

MITMPROXY = "12.2.3"  # whose internals addons/proxy/internals.py names; a test holds the two together
_ENOUGH, _LITTLE = 1 << 30, 50 << 20  # bytes free


def version(patient: Patient) -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    try:
        engine = metadata.version("mitmproxy")
    except metadata.PackageNotFoundError:
        engine = "none"
    if engine == MITMPROXY:
        yield ok(f"tokenman {__version__}, Python {python}, mitmproxy {engine}")
    else:
        yield fail(f"mitmproxy {MITMPROXY} is needed, {engine} is there", f'pip install "mitmproxy=={MITMPROXY}"')


def configuration(patient: Patient) -> Iterator[Finding]:
    found = patient.found
    yield ok(str(found.file) if found.file else "no file, the defaults (to have one: tokenman config init)")
    if found.file is not None and stat.S_IMODE(found.file.stat().st_mode) & 0o022:
        yield warn(f"{found.file} can be changed by others than you", f"chmod go-w {found.file}")
    for line in found.warnings:
        yield warn(line, "see `tokenman config show`")
    for name, url in patient.settings.foreign_base_urls().items():
        yield ok(f"calls to {name} go to {url}, not to the provider's own address")


def keys(patient: Patient) -> Iterator[Finding]:
    keyed = [name for name, provider in patient.settings.providers.items() if provider.key is not None]
    if keyed:
        yield ok(f"found for {', '.join(keyed)}; calls to all others keep the key of the program that makes them")
    else:
        yield ok("none is configured: programs use their own keys and logins")


def data_dir(patient: Patient) -> Iterator[Finding]:
    folder = patient.settings.data_dir
    there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if not os.access(there, os.W_OK | os.X_OK) or not there.is_dir():
        yield fail(f"{there} cannot be written", "set data_dir to a folder of yours")
        return
    free = shutil.disk_usage(there).free
    room = f"{free / (1 << 30):.1f} GiB free"
    if free < _LITTLE:
        yield fail(f"{folder}: {room}, too little for the ledger", "make room, or set data_dir to another disk")
    elif free < _ENOUGH:
        yield warn(f"{folder}: {room}", "make room, or set data_dir to another disk")
    if not folder.exists():
        yield ok(f"{folder} is made at the first start ({room})")
        return
    status = folder.stat()
    if status.st_uid != os.getuid():
        yield fail(f"{folder} belongs to another user", f"run tokenman as that user, or: sudo chown -R $USER {folder}")
    elif stat.S_IMODE(status.st_mode) & 0o077:
        yield warn(f"{folder} can be entered by other users", f"chmod 700 {folder}")
    else:
        yield ok(f"{folder}: private, {room}")


def secret(patient: Patient) -> Iterator[Finding]:
    if patient.settings.secret is not None:
        yield ok("given by the setting secret")
        return
    path = patient.settings.data_dir / "secret"
    if not path.exists():
        yield ok("made at the first start")
        return
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield warn(f"{path} can be read by other users", f"chmod 600 {path}")
    if not os.access(path, os.R_OK):
        yield fail(f"{path} cannot be read", f"make it yours: sudo chown $USER {path}")
    elif len(path.read_bytes().strip()) < 64:
        yield fail(f"{path} is damaged", "put it back from a backup, or remove it to have a new one")
    else:
        yield ok(str(path))


def ledger(patient: Patient) -> Iterator[Finding]:
    path = path_of(patient.settings)
    if not path.exists():
        yield ok("no call has been recorded yet")
        return
    remedy = f"move {path} away (a new one is begun), and keep the old one if you need its figures"
    try:
        said, calls = _look(path)
    except sqlite3.Error as error:
        yield fail(f"{path} cannot be read: {type(error).__name__}", remedy)
        return
    if said != "ok":
        yield fail(f"{path} is damaged", remedy)
    else:
        yield ok(f"{path}: sound, {calls:,} calls, {path.stat().st_size / (1 << 20):.1f} MiB")


def _look(path: Path) -> tuple[str, int]:
    """What SQLite's own check says, and how many calls are recorded. Raises sqlite3.Error."""
    connection = sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True, timeout=5)
    try:
        (said,) = connection.execute("pragma quick_check(1)").fetchone()
        (calls,) = connection.execute("select count(*) from calls").fetchone()
    finally:
        connection.close()
    return str(said), int(calls)


def limits(patient: Patient) -> Iterator[Finding]:
    """What nobody should count on; none of it is a fault."""
    settings = patient.settings
    if settings.redaction.mode == "off":
        yield warn("redaction is off: values leave as they are", "redaction.mode: redact")
    if settings.redaction.unreadable == "pass":
        yield ok("images, audio and PDFs pass unread (redaction.unreadable: block refuses them)")
    yield ok("people's names are not recognised; WebSocket calls are refused, so that programs go on by HTTP")
    lacking = available.lacking(settings)
    if lacking:
        yield ok(f"{len(lacking)} settings are in force only in part: tokenman config check")
