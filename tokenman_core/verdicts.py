"""What a stage may decide about a call. A verdict is a value; exceptions are for what could not be judged."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from tokenman_core.errors import ErrorKind

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Head:
    """The status and the headers of an answer, names as they came."""

    status: int
    headers: Headers = ()


@dataclass(frozen=True)
class Trailers:
    fields: Headers


# An answer is a Head, then pieces of its body as they come, then perhaps Trailers.
Part = Head | bytes | Trailers
Parts = AsyncGenerator[Part]


@dataclass(frozen=True)
class Candidate:
    """One way to have a call answered: a provider by its configured name, and the model to ask for there."""

    provider: str
    model: str


@dataclass(frozen=True)
class Refuse:
    """The call is not carried out. `retry_after` in seconds. Clients are told not to retry unless it, or `retryable`, is set."""

    status: int
    kind: ErrorKind
    message: str
    retry_after: float | None = None
    retryable: bool = False
    headers: Headers = ()


@dataclass(frozen=True)
class Answer:
    """The stage has the answer itself: a head, then pieces at its own pace."""

    parts: Parts


@dataclass(frozen=True)
class Reroute:
    """Other candidates, in order of preference."""

    plan: tuple[Candidate, ...]


@dataclass(frozen=True)
class Skip:
    """This attempt is not made; the next candidate is asked. `reason` is for the record.

    If nobody is left, `kind` and `retry_after` (seconds) are told to the client.
    """

    reason: str
    kind: ErrorKind = "upstream"
    retry_after: float | None = None


Verdict = Refuse | Answer | Reroute
"""What `llm_request` may return; None means: go on."""

AttemptVerdict = Refuse | Skip
"""What `llm_attempt` may return; None means: go on."""


@dataclass(frozen=True)
class Failure:
    """Why an attempt brought no answer. `status` only if the provider gave one. `of_model`: it says that the model cannot serve,
    which says nothing of its others."""

    kind: str
    message: str
    status: int | None = None
    headers: Headers = field(default=(), repr=False)
    of_model: bool = False
