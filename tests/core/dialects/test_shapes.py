"""Operations, models, errors; and the official clients understand what we make."""

import importlib
import json
from typing import Any, get_args

import anthropic
import openai
import pytest

from tests.core.dialects import streams
from tokenman_core.dialects.base import Operation
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.errors import ErrorKind
from tokenman_core.sse import Event, SseParser


@pytest.mark.parametrize(
    ("dialect", "method", "path", "operation"),
    [
        ("anthropic", "POST", "/v1/messages", Operation("messages", generates=True)),
        ("anthropic", "POST", "/v1/messages/count_tokens", Operation("count_tokens", free=True)),
        ("anthropic", "POST", "/v1/messages/batches", Operation("batches", generates=True)),
        ("anthropic", "GET", "/v1/messages/batches/b1/results", Operation("batches", free=True)),
        ("anthropic", "POST", "/v1/messages/batches/b1/cancel", Operation("batches", free=True)),
        ("anthropic", "GET", "/v1/models", Operation("models", free=True)),
        ("anthropic", "GET", "/v1/models/claude-x", Operation("models", free=True)),
        ("anthropic", "POST", "/v1/files", Operation("files", free=True)),
        ("anthropic", "POST", "/v1/new_things", Operation("other", generates=True)),
        ("anthropic", "POST", "/api/event_logging/batch", Operation("other")),
        ("anthropic", "GET", "/v1/messages", Operation("other")),
        ("openai", "POST", "/v1/chat/completions", Operation("chat", generates=True)),
        ("openai", "POST", "/chat/completions", Operation("chat", generates=True)),
        ("openai", "POST", "/v1/completions", Operation("completions", generates=True)),
        ("openai", "POST", "/v1/responses", Operation("responses", generates=True)),
        ("openai", "POST", "/responses", Operation("responses", generates=True)),
        ("openai", "POST", "/backend-api/codex/responses", Operation("responses", generates=True)),
        ("openai", "POST", "/backend-api/codex/responses/compact", Operation("responses", generates=True)),
        ("openai", "GET", "/v1/responses/resp_1", Operation("responses", free=True)),
        ("openai", "POST", "/v1/responses/input_tokens", Operation("count_tokens", free=True)),
        ("openai", "POST", "/v1/embeddings", Operation("embeddings", generates=True)),
        ("openai", "POST", "/v1/images/generations", Operation("images", generates=True)),
        ("openai", "POST", "/v1/audio/transcriptions", Operation("audio", generates=True)),
        ("openai", "GET", "/v1/models", Operation("models", free=True)),
        ("openai", "POST", "/v1/files", Operation("files", free=True)),
        ("openai", "POST", "/v1/batches", Operation("batches", generates=True)),
        *(
            ("openai", "POST", path, Operation("other", generates=True, elsewhere=True))
            for path in (
                "/v1/videos",
                "/v1/containers",
                "/v1/containers/c/files",
                "/v1/vector_stores",
                "/v1/vector_stores/vs/files",
                "/v1/vector_stores/vs/search",
                "/v1//vector_stores//vs/",
                "/v1/fine_tuning/jobs",
                "/v1/evals/e/runs",
                "/v1/realtime/client_secrets",
            )
        ),
        *(
            ("openai", "POST", path, Operation("other", free=True))
            for path in (
                "/v1/batches/b/cancel",
                "/v1/fine_tuning/jobs/f/pause",
                "/v1/vector_stores/vs/file_batches/b/cancel",
                "/v1/conversations",
                "/v1/conversations/c/items",
            )
        ),
        ("openai", "POST", "/v1/models/acme/jobs/x/cancel", Operation("other", generates=True)),
        ("openai", "GET", "/v1/vector_stores", Operation("other", free=True)),
        ("openai", "DELETE", "/v1/containers/c", Operation("other", free=True)),
        ("openai", "GET", "/v1/fine_tuning/jobs", Operation("other")),
        ("anthropic", "POST", "/v1/sessions", Operation("other", generates=True, elsewhere=True)),
        ("anthropic", "POST", "/v1/sessions/s/events", Operation("other", generates=True, elsewhere=True)),
        *(
            ("gemini", "POST", path, Operation("other", generates=True, elsewhere=True))
            for path in (
                "/v1beta/cachedContents",
                "/upload/v1beta/fileSearchStores/s:uploadToFileSearchStore",
                "/v1beta/tunedModels",
            )
        ),
        ("gemini", "PATCH", "/v1beta/cachedContents/c", Operation("other", generates=True, elsewhere=True)),
        ("gemini", "DELETE", "/v1beta/cachedContents/c", Operation("other", free=True)),
        *(
            (dialect, method, path, Operation(name, generates=True))
            for method in ("PUT", "PATCH", "INVENTED", "post")
            for dialect, path, name in (
                ("anthropic", "/v1/messages", "messages"),
                ("openai", "/v1/chat/completions", "chat"),
                ("generic", "/x", "other"),
                ("gemini", "/v1beta/models/g:generateContent", "generate"),
                ("openai", "/v1/anything", "other"),
            )
        ),
        ("openai", "POST", "/v1/files/..x/.y", Operation("files", free=True)),
        (
            "gemini",
            "POST",
            "/v1beta/models/veo-3:predictLongRunning",
            Operation("generate", generates=True, elsewhere=True),
        ),
        (
            "gemini",
            "POST",
            "/v1beta/models/g:batchGenerateContent",
            Operation("generate", generates=True, elsewhere=True),
        ),
        ("gemini", "POST", "/v1beta/models/e:batchEmbedContents", Operation("embeddings", generates=True)),
        ("gemini", "POST", "/v1beta/batches/b:cancel", Operation("other", free=True)),
        ("gemini", "POST", "/v1beta/interactions/i/cancel", Operation("other", free=True)),
        ("gemini", "POST", "/v1beta/interactions", Operation("other", generates=True)),
        ("openai", "GET", "/v1/anything", Operation("other")),
        ("gemini", "POST", "/v1beta/models/g-2:generateContent", Operation("generate", generates=True)),
        ("gemini", "POST", "/v1/models/g-2:streamGenerateContent", Operation("generate", generates=True)),
        ("gemini", "POST", "/v1beta/models/g-2:countTokens", Operation("count_tokens", free=True)),
        ("gemini", "POST", "/v1beta/models/g-2:embedContent", Operation("embeddings", generates=True)),
        ("gemini", "GET", "/v1beta/models", Operation("models", free=True)),
        ("gemini", "POST", "/v1beta/unheard", Operation("other", generates=True)),
        ("gemini", "POST", "/v1internal:streamGenerateContent", Operation("generate", generates=True)),
        ("gemini", "POST", "/v1internal:recordCodeAssistMetrics", Operation("other", free=True)),
        ("gemini", "POST", "/v1internal:unheard", Operation("other", generates=True)),
        ("openai", "POST", "/v1/responses/", Operation("responses", generates=True)),
        ("openai", "POST", "/v1/responses//compact", Operation("responses", generates=True)),
        ("openai", "POST", "/v1/responses/resp_1/cancel", Operation("responses", free=True)),
        ("openai", "POST", "/v1/responses/resp_1/invented", Operation("other", generates=True)),
        ("openai", "POST", "/v1/models/somebody/large/predictions", Operation("other", generates=True)),
        ("openai", "GET", "/v1/models/somebody/large", Operation("models", free=True)),
        ("generic", "POST", "/x", Operation("other", generates=True)),
        ("generic", "GET", "/x", Operation("other")),
    ],
)
def test_the_path_tells_the_operation(dialect: str, method: str, path: str, operation: Operation) -> None:
    assert DIALECTS[dialect].operation(method, path) == operation


