"""What the dialects share: the body names the model and the stream, and a table tells what a path asks for."""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from tokenman_core.dialects import walk
from tokenman_core.dialects.base import Operation
from tokenman_core.dialects.reader import text_of
from tokenman_core.paths import QUIET
from tokenman_core.slots import Found

Row = tuple[str, re.Pattern[str], Operation]
"""Method ("" for any), what the path must match (anywhere in it), what the call asks for."""


class JsonDialect:
    """Base of the dialects; implements `dialects.base.Dialect` but for its reader and its errors."""

    operations: ClassVar[Sequence[Row]] = ()  # the first that fits

    def operation(self, method: str, path: str) -> Operation:
        """What a call asks for, as the strangest of servers might take it: a method that no API has is taken for POST."""
        return self._asked(method if method in QUIET else "POST", path)

    def _asked(self, method: str, path: str) -> Operation:
        """The first row of the table that fits, else "other", which costs nothing."""
        for wanted, pattern, operation in self.operations:
            if wanted in ("", method) and pattern.search(path):
                return operation
        return Operation("other")

    def model(self, operation: Operation, path: str, value: Any) -> str:
        """The body's `model`, "" if it names none."""
        return text_of(value, "model") or ""

    def streams(self, operation: Operation, path: str, value: Any) -> bool:
        """Whether the body's `stream` is true: nothing else is taken for it."""
        return type(value) is dict and value.get("stream") is True

    def request_slots(self, operation: Operation, value: Any) -> Found:
        """All text of the body, whatever the operation (`walk`)."""
        return walk.find_slots(value)
