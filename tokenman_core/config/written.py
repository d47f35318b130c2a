"""Writes values of settings as a person would write them into the file: `32MiB`, `500ms`, `127.0.0.1:7677`."""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, BeforeValidator, SecretStr
from pydantic.fields import FieldInfo

from tokenman_core.config.values import parse_size, read_duration

_PLAIN = re.compile(r"[A-Za-z0-9~/][A-Za-z0-9_./~:%-]*(?<!:)")
# Plain texts that YAML 1.1 or 1.2 takes for something else: numbers (in sixties too), dates, and these words.
_OTHER = re.compile(r"[0-9][0-9_]*(\.[0-9_]*)?(e[+-]?[0-9]+)?|0[xob][0-9a-f_]+|[0-9]+(:[0-9]+)+|\d{4}-\d\d?-\d\d?.*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "y", "n", "~"})
HIDDEN = "(hidden)"
"""Stands for every secret."""


def say_duration(seconds: float) -> str:
    """30s, 500ms, 90d: what `parse_duration` reads back as the same."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length and not seconds % length and seconds != 60:
            return f"{seconds / length:g}{unit}"
    if 0 < seconds < 1:
        return f"{seconds * 1000:g}ms"
    return f"{seconds:g}s" if seconds else "0"


def say_size(size: int) -> str:
    """32MiB, 64KiB, 1000: what `parse_size` reads back as the same."""
    for unit, power in (("GiB", 3), ("MiB", 2), ("KiB", 1)):
        if size and not size % 1024**power:
            return f"{size // 1024**power}{unit}"
    return str(size)


def value(field: FieldInfo, given: Any) -> Any:
    """A value of a field in the kinds that YAML and JSON have."""
    parsers = [each.func for each in field.metadata if isinstance(each, BeforeValidator)]
    if read_duration in parsers:
        return say_duration(given)
    if parse_size in parsers:
        return say_size(given)
    return _simple(given)


def default(field: FieldInfo) -> Any:
    """What a setting is without a word, in the kinds that YAML and JSON have. Raises ValueError where it must be given."""
    if field.is_required():
        raise ValueError("has no default")
    return value(field, field.get_default(call_default_factory=True, validated_data={}))


def yaml(simple: Any) -> str:
    """One line of YAML for what `value` returns; read by YAML 1.1 and 1.2 alike."""
    if isinstance(simple, str):
        lower = simple.lower()
        plain = _PLAIN.fullmatch(simple) and lower not in _WORDS and not _OTHER.fullmatch(lower)
        return simple if plain else json.dumps(simple, ensure_ascii=False)
    if isinstance(simple, list):
        return f"[{', '.join(yaml(each) for each in simple)}]"
    if isinstance(simple, Mapping):
        return "{" + ", ".join(f"{yaml(key)}: {yaml(each)}" for key, each in simple.items()) + "}"
    return json.dumps(simple)


def _simple(given: Any) -> Any:
    if given is None or isinstance(given, bool | int | float | str):
        return given
    if isinstance(given, SecretStr):
        return HIDDEN if given.get_secret_value() else ""
    if isinstance(given, BaseModel):
        given = {name: each for name in type(given).model_fields if (each := getattr(given, name)) is not None}
    if isinstance(given, tuple | list):
        return [_simple(each) for each in given]
    if isinstance(given, Mapping):
        return {str(key): _simple(each) for key, each in given.items()}
    return str(given)
