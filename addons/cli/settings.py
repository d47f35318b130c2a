"""`tokenman config check` and `tokenman config show`."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from tokenman_core.config import available
from tokenman_core.config.load import Loaded, load
from tokenman_core.errors import ConfigError


def loaded(file: Path | None, overrides: Mapping[str, Any] | None = None) -> Loaded | None:
    """The configuration; None after its errors were told on standard error."""
    try:
        return load(file, os.environ, overrides=overrides)
    except ConfigError as error:
        complain(error)
        return None


def complain(error: Exception) -> None:
    for line in str(error).splitlines():
        typer.echo(f"tokenman: {line}", err=True)


def check(file: Path | None) -> int:
    found = loaded(file)
    if found is None:
        return 2
    typer.echo(f"{found.file or 'no file, the defaults'}: fine")
    for line in found.warnings:
        typer.echo(f"warning: {line}")
    for line in available.lacking(found.settings):
        typer.echo(f"not in this version: {line}")
    return 0


def show(file: Path | None) -> int:
    found = loaded(file)
    if found is None:
        return 2
    for setting, value in _flat("", found.settings.model_dump(mode="json")):
        typer.echo(f"{setting}: {'null' if value is None else value}  # {found.origin(setting)}")
    return 0


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else name, inner)
    else:
        yield prefix, value
