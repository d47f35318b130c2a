"""The fake provider, asked by the providers' own packages and by bare sockets."""

import asyncio
import base64
import gzip
import json
import socket
import ssl
import subprocess
import sys
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import brotli
import h2.config
import h2.connection
import h2.events
import httpx
import openai
import pytest
import zstandard

from addons.demo.provider import FakeProvider
from addons.demo.provider.tls import Authority

TOOLS = '[[tool Write {"path": "a", "text": "é\\n"}]][[tool Bash {"command": "ls"}]]'
PIXEL = base64.b64encode(b"\x89PNG").decode()


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    fake = FakeProvider(control=True).start_in_thread()
    yield fake
    fake.stop()


@pytest.fixture(autouse=True)
def _fresh(provider: FakeProvider) -> None:
    provider.clear()


@pytest.fixture(scope="module")
def claude(provider: FakeProvider) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=provider.url, api_key="sk-ant-api03-fake", max_retries=0)


@pytest.fixture(scope="module")
def gpt(provider: FakeProvider) -> openai.OpenAI:
    return openai.OpenAI(base_url=provider.url + "/v1", api_key="sk-fake", max_retries=0)


def ask(claude: anthropic.Anthropic, text: str, **more: Any) -> anthropic.types.Message:
    return claude.messages.create(model="fake", max_tokens=99, messages=[{"role": "user", "content": text}], **more)


