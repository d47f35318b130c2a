"""Programs whose stream has no beginning for ten seconds: real clients, over HTTP/1.1 and HTTP/2, at a provider that thinks."""

import json
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest

from tests.e2e import raw
from tests.e2e.harness import ANTHROPIC_KEY, Proxy, claude, gpt, user
from tests.e2e.raw import H2Client

COMMENT = b": tokenman is waiting\n\n"
HEADERS = {"x-api-key": ANTHROPIC_KEY, "content-type": "application/json", "anthropic-version": "2023-06-01"}
ASKED = {"model": "claude-sonnet-4-6", "max_tokens": 9, "stream": True, "messages": user("hello")}
DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "thought"}}
EVENTS = (
    {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "m",
     "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    DELTA,
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)  # fmt: skip
STREAM = b"".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in EVENTS)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + STREAM
SAID = b'{"error": {"type": "server_error", "message": "broken"}}'
ERROR = b"HTTP/1.1 500 Broken\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(SAID), SAID)


class Thinker:
    """Answers nobody before it is told to: Anthropic's calls with a stream, all others with a 500."""

    def __init__(self) -> None:
        self.speak = threading.Event()
        thinker = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                kept = b""
                while not raw.whole(kept):
                    if not (data := self.request.recv(65536)):
                        return
                    kept += data
                thinker.speak.wait(60)
                self.request.sendall(ANSWER if b"/v1/messages" in kept.partition(b"\r\n")[0] else ERROR)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that breaks off is no news here."""

        self.server = Server(("127.0.0.1", 0), Handler)


@pytest.fixture
def thinker() -> Iterator[Thinker]:
    made = Thinker()
    threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield made
    made.speak.set()
    made.server.shutdown()
    made.server.server_close()


def test_programs_are_kept_on_the_line_and_their_clients_skip_the_comments(thinker: Thinker, tmp_path: Path) -> None:
    proxy = Proxy.start(tmp_path, f"http://127.0.0.1:{thinker.server.server_address[1]}")

    def over_http1() -> bytes:
        with httpx.stream("POST", proxy.url + "/v1/messages", json=ASKED, headers=HEADERS, timeout=40) as answer:
            pieces = answer.iter_raw()
            first = next(pieces)
            waiting.append(answer.status_code)
            return first + b"".join(pieces)

    def over_http2() -> bytes:
        with H2Client(proxy) as client:
            client._tls.settimeout(40)
            stream = client.post("/v1/messages", json.dumps(ASKED).encode(), HEADERS)
            client.until(lambda: client.bodies[stream] != b"")
            waiting.append(int(client.heads[stream][":status"]))
            client.until(lambda: stream in client.ended)
            assert client.ended[stream] == "end"
            return client.bodies[stream]

    def by_claude() -> str:
        with claude(proxy, timeout=40).messages.stream(model="m", max_tokens=9, messages=user("hello")) as stream:
            return stream.get_final_text()

    def by_gpt() -> str:
        stream = gpt(proxy, timeout=40).chat.completions.create(model="gpt-5", messages=user("hello"), stream=True)
        with pytest.raises(openai.APIError) as failed:
            list(stream)
        return str(failed.value)

    waiting: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        raws = [pool.submit(over_http1), pool.submit(over_http2)]
        theirs = [pool.submit(by_claude), pool.submit(by_gpt)]
        while len(waiting) < 2 and not any(one.done() for one in raws):
            thinker.speak.wait(0.05)
        for one in raws:
            if one.done():
                thinker.speak.set()
                one.result()
        assert waiting == [200, 200]
        thinker.speak.wait(1.0)  # the two packages began after the others: their tenth second comes a moment later
        thinker.speak.set()
        for one in raws:
            body = one.result(40)
            assert body.startswith(COMMENT)
            assert body.replace(COMMENT, b"") == STREAM
        assert theirs[0].result(40) == "thought"
        assert "status 500" in theirs[1].result(40)
    proxy.stop()
