"""One LLM call as the policy sees it: what the program sent, the governed request, and the attempts to have it answered."""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from tokenman_core.body.base import Body
from tokenman_core.capture import Capture
from tokenman_core.dialects.base import AnswerReader, Dialect, Operation
from tokenman_core.errors import ErrorKind
from tokenman_core.paths import plain, usual
from tokenman_core.slots import Slot
from tokenman_core.usage import Bill, Usage
from tokenman_core.verdicts import Candidate, Failure, Headers, Part, Refuse

if TYPE_CHECKING:
    from tokenman_core.limit_headers import Room
    from tokenman_core.stages import Link
    from tokenman_core.target import Target

Outcome = Literal["answered", "refused", "broken", "aborted", "crashed"]
Login = Literal["none", "key", "oauth"]
Repeats = Literal["", "deterministic", "all"]


@dataclass(frozen=True)
class Sent:
    """The head of the request as the program sent it."""

    method: str
    path: str  # without query, without /p/NAME
    query: str
    headers: Headers
    host: str  # where the program thought it was going, "" for a call by base URL

    @cached_property
    def names(self) -> Mapping[bytes, bytes]:
        """The first value of each header, by its name in lower case."""
        return {key.lower(): value for key, value in reversed(self.headers)}

    @cached_property
    def plain(self) -> str:
        """The path as servers read it, by which is decided what the call asks for (`paths.plain`)."""
        return self.path if self.usual else plain(self.path)

    @cached_property
    def usual(self) -> bool:
        """Whether its path is one that all servers read alike as it is (`paths.usual`)."""
        return usual(self.path)

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header; `name` in lower case."""
        return self.names.get(name)


@dataclass(frozen=True)
class Caller:
    """Who calls. `credential` is a keyed hash of what the call was authorised with, "" for none; never the thing itself.

    `run` is the mark of the `tokenman run` whose child calls, "" for none. `key`: the hash of the virtual key that came with it,
    by which its client is looked up, "" for none; `admitted`: it came with the key of its run. `address`: its client's own.
    """

    credential: str = ""
    client: str = ""
    login: Login = "none"
    run: str = ""
    key: str = field(default="", repr=False)
    admitted: bool = False
    address: str = ""


@dataclass(eq=False)
class Attempt:
    """One try at one candidate. `usage`, `bill` and `failure` are known when it is over, before `llm_attempt_done`.

    `usage` is what the provider said, `bill` what is booked: by what it said, or by an estimate. None: nothing is due.
    `sent`: it set out to the provider. `worked`: it failed there before an answer, and the provider had begun with it.
    `asked_usage`: its stream is asked for its usage, and the program did not ask.
    """

    number: int
    candidate: Candidate
    usage: Usage | None = None
    bill: Bill | None = None
    failure: Failure | None = None
    status: int | None = None
    seconds: float = 0.0
    sent: bool = False
    worked: bool = False
    asked_usage: bool = False
    answered: bool = False  # it has an answer, or the beginning of one
    waited: float = 0.0  # seconds before it, since the attempt before it failed
    said: Headers = ()  # the head of its answer, as it came


@dataclass(frozen=True)
class Redacted:
    """So many values of an entity met an action (redact, hash, block, log), by the setting that says so."""

    entity: str
    action: str
    setting: str
    count: int


class Spot(NamedTuple):
    """So many times a value stood in one place of the request, in words that hold nothing of it: `messages[3].content[0].text`.

    `hash`: of the value, keyed, 16 hex digits; the same value has the same one in every call of an installation.
    """

    place: str
    entity: str
    action: str
    hash: str
    times: int = 1


@dataclass(eq=False)
class Times:
    """Moments of a call: `begun` in seconds since the epoch, the others as `Clock.monotonic` gives them."""

    begun: float
    complete: float  # the whole request is here; of a call that was refused at its head: the head
    sent: float | None = None  # the first attempt set out
    first: float | None = None  # the first token, or a whole answer, is on its way to the client


@dataclass(frozen=True, eq=False)
class Sealed:
    """What was read of a request, to tell whether it is still that. Whole bodies are replaced by `Body.replace` alone."""

    sent: Sent
    raw: bytes
    body: Body
    edition: int
    slots: tuple[Slot, ...]
    originals: tuple[str, ...]


class Shared(Protocol):
    """A call to a provider that other calls may follow, as the one sees it that it was asked for, or one that follows."""

    def parts(self, start: Callable[[], AsyncGenerator[Part | Refuse]]) -> AsyncGenerator[Part | Refuse]:
        """Its answer. `start` makes one of the exchange's own, once, if it is to be asked for."""

    @property
    def unheard(self) -> bool:
        """Whether it was made for this exchange, and more of it has come, or will, than was taken of `parts`."""

    async def heard(self) -> None:
        """Returns once it is over. What has come of it then has been read, as if it had all been taken."""


