"""Tells which calls may be answered from the cache, and have their answer kept: those whose answer is all that they are for."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from tokenman_core.dialects.reader import text_of
from tokenman_core.exchange import Exchange

Mode = Literal["deterministic", "all"]

_WHERE: Mapping[tuple[str, str], re.Pattern[str]] = {
    ("anthropic", "messages"): re.compile(r"/messages$"),
    ("anthropic", "complete"): re.compile(r"/complete$"),
    ("openai", "chat"): re.compile(r"/chat/completions$"),
    ("openai", "completions"): re.compile(r"/completions$"),
    ("openai", "responses"): re.compile(
        r"/responses$"
    ),  # not `/responses/compact`: it gives no answer but another question
    ("openai", "embeddings"): re.compile(r"/embeddings$"),
    ("gemini", "generate"): re.compile(r":(?:g|streamG)enerateContent$"),  # not `predict`, nor a batch of calls
    ("gemini", "embeddings"): re.compile(r":(?:embedContent|batchEmbedContents)$"),
}
"""By dialect and operation, where a model answers and nothing else happens. All else is bypassed."""


def _given(value: Any) -> bool:
    return value is not None and value is not False


def _some(value: Any) -> bool:
    return bool(value)


def _zero(value: Any) -> bool:
    return type(value) in (int, float) and value == 0


def _no_version(prompt: Any) -> bool:
    return _given(prompt) and not (type(prompt) is dict and type(prompt.get("version")) is str and prompt["version"])


def _any_of(*names: str) -> Callable[[Any], bool]:
    return lambda value: type(value) is dict and any(_given(value.get(name)) for name in names)


@dataclass(frozen=True)
class _Row:
    """A member at the top of a body that makes the second call another one than the first."""

    name: str
    when: Callable[[Any], bool]
    reason: str


_MESSAGES, _CHAT, _RESPONSES = ("anthropic", "messages"), ("openai", "chat"), ("openai", "responses")
_GENERATE = ("gemini", "generate")

_HELD: Mapping[tuple[str, str], tuple[_Row, ...]] = {
    # https://docs.anthropic.com/en/api/messages, and `beta/message_create_params.py` of Anthropic's package.
    _MESSAGES: (
        _Row("container", _some, "it works in a container that the provider keeps"),  # and whose files it changes
        _Row("thread", _given, "it goes on with a conversation that the provider keeps"),
        _Row("diagnostics", _given, "it asks about the call before it"),  # whether the provider's own cache was hit
        _Row("fallback_credit_token", _given, "it redeems what can be redeemed once"),
        _Row("max_tokens", _zero, "it only fills the provider's own cache"),
    ),
    # https://platform.openai.com/docs/api-reference/chat/create; `deferred`: https://docs.x.ai/docs/guides/deferred-chat-completions.
    _CHAT: (
        _Row("store", _given, "the provider is to store it"),  # off unless stated: somebody wants to see each call there
        _Row("audio", _given, "its answer names sound that expires"),  # `message.audio.id`, `expires_at`
        _Row("deferred", _some, "its answer is to be asked for later"),
    ),
    # https://platform.openai.com/docs/api-reference/responses/create. `store` is on unless stated, so it says nothing: a kept
    # response goes on to name the one that is stored, which never changes. So does `previous_response_id`.
    _RESPONSES: (
        _Row("background", _given, "its answer is to be asked for later"),
        _Row("background_options", _any_of("continuation_id"), "its answer is to be asked for later"),
        _Row("conversation", _given, "it goes on with a conversation that the provider keeps"),
        _Row("prompt", _no_version, "the text of its prompt template can change"),  # that of a version does not
        _Row("prompt_cache_options", _any_of("prewarm"), "it only fills the provider's own cache"),
        _Row("prompt_cache_options", _any_of("comparison_response_id"), "it asks about the call before it"),
    ),
    # https://ai.google.dev/api/caching: it expires, and may be deleted.
    _GENERATE: (
        _Row("cachedContent", _some, "it goes on with what the provider keeps for a time"),
        _Row("cached_content", _some, "it goes on with what the provider keeps for a time"),
    ),
}  # fmt: skip
"""What is bypassed in either mode, by dialect and operation."""

_ADDRESSES = frozenset({"image_url", "file_url", "video_url", "audio_url"})
_FILES = frozenset({"fileUri", "file_uri"})  # Gemini's: a name that can be given to another file, or an address
_TOOL_ITEMS = frozenset(
    {"additional_tools", "tool_addition", "tool_search_output"}
)  # of a conversation, with definitions in them
# By dialect, in the words of `orjson.dumps`: where none of these stands, nothing needs to be looked through.
_TELLING: Mapping[str, tuple[bytes, ...]] = {
    "anthropic": (b'"type":"url"', b'"type":"tool_addition"'),
    "openai": (b'_url":', b'"type":"additional_tools"', b'"type":"tool_search_output"'),
    "gemini": (b'"fileUri":', b'"file_uri":'),
}
# What the program's own tools take and give: names in there are the program's.
_OWN = frozenset({
    "input_schema", "parameters", "parametersJsonSchema", "schema", "responseSchema", "responseJsonSchema", "functionCall",
    "functionResponse", "function_call", "arguments", "args", "metadata",
})  # fmt: skip

# Chat: what asks for a search, though no tool is listed (OpenAI, xAI, Azure, OpenRouter). `{}` does, too.
_SEARCHES = ("web_search_options", "search_parameters", "data_sources", "plugins")


def bypassed(exchange: Exchange, mode: Mode, *, tools: bool) -> str | None:
    """Why a call may neither be answered from the cache nor have its answer kept, in a few words; None: it may.

    `deterministic`: it states a temperature of 0, or a seed, and has no tools at hand, unless `tools` allows that. `all`: neither
    matters. Embeddings need no temperature: they are the same each time.
    """
    kind = (exchange.dialect.name, exchange.operation.name)
    where = _WHERE.get(kind)
    if where is None or exchange.sent.method != "POST" or not where.search(exchange.sent.path):
        return "it asks for more than an answer"
    value = exchange.body.value if exchange.body is not None else None
    if type(value) is not dict:
        return "its body is no JSON object"
    asked = _asked(kind, value)
    for row in _HELD.get(kind, ()):
        if row.when(asked.get(row.name)):
            return row.reason
    steady = mode == "all" or exchange.operation.name == "embeddings"
    if not steady and not _states(kind, asked):
        return "it states neither a temperature of 0 nor a seed"
    elsewhere, brings_tools = _look_through(kind[0], value)
    if elsewhere:
        return "it names what stands elsewhere and can change"
    if not steady and not tools and (brings_tools or any(_at_hand(kind, asked))):
        return "it has tools at hand"
    return None


def tools_at_hand(exchange: Exchange) -> bool:
    """Whether the answer may call a tool, of the program's or of the provider's."""
    kind = (exchange.dialect.name, exchange.operation.name)
    value = exchange.body.value if exchange.body is not None else None
    if type(value) is not dict:
        return False
    return any(_at_hand(kind, _asked(kind, value))) or _look_through(kind[0], value)[1]


def _asked(kind: tuple[str, str], value: dict[str, Any]) -> dict[str, Any]:
    """What Code Assist wraps in `request` is a call of the Gemini API."""
    inner = value.get("request")
    return inner if kind == _GENERATE and "contents" not in value and type(inner) is dict else value


def _states(kind: tuple[str, str], asked: dict[str, Any]) -> bool:
    if kind == _GENERATE:
        said = asked.get("generationConfig", asked.get("generation_config"))
        asked = said if type(said) is dict else {}
    seeded = kind in _SEEDED and type(asked.get("seed")) is int
    return seeded or _zero(asked.get("temperature"))


# Anthropic's API has no seed, nor has Responses.
_SEEDED = frozenset({_CHAT, ("openai", "completions"), _GENERATE})


def _at_hand(kind: tuple[str, str], asked: dict[str, Any]) -> Iterator[bool]:
    """Tools of the program's and of the provider's: what those do and find changes with the world."""
    if kind == _MESSAGES:
        choice = asked.get("tool_choice")
        yield _some(asked.get("tools")) and not (type(choice) is dict and choice.get("type") == "none")
        yield _some(asked.get("mcp_servers"))  # they are asked for their tools, whatever the model may choose
    elif kind == _CHAT:
        yield _some(asked.get("tools")) and asked.get("tool_choice") != "none"
        yield _some(asked.get("functions")) and asked.get("function_call") != "none"
        yield any(_given(asked.get(name)) for name in _SEARCHES)
    elif kind == _RESPONSES:
        yield _some(asked.get("tools")) and asked.get("tool_choice") != "none"
        yield _given(asked.get("prompt"))  # a template may list some
    elif kind == _GENERATE:
        yield any(_gemini_tools(asked))


def _gemini_tools(asked: dict[str, Any]) -> Iterator[bool]:
    """Mode NONE keeps the model from functions, not from search (https://ai.google.dev/api/caching#FunctionCallingConfig)."""
    config = _inner(_inner(asked, "toolConfig", "tool_config"), "functionCallingConfig", "function_calling_config")
    none = (text_of(config, "mode") or "").upper() == "NONE"
    listed = asked.get("tools")
    for tool in listed if type(listed) is list else [listed]:
        yield _some(tool) and not (
            none and type(tool) is dict and tool.keys() <= {"functionDeclarations", "function_declarations"}
        )


def _inner(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return next((value[name] for name in names if type(value.get(name)) is dict), {})


def _look_through(dialect: str, value: dict[str, Any]) -> tuple[bool, bool]:
    """Whether it names what stands elsewhere, and whether the conversation itself brings tools."""
    try:
        made = orjson.dumps(value)
        if not any(telling in made for telling in _TELLING[dialect]):
            return False, False
    except TypeError:  # an integer beyond 64 bits, a lone surrogate
        pass
    elsewhere = brings_tools = False
    left: list[Any] = [value]
    while left:
        it = left.pop()
        if type(it) is list:
            left += it
        elif type(it) is dict:
            kind = it.get("type")
            elsewhere = elsewhere or (kind == "url" and type(it.get("url")) is str)
            brings_tools = brings_tools or (type(kind) is str and kind in _TOOL_ITEMS)
            own = type(kind) is str and kind.endswith("tool_use")
            for name, one in it.items():
                elsewhere = (
                    elsewhere or (name in _ADDRESSES and _is_address(one)) or (name in _FILES and type(one) is str)
                )
                if name not in _OWN and not (own and name == "input"):
                    left.append(one)
    return elsewhere, brings_tools


def _is_address(value: Any) -> bool:
    """Whether it is no file that stands there itself (RFC 2397)."""
    address = value.get("url") if type(value) is dict else value
    return type(address) is str and not address[:5].lower().startswith("data:")
