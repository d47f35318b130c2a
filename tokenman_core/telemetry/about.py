"""Which call the running task works on, so that every line of the log can name it without being told."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_request: ContextVar[str] = ContextVar("request", default="")


def request() -> str:
    """The id of the call, "" outside of any."""
    return _request.get()


def begin(request_id: str) -> None:
    """From here on this task, and what it starts, is about that call. For a task that does nothing else."""
    _request.set(request_id)


@contextmanager
def call(request_id: str) -> Iterator[None]:
    """For a task that goes on to other things afterwards, as that of a connection does."""
    before = _request.set(request_id)
    try:
        yield
    finally:
        _request.reset(before)
