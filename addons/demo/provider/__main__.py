"""Runs the fake provider by itself: `python -m addons.demo.provider --port 8000`."""

import argparse
import asyncio
import contextlib
import ssl
from pathlib import Path

from addons.demo.provider.server import FakeProvider


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m addons.demo.provider", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one and prints it")
    parser.add_argument(
        "--control-port", type=int, default=None, help="answers GET and DELETE /received; 0: a free one"
    )
    parser.add_argument("--journal", type=Path, default=None, help="a file that gets a line of JSON for each request")
    parser.add_argument("--certificate", type=Path, default=None, help="PEM of chain and key: speaks HTTPS, HTTP/2 too")
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    tls = None
    if arguments.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(arguments.certificate)
        tls.set_alpn_protocols(["h2", "http/1.1"])
    control = arguments.control_port is not None and (arguments.control_port or True)
    async with FakeProvider(tls=tls, port=arguments.port, control=control, journal=arguments.journal) as provider:
        print(provider.url, flush=True)
        if control:
            print(provider.control_url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(_arguments()))
