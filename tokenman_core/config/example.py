"""The file that `tokenman config init` writes: every setting at its default, as a comment with a line of explanation."""

from collections.abc import Iterator

from pydantic import BaseModel

from tokenman_core.config import available, known, written
from tokenman_core.config.described import EACH, EXAMPLES, SETTINGS, section
from tokenman_core.config.models import Provider, Settings

SCHEMA = "tokenman.schema.json"
"""The name under which `config schema` is to be kept beside the file, so that editors find it."""

_SHOWN = "anthropic"  # the known provider whose settings stand for all
_COLUMN = 44  # explanations begin here, or behind a longer setting

_HEAD = f"""\
# yaml-language-server: $schema={SCHEMA}
# TokenMan's configuration. Each setting stands here at its default: take away the # in front of one to change it.
# Lines with "# " are remarks. "(later)" is what this version accepts at its default only, and does not do yet.
# Durations: 30, 1.5, 500ms, 30s, 5m, 1h, 90d. Sizes: 65536, 64KiB, 32MiB. Secrets: env:NAME or file:PATH.
# `tokenman config check` says what is wrong, and on which line; `tokenman config show` what is in force.
# For help in your editor: tokenman config schema > {SCHEMA} (in this folder).
"""


def text() -> str:
    """The whole file. It validates as it is, and with every `#` in front of a setting taken away; both mean the defaults."""
    return _HEAD + "\n" + "\n".join(_section(Settings, "", "")).rstrip() + "\n"


def _section(model: type[BaseModel], prefix: str, indent: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        setting = f"{prefix}{name}"
        if setting == "providers":
            yield from _providers()
        elif (inner := section(field.annotation)) is not None:
            yield _line(f"{indent}{name}:", setting)
            yield from _section(inner, f"{setting}.", f"{indent}  ")
        else:
            yield _line(f"{indent}#{name}: {written.yaml(_default(setting, name, model))}", setting)
            yield from _examples(setting, indent)
        if not indent:
            yield ""


def _providers() -> Iterator[str]:
    yield _line("providers:", "providers")
    yield f"  {_SHOWN}:"
    yield from _section(Provider, f"{EACH}.", "    ")
    yield "  # One of your own:"
    yield from (f"  # {line}" for line in EXAMPLES["providers"])


def _examples(setting: str, indent: str) -> Iterator[str]:
    lines = EXAMPLES.get(setting, ())
    if lines:
        yield f"{indent}# for example:"
    yield from (f"{indent}#   {line}" for line in lines)


def _default(setting: str, name: str, model: type[BaseModel]) -> object:
    shown = known.PROVIDERS[_SHOWN]
    if setting.startswith(EACH) and name in shown:
        return shown[name]
    return written.default(model.model_fields[name])


def _line(start: str, setting: str) -> str:
    gap = next((gap for gap in available.GAPS if gap.setting == setting), None)
    return f"{start:<{_COLUMN - 2}}  # {SETTINGS[setting]}{' (later)' if gap else ''}"