@pytest.mark.parametrize("dialect", ["anthropic", "openai", "generic"])
def test_model_and_stream_stand_in_the_body(dialect: str) -> None:
    one, other = DIALECTS[dialect], Operation("other")
    assert one.model(other, "/x", {"model": "m"}) == "m"
    nameless: list[Any] = [{"model": 1}, {}, [], None]
    assert [one.model(other, "/x", value) for value in nameless] == [""] * 4
    assert one.streams(other, "/x", {"stream": True})
    whole: list[Any] = [{"stream": "true"}, {"stream": 1}, {}, [], None]
    assert not any(one.streams(other, "/x", value) for value in whole)


def test_gemini_names_the_model_and_the_stream_in_the_path() -> None:
    gemini, other = DIALECTS["gemini"], Operation("other")
    assert gemini.model(other, "/v1beta/models/g-2:streamGenerateContent", {}) == "g-2"
    assert gemini.model(other, "/v1beta/batch", {"model": "models/g-3"}) == "g-3"
    assert gemini.streams(other, "/v1beta/models/g-2:streamGenerateContent", {})
    assert not gemini.streams(other, "/v1beta/models/g-2:generateContent", {})


def client(sdk: Any, status: int, body: bytes, content_type: str) -> Any:
    """A client of the HTTP library that the package was built upon (`httpx`, or `httpx2` of late)."""
    bases = (base.__module__.partition(".")[0] for base in sdk.DefaultHttpxClient.__mro__)
    http = importlib.import_module(next(name for name in bases if name.startswith("httpx")))

    def answer(request: Any) -> Any:
        return http.Response(status, headers={"content-type": content_type}, content=body)

    return http.Client(transport=http.MockTransport(answer))


