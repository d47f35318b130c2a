"""The OpenAI API (https://platform.openai.com/docs/api-reference): chat is known in full, the rest by the generic reader.

Codex with a ChatGPT login speaks its Responses API under `/backend-api/codex`.
"""

import re
from typing import Any

from tokenman_core.dialects import walk
from tokenman_core.dialects.base import AnswerReader, Operation
from tokenman_core.dialects.chat_reader import ChatReader
from tokenman_core.dialects.generic import GenericReader
from tokenman_core.dialects.reader import text_of
from tokenman_core.dialects.shapes import STATUSES, dump, openai_error
from tokenman_core.errors import ErrorKind
from tokenman_core.slots import Found

# Method ("" for any), end of the path, what it asks for. The first that fits.
_OPERATIONS: tuple[tuple[str, re.Pattern[str], Operation], ...] = (
    ("POST", re.compile(r"/chat/completions$"), Operation("chat", generates=True)),
    ("POST", re.compile(r"/responses/input_tokens$"), Operation("count_tokens", free=True)),
    ("POST", re.compile(r"/responses(/compact)?$"), Operation("responses", generates=True)),
    ("", re.compile(r"/responses(/|$)"), Operation("responses", free=True)),
    ("POST", re.compile(r"/completions$"), Operation("completions", generates=True)),
    ("POST", re.compile(r"/embeddings$"), Operation("embeddings", generates=True)),
    ("POST", re.compile(r"/images/\w+$"), Operation("images", generates=True)),
    ("POST", re.compile(r"/audio/\w+$"), Operation("audio", generates=True)),
    ("POST", re.compile(r"/batches$"), Operation("batches", generates=True)),
    ("POST", re.compile(r"/moderations$"), Operation("moderations", free=True)),
    ("", re.compile(r"/models(/|$)"), Operation("models", free=True)),
    ("", re.compile(r"/(files|uploads)(/|$)"), Operation("files", free=True)),
    ("", re.compile(r"/(conversations|vector_stores|containers)(/|$)"), Operation("other", free=True)),
    ("", re.compile(r"^/backend-api/"), Operation("other", free=True)),
    ("POST", re.compile(r"."), Operation("other", generates=True)),
)

_CHUNKED = frozenset({"chat", "completions"})


class OpenAI:
    name = "openai"

    def operation(self, method: str, path: str) -> Operation:
        for wanted, pattern, operation in _OPERATIONS:
            if wanted in ("", method) and pattern.search(path):
                return operation
        return Operation("other")

    def model(self, operation: Operation, path: str, value: Any) -> str:
        return text_of(value, "model") or ""

    def streams(self, operation: Operation, path: str, value: Any) -> bool:
        return type(value) is dict and value.get("stream") is True

    def request_slots(self, operation: Operation, value: Any) -> Found:
        return walk.find_slots(value)

    def reader(self, operation: Operation) -> AnswerReader:
        make = ChatReader if operation.name in _CHUNKED else GenericReader
        return make(free=operation.free)

    def error(self, status: int, kind: ErrorKind, message: str, request_id: str) -> bytes:
        return dump(openai_error(status, kind, message, request_id))

    def error_event(self, kind: ErrorKind, message: str, request_id: str) -> bytes:
        """Chat's clients look for `error`, those of Responses for the type `error` and the fields beside it."""
        error = openai_error(STATUSES[kind], kind, message, request_id)["error"]
        value = {"type": "error", "code": kind, "message": message, "param": None, "error": error}
        return b"event: error\ndata: " + dump(value) + b"\n\n"