def test_anthropics_package_gets_text_thinking_and_parallel_tool_calls(claude: anthropic.Anthropic) -> None:
    answer = ask(claude, f"[[say hi]] [[thinking]] {TOOLS}")
    assert [block.type for block in answer.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert answer.content[2].to_dict()["input"] == {"path": "a", "text": "é\n"}
    assert answer.stop_reason == "tool_use"
    assert answer.usage.input_tokens > 0 < answer.usage.output_tokens


def test_a_stream_of_anthropics_adds_up_to_the_plain_answer(claude: anthropic.Anthropic) -> None:
    text = f"[[say {'word ' * 30}]] [[thinking]] {TOOLS}"
    with claude.messages.stream(model="fake", max_tokens=99, messages=[{"role": "user", "content": text}]) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    plain = ask(claude, text)

    def content(message: anthropic.types.Message) -> list[dict[str, Any]]:
        return [{k: v for k, v in block.to_dict().items() if k != "id"} for block in message.content]

    assert content(streamed) == content(plain)
    assert (streamed.usage.output_tokens, streamed.stop_reason) == (plain.usage.output_tokens, plain.stop_reason)
    assert kinds.count("content_block_delta") > 30


def test_anthropics_images_and_tool_results_are_read(claude: anthropic.Anthropic, provider: FakeProvider) -> None:
    image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    blocks: Any = [image, {"type": "text", "text": "look"}]
    answer = claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": blocks}])
    assert answer.content[0].to_dict()["text"] == "You said: look (and 1 image)"
    result: Any = [{"type": "tool_result", "tool_use_id": "t", "content": "42"}]
    answer = claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": result}])
    assert answer.content[0].to_dict()["text"] == "The tool said: 42"


def test_count_tokens_and_models_are_served(claude: anthropic.Anthropic, gpt: openai.OpenAI) -> None:
    assert claude.messages.count_tokens(model="m", messages=[{"role": "user", "content": "hi"}]).input_tokens > 0
    assert "fake-echo" in [model.id for model in claude.models.list()]
    assert "fake-echo" in [model.id for model in gpt.models.list()]
    assert claude.models.retrieve("fake-echo").id == gpt.models.retrieve("fake-echo").id == "fake-echo"


@pytest.mark.parametrize(("status", "error"), [(429, anthropic.RateLimitError), (529, anthropic.InternalServerError)])
def test_scripted_errors_have_anthropics_shape(
    claude: anthropic.Anthropic, status: int, error: type[anthropic.APIStatusError]
) -> None:
    with pytest.raises(error) as caught:
        ask(claude, f"[[status {status} retry-after=7]]")
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.body["type"] == "error"  # type: ignore[index]


def test_an_error_for_a_time_is_over_after_it(provider: FakeProvider) -> None:
    client = anthropic.Anthropic(base_url=provider.url, api_key="sk-ant-x", max_retries=2)
    assert ask(client, "x [[status 503 times=2 retry-after-ms=1]]").content
    assert [one.status for one in provider.received] == [503, 503, 200]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-api-key": "sk-ant-api03-x"}, 200),
        ({"x-api-key": "sk-ant-wrong"}, 401),
        ({}, 401),
        ({"authorization": "Bearer sk-ant-oat01-x", "anthropic-beta": "a,oauth-2025-04-20"}, 200),
        ({"authorization": "Bearer sk-ant-api03-x"}, 200),
        ({"authorization": "Bearer sk-ant-oat01-x"}, 401),
        ({"authorization": "Bearer sk-ant-oat01-wrong", "anthropic-beta": "oauth-2025-04-20"}, 401),
    ],
)
def test_anthropics_logins_are_asked_for(provider: FakeProvider, headers: dict[str, str], status: int) -> None:
    body = {"model": "m", "max_tokens": 1, "messages": []}
    answer = httpx.post(provider.url + "/v1/messages", json=body, headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["error"]["type"] == "authentication_error"


def test_openais_package_gets_the_same_streamed_and_plain(gpt: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": f"[[say {'word ' * 30}]] {TOOLS}"}]
    plain = gpt.chat.completions.create(model="m", messages=messages)
    with gpt.chat.completions.stream(model="m", messages=messages, stream_options={"include_usage": True}) as stream:
        for _ in stream:
            pass
        streamed = stream.get_final_completion()
    message, other = plain.choices[0].message, streamed.choices[0].message
    assert message.content == other.content == "word " * 30
    assert [call.function.arguments for call in message.tool_calls or []] == [  # type: ignore[union-attr]
        call.function.arguments for call in other.tool_calls or []
    ]
    assert len(message.tool_calls or []) == 2
    assert plain.usage
    assert streamed.usage
    assert plain.usage.total_tokens == streamed.usage.total_tokens > 0


def test_openais_stream_tells_usage_only_when_asked(gpt: openai.OpenAI) -> None:
    chunks = list(gpt.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True))
    assert not any(chunk.usage for chunk in chunks)


def test_openais_errors_embeddings_and_wrong_keys(gpt: openai.OpenAI, provider: FakeProvider) -> None:
    with pytest.raises(openai.RateLimitError):
        gpt.chat.completions.create(model="m+status:429", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=provider.url + "/v1", api_key="wrong").models.list()
    assert len(gpt.embeddings.create(model="m", input=["a", "b"], encoding_format="float").data) == 2


def test_responses_are_the_same_streamed_and_plain(gpt: openai.OpenAI) -> None:
    given = f"[[thinking]][[say hi there]] {TOOLS}"
    plain = gpt.responses.create(model="m", input=given)
    with gpt.responses.stream(model="m", input=given) as stream:
        for _ in stream:
            pass
        streamed = stream.get_final_response()
    assert plain.output_text == streamed.output_text == "hi there"
    assert [item.type for item in plain.output] == ["reasoning", "message", "function_call", "function_call"]
    assert [item.type for item in streamed.output] == [item.type for item in plain.output]


def test_tools_that_take_a_text_and_tools_in_a_namespace_are_called(gpt: openai.OpenAI) -> None:
    given = '[[tool functions.exec "text(1)"]][[tool clock.sleep {"ms": 1}]]'
    plain = gpt.responses.create(model="m", input=given).to_dict()["output"]
    with gpt.responses.stream(model="m", input=given) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_response().to_dict()["output"]

    def told(items: Any) -> list[Any]:
        fields = ("type", "namespace", "name", "input", "arguments")
        return [[item.get(field) for field in fields] for item in items]

    assert told(plain) == told(streamed)
    assert told(plain) == [
        ["custom_tool_call", "functions", "exec", "text(1)", None],
        ["function_call", "clock", "sleep", None, '{"ms": 1}'],
    ]
    assert "response.custom_tool_call_input.done" in kinds


def test_codex_is_told_where_its_account_is_served(provider: FakeProvider) -> None:
    url = provider.url + "/backend-api/wham/accounts/check"
    headers = {"authorization": "Bearer eyJ"}
    assert httpx.get(url, headers=headers).status_code == 401
    answer = httpx.get(url, headers=headers | {"chatgpt-account-id": "a"}).json()
    assert (answer["default_account_id"], answer["accounts"][0]["id"]) == ("a", "a")
    models = httpx.get(provider.url + "/backend-api/codex/models", headers=headers | {"chatgpt-account-id": "a"})
    assert models.json() == {"models": []}


def test_codex_needs_its_account_and_may_send_zstd(provider: FakeProvider) -> None:
    body = zstandard.compress(json.dumps({"model": "m", "input": "hi", "stream": True}).encode())
    url = provider.url + "/backend-api/codex/responses"
    headers = {"authorization": "Bearer eyJ", "content-encoding": "zstd"}
    assert httpx.post(url, content=body, headers=headers).status_code == 401
    answer = httpx.post(url, content=body, headers=headers | {"chatgpt-account-id": "a"})
    assert "response.completed" in answer.text
    assert provider.received[-1].body == body
    assert provider.received[-1].json["input"] == "hi"


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
@pytest.mark.parametrize("stream", [True, False])
def test_answers_come_in_any_coding(provider: FakeProvider, coding: str, stream: bool) -> None:
    value = {"model": f"m+{coding}", "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": "x"}]}
    answer = httpx.post(provider.url + "/v1/messages", json=value, headers={"x-api-key": "sk-ant-x"})
    assert answer.headers["content-encoding"] == coding
    assert "message_stop" in answer.text if stream else answer.json()["content"][0]["text"] == "You said: x"


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress), ("zstd", zstandard.compress)],
)
def test_what_came_is_kept_coded_and_decoded(provider: FakeProvider, coding: str, pack: Any) -> None:
    body = pack(b'{"a": 1}')
    answer = httpx.post(provider.url + "/v9/new", content=body, headers={"content-encoding": coding})
    assert answer.json() == {"method": "POST", "path": "/v9/new", "received": {"a": 1}}
    assert (provider.received[-1].body, provider.received[-1].json) == (body, {"a": 1})


