"""Finds the configuration, reads it, lays the environment over it, and says exactly what is wrong with it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tokenman_core.config import available, conflicts, document, environment, explain, given
from tokenman_core.config.document import Document, Steps
from tokenman_core.config.models import Settings
from tokenman_core.config.secrets_ref import Source
from tokenman_core.config.values import expand
from tokenman_core.errors import ConfigError


@dataclass(frozen=True)
class Asked:
    """What was asked of `load`, so that it can be asked again: the file that was named, and what the command line says."""

    path: Path | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Loaded:
    """The settings in force. `file` is the file used, if any; `origins` says where each given setting was given."""

    settings: Settings
    file: Path | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    asked: Asked = field(default_factory=Asked)
    files: tuple[Path, ...] = ()
    """Those that it depends on, there or not."""
    blank: bool = False
    """There is no setting in the file."""

    def origin(self, setting: str) -> str:
        """Where `limits.request_body` comes from: `FILE:LINE`, `environment NAME`, `command line` or `default`."""
        return self.origins.get(setting, "default")


def load(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    overrides: Mapping[str, Any] | None = None,
    looked_at: list[Path] | None = None,
) -> Loaded:
    """The configuration of `path`, else of $TOKENMAN_CONFIG, else of the user's own folder, else the defaults.

    `overrides` come from the command line and win over all, by the setting's dotted name: `{"listen": "127.0.0.1:0"}`.
    `looked_at` is filled with the files that it depends on, there or not, also where it fails.
    Raises ConfigError, one line for each thing that is wrong or not available in this version.
    """
    looked_at = [] if looked_at is None else looked_at
    looked_at.append(place(path, environ))
    file = find(path, environ)
    read = document.read(file) if file else Document()
    origins: dict[Steps, str] = {steps: f"{file}:{line}" for steps, line in read.lines.items()}

    named = read.values.get("providers")
    for override in environment.overrides(environ, named if isinstance(named, Mapping) else {}):
        _put(read.values, override.steps, override.value)
        _originate(origins, override.steps, override.value, f"environment {override.variable}")
    for setting, value in (overrides or {}).items():
        steps: Steps = tuple(setting.split("."))
        _put(read.values, steps, value)
        _originate(origins, steps, value, "command line")

    source = Source(environ, looked_at)
    try:
        settings = Settings.model_validate(read.values, context=source)
    except ValidationError as error:
        raise ConfigError(_wrong(error, read.values, origins, file)) from None
    places = {explain.name(steps): origin for steps, origin in origins.items()}
    missing = [*conflicts.found(settings, places), *available.refusals(settings)]
    if missing:
        raise ConfigError(
            "\n".join(
                f"{_origin(where, origins, file)}: {setting}: "
                + (text if given.of_a_name(where) else given.behind(text, read.values, where, Settings))
                for setting, text in missing
                for where in [_steps(setting)]
            )
        )
    told = (*_plain_secrets(read.values, origins), *available.warnings(settings))
    return Loaded(settings, file, places, told, Asked(path, dict(overrides or {})), tuple(looked_at), read.blank)


def find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read; None if none was named and the user has none. Never the working directory's own."""
    file = place(path, environ)
    return file if path is not None or environ.get("TOKENMAN_CONFIG") or file.exists() else None


def place(path: Path | None, environ: Mapping[str, str]) -> Path:
    """Where the file is looked for, and where `config init` puts it."""
    if path is not None:
        return expand(path, environ)
    if named := environ.get("TOKENMAN_CONFIG"):
        return expand(Path(named), environ)
    # The XDG specification: a relative path is to be ignored (and would be looked up in the working directory).
    folder = Path(environ.get("XDG_CONFIG_HOME") or "~/.config")
    folder = expand(folder if folder.is_absolute() else Path("~/.config"), environ)
    return folder / "tokenman" / "tokenman.yaml"


def _put(values: dict[str, Any], steps: Steps, value: Any) -> None:
    *outer, last = steps
    for step in outer:
        inner = values.get(str(step))
        if inner is None:
            inner = values[str(step)] = {}
        if not isinstance(inner, dict):
            return  # a scalar where settings belong: validation names it
        values = inner
    values[str(last)] = value


def _originate(origins: dict[Steps, str], steps: Steps, value: Any, origin: str) -> None:
    """A value that was laid over what the file says, with all that it holds; what it replaced is forgotten."""
    for known in [known for known in origins if known[: len(steps)] == steps]:
        del origins[known]
    origins[steps] = origin
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for step, each in inner:
        _originate(origins, (*steps, step), each, origin)


def _wrong(error: ValidationError, values: Mapping[str, Any], origins: Mapping[Steps, str], file: Path | None) -> str:
    lines: dict[str, None] = {}
    for detail in error.errors(include_url=False):
        where = explain.steps(detail)
        text = explain.sentence(detail, Settings)
        if (
            detail["type"] not in ("extra_forbidden", "missing") and "[key]" not in detail["loc"]
        ):  # there the name is wrong
            text = given.behind(text, values, where, Settings)
        lines[f"{_origin(where, origins, file)}: {text}"] = None
    return "\n".join(lines)


def _origin(steps: Steps, origins: Mapping[Steps, str], file: Path | None) -> str:
    """Where the setting was given; else what is around it, or a part of that (a provider of which only one value was given)."""
    while steps:
        for known in (steps, *(known for known in origins if known[: len(steps)] == steps)):
            if known in origins:
                return origins[known]
        steps = steps[:-1]
    return str(file or "configuration")


def _steps(setting: str) -> Steps:
    return tuple(int(word) if word.isdigit() else word for word in re.split(r"[.\[\]]+", setting) if word)


def _plain_secrets(values: Mapping[str, Any], origins: Mapping[Steps, str]) -> tuple[str, ...]:
    """What a file that is shared by mistake would give away. The environment is where a reference would lead anyway."""
    providers = values.get("providers")
    secrets: list[Steps] = [("secret",), ("admin", "token")]
    secrets += [("providers", name, "key") for name in (providers if isinstance(providers, Mapping) else ())]
    found = []
    for steps in secrets:
        value: Any = values
        for step in steps:
            value = value.get(step) if isinstance(value, Mapping) else None
        origin = origins.get(steps, "")
        if isinstance(value, str) and not value.startswith(("env:", "file:")) and not origin.startswith("environment"):
            found.append(f"{origin}: {explain.name(steps)} holds the secret itself; better: env:NAME or file:PATH")
    return tuple(found)
