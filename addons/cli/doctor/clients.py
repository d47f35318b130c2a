"""Of clients: whether their keys still let anybody in, and whether what they name is still there."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from addons.cli.doctor.finding import Finding, Patient, fail, ok, warn
from addons.cli.figures import so_many
from tokenman_core import price_lists
from tokenman_core.clients import Client, Clients, Unfit, keys_needed, spend_of
from tokenman_core.config.models import Settings
from tokenman_core.ledger.row import clean
from tokenman_core.pricing import Prices
from tokenman_core.providers import Provider, of_settings
from tokenman_core.usage import Usage

_SHOWN = 20  # findings


def keys(patient: Patient) -> Iterator[Finding]:
    settings, now = patient.settings, time.time()
    known = Clients(settings.data_dir, b"").now()  # the keys themselves are not looked at
    if known.trouble:
        yield fail(f"{settings.data_dir}/clients cannot be read, so every virtual key is refused", "see its rights")
        return
    good = [each for each in known.clients if not each.expired(now)]
    if keys_needed(settings) and not good:
        yield warn(
            "every call needs a virtual key, and nobody has one that is good",
            "tokenman clients add NAME; programs started by `tokenman run` need none; or access: {clients: optional}",
        )
    wrong = [found for client in known.clients for found in _wrong(client, settings, now)]
    yield from wrong[:_SHOWN]
    if len(wrong) > _SHOWN:
        yield warn(f"and {len(wrong) - _SHOWN} more of the kind", "tokenman clients list")
    if not wrong and (good or not keys_needed(settings)):
        yield ok(f"{so_many(len(good), 'virtual key')}" if good else "none has a virtual key, and none is needed")


def _wrong(client: Client, settings: Settings, now: float) -> Iterator[Finding]:
    again = f"tokenman clients revoke '{client.name}', then add it anew"
    if client.expires is not None and client.expired(now):
        day = datetime.fromtimestamp(client.expires, UTC)
        yield warn(f"the key of {client.name} has expired ({day:%Y-%m-%d})", again)
        return
    usable = [it for it in of_settings(settings).by_name.values() if client.may_use(it.name)]
    for pattern in client.providers:
        if not any(fnmatchcase(name, pattern) for name in settings.providers):
            yield warn(f"{client.name} may use provider {clean(pattern)}, which is not configured", again)
    if not any(it.open for it in usable):
        yield fail(
            f"of the providers that {client.name} may use none has a configured key, so its calls are refused",
            "set providers.NAME.key",
        )
    for pattern in client.models:
        if not _is_known(pattern, usable, settings):
            yield warn(
                f"{client.name} may use model {clean(pattern)}, which is on no list of prices",
                f"if it is mistyped: {again}",
            )
    if client.budget and client.budget not in [it.name for it in settings.budgets] and not _is_own(client.budget):
        yield fail(
            f"the budget {clean(client.budget)} of {client.name} is not configured, so its calls are refused", again
        )


def _is_known(pattern: str, providers: list[Provider], settings: Settings) -> bool:
    lists = price_lists.at(settings.data_dir)
    names = [*settings.pricing.overrides, *(model.id for each in lists.all for model in each.models)]
    if any(fnmatchcase(name, pattern) for name in names):
        return True
    prices, now = Prices(settings.pricing, lists), datetime.now(UTC)
    return any(prices.rates(it, pattern, now, Usage())[1] in ("list", "override", "free") for it in providers)


def _is_own(budget: str) -> bool:
    try:
        return spend_of(budget) is not None
    except Unfit:
        return False
