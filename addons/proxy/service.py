"""The admin server beside the proxy, and what is said once both are up."""

import sys
from collections.abc import Callable

from mitmproxy import ctx

from addons.proxy import internals
from addons.proxy.bundle import Bundle
from tokenman_core.admin import app, serve
from tokenman_core.config.load import Loaded


class Service:
    """An add-on: the admin server lives as long as the master runs."""

    name = "service"

    def __init__(self, bundle: Bundle, loaded: Loaded, on_ready: Callable[[], None] | None) -> None:
        self._bundle, self._loaded, self._on_ready = bundle, loaded, on_ready
        self._server: serve.Server | None = None

    async def running(self) -> None:
        if not await internals.listen(ctx.master):
            print("tokenman: cannot listen; the log says where", file=sys.stderr)
            sys.exit(3)
        admin = self._loaded.settings.admin.listen
        try:
            self._server = await serve.serve(app.make(self._loaded.settings), admin.host, admin.port)
        except OSError as e:
            print(f"tokenman: admin.listen: {e}", file=sys.stderr)
            sys.exit(3)
        if self._on_ready:
            self._on_ready()
        else:
            where = " and ".join(
                f"{host}:{port}" for host, port, *_ in ctx.master.addons.get("proxyserver").listen_addrs()
            )
            print(f"TokenMan listens at {where}, health at http://{admin}/health", flush=True)

    async def done(self) -> None:
        if self._server is not None:
            await self._server.stop()
