"""The admin server beside the proxy, the hold on the data folder, what is said once all is up, and the configuration read again."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from mitmproxy import ctx
from starlette.types import ASGIApp, Receive, Scope, Send

from addons.proxy import internals
from addons.proxy.bundle import Bundle
from addons.proxy.shown import Shown
from tokenman_core import background
from tokenman_core.admin import app, runs, serve
from tokenman_core.clock import SystemClock
from tokenman_core.config.load import Loaded
from tokenman_core.config.reload import LOOK_S, Reload, Reloader, Result, as_json
from tokenman_core.config.values import Address
from tokenman_core.errors import trace
from tokenman_core.instance import Instance, Started
from tokenman_core.ledger.row import iso
from tokenman_core.telemetry import log
from tokenman_core.telemetry.series import Count

_log = logging.getLogger("tokenman.config")

_TURN_S = 0.001
"""How long a thread has the interpreter while the event loop waits for it (5 ms unless said): large bodies are read on threads."""


class Service:
    """An add-on: the admin server lives as long as the master runs."""

    name = "service"

    def __init__(
        self, bundle: Bundle, loaded: Loaded, on_ready: Callable[[Bundle], None] | None, started: Started = "up"
    ) -> None:
        """Raises Taken if another process has the data folder, ConfigError if it cannot be used."""
        self._instance = Instance.take(loaded.settings.data_dir, started)
        self._bundle, self._on_ready = bundle, on_ready
        self._reloads = _Reloads(bundle, loaded)
        self._reloads.show = self._show
        self._shown = Shown(bundle, self._reloads)
        self._application = _Changing()
        self._server: serve.Server | None = None
        self._looking: asyncio.Task[None] | None = None

    async def running(self) -> None:
        if not await internals.listen(ctx.master):
            print("tokenman: cannot listen; the log says where", file=sys.stderr)
            sys.exit(3)
        admin = self._bundle.policies.loaded.settings.admin.listen
        try:
            self._show()
            self._server = await serve.serve(self._application, admin.host, admin.port)
        except OSError as e:
            print(f"tokenman: admin.listen: {e}", file=sys.stderr)
            sys.exit(3)
        host, port, *_ = ctx.master.addons.get("proxyserver").listen_addrs()[0]
        self._instance.publish(Address(host, port), Address(*self._server.address))
        alive = background.began("configuration", LOOK_S)
        self._looking = alive.of(asyncio.create_task(self._reloads.look(alive)))
        _on_hangup(self._reloads.now, ctx.master.shutdown)
        sys.setswitchinterval(_TURN_S)
        gc.freeze()  # what is loaded stays: to look through it for garbage would stop all calls for 20 ms and more, again and again
        if self._on_ready:
            self._on_ready(self._bundle)
        else:
            where = " and ".join(
                f"{host}:{port}" for host, port, *_ in ctx.master.addons.get("proxyserver").listen_addrs()
            )
            print(f"TokenMan listens at {where}, health at http://{admin}/health", flush=True)
            if page := getattr(ctx.master, "web_url", ""):  # the log masks its token
                print(f"mitmweb shows the calls, as masked as they left, at {page}", flush=True)

    def _show(self) -> None:
        """The admin application, by the configuration in force."""
        loaded = self._reloads.loaded
        routes = runs.routes(self._bundle.runs, self._bundle.prover)
        self._application.now = app.make(loaded.settings, self._shown.parts(loaded), routes)

    async def done(self) -> None:
        self._instance.withdraw()
        self._bundle.runs.closing.set()
        self._bundle.feed.close()
        if self._looking is not None:
            self._looking.cancel()
        if self._server is not None:
            await self._server.stop()


class _Changing:
    """An application in whose place another one can be put."""

    now: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.now(scope, receive, send)


class _Reloads:
    """Reads the configuration again when it changes, or when asked to by SIGHUP."""

    def __init__(self, bundle: Bundle, loaded: Loaded) -> None:
        self._bundle = bundle
        self._reloader = Reloader(loaded, os.environ, self._obey, SystemClock(), self._tell)
        self._count = Count("tokenman_config_reloads", "Readings of a changed configuration.", ("result",))
        self._count.values.update({(result,): 0 for result in get_args(Result)})
        bundle.metrics.watch(self._count.copy)
        self._asked: asyncio.Task[Reload] | None = None
        self.show: Callable[[], None] = lambda: None

    @property
    def loaded(self) -> Loaded:
        return self._reloader.loaded

    def as_json(self) -> Mapping[str, Any] | None:
        return as_json(self._reloader.last, lambda at: iso(datetime.fromtimestamp(at, UTC)))

    async def look(self, alive: background.Task) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            alive.ran()
            try:
                await self._reloader.look()
                self._bundle.tidy()
            except Exception as e:  # whatever it was, later changes are to be obeyed
                _log.error("the configuration could not be looked after: %s", trace(e))

    def now(self) -> None:
        self._asked = asyncio.ensure_future(self._reloader.reload())

    async def _obey(self, loaded: Loaded) -> None:
        log.change(self.loaded.settings.telemetry.log, log.secrets_of(loaded.settings))  # before anything is told
        await self._bundle.obey(loaded)
        log.change(loaded.settings.telemetry.log, ())

    def _tell(self, reload: Reload) -> None:
        self._count.values[reload.result,] += 1
        self.show()


def _on_hangup(reload: Callable[[], None], leave: Callable[[], None]) -> None:
    """SIGHUP is what a service manager sends to have the configuration read again. A terminal sends it when it is closed: then
    whoever ran there is to end with it, as always."""
    here = _has_terminal()
    with contextlib.suppress(NotImplementedError, ValueError):  # no signals here, or not the main thread
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGHUP, lambda: leave() if here and not _has_terminal() else reload()
        )


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
