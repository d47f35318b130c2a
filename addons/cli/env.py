"""`tokenman env`: the environment that leads programs here, in the words of a shell."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from addons.cli.instance_client import InstanceError, connect
from addons.cli.programs import environment
from addons.cli.programs.environment import Place
from addons.cli.programs.table import Program, Via
from addons.cli.settings import complain, loaded
from tokenman_core import ca
from tokenman_core.clients import keys_needed
from tokenman_core.config.models import Settings
from tokenman_core.config.values import Address
from tokenman_core.errors import ConfigError

BAD_CONFIGURATION = 2
_NOT_ALL = ("codex needs an option besides, and gemini no base URL: start these with `tokenman run -- codex`",)
_KEY = (
    "calls need a virtual key: make one with `tokenman clients add NAME`, and set it where the program has its provider's key "
    "(ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY); `tokenman run` needs none"
)
Shell = Literal["sh", "fish", "powershell", "json"]


def run(file: Path | None, via: Via | None, shell: Shell | None) -> int:
    """Prints it; the exit code: 0, or 2 for a bad configuration. `shell` None: the one that $SHELL names."""
    found = loaded(file)
    if found is None:
        return BAD_CONFIGURATION
    settings = found.settings
    try:
        proxy, listens = _proxy(settings)
        authority = ca.ensure(settings.data_dir / "ca", settings.authority_hosts())
        made = environment.prepare(Program("env"), via, Place(proxy), settings, authority, os.environ)
    except ConfigError as error:
        complain(error)
        return BAD_CONFIGURATION
    notes = [*made.notes, *_NOT_ALL]
    if keys_needed(settings):
        notes.append(_KEY)
    if not listens:
        notes.append(f"nothing listens at {proxy} yet: start it with `tokenman up`")
    shell = shell or _own_shell(os.environ)
    print(write(made.variables, notes, shell))
    if shell == "json":
        for note in notes:
            print(f"tokenman: {note}", file=sys.stderr)
    return 0


def _proxy(settings: Settings) -> tuple[Address, bool]:
    """Where the proxy is, and whether it is there now and has proved it."""
    try:
        client = connect(settings)
        if client is not None:
            client.prove_proxy()
            return client.running.proxy, True
    except InstanceError:
        pass  # then it is told that nothing listens
    return settings.listen, False


def _own_shell(environ: Mapping[str, str]) -> Shell:
    name = Path(environ.get("SHELL", "")).name
    if name == "fish":
        return "fish"
    return "powershell" if name in ("pwsh", "powershell") else "sh"


_ASSIGN: Mapping[str, Callable[[str, str], str]] = {
    "sh": lambda name, value: f"export {name}='" + value.replace("'", "'\\''") + "';",
    "fish": lambda name, value: f"set -gx {name} '" + value.replace("\\", "\\\\").replace("'", "\\'") + "';",
    "powershell": lambda name, value: f"$env:{name} = '" + value.replace("'", "''") + "';",
}


def write(variables: Mapping[str, str], notes: list[str], shell: Shell) -> str:
    """Notes stand at the end: in an `eval` that joins the lines, all behind a comment is lost."""
    if shell == "json":
        return json.dumps(dict(variables), indent=2)
    assign = _ASSIGN[shell]
    comments = [f"# {' '.join(note.split())}" for note in notes]
    return "\n".join([*(assign(name, value) for name, value in variables.items()), *comments])
