"""Of what listens: the two ports, the instance that runs, whether it is ready, and whether the clock makes sense."""

import datetime
import http.client
import json
from collections.abc import Iterator

from addons.cli.doctor.finding import Finding, Patient, fail, ok, warn
from addons.cli.up import busy
from tokenman_core import __version__, ca
from tokenman_core.admin.readiness import RESTS
from tokenman_core.config.values import Address
from tokenman_core.errors import ConfigError

_PATIENCE_S = 4.0  # its own look at providers takes three
_OLDEST = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)  # this software is younger


def ports(patient: Patient) -> Iterator[Finding]:
    settings, client = patient.settings, patient.client
    if client is not None:
        yield ok(f"held by your running tokenman: {client.running}")
        return
    taken = busy(settings)
    for line in taken:
        setting = line.partition(":")[0]
        address = settings.listen if setting == "listen" else settings.admin.listen
        if _is_tokenman(address):
            yield fail(
                f"{setting} {address} is held by a tokenman of another data folder or another user",
                f"end that one, or set {setting} to another port",
            )
        else:
            yield fail(f"{setting} {address} cannot be had: another program holds it", f"set {setting} to another port")
    if not taken:
        yield ok(f"{settings.listen} and {settings.admin.listen} are free")


def _is_tokenman(address: Address) -> bool:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=2)
    try:
        connection.request("GET", "/")
        return b"TokenMan" in connection.getresponse().read(4096)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def instance(patient: Patient) -> Iterator[Finding]:
    client = patient.client
    if client is None:
        yield ok("none runs (to start one: tokenman up; `tokenman run` starts its own)")
        return
    if client.running.version != __version__:
        yield warn(f"it is version {client.running.version}, this command is {__version__}", "end it and start it anew")
    try:
        checks = _readiness(client.running.admin, patient.within(_PATIENCE_S))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
        yield fail("it does not say whether it is ready", "look at its log, or end it and start it anew")
        return
    inner = [one for one in checks if not one[0].startswith("provider:")]  # a check of its own looks at providers
    bad = [(name, message) for name, state, message in inner if state == "failed"]
    for name, message in bad:
        yield fail(f"{name}: {message}", "its log says more")
    for name in (name for name, _, message in checks if message == RESTS.message):
        yield warn(
            f"{name}: {RESTS.message}",
            "see what it says of its state; docs/resilience.md tells how to close the breaker by hand",
        )
    if not bad:
        yield ok(f"ready: {', '.join(name for name, _, _ in inner)}")


def _readiness(admin: Address, patience: float) -> list[tuple[str, str, str]]:
    """(name, state, message) of each check of a running instance."""
    connection = http.client.HTTPConnection(admin.host, admin.port, timeout=patience)
    try:
        connection.request("GET", "/health/ready")
        said = json.loads(connection.getresponse().read(1 << 20))
    finally:
        connection.close()
    return [(str(name), str(one["status"]), str(one["message"])[:200]) for name, one in said["checks"].items()]


def clock(patient: Patient) -> Iterator[Finding]:
    """Without the network: by what was made here before, and by the age of this software."""
    now = datetime.datetime.now(datetime.UTC)
    try:
        authority = ca.existing(patient.settings.data_dir / "ca")
    except ConfigError:  # which the check of the authority tells
        authority = None
    begun = authority.certificate.not_valid_before_utc if authority else _OLDEST
    if now < max(begun, _OLDEST):
        yield fail(f"it says {now:%Y-%m-%d %H:%M} UTC, which is before {max(begun, _OLDEST):%Y-%m-%d}", "set the clock")
    else:
        yield ok(f"{now:%Y-%m-%d %H:%M} UTC")
