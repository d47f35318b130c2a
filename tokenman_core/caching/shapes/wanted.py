"""In which shape a call wants its answer."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs

from tokenman_core.dialects import stream_usage
from tokenman_core.exchange import Exchange

Form = Literal["plain", "events", "array"]
"""A whole JSON document, server-sent events, or (Gemini's) the chunks of a stream as the elements of one JSON array."""


@dataclass(frozen=True)
class Wanted:
    """`stream`: event by event. `usage`: the stream is to tell what it used (Chat Completions, Completions).

    `array`: as one array of chunks, which is how Gemini streams to those that do not ask for events
    (https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent).
    """

    stream: bool
    usage: bool = False
    array: bool = False

    @property
    def form(self) -> Form:
        if not self.stream:
            return "plain"
        return "array" if self.array else "events"


def wanted_of(exchange: Exchange) -> Wanted:
    """Told by the request as the program sent it."""
    dialect, operation = exchange.dialect.name, exchange.operation.name
    if dialect == "gemini":
        alt = parse_qs(exchange.sent.query).get("alt", [""])[0].lower()
        return Wanted(exchange.stream, array=exchange.stream and alt != "sse")
    asks = exchange.stream and dialect == "openai" and operation in stream_usage.OPERATIONS and _asks(exchange)
    return Wanted(exchange.stream, asks)


def _asks(exchange: Exchange) -> bool:
    value = exchange.body.value if exchange.body is not None else None
    options = value.get("stream_options") if type(value) is dict else None
    return type(options) is dict and options.get("include_usage") is True
