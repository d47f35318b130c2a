"""`tokenman allow`: a value is taken out of redaction, or put back; only its keyed hash is kept."""

import datetime
import getpass
import sys
from pathlib import Path

import typer

from addons.cli.settings import complain, loaded
from tokenman_core.config import known
from tokenman_core.config.conflicts import kinds_of_own
from tokenman_core.config.models import Settings
from tokenman_core.config.section import unknown
from tokenman_core.errors import ConfigError

LARGEST = 64 * 1024  # characters: keys and addresses have some hundreds
FAILED, WRONG_USE = 1, 2


def run(file: Path | None, value: str | None, remove: bool, entity: str = "", listing: bool = False) -> int:
    """`value`: None or "-" means that it is asked for on a terminal without being shown, else read from standard input.

    `entity`: the one kind that it passes as, "" for any. `listing`: say what passes, by day, for the values are not kept.

    The exit code: 0 done, 1 there was nothing to remove or it could not be kept, 2 no value or a wrong configuration.
    """
    found = loaded(file)
    if found is None:
        return WRONG_USE
    own = kinds_of_own(found.settings)
    if entity and entity not in known.ENTITIES | own:
        complain(ValueError(f"{entity} {unknown(entity, own)}"))
        return WRONG_USE
    if listing:
        return _list(found.settings)
    text = (_asked() if value in (None, "-") else value or "").strip()
    if not text or len(text) > LARGEST:
        complain(
            ValueError(
                "give one value, for example: tokenman allow < value.txt (or without an argument, to be asked for it)"
            )
        )
        return WRONG_USE

    from tokenman_core import secret
    from tokenman_core.lines import TooMany
    from tokenman_core.redaction.allowed import Allowed

    try:
        root = secret.installation_secret(found.settings)
        allowed = Allowed(found.settings.data_dir, secret.derive(root, "allow"))
        done = (
            allowed.remove(text, entity)
            if remove
            else allowed.add(text, datetime.datetime.now(datetime.UTC).date().isoformat(), entity)
        )
    except ConfigError as error:
        complain(error)
        return WRONG_USE
    except TooMany:
        complain(
            ValueError(f"{found.settings.data_dir}/allowed is full; patterns under redaction.allow have no such bound")
        )
        return FAILED
    except OSError as error:
        complain(ValueError(f"{found.settings.data_dir}/allowed cannot be written: {error.strerror}"))
        return FAILED
    what = f"The value ({len(text)} character{'' if len(text) == 1 else 's'})"
    as_one = f" as {entity}" if entity else ""
    if remove and not done:
        complain(
            ValueError("this value was not allowed; it must be given exactly as it was then, with the same --entity")
        )
        return FAILED
    if remove:
        typer.echo(f"{what} is masked again wherever redaction recognises it.")
    elif done:
        typer.echo(f"{what} passes unmasked{as_one} from now on; {allowed.path} holds a keyed hash of it.")
        typer.echo(f"To have it masked again: tokenman allow --remove{f' --entity {entity}' if entity else ''}")
    else:
        typer.echo(f"{what} was allowed already.")
        return 0
    typer.echo("A running TokenMan obeys within 2 seconds; no restart is needed.")
    if value not in (None, "-"):
        complain(
            ValueError("it stood on the command line, so your shell's history may hold it; next time: tokenman allow")
        )
    return 0


def _list(settings: Settings) -> int:
    from tokenman_core.lines import TooMany
    from tokenman_core.redaction.allowed import lines_of

    path = settings.data_dir / "allowed"
    try:
        lines = lines_of(path)
    except (OSError, TooMany) as error:
        complain(ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is too large'}"))
        return FAILED
    for day, entity, count in lines:
        typer.echo(f"{day}  {entity or 'any kind'}  {count} keyed hash{'' if count == 1 else 'es'}")
    if not lines:
        typer.echo("Nothing was taken out of redaction; patterns stand under redaction.allow.")
    return 0


def _asked() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("The value (it is not shown): ")
    return sys.stdin.read(LARGEST + 1)
