"""Environment variables that override single settings: `TOKENMAN_LIMITS__REQUEST_BODY=1MiB`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from tokenman_core.config import given, known
from tokenman_core.config.document import Steps, scalar
from tokenman_core.config.explain import suggestion
from tokenman_core.config.models import Provider, Settings
from tokenman_core.errors import ConfigError

PREFIX = "TOKENMAN_"
_NOT_SETTINGS = frozenset({"TOKENMAN_CONFIG", "TOKENMAN_ADMIN_TOKEN"})

# Kubernetes puts these into every pod that lives beside a service named "tokenman"; they mean nothing to us.
_SERVICE_LINK = re.compile(
    r"TOKENMAN_([A-Z0-9]+_)*(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)"
)


@dataclass(frozen=True)
class Override:
    """One setting that a variable gives; `value` is not validated yet."""

    variable: str
    steps: Steps
    value: Any


def overrides(environ: Mapping[str, str], providers: Mapping[str, Any]) -> Iterator[Override]:
    """The settings that the environment gives. Raises ConfigError for a variable that names none.

    `providers`: those of the file, so that one whose name has a dash can be meant by an underscore.
    """
    names = [*known.PROVIDERS, *providers]
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in _NOT_SETTINGS or _SERVICE_LINK.fullmatch(variable):
            continue
        steps, text = _setting(variable, names)
        value: Any = environ[variable]
        if not text:
            try:
                value = scalar(value)
            except ValueError as error:
                raise ConfigError(
                    f"environment {variable}: {'.'.join(steps)} {error}; put it into quotes{given.scalar(value)}"
                ) from None
        yield Override(variable, steps, value)


def _setting(variable: str, providers: list[str]) -> tuple[tuple[str, ...], bool]:
    """The steps that a variable names, and whether the setting is a text (a secret, a path), so no YAML."""
    model: type[BaseModel] | None = Settings
    steps: tuple[str, ...] = ()
    text = False
    words = iter(variable.removeprefix(PREFIX).split("__"))
    for word in words:
        name = word.lower()
        if model is None or name not in model.model_fields:
            where = ".".join((*steps, name))
            raise ConfigError(f"environment {variable}: there is no setting {where}{suggestion(name, model, Settings)}")
        steps = (*steps, name)
        kind = model.model_fields[name].annotation
        text = any(mark in repr(kind) for mark in ("SecretStr", "Path"))
        model = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
        if steps == ("providers",) and (word := next(words, "")):
            name = word.lower()
            steps = (*steps, next((it for it in providers if re.sub(r"[.-]", "_", it) == name), name))
            model, text = Provider, False
        elif steps == ("redaction", "entities") and (word := next(words, "")):
            steps = (*steps, word)
    return steps, text
