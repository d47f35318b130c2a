"""`tokenman allow`: a value is taken out of redaction, or put back; only its keyed hash is kept."""

import datetime
import getpass
import sys
from pathlib import Path

import typer

from addons.cli.settings import complain, loaded
from tokenman_core.errors import ConfigError

LARGEST = 64 * 1024  # characters: keys and addresses have some hundreds
FAILED, WRONG_USE = 1, 2


def run(file: Path | None, value: str | None, remove: bool) -> int:
    """`value`: None or "-" means that it is asked for on a terminal without being shown, else read from standard input.

    The exit code: 0 done, 1 there was nothing to remove or it could not be kept, 2 no value or a wrong configuration.
    """
    found = loaded(file)
    if found is None:
        return WRONG_USE
    text = (_asked() if value in (None, "-") else value or "").strip()
    if not text or len(text) > LARGEST:
        complain(
            ValueError(
                "give one value, for example: tokenman allow < value.txt (or without an argument, to be asked for it)"
            )
        )
        return WRONG_USE

    from tokenman_core import secret
    from tokenman_core.redaction.allowed import Allowed, TooMany

    try:
        root = secret.installation_secret(found.settings)
        allowed = Allowed(found.settings.data_dir, secret.derive(root, "allow"))
        done = (
            allowed.remove(text)
            if remove
            else allowed.add(text, datetime.datetime.now(datetime.UTC).date().isoformat())
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
    if remove and not done:
        complain(ValueError("this value was not allowed; it must be given exactly as it was then"))
        return FAILED
    if remove:
        typer.echo(f"{what} is masked again wherever redaction recognises it.")
    elif done:
        typer.echo(f"{what} passes unmasked from now on; {allowed.path} holds a keyed hash of it.")
        typer.echo("To have it masked again: tokenman allow --remove")
    else:
        typer.echo(f"{what} was allowed already.")
        return 0
    typer.echo("A running TokenMan obeys within 2 seconds; no restart is needed.")
    if value not in (None, "-"):
        complain(
            ValueError("it stood on the command line, so your shell's history may hold it; next time: tokenman allow")
        )
    return 0


def _asked() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("The value (it is not shown): ")
    return sys.stdin.read(LARGEST + 1)
