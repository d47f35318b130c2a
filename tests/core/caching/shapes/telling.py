"""Short ways to ask for an answer in another shape."""

import json
from typing import Any

from tests.core.dialects.streams import read
from tokenman_core.caching.shapes import Shown, Wanted, shown
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.sse import Event

PLAIN = Wanted(False)
STREAM = Wanted(True)
WITH_USAGE = Wanted(True, usage=True)
ARRAY = Wanted(True, array=True)


def streamed(dialect: str, operation: str, value: Any, wanted: Wanted = STREAM) -> Shown | None:
    """A plain answer as it is wanted. `value`: its JSON, or its bytes."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return shown(dialect, operation, False, body, b"application/json", wanted)


def whole(dialect: str, operation: str, body: bytes, events: bool = True) -> Shown | None:
    """A stream as a plain answer."""
    return shown(dialect, operation, events, body, b"text/event-stream" if events else b"application/json", PLAIN)


def told(made: Shown | None) -> Any:
    """The JSON of a plain answer, None if there is none."""
    return None if made is None else json.loads(made.body)


def exact(value: Any) -> str:
    """JSON in which 1, 1.0 and true differ, and the order of keys does not matter."""
    return json.dumps(value, sort_keys=True)


def stream_of(*values: Any, named: bool = True, done: bool = False) -> bytes:
    """Events as a provider writes them."""
    made = b"".join(
        (f"event: {value['type']}\n" if named else "").encode() + b"data: " + json.dumps(value).encode() + b"\n\n"
        for value in values
    )
    return made + (b"data: [DONE]\n\n" if done else b"")


def reading(dialect: str, operation: str, body: bytes, stream: bool) -> tuple[Any, list[Event]]:
    """The dialect's own reader after the answer, and the events with their slots."""
    wire = DIALECTS[dialect]
    path = {"messages": "/v1/messages", "chat": "/v1/chat/completions", "completions": "/v1/completions"}
    paths = path | {"responses": "/v1/responses", "generate": "/v1beta/models/m:generateContent"}
    reader = wire.reader(wire.operation("POST", paths[operation]))
    if stream:
        return reader, read(reader, body)
    event = Event(body, "whole")
    reader.read(event)
    return reader, [event]
