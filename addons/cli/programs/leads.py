"""Where a program's own settings files lead its calls: they win over the environment, so what they say is told before it starts."""

import json
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from addons.cli.programs.environment import Place, ours, served, shown
from addons.cli.programs.table import Files, Program, Via
from tokenman_core.config.models import Settings
from tokenman_core.credentials import written_out

_MOST = 1 << 20  # bytes of a file; nobody's settings are longer
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def warnings(
    program: Program,
    via: Via | None,
    place: Place,
    settings: Settings,
    environ: Mapping[str, str],
    here: Path,
    arguments: tuple[str, ...] = (),
) -> Iterator[str]:
    """One line for each setting that leads calls past us, with the remedy. What cannot be read, or is broken, is left out."""
    if program.files is None:
        return
    via = via or program.via
    for path in _paths(program.files, environ, here):
        found = _read(path)
        if found is None:
            continue
        told = _toml(found, via, arguments) if path.suffix == ".toml" else _env(found, program)
        for name, value in told:
            if not _governed(name, value, via, place, settings):
                yield _line(program, name, value, path)


def _paths(files: Files, environ: Mapping[str, str], here: Path) -> Iterator[Path]:
    home = Path(environ.get("HOME") or "~").expanduser()
    folder = Path(environ.get(files.variable) or home / files.folder)
    found = [*(folder / name for name in files.own), *(here / name for name in files.here), *map(Path, files.machine)]
    yield from dict.fromkeys(found)


def _read(path: Path) -> Mapping[str, Any] | None:
    """The file as a mapping. A pipe, which could make us wait for ever, is no file of settings."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            text = file.read(_MOST).decode()
        found = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError, RecursionError):  # the program itself says what is wrong with it
        return None
    return found if isinstance(found, dict) else None


def _env(found: Mapping[str, Any], program: Program) -> Iterator[tuple[str, str]]:
    """The variables that a file sets (https://code.claude.com/docs/en/settings) and that lead elsewhere."""
    env = _table(found, "env")
    for name in (*(one.variable for one in program.base_urls), *program.elsewhere, *_PROXIES):
        value = env.get(name)
        if isinstance(value, str | int) and str(value) not in ("", "0", "False", "false"):
            yield f"env.{name}", str(value)


def _toml(found: Mapping[str, Any], via: Via | None, arguments: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The provider that Codex asks (https://developers.openai.com/codex/config-reference), by its base URL."""
    if via == "proxy" and isinstance(found.get("openai_base_url"), str):
        yield "openai_base_url", found["openai_base_url"]  # else it is given on the command line, which wins
    profile = _table(_table(found, "profiles"), str(found.get("profile")))
    chosen = profile.get("model_provider", found.get("model_provider"))
    for word in arguments:
        key, equals, value = word.removeprefix("--config=").removeprefix("-c").strip().partition("=")
        chosen = value.strip("\"' ") if equals and key == "model_provider" else chosen
    if isinstance(chosen, str) and chosen != "openai":
        base = _table(_table(found, "model_providers"), chosen).get("base_url")
        yield "model_provider", base if isinstance(base, str) else chosen


def _table(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = found.get(name)
    return inner if isinstance(inner, dict) else {}


def _governed(name: str, value: str, via: Via | None, place: Place, settings: Settings) -> bool:
    """Whether it leads here, or to a provider's own host, calls to which pass the proxy that the environment names."""
    there = any(served(value, provider) for provider in settings.providers.values())
    return ours(value, settings, place) or (there and via != "base-url" and name.rpartition(".")[2] not in _PROXIES)


def _line(program: Program, name: str, value: str, path: Path) -> str:
    setting = f"{written_out(str(path))} sets {name}"
    if "://" not in value:
        return f"warning: {setting}: {written_out(value[:60])}, so its calls go to a host that is not governed: take it out there"
    url = written_out(shown(value)[:200])
    if name.rpartition(".")[2] in _PROXIES:
        return f"warning: {setting}: {url}, so its calls may go through that proxy and not through TokenMan: take it out there"
    provider = "openai" if path.suffix == ".toml" else next(
        (one.provider for one in program.base_urls if name == f"env.{one.variable}"), "NAME"
    )  # fmt: skip
    return (
        f"warning: {setting}: {url}, so its calls go there and are not governed: take it out there; to have them governed on "
        f"their way there, set providers.{provider}.base_url: {url}"
    )
