"""`tokenman up`: mitmproxy's engine with the few of its own add-ons that a proxy needs, and ours."""

import asyncio
import logging
import signal
from collections.abc import Callable

from mitmproxy.addons import core, next_layer, proxyserver
from mitmproxy.master import Master
from mitmproxy.options import Options

from addons.proxy import internals
from addons.proxy.bundle import Bundle, install
from addons.proxy.direct import Direct
from addons.proxy.internals import WrongVersion
from addons.proxy.options import OptionRefused
from addons.proxy.service import Service
from tokenman_core.config.load import Loaded
from tokenman_core.errors import ConfigError
from tokenman_core.instance import Started
from tokenman_core.redaction import Detection

GRACE_S = 29.5
"""How long running calls may take to end after SIGTERM, so that all is over in half a minute; a second signal ends them at once."""


async def serve(loaded: Loaded, on_ready: Callable[[Bundle], None], started: Started, detection: Detection) -> int:
    """Runs until SIGTERM or SIGINT, and one that `tokenman run` started until nobody uses it; the exit code.

    `detection` may be started already. Raises ConfigError before anything listens, OSError if it cannot.
    """
    logging.getLogger("mitmproxy").setLevel(logging.WARNING)  # it tells of every connection
    listen = loaded.settings.listen
    options = Options(listen_host=listen.host, listen_port=listen.port)
    master = Master(options)
    master.addons.add(core.Core(), proxyserver.Proxyserver(), next_layer.NextLayer())
    try:
        bundle = install(master, loaded, detection)
    except (OptionRefused, WrongVersion) as error:
        raise ConfigError(str(error)) from error
    internals.listen_directly(master, Direct(bundle.exchanges, bundle.gate).connection)
    master.addons.add(Service(bundle, loaded, on_ready, started))
    leave = _on_signals(master, bundle)
    if started == "run":
        bundle.runs.when_unused(leave, lambda: bool(bundle.exchanges.active or bundle.gate.open))
    await master.run()
    return 0


def _on_signals(master: Master, bundle: Bundle) -> Callable[[], None]:
    """What is done on a signal, for whoever else wants it to end."""
    loop = asyncio.get_running_loop()
    leaving: list[asyncio.Task[None]] = []

    def leave() -> None:
        if leaving:
            master.shutdown()
            return
        leaving.append(loop.create_task(_leave(master, bundle)))

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, leave)
    return leave


async def _leave(master: Master, bundle: Bundle) -> None:
    """New calls are refused, running ones may end."""
    bundle.exchanges.closing = True
    await bundle.exchanges.drained(GRACE_S)
    master.shutdown()