def ask_anthropic(status: int, body: bytes, content_type: str = "text/event-stream") -> list[Any]:
    api = anthropic.Anthropic(api_key="k", max_retries=0, http_client=client(anthropic, status, body, content_type))
    with api.messages.stream(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}]) as stream:
        for _ in stream:
            pass
        return list(stream.get_final_message().content)


def ask_openai(status: int, body: bytes, content_type: str = "text/event-stream") -> list[Any]:
    api = openai.OpenAI(api_key="k", max_retries=0, http_client=client(openai, status, body, content_type))
    return list(api.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True))


def ask_responses(status: int, body: bytes, content_type: str = "text/event-stream") -> list[Any]:
    api = openai.OpenAI(api_key="k", max_retries=0, http_client=client(openai, status, body, content_type))
    return list(api.responses.create(model="m", input="x", stream=True))


def with_pieces(dialect: str, path: str, stream: bytes) -> bytes:
    """The stream with the text of each running slot moved into a piece behind its event."""
    reader = DIALECTS[dialect].reader(DIALECTS[dialect].operation("POST", path))
    parser, out = SseParser(), b""
    for event in parser.feed(stream):
        reader.read(event)
        moved: list[Event] = []
        for slot in event.slots:
            piece = reader.piece(slot.channel, slot.text)
            if piece is not None and not slot.signed:
                moved.append(piece)
                slot.text = ""
        out += event.render() + b"".join(piece.raw for piece in moved)
    return out


def test_anthropics_client_reads_pieces_as_the_same_answer() -> None:
    stream = streams.anthropic_stream()
    moved = with_pieces("anthropic", "/v1/messages", stream)
    assert len(moved) > len(stream) + 500
    blocks = ask_anthropic(200, moved)
    assert [block.type for block in blocks] == ["thinking", "text", "tool_use"]
    assert blocks[1].text == "Hi [EMAIL]"
    assert blocks[2].input == {"cmd": "ls"}
    assert [block.model_dump() for block in blocks] == [block.model_dump() for block in ask_anthropic(200, stream)]


def test_openais_client_reads_pieces_as_the_same_answer() -> None:
    chunks = ask_openai(200, with_pieces("openai", "/v1/chat/completions", streams.chat_stream()))
    texts: dict[Any, str] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
            for call in choice.delta.tool_calls or []:
                key = (choice.index, call.index)
                texts[key] = texts.get(key, "") + (call.function.arguments or "")
    assert texts == {0: "Hi [EMAIL]", 1: "other", (0, 0): '{"path":"x"}', (0, 1): "{}"}
    assert chunks[-1].usage.prompt_tokens == 30


