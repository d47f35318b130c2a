"""`tokenman up`: from the configuration to a running proxy, or to an exit code and the remedy."""

import asyncio
import errno
import importlib
import logging
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from addons.cli import figures
from addons.cli.loop import Loop
from addons.cli.ports import free_port
from addons.cli.settings import complain, loaded
from addons.cli.status_line import StatusLine, fits
from tokenman_core import __version__, ca
from tokenman_core.config.load import Loaded
from tokenman_core.config.models import Settings
from tokenman_core.config.values import Address
from tokenman_core.errors import ConfigError
from tokenman_core.instance import LOCK_FILE, Instance, Started, Taken
from tokenman_core.redaction import Detection
from tokenman_core.redaction.gate_file import gate_file
from tokenman_core.telemetry import log
from tokenman_core.telemetry.tally import Tallies, Tally

if TYPE_CHECKING:
    from addons.proxy.bundle import Bundle

_log = logging.getLogger("tokenman")

BAD_CONFIGURATION = 2
CANNOT_LISTEN = 3


def run(file: Path | None, listen: str | None) -> int:
    """Blocks until the proxy was told to end. The exit code: 0 fine, 2 bad configuration, 3 cannot listen."""
    found = loaded(file, {"listen": listen} if listen else None)
    if found is None:
        return BAD_CONFIGURATION
    settings = found.settings
    taken = busy(settings)
    if taken:
        for line in who_runs(settings) or taken:
            typer.echo(f"tokenman: {line}", err=True)
        return CANNOT_LISTEN
    status = StatusLine(sys.stderr) if fits(sys.stderr) else None
    try:
        log.setup(settings.telemetry.log, log.secrets_of(settings), status)
        authority = ca.ensure(settings.data_dir / "ca", settings.authority_hosts())
        ran: list[Tallies] = []

        def ready(bundle: "Bundle") -> None:
            ran.append(bundle.tallies)
            _ready(found, authority, bundle, status)

        code = serve(found, ready)
        if status is not None:
            status.close()
        for tallies in ran:
            typer.echo(f"tokenman: ended; {sums(tallies.total)}", err=True)
        return code
    except ConfigError as error:
        complain(error)
        return BAD_CONFIGURATION
    except OSError as error:
        complain(error)
        return CANNOT_LISTEN
    finally:
        if status is not None:
            status.close()


def serve(found: Loaded, on_ready: "Callable[[Bundle], None]", started: Started = "up") -> int:
    """Blocks; the exit code. No core is dumped, by its workers neither: it would hold what was masked.

    Raises ConfigError, OSError if it cannot listen, Taken (an OSError) if another one runs."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def ready(bundle: "Bundle") -> None:
        settings, file = found.settings, found.file or "none, the defaults"
        _log.info(
            "started: TokenMan %s, configuration %s, proxy on %s, dashboard on %s",
            __version__, file, settings.listen, settings.admin.listen,
        )  # fmt: skip
        on_ready(bundle)

    code = asyncio.run(_serve(found, ready, started), loop_factory=Loop)
    _log.info("ended, with exit code %d", code)
    return code


async def _serve(found: Loaded, on_ready: "Callable[[Bundle], None]", started: Started) -> int:
    """The detection's worker and the proxy's engine take a second each to load: they do so at the same time."""
    detection = Detection(kept=gate_file(found.settings))
    engine = asyncio.to_thread(importlib.import_module, "addons.proxy.master")
    try:
        master, _ = await asyncio.gather(engine, detection.start())
        return int(await master.serve(found, on_ready, started, detection))
    finally:
        await detection.close()


def sums(total: Tally) -> str:
    """What a time came to: `14 calls, 9 values masked, $0.0421`."""
    return (
        f"{figures.so_many(total.calls, 'call')}, {figures.so_many(total.masked, 'value')} masked, "
        + ("≤" if total.ceiling else "")
        + figures.money(total.cost)
        + (f" and {total.unpriced:,} without a price" if total.unpriced else "")
    )


def _ready(found: Loaded, authority: ca.Authority, bundle: "Bundle", status: StatusLine | None) -> None:
    from addons.cli import greeting

    seen = sys.stdout is not None and sys.stdout.isatty()  # a file or a journal keeps what it is told, for others too
    greeting.show(found, authority, bundle.codes.new() if seen else "")
    if status is not None:
        status.start(bundle.tallies)


def who_runs(settings: Settings) -> list[str]:
    """One line if a TokenMan has the data folder, and so most likely the ports."""
    try:
        if (settings.data_dir / LOCK_FILE).exists():  # a start that fails leaves nothing behind
            Instance.take(settings.data_dir).release()
    except Taken as error:
        return [str(error)]
    except (ConfigError, OSError):
        pass  # the ports are what is told
    return []


def busy(settings: Settings) -> list[str]:
    """One line for each listener that cannot be had; both are tried, so that both are named."""
    wanted = (("listen", settings.listen), ("admin.listen", settings.admin.listen))
    return [line for setting, address in wanted if (line := _try(setting, address))]


def _try(setting: str, address: Address) -> str:
    try:
        free_port(address)
    except OSError as error:
        remedy = "is another tokenman running? else choose another port" if error.errno == errno.EADDRINUSE else ""
        remedy = remedy or "choose another address, for example 127.0.0.1:17677"
        return f"{setting}: cannot listen on {address}: {error.strerror or error}; {remedy}"
    return ""
