"""`tokenman config`: write an example, say what is wrong, show what is in force, print the schema, run the policy cases."""

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from tokenman_core.config import available
from tokenman_core.config.load import Loaded, load, place
from tokenman_core.errors import ConfigError


def loaded(file: Path | None, overrides: Mapping[str, Any] | None = None) -> Loaded | None:
    """The configuration; None after its errors were told on standard error."""
    try:
        return load(file, os.environ, overrides=overrides)
    except ConfigError as error:
        complain(error)
        return None


def complain(error: Exception) -> None:
    """On standard error. What a file or an argument holds may stand in it, so nothing of it speaks to the terminal."""
    from tokenman_core.ledger.row import clean

    for line in str(error).splitlines():
        typer.echo(f"tokenman: {clean(line)}", err=True)


def check(file: Path | None) -> int:
    found = loaded(file)
    if found is None:
        return 2
    typer.echo(f"{found.file or 'no file, the defaults'}: fine")
    for line in found.warnings:
        typer.echo(f"warning: {line}")
    for name, url in found.settings.foreign_base_urls().items():
        typer.echo(f"note: calls to {name} go to {url}, which is not the provider's own address")
    for line in available.lacking(found.settings):
        typer.echo(f"not in this version: {line}")
    if found.file is None:
        typer.echo("To have a file of your own: tokenman config init")
    return 0


def show(file: Path | None) -> int:
    found = loaded(file)
    if found is None:
        return 2
    for setting, text in _flat("", found.settings):
        typer.echo(f"{setting}: {text}  # {found.origin(setting)}")
    return 0


def _flat(prefix: str, model: BaseModel) -> Iterator[tuple[str, str]]:
    from tokenman_core.config import written

    for name, field in type(model).model_fields.items():
        setting, value = f"{prefix}{name}", getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _flat(f"{setting}.", value)
        elif name == "providers":
            for provider, settings in value.items():
                yield from _flat(f"{setting}.{provider}.", settings)
        elif isinstance(value, Mapping) and value:
            yield from ((f"{setting}.{key}", written.yaml(written.value(field, each))) for key, each in value.items())
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            yield from ((f"{setting}[{at}]", written.yaml(written.value(field, one))) for at, one in enumerate(value))
        else:
            yield setting, written.yaml(written.value(field, value))


def init(path: str | None, force: bool) -> int:
    """Never replaces a file unless `force`; `-` prints. The exit code: 0 written, 1 there is one, 2 it cannot be written."""
    from tokenman_core.config import example
    from tokenman_core.secret import write_private

    text = example.text()
    if path == "-":
        typer.echo(text, nl=False)
        return 0
    file = place(Path(path) if path else None, os.environ)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if file.is_dir():
            raise IsADirectoryError(0, "is a folder; name the file in it")
        if not write_private(file, text.encode(), keep=not force):
            typer.echo(
                f"tokenman: {file} is there already and was left as it is; --force replaces it, "
                "`tokenman config init -` prints",
                err=True,
            )
            return 1
    except OSError as error:
        typer.echo(f"tokenman: {file}: cannot be written: {error.strerror}", err=True)
        return 2
    usual = "" if file == place(None, os.environ) else f" --config {shlex.quote(str(file))}"
    schema = shlex.quote(str(file.with_name(example.SCHEMA)))
    typer.echo(f"Written: {file} (every setting at its default, as a comment)")
    typer.echo("Next:")
    for command, why in (
        (f"{os.environ.get('EDITOR') or 'vi'} {shlex.quote(str(file))}", "change what you want to"),
        (f"tokenman config schema > {schema}", "help in editors that know YAML schemas"),
        (f"tokenman config check{usual}", "see that it is right"),
        (f"tokenman up{usual}", "start"),
    ):
        typer.echo(f"  {command}  # {why}")
    return 0


def schema() -> int:
    from tokenman_core.config import schema as of_settings

    typer.echo(json.dumps(of_settings.make(), indent=2, ensure_ascii=False))
    return 0


def test(file: Path | None) -> int:
    """Runs the cases under `tests:`. The exit code: 0 all hold, 1 one does not, 2 the configuration is wrong."""
    found = loaded(file)
    if found is None:
        return 2
    cases = found.settings.tests
    if not cases:
        typer.echo("no cases under tests: in " + str(found.file or "the configuration (no file)"))
        typer.echo("`tokenman config init -` shows one at its end")
        return 0
    import asyncio

    try:
        outcomes = asyncio.run(_outcomes(found))
    except ConfigError as error:
        complain(error)
        return 2
    width = max(len(case.name) for case in cases)
    for case, lines in zip(cases, outcomes, strict=True):
        typer.echo(f"{'FAILED' if lines else 'ok':<6}  {case.name:<{width}}  {'; '.join(lines)}".rstrip())
    failed = sum(bool(lines) for lines in outcomes)
    said = f"{len(cases)} case{'' if len(cases) == 1 else 's'}"
    typer.echo(
        f"{said}, {failed} failed" if failed else f"{said}, all hold" if len(cases) > 1 else f"{said}, which holds"
    )
    return 1 if failed else 0


async def _outcomes(found: Loaded) -> list[list[str]]:
    """What differs in each case. Nothing is sent, and nothing is made in a data folder that is not there yet."""
    import secrets

    from addons import caching, chain
    from tokenman_core import policy_cases, secret
    from tokenman_core.clock import SystemClock
    from tokenman_core.providers import of_settings
    from tokenman_core.redaction import Detection
    from tokenman_core.redaction.gate_file import gate_file
    from tokenman_core.routes import Routes

    settings = found.settings
    root = secret.installation_secret(settings) if settings.data_dir.exists() else secrets.token_bytes(32)
    detection = Detection(kept=gate_file(settings) if settings.data_dir.exists() else None)
    stages = chain.arrange([], [chain.redaction(settings, root, detection)], SystemClock())
    providers = of_settings(settings)
    routes = Routes(settings.routes, providers)
    await detection.start()
    try:
        rules = caching.rules_of(settings)
        return [
            await policy_cases.run(case, stages, providers, routes, lambda it: caching.why_not(it, rules) or "")
            for case in settings.tests
        ]
    finally:
        await detection.close()
