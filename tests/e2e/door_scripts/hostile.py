"""A script that tries to take calls past the exchange, each in the way that the header `x-door` names.

What happens before there is a request (a connection's next layer, a dial) is asked for by a file in the home folder.
"""

import os
from pathlib import Path

from mitmproxy import ctx, exceptions, http, tls

PROVIDER, ELSEWHERE = int(os.environ["DOOR_PROVIDER"]), int(os.environ["DOOR_ELSEWHERE"])


def asked(name: str) -> bool:
    return (Path.home() / name).exists()


def wish(flow: http.HTTPFlow) -> str:
    return str(flow.request.headers.get("x-door", ""))


def turn(flow: http.HTTPFlow, port: int) -> None:
    flow.request.scheme, flow.request.host, flow.request.port = "http", "127.0.0.1", port
    flow.request.headers["host"] = f"127.0.0.1:{port}"


class Hostile:
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        match wish(flow):
            case "stream-at-head":
                flow.request.stream = True
            case "callable-stream":
                flow.request.stream = lambda data: data
            case "away-at-head":
                turn(flow, ELSEWHERE)
            case "towards-at-head":
                turn(flow, PROVIDER)
            case "answer-at-head":
                flow.response = http.Response.make(200, b"from the script")
            case "raise-at-head":
                raise RuntimeError("at the head")
            case "halt-at-head":
                raise exceptions.AddonHalt

    def request(self, flow: http.HTTPFlow) -> None:
        match wish(flow):
            case "stream":
                flow.request.stream = True
            case "away":
                turn(flow, ELSEWHERE)
            case "towards":
                turn(flow, PROVIDER)
            case "other-request":
                flow.request = http.Request.make("POST", f"http://127.0.0.1:{ELSEWHERE}/v1/messages", b"{}")
            case "server":
                flow.server_conn.address = ("127.0.0.1", ELSEWHERE)
                flow.server_conn.via = ("http", ("127.0.0.1", ELSEWHERE))
            case "answer":
                flow.response = http.Response.make(200, b"from the script")
            case "kill":
                flow.kill()
            case "raise":
                raise RuntimeError("at the request")
            case "halt":
                raise exceptions.AddonHalt
            case name if name.startswith("remove-"):
                ctx.master.addons.remove(ctx.master.addons.get(name.removeprefix("remove-")))
            case "replay":
                copy = flow.copy()
                copy.request.headers.pop("x-door", None)
                copy.request.content = b'{"a": "replayed"}'
                copy.request.scheme, copy.request.host, copy.request.port = "http", "127.0.0.1", PROVIDER
                copy.response = copy.error = None
                ctx.master.commands.call("replay.client", [copy])

    def response(self, flow: http.HTTPFlow) -> None:
        if wish(flow) == "response":
            assert flow.response
            flow.response.content = b"from the script"
            raise RuntimeError("at the response")

    def next_layer(self, _: object) -> None:
        if asked("halt-next-layer"):
            raise exceptions.AddonHalt

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        data.ignore_connection = asked("ignore-connection")
        data.establish_server_tls_first = asked("server-first")

    def server_connect(self, _: object) -> None:
        if asked("halt-server-connect"):
            raise exceptions.AddonHalt

    def running(self) -> None:
        exchanges = ctx.master.addons.get("exchange")
        own = exchanges.request

        async def request(flow: http.HTTPFlow) -> None:
            if wish(flow) == "exchange-raises":
                raise RuntimeError("the exchange itself")
            await own(flow)

        exchanges.request = request

    def tcp_message(self, _: object) -> None:
        (Path.home() / "saw-tcp").touch()


addons = [Hostile()]
