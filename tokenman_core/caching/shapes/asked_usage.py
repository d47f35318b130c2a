"""A stream of chunks as somebody gets it who asked for what it used, or who did not."""

from tokenman_core.caching.shapes.wanted import Wanted
from tokenman_core.caching.shapes.written import sure
from tokenman_core.dialects import stream_usage, walk
from tokenman_core.sse import Event, SseError, SseParser

_NAME = b'"usage"'
_LAST = b',"usage":null}\n\n'


def as_asked(body: bytes, wanted: Wanted) -> bytes:
    """The body itself where it is told already as it is wanted. Raises Unsure where it does not tell what was asked for."""
    if wanted.usage:
        sure(_tells(body))
        return body
    return _without(body) if _NAME in body else body


def _without(body: bytes) -> bytes:
    events = _events(body)
    kept = [_unasked(event) if _NAME in event.raw else event for event in events]
    if all(one is event for one, event in zip(kept, events, strict=True)):
        return body
    return b"".join(event.raw for event in kept if event is not None)


def _unasked(event: Event) -> Event | None:
    """As `stream_usage.without`; of the null that OpenAI writes as a chunk's last member, with less work."""
    raw = event.raw
    if raw.endswith(_LAST) and raw.startswith(b"data: ") and raw.count(_NAME) == 1 and raw.count(b"\n") == 2:
        return Event(raw[: -len(_LAST)] + b"}\n\n") if walk.load(raw[6:]) is not None else event
    return stream_usage.without(event)


def _tells(body: bytes) -> bool:
    """Whether some chunk tells it; where one does, it is one of the last."""
    at = body.rfind(_NAME)
    if at < 0:
        return False
    start, end = body.rfind(b"\n", 0, at) + 1, body.find(b"\n", at)
    if end > 0 and _of(Event(body[start:end] + b"\n\n")):
        return True
    return any(_of(event) for event in _events(body) if _NAME in event.raw)


def _of(event: Event) -> bool:
    value = walk.load(event.data or b"")
    return type(value) is dict and type(value.get("usage")) is dict


def _events(body: bytes) -> list[Event]:
    parser = SseParser()
    try:
        found = parser.feed(body)
        return [*found, *parser.finish()]
    except SseError:
        sure(False)
        raise
