"""What every wire format must be able to say about itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tokenman_core.errors import ErrorKind
from tokenman_core.slots import Found
from tokenman_core.sse import Event
from tokenman_core.usage import Usage


@dataclass(frozen=True)
class Operation:
    """What a call asks for. `generates`: a model answers, so it costs. `free`: never counts against money (count_tokens).

    `elsewhere`: what it costs stands in no text of it: places that are kept by the day, machines, jobs that run unseen.
    """

    name: str  # "messages", "count_tokens", "chat", "models", …; "other" for what no dialect knows
    generates: bool = False
    free: bool = False
    elsewhere: bool = False


class AnswerReader(Protocol):
    """Reads one answer of one call, event by event, in order; a plain body is one event. Never raises on strange events.

    Made anew for each answer. What it has learnt so far stands in its attributes.
    """

    usage: Usage | None  # the last that the provider said; None: nothing yet
    model: str | None  # the model that the provider says it used
    id: str | None  # of an answer that can be asked for again and then tells its usage again
    terms: dict[str, str]  # what changes the price, in genai-prices' words: service_tier, speed, processing
    containers: frozenset[str]  # machines of the provider's on which code of its own tool ran, by their ids
    others: Mapping[str, Usage]  # what `usage` leaves out, by the model that used it: advice, summaries
    finished: bool  # the end that the dialect promises (message_stop, [DONE] or finish_reason, …) was seen
    promised: bool  # what was seen is a stream that ends in such a way, whoever the call was for
    failed: str | None  # the provider's error kind, if an error event (or an error body) was seen
    spoke: bool  # a first real event was seen (not a ping, not a comment)
    worded: bool  # the model has begun: an event was seen that says more than that the call arrived, or who will speak

    def read(self, event: Event) -> None:
        """Learn from the event, and set `event.slots` and `event.closes`."""

    def note(self, event: Event) -> None:
        """Learn usage, end and failure only, as cheaply as possible: for streams that no stage has to change."""

    def piece(self, channel: str, text: str) -> Event | None:
        """A new event that carries `text` on `channel`, in the shape of the last one seen there; None: no such channel.

        For text that was held back and must go out before the channel closes.
        """


class Dialect(Protocol):
    """A wire format: what its calls ask for, where its text stands, and how it says errors. Holds no state."""

    @property
    def name(self) -> str:
        """As configuration and metrics have it: "anthropic", "openai", "gemini", "generic"."""

    def operation(self, method: str, path: str) -> Operation:
        """`path` as `paths.plain` gives it, without query and without a `/p/NAME` prefix; so too below."""

    def model(self, operation: Operation, path: str, value: Any) -> str:
        """The model that a request names, "" if none."""

    def streams(self, operation: Operation, path: str, value: Any) -> bool:
        """Whether the request asks for a stream."""

    def request_slots(self, operation: Operation, value: Any) -> Found:
        """The text slots of a request's parsed body, in document order (the order of the bytes), and its media counted."""

    def reader(self, operation: Operation) -> AnswerReader:
        """A new reader, for one answer to a call of that operation."""

    def error(self, status: int, kind: ErrorKind, message: str, request_id: str) -> bytes:
        """A JSON body in the form of the provider's own errors, so that its official clients understand it."""

    def error_event(self, kind: ErrorKind, message: str, request_id: str) -> bytes:
        """A whole server-sent event that ends a stream which broke."""
