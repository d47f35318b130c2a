"""The admin server beside the proxy, the hold on the data folder, and what is said once all is up."""

import sys
from collections.abc import Callable

from mitmproxy import ctx

from addons.proxy import internals
from addons.proxy.bundle import Bundle
from addons.proxy.shown import parts_of
from tokenman_core.admin import app, runs, serve
from tokenman_core.config.load import Loaded
from tokenman_core.config.values import Address
from tokenman_core.instance import Instance, Started


class Service:
    """An add-on: the admin server lives as long as the master runs."""

    name = "service"

    def __init__(
        self, bundle: Bundle, loaded: Loaded, on_ready: Callable[[Bundle], None] | None, started: Started = "up"
    ) -> None:
        """Raises Taken if another process has the data folder, ConfigError if it cannot be used."""
        self._instance = Instance.take(loaded.settings.data_dir, started)
        self._bundle, self._loaded, self._on_ready = bundle, loaded, on_ready
        self._parts = parts_of(bundle, loaded)
        self._server: serve.Server | None = None

    async def running(self) -> None:
        if not await internals.listen(ctx.master):
            print("tokenman: cannot listen; the log says where", file=sys.stderr)
            sys.exit(3)
        admin = self._loaded.settings.admin.listen
        try:
            routes = runs.routes(self._bundle.runs, self._bundle.prover)
            application = app.make(self._loaded.settings, self._parts, routes)
            self._server = await serve.serve(application, admin.host, admin.port)
        except OSError as e:
            print(f"tokenman: admin.listen: {e}", file=sys.stderr)
            sys.exit(3)
        host, port, *_ = ctx.master.addons.get("proxyserver").listen_addrs()[0]
        self._instance.publish(Address(host, port), Address(*self._server.address))
        if self._on_ready:
            self._on_ready(self._bundle)
        else:
            where = " and ".join(
                f"{host}:{port}" for host, port, *_ in ctx.master.addons.get("proxyserver").listen_addrs()
            )
            print(f"TokenMan listens at {where}, health at http://{admin}/health", flush=True)
            if page := getattr(ctx.master, "web_url", ""):  # the log masks its token
                print(f"mitmweb shows the calls, as masked as they left, at {page}", flush=True)

    async def done(self) -> None:
        self._instance.withdraw()
        self._bundle.runs.closing.set()
        self._bundle.feed.close()
        if self._server is not None:
            await self._server.stop()
