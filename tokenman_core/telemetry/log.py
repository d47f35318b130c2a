"""One sink for every log line of the process, ours and the libraries', in which no credential survives."""

import json
import logging
import logging.handlers
import os
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterable
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from tokenman_core.config.models import Log, Settings
from tokenman_core.errors import ConfigError
from tokenman_core.secret import private_folder
from tokenman_core.telemetry.mask import Mask

# Libraries whose lines below this level say what passes through them, header by header.
_TALKATIVE = ("hpack", "h2", "httpcore", "httpx", "asyncio", "urllib3", "uvicorn")

_FILE_BYTES = 10 * 1024 * 1024
_FILES_KEPT = 3
_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {10: "\\n", 13: "\\r", 9: "\t"}


def setup(log: Log, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """All lines of `log.level` and above go to `stream` (standard error), and to `log.file` where there is one.

    `secrets` are values that never appear, whatever they look like. A second call takes the place of the first.
    Raises ConfigError if the file cannot be written.
    """
    mask = protect(secrets)
    root = logging.getLogger()
    formatter = _FORMATS[log.format](mask)
    handlers: list[logging.Handler] = [logging.StreamHandler(stream or sys.stderr)]
    if log.file is not None:
        handlers.append(_file(log.file))
    for old in [handler for handler in root.handlers if getattr(handler, "tokenman", False)]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        # On the handler, not on the root: the proxy's engine sets the root's level for its own ends.
        handler.setLevel(log.level.upper())
        handler.tokenman = True  # type: ignore[attr-defined]
        root.addHandler(handler)
    root.setLevel(min(root.level or logging.WARNING, logging.getLevelNamesMapping()[log.level.upper()]))
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def protect(secrets: Iterable[str] = ()) -> Mask:
    """Masks the text of every record as it is made, so that handlers which others installed get no credential either."""
    mask = Mask(secrets)

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made = logging.LogRecord(*args, **kwargs)
        try:
            text = made.getMessage()
        except Exception:  # a log line with the wrong arguments must not stop what it tells of
            text = str(made.msg)
        made.msg, made.args = mask(text), None
        if made.exc_info and made.exc_info[0] is not None:
            made.exc_text = mask("".join(traceback.format_exception(*made.exc_info)).rstrip())
            made.exc_info = None
        return made

    logging.setLogRecordFactory(record)
    return mask


def secrets_of(settings: Settings) -> list[str]:
    """The credentials that a configuration holds, by value."""
    held = [settings.secret, settings.admin.token, settings.state.url, settings.ledger.url, settings.alerts.webhook]
    held += [settings.telemetry.otel.endpoint, *(provider.key for provider in settings.providers.values())]
    return [secret.get_secret_value() for secret in held if secret is not None]


def _file(path: Path) -> logging.Handler:
    try:
        if not path.parent.exists():
            private_folder(path.parent)
        return _PrivateFile(path, maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"telemetry.log.file: {path} cannot be written: {error.strerror}") from None


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """Only its owner reads it: a log tells who talks to whom, and when."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.fchmod(descriptor, 0o600)
        return os.fdopen(descriptor, "a", encoding=self.encoding)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _FIELDS and not name.startswith("_")}


class _Masked(logging.Formatter, ABC):
    """What a record carries beside its text is masked here."""

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        return self._mask(self._line(record))

    @abstractmethod
    def _line(self, record: logging.LogRecord) -> str:
        """The record as one line, not masked yet."""


class _Console(_Masked):
    """`2026-11-24 09:00:00.123 WARNING tokenman.door: message request=req_…`; control characters are written out."""

    def _line(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        extra = "".join(f" {name}={value}" for name, value in _extra(record).items())
        line = f"{moment}.{int(record.msecs):03d} {record.levelname} {record.name}: {record.getMessage()}{extra}"
        line = line.translate(_CONTROLS)  # a caller's text must not forge a line or speak to the terminal
        return f"{line}\n{record.exc_text}" if record.exc_text else line


class _Json(_Masked):
    def _line(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_text:
            line["exception"] = record.exc_text
        return json.dumps(line, default=str, ensure_ascii=False)


_FORMATS: dict[str, type[_Masked]] = {"console": _Console, "json": _Json}
