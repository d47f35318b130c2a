"""Batches through the real proxy with the official SDKs: what was laid down comes back in the results as the program sent it."""

import io
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import anthropic
import httpx
import openai
import pytest

from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, PLANTED, Proxy, said

MAIL, PASSWORD = PLANTED["e-mail"], PLANTED["password"]
SAID = f"I am {MAIL}, and {said('password')}"
_FILE = re.compile(rb'filename="[^"]*"\r\n(?:[^\r\n]+\r\n)*\r\n(.*?)\r\n--', re.DOTALL)


class Keeper(BaseHTTPRequestHandler):
    """Keeps files, and answers each call of a batch with what it was told, as providers do: at once, for a test."""

    url: ClassVar[str]
    files: ClassVar[dict[str, bytes]]
    batches: ClassVar[dict[str, dict[str, Any]]]
    received: ClassVar[list[bytes]]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.received.append(body)
        if self.path == "/v1/files":
            match = _FILE.search(body)
            assert match is not None
            self._json(
                {"object": "file", "created_at": 1, "filename": "x", "bytes": 1, "purpose": "batch"}
                | {"id": self._keep(match[1])}
            )
        elif self.path == "/v1/batches":
            asked = json.loads(body)["input_file_id"]
            lines = [json.loads(line) for line in self.files[asked].splitlines()]
            answers = [
                {
                    "choices": [
                        {
                            "index": 0,
                            "message": {
                                "role": "assistant",
                                "content": f"You said: {each['body']['messages'][-1]['content']}",
                            },
                        }
                    ]
                }
                for each in lines
            ]
            out = b"".join(
                json.dumps(
                    {"custom_id": each["custom_id"], "response": {"status_code": 200, "body": answer}, "error": None}
                ).encode()
                + b"\n"
                for each, answer in zip(lines, answers, strict=True)
            )
            self._batch(
                {
                    "input_file_id": asked,
                    "output_file_id": self._keep(out),
                    "endpoint": "/v1/chat/completions",
                    "object": "batch",
                }
            )
        elif self.path == "/v1/messages/batches":
            requests = json.loads(body)["requests"]
            results = [
                {
                    "custom_id": each["custom_id"],
                    "result": {
                        "type": "succeeded",
                        "message": {
                            "id": "msg_1",
                            "type": "message",
                            "role": "assistant",
                            "model": "m",
                            "stop_reason": "end_turn",
                            "usage": {"input_tokens": 1, "output_tokens": 1},
                            "content": [
                                {"type": "text", "text": f"You said: {each['params']['messages'][-1]['content']}"}
                            ],
                        },
                    },
                }
                for each in requests
            ]
            self.files["results"] = b"".join(json.dumps(each).encode() + b"\n" for each in results)
            self._batch(
                {
                    "type": "message_batch",
                    "processing_status": "ended",
                    "results_url": f"http://{self.headers['host']}/v1/messages/batches/batch_1/results",
                }
            )
        else:
            self._json({"error": "unknown"}, 404)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/content"):
            self._send(self.files[path.split("/")[3]], "application/octet-stream")
        elif path.endswith("/results"):
            self._send(self.files["results"], "application/binary")
        elif path.endswith("/batches"):
            self._json({"object": "list", "data": list(self.batches.values()), "has_more": False})
        else:
            self._json(self.batches[path.rpartition("/")[2]])

    def _keep(self, data: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = data
        return name

    def _batch(self, value: dict[str, Any]) -> None:
        made: dict[str, Any] = {
            "id": f"batch_{len(self.batches) + 1}",
            "created_at": 1,
            "completion_window": "24h",
            "status": "completed",
        } | value
        self.batches[str(made["id"])] = made
        hidden = {"output_file_id": None, "status": "in_progress"} if "output_file_id" in made else {}
        self._json(made | hidden)

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(json.dumps(value).encode(), "application/json", status)

    def _send(self, data: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def keeper() -> Iterator[type[Keeper]]:
    class Ours(Keeper):
        """What it keeps is this test's own."""

    Ours.files, Ours.batches, Ours.received = {}, {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Ours)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Ours.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield Ours
    server.shutdown()
    server.server_close()


@pytest.fixture
def proxy(keeper: type[Keeper], tmp_path: Path) -> Iterator[Proxy]:
    running = Proxy.start(tmp_path, keeper.url)
    yield running
    running.stop()


def lines() -> bytes:
    body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": SAID}]}
    calls = ({"custom_id": f"c{at}", "method": "POST", "url": "/v1/chat/completions", "body": body} for at in range(3))
    return b"".join(json.dumps(each).encode() + b"\n" for each in calls)


def test_the_results_of_openais_batch_hold_the_programs_own_values(proxy: Proxy, keeper: type[Keeper]) -> None:
    client = openai.OpenAI(api_key=OPENAI_KEY, base_url=f"{proxy.url}/v1", max_retries=0)
    file = client.files.create(file=("calls.jsonl", io.BytesIO(lines()), "application/jsonl"), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert batch.output_file_id is None
    done = client.batches.retrieve(batch.id)
    assert done.output_file_id
    answer = client.files.content(done.output_file_id)
    said = [
        json.loads(line)["response"]["body"]["choices"][0]["message"]["content"] for line in answer.text.splitlines()
    ]
    assert said == [f"You said: {SAID}"] * 3
    assert client.files.content(file.id).content == lines()
    assert "x-tokenman-unrestored" not in answer.response.headers
    sent = b"".join(keeper.received)
    assert MAIL.encode() not in sent
    assert PASSWORD.encode() not in sent
    # Whoever else knows the file's name gets placeholders.
    other = openai.OpenAI(api_key=OPENAI_KEY + "-of-another", base_url=f"{proxy.url}/v1", max_retries=0)
    assert MAIL not in other.files.content(done.output_file_id).text
    assert not proxy.found_on_disk([MAIL, PASSWORD])


def test_a_batch_that_is_found_in_the_list_is_followed_too(proxy: Proxy, keeper: type[Keeper]) -> None:
    client = openai.OpenAI(api_key=OPENAI_KEY, base_url=f"{proxy.url}/v1", max_retries=0)
    file = client.files.create(file=("calls.jsonl", io.BytesIO(lines()), "application/jsonl"), purpose="batch")
    client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    (batch,) = client.batches.list()
    assert batch.output_file_id
    assert MAIL in client.files.content(batch.output_file_id).text


def test_a_file_that_is_no_text_passes_as_it_is(proxy: Proxy, keeper: type[Keeper]) -> None:
    keeper.files["file-x"] = bytes(range(256)) * 64
    answer = httpx.get(
        f"{proxy.url}/v1/files/file-x/content", headers={"authorization": f"Bearer {OPENAI_KEY}"}, timeout=30
    )
    assert answer.content == keeper.files["file-x"]


def test_the_results_of_anthropics_batch_hold_the_programs_own_values(proxy: Proxy, keeper: type[Keeper]) -> None:
    client = anthropic.Anthropic(api_key=ANTHROPIC_KEY, base_url=proxy.url, max_retries=0)
    request: Any = {
        "custom_id": "c0",
        "params": {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": SAID}]},
    }
    batch = client.messages.batches.create(requests=[request])
    # By its path, as through a proxy: the address in the answer is the provider's own.
    answer = client.get(f"/v1/messages/batches/{batch.id}/results", cast_to=str)
    (result,) = answer.splitlines()
    assert json.loads(result)["result"]["message"]["content"][0]["text"] == f"You said: {SAID}"
    assert MAIL.encode() not in b"".join(keeper.received)
