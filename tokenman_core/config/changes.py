"""What a configuration that was read anew changes in one that is in force, and what of it has to wait for the next start."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from tokenman_core.config.models import Settings

AT_START: tuple[str, ...] = (
    "listen", "data_dir", "tls", "admin.listen", "secret", "state", "ledger", "inspect", "telemetry.log.format",
    "telemetry.log.file", "telemetry.otel", "timezone",
)  # fmt: skip
"""Settings, with all that stands under them, that are obeyed at a start only."""


def changed(old: BaseModel, new: BaseModel) -> tuple[str, ...]:
    """The names of the settings that differ, `providers.openai.key`; of a list or of what one of the two lacks, its own."""
    return tuple(_differing("", old, new))


def waiting(old: Settings, new: Settings) -> tuple[str, ...]:
    """Those of them that have to wait for the next start."""
    return tuple(name for name in changed(old, new) if any(name == it or name.startswith(f"{it}.") for it in AT_START))


def obeyed(old: Settings, new: Settings) -> Settings:
    """`new`, with what is obeyed at a start only as `old` has it."""
    kept = new
    for setting in AT_START:
        kept = _put(kept, old, setting.split("."))
    return kept


def _put[M: BaseModel](into: M, source: BaseModel, steps: list[str]) -> M:
    name, *rest = steps
    value = getattr(source, name)
    if rest:
        value = _put(getattr(into, name), value, rest)
    return into.model_copy(update={name: value})


def _differing(prefix: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, BaseModel) and type(old) is type(new):
        pairs = {name: (getattr(old, name), getattr(new, name)) for name in type(old).model_fields}
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        pairs = {name: (old.get(name), new.get(name)) for name in dict.fromkeys([*old, *new])}
    else:
        yield prefix
        return
    for name, (before, after) in pairs.items():
        yield from _differing(f"{prefix}.{name}" if prefix else str(name), before, after)
