"""What can go wrong with a call, in the words that users, metrics and clients see."""

import traceback
from typing import Literal

ErrorKind = Literal[
    "parse", "auth", "forbidden", "not_found", "body_cap", "response_cap", "headers_cap", "coding", "budget", "pricing",
    "rate_limit", "redaction", "injection", "stage", "upstream", "timeout", "breaker", "shutdown", "persistence",
    "websocket", "internal",
]  # fmt: skip


class ConfigError(Exception):
    """A setting that cannot be obeyed. The message names it, its line and a good value; the start ends with 2."""


class BodyError(Exception):
    """A request body that cannot be judged. `kind` is `parse` (400), `coding` (415) or `body_cap` (413).

    The message is shown to the client: it says what is wrong and what to do, and holds nothing of the body.
    """

    def __init__(self, kind: Literal["parse", "coding", "body_cap"], message: str) -> None:
        super().__init__(message)
        self.kind: Literal["parse", "coding", "body_cap"] = kind


def trace(error: BaseException) -> str:
    """Type and place of an error, for the log: never its message, which may hold what a program sent."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = " < ".join(
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames)
    )
    return f"{type(error).__name__} at {places}" if places else type(error).__name__
