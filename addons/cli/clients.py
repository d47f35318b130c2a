"""`tokenman clients`: virtual keys are made, listed and revoked; of a key only its keyed hash is kept."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from addons.cli.settings import complain, loaded
from tokenman_core.config.models import Settings
from tokenman_core.errors import ConfigError
from tokenman_core.ledger.row import clean

FAILED, WRONG_USE = 1, 2
SOON = "A running TokenMan obeys within 2 seconds; no restart is needed."


def add(file: Path | None, name: str, said: Mapping[str, Any]) -> int:
    """Prints the key, alone on standard output. `said`: as `terms` takes it.

    The exit code: 0 made, 1 it could not be kept or there is one of that name, 2 a term that will not do.
    """
    found = loaded(file)
    if found is None:
        return WRONG_USE
    from tokenman_core.clients import Exists, TooMany, Unfit, terms

    settings = found.settings
    try:
        client = terms(settings, name, time.time(), **said)
        store = _store(settings)
        key = store.add(client)
    except Unfit as error:
        complain(ValueError(clean(str(error))))
        return WRONG_USE
    except ConfigError as error:
        complain(error)
        return WRONG_USE
    except Exists:
        complain(
            ValueError(f"there is a client {name}; for a new key: tokenman clients revoke {name}, then add it again")
        )
        return FAILED
    except TooMany:
        complain(ValueError(f"{settings.data_dir}/clients is full; revoke those that are not used"))
        return FAILED
    except OSError as error:
        complain(ValueError(f"{settings.data_dir}/clients cannot be written: {error.strerror}"))
        return FAILED
    typer.echo(key)
    for line in (
        f"This is the key of {name}; it is not shown again, for only its keyed hash is kept. {SOON}",
        *_notes(settings),
    ):
        complain(ValueError(line))
    return 0


def _notes(settings: Settings) -> list[str]:
    """What its user might wonder about."""
    from tokenman_core.clients import keys_needed
    from tokenman_core.providers import of_settings

    notes = []
    if not any(it.key is not None or it.open for it in of_settings(settings).by_name.values()):
        notes.append("No provider has a key yet, so calls with it will be refused: set providers.NAME.key")
    if not keys_needed(settings):
        notes.append("Calls without a key pass too; to have them refused: access: {clients: required}")
    return notes


def show(file: Path | None, as_json: bool) -> int:
    found = loaded(file)
    if found is None:
        return WRONG_USE
    try:
        known = _store(found.settings).now()
    except ConfigError as error:
        complain(error)
        return WRONG_USE
    if known.trouble:
        complain(ValueError(f"{found.settings.data_dir}/clients cannot be read"))
        return FAILED
    now = time.time()
    if as_json:
        typer.echo(json.dumps([each.as_json(now) for each in known.clients], indent=2))
        return 0
    if not known.clients:
        typer.echo("There are no clients yet: tokenman clients add NAME")
        return 0
    rows = [
        (
            each.name, each.project or "-", " ".join(each.models) or "any", " ".join(each.providers) or "any",
            each.budget or "-", each.rate or "-", _day(each.created), _ends(each.expires, now),
        )
        for each in sorted(known.clients, key=lambda it: it.name)
    ]  # fmt: skip
    rows.insert(0, ("NAME", "PROJECT", "MODELS", "PROVIDERS", "BUDGET", "RATE", "MADE", "EXPIRES"))
    widths = [max(len(clean(row[at])) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(f"{clean(cell):<{width}}" for cell, width in zip(row, widths, strict=True))
        typer.echo(line.rstrip())
    return 0


def revoke(file: Path | None, names: Sequence[str]) -> int:
    """The exit code: 1 if one of them was no client, or the file could not be written."""
    found = loaded(file)
    if found is None:
        return WRONG_USE
    from tokenman_core.clients import TooMany

    code = 0
    try:
        store = _store(found.settings)
        for name in names:
            if store.revoke(name):
                typer.echo(f"{clean(name)} is revoked. {SOON}")
            else:
                complain(ValueError(f"there is no client {clean(name)}; there are: tokenman clients list"))
                code = FAILED
    except ConfigError as error:
        complain(error)
        return WRONG_USE
    except (OSError, TooMany) as error:
        why = getattr(error, "strerror", None) or "it is too large"
        complain(ValueError(f"{found.settings.data_dir}/clients cannot be written: {why}"))
        return FAILED
    return code


def _store(settings: Settings) -> Any:
    """Raises ConfigError."""
    from tokenman_core import secret
    from tokenman_core.clients import Clients

    return Clients(settings.data_dir, secret.derive(secret.installation_secret(settings), "clients"))


def _day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"


def _ends(moment: float | None, now: float) -> str:
    if moment is None:
        return "never"
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}" + (" (expired)" if now >= moment else "")
