"""The OpenAI API (https://platform.openai.com/docs/api-reference): chat is known in full, the rest by the generic reader.

Codex with a ChatGPT login speaks its Responses API under `/backend-api/codex`.
"""

import re

from tokenman_core.dialects.base import AnswerReader, Operation
from tokenman_core.dialects.chat_reader import ChatReader
from tokenman_core.dialects.common import JsonDialect, Row
from tokenman_core.dialects.generic import GenericReader
from tokenman_core.dialects.shapes import STATUSES, dump, openai_error
from tokenman_core.errors import ErrorKind

_OPERATIONS: tuple[Row, ...] = (
    ("POST", re.compile(r"/chat/completions$"), Operation("chat", generates=True)),
    ("POST", re.compile(r"/responses/input_tokens$"), Operation("count_tokens", free=True)),
    ("POST", re.compile(r"/responses(/+compact)?/*$"), Operation("responses", generates=True)),
    ("POST", re.compile(r"/responses/[^/]+/cancel$"), Operation("responses", free=True)),
    ("POST", re.compile(r"/images/\w+$"), Operation("images", generates=True)),
    ("POST", re.compile(r"/audio/\w+$"), Operation("audio", generates=True)),
    # Some route by what a path begins with, whatever stands behind it, and some run a model at its own address.
    (
        "POST",
        re.compile(r"/(responses|models|chat|completions|embeddings|images|audio)/"),
        Operation("other", generates=True),
    ),
    ("", re.compile(r"/responses(/|$)"), Operation("responses", free=True)),
    (
        "POST",
        re.compile(r"/(batches|jobs|file_batches|runs)/[^/]+/(cancel|pause|resume)$"),
        Operation("other", free=True),
    ),
    ("POST", re.compile(r"/completions$"), Operation("completions", generates=True)),
    ("POST", re.compile(r"/embeddings$"), Operation("embeddings", generates=True)),
    ("POST", re.compile(r"/batches$"), Operation("batches", generates=True)),
    ("POST", re.compile(r"/moderations$"), Operation("moderations", free=True)),
    # By the size and the day, by the session, by what a job will have read (https://platform.openai.com/docs/pricing).
    (
        "POST",
        re.compile(r"/(vector_stores|containers|fine_tuning|evals|videos|realtime)(/|$)"),
        Operation("other", generates=True, elsewhere=True),
    ),
    ("", re.compile(r"/models(/|$)"), Operation("models", free=True)),
    ("", re.compile(r"/(files|uploads)(/|$)"), Operation("files", free=True)),
    ("", re.compile(r"/(conversations|vector_stores|containers)(/|$)"), Operation("other", free=True)),
    ("", re.compile(r"^/backend-api/"), Operation("other", free=True)),
    ("POST", re.compile(r"."), Operation("other", generates=True)),
)

_CHUNKED = frozenset({"chat", "completions"})


class OpenAI(JsonDialect):
    """Chat, completions, responses and all else under OpenAI's paths, and at the many servers that took them over."""

    name = "openai"

    operations = _OPERATIONS

    def reader(self, operation: Operation) -> AnswerReader:
        """Of chat and completions the reader that knows them, else the generic one."""
        make = ChatReader if operation.name in _CHUNKED else GenericReader
        return make()

    def error(self, status: int, kind: ErrorKind, message: str, request_id: str) -> bytes:
        """A body with an `error` object."""
        return dump(openai_error(status, kind, message, request_id))

    def error_event(self, kind: ErrorKind, message: str, request_id: str) -> bytes:
        """Chat's clients look for `error`, those of Responses for the type `error` and the fields beside it."""
        error = openai_error(STATUSES[kind], kind, message, request_id)["error"]
        value = {"type": "error", "code": kind, "message": message, "param": None, "error": error}
        return b"event: error\ndata: " + dump(value) + b"\n\n"
