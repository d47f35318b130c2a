"""Of the certificate authority: whether it is valid, covers what is configured, is trusted, and goes with the system's roots."""

import ssl
import time
from collections.abc import Iterator

from addons.cli.doctor.finding import Finding, Patient, fail, ok, warn
from tokenman_core import ca, trust
from tokenman_core.ca import Authority
from tokenman_core.config.values import is_ip
from tokenman_core.errors import ConfigError
from tokenman_core.net.roots import client_context

_DAY = 86400
_FEW = 10  # a system has a hundred roots and more


def authority(patient: Patient) -> Iterator[Finding]:
    folder = patient.settings.data_dir / "ca"
    try:
        found = ca.existing(folder)
    except ConfigError as error:
        yield fail(str(error), "remove the folder, start again, and trust the new certificate")
        return
    if found is None:
        yield ok("made at the first start")
        return
    anew = f"remove {folder}, start again, and `tokenman ca trust`"
    days = int((found.expires - time.time()) // _DAY)
    if days < 0:
        yield warn("it has expired; the next start makes a new one", "start tokenman anew, then: tokenman ca trust")
    elif days < ca.NOTICE_DAYS:
        yield warn(f"it ends in {days} days", anew)
    else:
        yield ok(f"valid for {days} days, SHA-256 {found.fingerprint[:23]}…")
    missing = [
        host for host in patient.settings.authority_hosts() if not is_ip(host.strip("[]")) and not found.permits(host)
    ]
    if missing:
        yield fail(f"it may not vouch for {', '.join(missing)}, which was configured later", anew)
    yield from _bundle(found)
    yield from _trusted(patient, found)


def _bundle(found: Authority) -> Iterator[Finding]:
    path = found.bundle_path
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(path)
        roots = context.cert_store_stats()["x509_ca"] - 1
    except OSError as error:  # ssl.SSLError is one
        yield fail(
            f"{path} cannot be read: {error.strerror or type(error).__name__}", "start tokenman: it is made anew"
        )
        return
    if roots < _FEW:
        yield fail(
            f"{path} holds {roots} of the system's roots: programs that use it reach hardly any host",
            "install the package ca-certificates, then start tokenman: it is made anew",
        )
    else:
        yield ok(f"the bundle holds {roots} of the system's roots besides")


def _trusted(patient: Patient, found: Authority) -> Iterator[Finding]:
    certificate = trust.Certificate.of(found.pem_path, found.certificate)
    stores = trust.stores(patient.machine)
    holding = [store.name for store in stores if store.holds(certificate)]
    older = [store.name for store in stores if store.name not in holding and store.left(certificate)]
    if older:
        yield warn(f"an older one is trusted by {', '.join(older)}", "tokenman ca trust")
    if holding:
        yield ok(f"trusted by {', '.join(holding)}")
    elif not older:
        yield ok("in no trust store; `tokenman run` and base URLs need none (else: tokenman ca trust)")


def roots(patient: Patient) -> Iterator[Finding]:
    """Whom we trust when we call providers."""
    try:
        context = client_context(patient.environ)
    except ConfigError as error:
        yield fail(str(error), "unset SSL_CERT_FILE, or let it name a PEM file")
        return
    yield ok(f"{context.cert_store_stats()['x509_ca']} roots of this machine for calls to providers")
