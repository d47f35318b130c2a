"""What the official packages make of the bytes of an answer, through their own clients and parsers."""

import importlib
import json
from collections.abc import Callable
from typing import Any

import anthropic
import openai
from google import genai
from google.genai import types

from tests.core.caching.shapes.said import Said

JSON = b"application/json"
EVENTS = b"text/event-stream"


def http(name: str, said: Said) -> Any:
    """A client of the HTTP library `name` that gets this answer to whatever it asks."""
    library = importlib.import_module(name)
    headers = {"content-type": said.content_type.decode()}
    transport = library.MockTransport(lambda _: library.Response(200, headers=headers, content=said.body))
    return library.Client(transport=transport)


def _built_upon(package: Any) -> str:
    """`httpx`, or `httpx2` of late."""
    bases = (base.__module__.partition(".")[0] for base in package.DefaultHttpxClient.__mro__)
    return next(name for name in bases if name.startswith("httpx"))


def _claude(said: Said) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="sk-ant-1", http_client=http(_built_upon(anthropic), said), max_retries=0)


def _gpt(said: Said) -> openai.OpenAI:
    return openai.OpenAI(api_key="sk-1", http_client=http(_built_upon(openai), said), max_retries=0)


def _gem(said: Said) -> genai.Client:
    return genai.Client(api_key="k", http_options=types.HttpOptions(httpx_client=http("httpx", said)))


USER: Any = [{"role": "user", "content": "hi"}]


def message(said: Said) -> Any:
    return _plain(_claude(said).messages.create(model="m", max_tokens=9, messages=USER))


def beta_message(said: Said) -> Any:
    return _plain(_claude(said).beta.messages.create(model="m", max_tokens=9, messages=USER))


def message_stream(said: Said) -> tuple[Any, list[str]]:
    """The message that the package puts together, and the events that it gives."""
    with _claude(said).messages.stream(model="m", max_tokens=9, messages=USER) as stream:
        events = [event.type for event in stream]
        return _plain(stream.get_final_message()), run_together(events)


def beta_message_stream(said: Said) -> tuple[Any, list[str]]:
    with _claude(said).beta.messages.stream(model="m", max_tokens=9, messages=USER) as stream:
        events = [event.type for event in stream]
        return _plain(stream.get_final_message()), run_together(events)


def completion(said: Said) -> Any:
    return _plain(_gpt(said).chat.completions.create(model="m", messages=USER))


def completion_stream(said: Said) -> tuple[Any, list[str]]:
    with _gpt(said).chat.completions.stream(model="m", messages=USER) as stream:
        events = [event.type for event in stream]
        return _plain(stream.get_final_completion()), run_together(events)


def completion_chunks(said: Said) -> list[Any]:
    return [_plain(chunk) for chunk in _gpt(said).chat.completions.create(model="m", messages=USER, stream=True)]


def text_completion(said: Said) -> Any:
    return _plain(_gpt(said).completions.create(model="m", prompt="hi"))


def text_completion_chunks(said: Said) -> list[Any]:
    return [_plain(chunk) for chunk in _gpt(said).completions.create(model="m", prompt="hi", stream=True)]


def response(said: Said) -> Any:
    return _plain(_gpt(said).responses.create(model="m", input="hi"))


def response_events(said: Said) -> list[Any]:
    """Every event, in full."""
    return [_plain(event) for event in _gpt(said).responses.create(model="m", input="hi", stream=True)]


def response_stream(said: Said) -> tuple[Any, list[str]]:
    with _gpt(said).responses.stream(model="m", input="hi") as stream:
        events = [event.type for event in stream]
        return _plain(stream.get_final_response()), run_together(events)


def generated(said: Said) -> Any:
    return _bare(_gem(said).models.generate_content(model="m", contents="hi"))


def generated_stream(said: Said) -> list[Any]:
    return [_bare(chunk) for chunk in _gem(said).models.generate_content_stream(model="m", contents="hi")]


def _bare(answer: types.GenerateContentResponse) -> Any:
    return answer.model_dump(mode="json", exclude={"sdk_http_response"}, exclude_none=True)


def _plain(made: Any) -> Any:
    return json.loads(made.to_json(exclude_unset=False, warnings=False))


def run_together(kinds: list[str]) -> list[str]:
    """Kinds of events, what comes several times in a row once (alone, or in pairs): in how many pieces a text comes is
    nobody's business.
    """
    made: list[str] = []
    for kind in kinds:
        made.append(kind)
        for size in (1, 2):
            if made[-size:] == made[-2 * size : -size]:
                del made[-size:]
    return made


Reader = Callable[[Said], Any]