def test_openais_client_reads_pieces_of_a_response() -> None:
    events = ask_responses(200, with_pieces("openai", "/v1/responses", streams.responses_stream()))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    arguments = "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta")
    assert (text, arguments) == ("Hi [EMAIL]", '{"command":["ls"]}')


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (503, None),
        (413, None),
        (504, None),
    ],
)
def test_official_clients_show_our_words(status: int, error: str | None) -> None:
    for module, ask in ((anthropic, ask_anthropic), (openai, ask_openai), (openai, ask_responses)):
        body = DIALECTS[module.__name__].error(status, "budget", "daily budget spent", "req_1")
        with pytest.raises(module.APIStatusError) as caught:
            ask(status, body, "application/json")
        assert "daily budget spent" in str(caught.value)
        if error:
            assert type(caught.value).__name__ == error


@pytest.mark.parametrize("kind", ["upstream", "timeout", "budget"])
def test_official_clients_raise_at_an_error_event(kind: Any) -> None:
    cases: list[tuple[Any, Any, bytes]] = [
        (anthropic, ask_anthropic, streams.anthropic_stream()[:700]),
        (openai, ask_openai, streams.chat_stream()[:700]),
        (openai, ask_responses, streams.responses_stream()[:300]),
    ]
    for module, ask, head in cases:
        head = head[: head.rindex(b"\n\n") + 2]
        event = DIALECTS[module.__name__].error_event(kind, "it broke", "req_1")
        with pytest.raises(module.APIError, match="it broke"):
            ask(200, head + event)


def test_errors_have_the_providers_form() -> None:
    def error(dialect: str) -> Any:
        return json.loads(DIALECTS[dialect].error(429, "budget", "spent", "req_1"))

    assert error("anthropic") == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "spent (tokenman why req_1)"},
        "request_id": "req_1",
    }
    assert (
        error("openai")
        == error("generic")
        == {
            "error": {
                "message": "spent (tokenman why req_1)",
                "type": "rate_limit_error",
                "param": None,
                "code": "budget",
            }
        }
    )
    assert error("gemini") == {
        "error": {"code": 429, "message": "spent (tokenman why req_1)", "status": "RESOURCE_EXHAUSTED"}
    }


@pytest.mark.parametrize("kind", get_args(ErrorKind))
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_request_id_stands_in_every_error_plain_and_streamed(kind: ErrorKind, dialect: str) -> None:
    told = DIALECTS[dialect]
    assert b"req_1" in told.error(500, kind, "m", "req_1")
    event = told.error_event(kind, "m", "req_1").decode()
    assert "req_1" in event
    if dialect != "anthropic":  # whose own form has a field for it
        assert "m (request req_1)" in event or "m (tokenman why req_1)" in event


def test_official_clients_show_the_request_id() -> None:
    for module, ask in ((anthropic, ask_anthropic), (openai, ask_openai), (openai, ask_responses)):
        with pytest.raises(module.APIStatusError, match=r"not json \(request req_1\)|'request_id': 'req_1'"):
            ask(400, DIALECTS[module.__name__].error(400, "parse", "not json", "req_1"), "application/json")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (415, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_anthropics_types_of_errors(status: int, said: str) -> None:
    assert json.loads(DIALECTS["anthropic"].error(status, "internal", "m", "r"))["error"]["type"] == said


@pytest.mark.parametrize("kind", get_args(ErrorKind))
def test_every_error_event_is_one_event_that_its_reader_takes_for_a_failure(kind: ErrorKind) -> None:
    for dialect in DIALECTS.values():
        reader = dialect.reader(dialect.operation("POST", "/v1/messages"))
        events = SseParser().feed(dialect.error_event(kind, 'slow "é"\nreally', "req_1"))
        assert len(events) == 1
        reader.read(events[0])
        assert reader.failed is not None
        assert not reader.finished
