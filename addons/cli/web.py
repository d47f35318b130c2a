"""`tokenman web`: mitmproxy's own web interface, with the same add-ons and the same configuration, to look into calls."""

import os
import socket
import sys
from pathlib import Path

import typer

from addons.cli.settings import complain, loaded
from addons.cli.up import BAD_CONFIGURATION, CANNOT_LISTEN, busy, who_runs
from tokenman_core.config.load import Loaded
from tokenman_core.errors import ConfigError

FIRST_PORT = 8081  # mitmweb's own


def run(file: Path | None, listen: str | None) -> int:
    """Blocks until a signal. The exit code is mitmweb's: 0 fine; 2 bad configuration, 3 cannot listen."""
    found = loaded(file, {"listen": listen} if listen else None)
    if found is None:
        return BAD_CONFIGURATION
    if taken := busy(found.settings):
        for line in who_runs(found.settings) or taken:
            typer.echo(f"tokenman: {line}", err=True)
        return CANNOT_LISTEN
    from mitmproxy.tools.main import mitmweb

    if listen:
        os.environ["TOKENMAN_LISTEN"] = listen  # the add-ons read the configuration for themselves
    try:
        mitmweb(arguments(found, port(), browser=sys.stdout.isatty()))
    except (ConfigError, OSError) as error:
        complain(error)
        return CANNOT_LISTEN if isinstance(error, OSError) else BAD_CONFIGURATION
    return 0


def arguments(found: Loaded, web_port: int, browser: bool) -> list[str]:
    """mitmweb's. Its lines about single connections are left out: TokenMan's own say what is to be known."""
    script = Path(__file__).resolve().parent.parent / "tokenman.py"
    options = {
        "tokenman_config": str(found.file) if found.file else "",
        "web_host": "127.0.0.1",
        "web_port": str(web_port),
        "web_open_browser": str(browser).lower(),
        "termlog_verbosity": "warn",
    }
    settings = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    return ["-s", str(script), *settings]


def port() -> int:
    """mitmweb's own port if it is free, else any that is."""
    for wanted in (FIRST_PORT, 0):
        try:
            with socket.create_server(("127.0.0.1", wanted)) as listener:
                return int(listener.getsockname()[1])
        except OSError:
            continue
    return FIRST_PORT  # mitmweb says what is wrong with it
