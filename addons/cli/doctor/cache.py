"""Of the answer cache: whether its file can be had. Calls go on without it, so that it cannot is a warning."""

from collections.abc import Iterator

from addons.cli.doctor.finding import Finding, Patient, ok, warn
from addons.cli.figures import so_many
from tokenman_core.ledger.row import clean

_MIB = 1024 * 1024


def kept(patient: Patient) -> Iterator[Finding]:
    if not patient.settings.caches:
        yield ok("off")
        return
    if patient.client is None:
        yield ok("on; no tokenman runs here that could tell how it stands")
        return
    told = patient.client.get("/api/cache")
    if told["trouble"]:
        yield warn(clean(str(told["trouble"])), "calls go on without it; its answers are lost when tokenman ends")
        return
    sealed = "encrypted" if told["encrypted"] else "not encrypted (see cache.encrypt)"
    yield ok(f"{so_many(told['entries'], 'answer')}, {told['bytes'] / _MIB:.1f} MiB, {sealed}")
