"""Secrets in the configuration are references: `env:NAME` and `file:PATH` are looked up when the file is read."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tokenman_core.config.wrong import wrong

LARGEST = 64 * 1024  # bytes of a secret's file: keys and tokens have some hundreds
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHELL = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
NOT_HERE = ("keyring", "vault")  # kinds of reference that come later


@dataclass(frozen=True)
class Source:
    """Where references are looked up. `files` is filled with those that were looked for."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    files: list[Path] = field(default_factory=list, compare=False)

    @classmethod
    def of(cls, context: Any) -> "Source":
        """The source that a validation was given as its context, else the process's own environment."""
        return context if isinstance(context, cls) else cls()


def resolve(value: str, source: Source) -> SecretStr:
    """The secret that `value` refers to, or `value` itself. Raises PydanticCustomError, which never holds a secret."""
    scheme, colon, rest = value.partition(":")
    if variable := _SHELL.fullmatch(value):
        raise wrong(f"is a shell's way to name a variable; good value: env:{variable[1]}")
    if colon and scheme == "env":
        if not _NAME.fullmatch(rest):
            raise wrong("refers to no environment variable; good value: env:OPENAI_API_KEY, without $")
        found = source.environ.get(rest)
        if not found:
            raise wrong(
                f"refers to the environment variable {rest}, which is not set; set it where tokenman is started"
            )
        return SecretStr(found)
    if colon and scheme == "file":
        return SecretStr(_read(rest, source))
    if colon and scheme in NOT_HERE:
        raise wrong(f"{scheme}: is not available in this version; good values: env:NAME, file:/run/secrets/name")
    return SecretStr(value)


def _read(name: str, source: Source) -> str:
    home = source.environ.get("HOME")
    path = Path(home, name[2:]) if home and name.startswith("~/") else Path(name).expanduser()
    if not path.is_absolute():
        raise wrong("must name its file by an absolute path, for example file:/run/secrets/name")
    source.files.append(path)
    try:
        if path.exists() and not path.is_file():  # a pipe would hold up the start for ever
            raise wrong(f"refers to {path}, which is not a file; name one that holds the secret alone")
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
        text = raw.decode().strip()
    except OSError as error:
        raise wrong(
            f"refers to the file {path}, which cannot be read: {error.strerror}; see its path and its rights"
        ) from None
    except UnicodeDecodeError:
        raise wrong(f"refers to the file {path}, which is not text; put the secret alone into it") from None
    if not text or len(raw) > LARGEST:
        raise wrong(f"refers to the file {path}, which is empty or too long for a secret; put the secret alone into it")
    return text