@dataclass(eq=False)
class Exchange:
    """The one thing that changes in the life of a call; everything it points to is a value or has one owner."""

    id: str
    sent: Sent
    dialect: Dialect
    operation: Operation
    plan: tuple[Candidate, ...]
    times: Times = field(default_factory=lambda: Times(0.0, 0.0))
    named: str = ""  # the provider that the call itself is addressed to
    caller: Caller = field(default_factory=Caller)
    project: str = ""
    session: str = ""
    model: str = ""
    stream: bool = False
    raw: bytes = b""  # the body as it came, still encoded; empty while only the head is here
    aside: bool = False  # what it is packed in may hold more than the body (see net.coding): it goes out unpacked
    body: Body | None = None  # the governed request; None while only its head is here
    target: "Target | None" = None  # path and query, whose slots are the body's first
    sealed: "Sealed | None" = None  # what was read: stages change texts, nothing else of it
    attempts: list[Attempt] = field(default_factory=list)
    reader: AnswerReader | None = None  # of the answer that is being given
    captured: Capture | None = None  # of the answer that is being given, as far as it has come
    owed: Callable[[], Awaitable[None]] | None = None  # what is still to be booked once the client has its end
    said: bytes | None = None  # a whole answer as the provider gave it, values still masked; None: streamed or none
    refusal: Refuse | None = None
    outcome: Outcome = "crashed"
    status: int = 0  # what the client got, or was told by an error event; 0: nothing yet
    begun: bool = False  # the head went out before the answer had one, and with no coding
    broken: ErrorKind | None = None  # why an answer that had begun ended before its end
    cache: str = ""  # as `x-tokenman-cache` has it
    saved: Decimal = Decimal(0)  # USD
    shared: Shared | None = None  # how its attempts are made, if not by itself alone
    unasked: bool = False  # the stream tells what was used, and the program did not ask
    caching: Literal["", "off", "deterministic", "all"] = (
        ""  # the mode of the cache that its route has, "" for the one of all
    )
    repeats: Repeats = ""  # while there is no cache: a cache of which mode would have answered it
    cache_break: str = (
        ""  # why the provider's own cache, which had the beginning of the conversation, did not this time
    )
    cache_lost: int = 0  # tokens that it should have had, and did not
    cache_lost_usd: Decimal = Decimal(0)  # what they cost more for it
    rooms: "tuple[Room, ...]" = ()  # what is left of the rate limits that are about it
    limited_by: str = ""  # the rate limit that refused it
    overrun: bool = False  # an attempt cost more than was held for it, or wrote more than its request allows
    other_model: bool = False  # its answer came from a model that the caller's key may not use
    redactions: tuple[Redacted, ...] = ()  # of the request as it is now
    spots: tuple[Spot, ...] = ()  # where the last of them stood
    recorded: bool = False  # its record is made
    labels: dict[str, str] = field(default_factory=dict)  # project, session, model as a record may show them: judged
    masked: Counter[str] = field(default_factory=Counter)  # entity -> how many values
    reads_files: bool = False  # a file in the answer may hold values of this caller: it is read like a text
    unrestored: int = 0  # placeholders of the answer that stayed, as far as it has come
    answer_headers: list[tuple[bytes, bytes]] = field(
        default_factory=list
    )  # x-tokenman-… that stages add to the answer
    stage_seconds: dict[tuple[str, str], float] = field(default_factory=dict)  # (stage, phase) -> time
    notes: dict[str, Any] = field(default_factory=dict)  # a stage's own state for this call, under the stage's name
    entered: list["Link"] = field(default_factory=list)  # stages whose `llm_done` is owed
    returning: list["Link"] = field(default_factory=list)  # stages that see the answer, in the order of the chain

    @property
    def tried(self) -> list[Attempt]:
        """The attempts that set out to a provider. The last of them is the one whose answer is given."""
        return [attempt for attempt in self.attempts if attempt.sent]

    def seal(self) -> None:
        """Remembers what was read of the request."""
        assert self.body is not None
        slots = self.body.slots
        originals = tuple(slot.original for slot in slots)
        self.sealed = Sealed(self.sent, self.raw, self.body, self.body.edition, tuple(slots), originals)

    def reseal(self) -> None:
        """After a stage replaced the whole body, and whoever guards it has judged the new one."""
        if self.sealed and self.body is self.sealed.body and self.body.edition != self.sealed.edition:
            self.seal()

    @property
    def intact(self) -> bool:
        """Whether the request is still what was read. A slot that went missing would be judged by nobody and still be sent."""
        if self.sealed is None or self.body is None:
            return False
        sealed, slots = self.sealed, self.body.slots
        same = len(sealed.slots) == len(slots) and all(a is b for a, b in zip(sealed.slots, slots, strict=True))
        texts = all(slot.original is text for slot, text in zip(sealed.slots, sealed.originals, strict=True))
        unread = self.sent is sealed.sent and self.raw is sealed.raw and self.body is sealed.body
        return same and texts and unread