def raw(provider: FakeProvider, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", provider.port))
    connection.sendall(data)
    return connection


def request(text: str, stream: bool = True) -> bytes:
    value = {"model": "m", "max_tokens": 1, "stream": stream, "messages": [{"role": "user", "content": text}]}
    body = json.dumps(value).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: sk-ant-x\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_bytes_outside_of_a_request_are_strays(provider: FakeProvider) -> None:
    with raw(provider, request("x", stream=False) + b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n") as connection:
        while connection.recv(65536):
            pass
    with raw(provider, b'{"not": "a request"}\r\n\r\n') as connection:
        while connection.recv(65536):
            pass
    assert [data.split()[0] for _, data in provider.strays] == [b"GET", b'{"not":']
    assert [one.path for one in provider.received] == ["/v1/messages"]


def test_a_client_that_leaves_a_stalled_stream_is_seen_leaving(provider: FakeProvider) -> None:
    with raw(provider, request("x [[stall]]")) as connection:
        while b"message_start" not in connection.recv(65536):
            pass
        assert not provider.received[-1].client_left
    assert provider.wait(lambda fake: fake.received[-1].client_left)


@pytest.mark.parametrize(
    ("directive", "error"),
    [("reset", httpx.ReadError), ("reset first", httpx.ReadError), ("cut", httpx.RemoteProtocolError),
     ("cut first", httpx.RemoteProtocolError)],
)  # fmt: skip
def test_faults_break_the_connection(provider: FakeProvider, directive: str, error: type[Exception]) -> None:
    body = {
        "model": "m",
        "max_tokens": 1,
        "stream": True,
        "messages": [{"role": "user", "content": f"[[{directive}]]"}],
    }
    with pytest.raises(error):
        httpx.post(provider.url + "/v1/messages", json=body, headers={"x-api-key": "sk-ant-x"})


@pytest.mark.parametrize(("directive", "has_error"), [("truncate", False), ("error-event", True)])
def test_streams_end_early(provider: FakeProvider, directive: str, has_error: bool) -> None:
    body = {
        "model": "m",
        "max_tokens": 1,
        "stream": True,
        "messages": [{"role": "user", "content": f"[[{directive}]]"}],
    }
    text = httpx.post(provider.url + "/v1/messages", json=body, headers={"x-api-key": "sk-ant-x"}).text
    assert "message_start" in text
    assert "message_stop" not in text
    assert ("event: error" in text) == has_error


def test_the_control_port_tells_other_processes(provider: FakeProvider, claude: anthropic.Anthropic) -> None:
    ask(claude, "hello")
    document = httpx.get(provider.control_url + "/received").json()
    assert json.loads(document["received"][0]["body"])["messages"][0]["content"] == "hello"
    httpx.delete(provider.control_url + "/received")
    assert not provider.received


def test_http2_over_tls_answers_streams_side_by_side(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    fake = FakeProvider(tls=authority.server()).start_in_thread()
    try:
        context = ssl.create_default_context(cafile=str(authority.certificate))
        client = httpx.Client(http1=False, http2=True, verify=context)
        value = {
            "model": "m",
            "max_tokens": 1,
            "stream": True,
            "messages": [{"role": "user", "content": "[[big 300000]]"}],
        }
        with client:
            answer = client.post(fake.url + "/v1/messages", json=value, headers={"x-api-key": "sk-ant-x"})
        assert answer.http_version == "HTTP/2"
        assert answer.text.endswith('data: {"type":"message_stop"}\n\n')
        assert fake.received[-1].http_version == "2"
    finally:
        fake.stop()


async def test_http2_sends_no_more_than_the_client_has_room_for(tmp_path: Path) -> None:
    """RFC 9113, 5.2: a window starts with 65,535 bytes, and grows only when the client says so."""
    authority = Authority(tmp_path)
    async with FakeProvider(tls=authority.server()) as fake:
        context = ssl.create_default_context(cafile=str(authority.certificate))
        context.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection("localhost", fake.port, ssl=context)
        client = h2.connection.H2Connection(h2.config.H2Configuration())
        client.initiate_connection()
        headers = [(":method", "POST"), (":path", "/v1/messages"), (":scheme", "https"), (":authority", "localhost"),
                   ("x-api-key", "sk-ant-x")]  # fmt: skip
        client.send_headers(1, headers)
        value = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "[[big 200000]]"}]}
        client.send_data(1, json.dumps(value).encode(), end_stream=True)
        writer.write(client.data_to_send())
        got, owed, granted = b"", 0, False
        while b'"service_tier"' not in got:
            try:
                data = await asyncio.wait_for(reader.read(65536), 0.3)
            except TimeoutError:
                assert not granted
                assert len(got) == 65_535
                granted = True
                client.acknowledge_received_data(owed, 1)
                data = b""
            for event in client.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    got += event.data or b""
                    owed += event.flow_controlled_length or 0
                    if granted:
                        client.acknowledge_received_data(event.flow_controlled_length or 0, 1)
            writer.write(client.data_to_send())
        assert granted
        writer.close()


async def test_it_runs_in_an_event_loop_too(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    async with FakeProvider(journal=journal) as fake, httpx.AsyncClient() as client:
        assert (await client.get(fake.url + "/other")).json()["path"] == "/other"
        assert await asyncio.to_thread(fake.wait, lambda fake: fake.received[0].answered)
    assert json.loads(journal.read_text())["target"] == "/other"


def test_it_runs_as_a_program() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "addons.demo.provider", "--control-port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        url, control = process.stdout.readline().strip(), process.stdout.readline().strip()
        urllib.request.urlopen(url + "/other").read()
        assert b"/other" in urllib.request.urlopen(control + "/received").read()
    finally:
        process.terminate()
        process.wait()
