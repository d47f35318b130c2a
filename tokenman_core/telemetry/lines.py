"""How a line of the log looks: in columns for people, as one JSON object for machines. Rendered by structlog.

Kept apart from `log` because structlog takes 0.1 s to import, which only a program that logs has to wait for.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Literal

from structlog.dev import Column, ConsoleRenderer, KeyValueColumnFormatter
from structlog.processors import JSONRenderer
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from tokenman_core.credentials import Mask, written_out

_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_PLAIN = (bool, int, float, type(None))


def formatter(form: Literal["console", "json"], mask: Mask, colours: bool = False) -> logging.Formatter:
    """For records of the standard library's loggers, which is what we, the proxy's engine and the libraries write with."""
    return ProcessorFormatter(processors=[_Read(mask, _MOMENTS[form]), *_RENDERERS[form](colours)])


class _Read:
    """The fields of a record. What it carries beside its text is masked here: the text was masked as it was made."""

    def __init__(self, mask: Mask, moment: Callable[[logging.LogRecord], str]) -> None:
        self._mask, self._moment = mask, moment

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        record: logging.LogRecord = event["_record"]
        line = {
            "time": self._moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": event["event"],
        }
        for name, value in record.__dict__.items():
            if name not in _FIELDS and not name.startswith("_"):
                line.setdefault(name, value if isinstance(value, _PLAIN) else self._told(name, str(value)))
        if about := getattr(record, "_request", ""):
            line["request"] = about
        return line

    def _told(self, name: str, value: str) -> str:
        """Judged together with its name: that of a header tells what the value is."""
        masked = self._mask(f"{name}={value}")
        return masked.removeprefix(f"{name}=")


def _local(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(record.created))}.{int(record.msecs):03d}"


def _utc(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def _for_people(colours: bool) -> Sequence[Processor]:
    return (_written_out, ConsoleRenderer(columns=_columns(colours), sort_keys=False))


def _for_machines(_: bool) -> Sequence[Processor]:
    return (JSONRenderer(serializer=json.dumps, default=str, ensure_ascii=False),)


_MOMENTS: dict[str, Callable[[logging.LogRecord], str]] = {"console": _local, "json": _utc}
_RENDERERS: dict[str, Callable[[bool], Sequence[Processor]]] = {"console": _for_people, "json": _for_machines}


def _written_out(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A caller's text must not forge a line or speak to the terminal."""
    return {written_out(name): written_out(str(value)) for name, value in event.items()}


_LEVELS = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[1;31m"}


class _Level:
    """The level's name, in its colour."""

    def __init__(self, colours: bool) -> None:
        self._styles = _LEVELS if colours else {}

    def __call__(self, key: str, value: object) -> str:
        style = self._styles.get(str(value), "")
        return f"{style}{value!s:<7}{_END if style else ''}"


_END = "\x1b[0m"


def _columns(colours: bool) -> list[Column]:
    """`2026-11-24 09:00:00.123 warning tokenman.door: message request=req_…`."""
    dim, end = ("\x1b[2m", _END) if colours else ("", "")

    def column(key: str, name: bool, style: str, after: str = "") -> Column:
        shown = KeyValueColumnFormatter(style if name else None, style, end if style else "", str, postfix=after)
        return Column(key, shown)

    return [
        column("time", False, dim),
        Column("level", _Level(colours)),
        column("logger", False, dim, ":"),
        column("message", False, ""),
        column("", True, dim),
    ]
