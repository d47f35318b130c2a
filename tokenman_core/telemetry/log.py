"""One sink for every log line of the process, ours and the libraries', in which no credential survives."""

import logging
import logging.handlers
import os
import sys
from collections.abc import Iterable
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Protocol

from tokenman_core.config.models import Log, Settings
from tokenman_core.credentials import Mask, written_out
from tokenman_core.errors import ConfigError, trace
from tokenman_core.secret import private_folder
from tokenman_core.telemetry import about

# Libraries whose lines below this level say what passes through them, header by header.
_TALKATIVE = ("hpack", "h2", "httpcore", "httpx", "asyncio", "urllib3", "uvicorn")

_FILE_BYTES = 10 * 1024 * 1024
_FILES_KEPT = 3
_SHORTEST = 4  # characters of an error's message that are looked for: fewer hide nothing, and would take words apart
_CAUSES = 3  # of an error that are named


class Stream(Protocol):
    """Where lines go, each in one call of `write`."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...

    def isatty(self) -> bool: ...


def setup(log: Log, secrets: Iterable[str] = (), stream: Stream | None = None) -> None:
    """All lines of `log.level` and above go to `stream` (standard error), and to `log.file` where there is one.

    `secrets` are values that never appear, whatever they look like. A second call takes the place of the first.
    Raises ConfigError if the file cannot be written.
    """
    from tokenman_core.telemetry import lines

    mask = Mask(secrets)
    _guard(mask, alone=False)
    logging.captureWarnings(True)
    root = logging.getLogger()
    stream = stream or sys.stderr
    handlers: list[logging.Handler] = [logging.StreamHandler(stream)]
    handlers[0].setFormatter(lines.formatter(log.format, mask, colours=in_colour(stream)))
    if log.file is not None:
        handlers.append(_file(log.file))
        handlers[1].setFormatter(lines.formatter(log.format, mask))
    for old in [handler for handler in root.handlers if getattr(handler, "tokenman", False)]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        # On the handler, not on the root: the proxy's engine sets the root's level for its own ends.
        handler.setLevel(log.level.upper())
        handler.tokenman = True  # type: ignore[attr-defined]
        root.addHandler(handler)
    root.setLevel(min(root.level or logging.WARNING, logging.getLevelNamesMapping()[log.level.upper()]))
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def protect(secrets: Iterable[str] = ()) -> None:
    """For a process whose log is another's: masks the text of every record as it is made, and names the call in it."""
    _guard(Mask(secrets), alone=True)


def change(log: Log, secrets: Iterable[str]) -> None:
    """Another level, and secrets that never appear besides those that are known. For a configuration that was read again."""
    for mask in _in_force:
        mask.learn(secrets)
    root, level = logging.getLogger(), logging.getLevelNamesMapping()[log.level.upper()]
    ours = [handler for handler in root.handlers if getattr(handler, "tokenman", False)]
    for handler in ours:
        handler.setLevel(level)
    if ours:
        root.setLevel(min(root.level or logging.WARNING, level))


_in_force: list[Mask] = []


def _guard(mask: Mask, *, alone: bool) -> None:
    """Handlers that others installed get no credential either. `alone`: none of the handlers is ours."""
    _in_force[:] = [mask]

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made = logging.LogRecord(*args, **kwargs)
        try:
            text = made.getMessage()
        except Exception:  # a log line with the wrong arguments must not stop what it tells of
            text = str(made.msg)
        if made.exc_info and made.exc_info[1] is not None:
            text = _with_error(text, made.exc_info[1])
        made.exc_info = made.exc_text = made.args = None
        made.msg = mask(text)
        request = about.request()
        if alone:
            made.msg = written_out(f"{made.msg}; request {request}" if request else made.msg)
        elif request:
            made._request = request
        return made

    logging.setLogRecordFactory(record)


def _with_error(text: str, error: BaseException) -> str:
    """Type and place in the place of the message, which may hold what a program sent; the text may hold it as well."""
    try:
        said = str(error)
    except Exception:  # a class of its own may raise here whatever it likes
        said = ""
    if len(said) >= _SHORTEST:
        text = text.replace(said, "(not shown)")
    causes = [trace(error)]
    while (error := error.__cause__ or error.__context__) and len(causes) < _CAUSES:  # type: ignore[assignment]
        causes.append(trace(error))
    return f"{text}: {', caused by '.join(causes)}"


def secrets_of(settings: Settings) -> list[str]:
    """The credentials that a configuration holds, by value."""
    held = [settings.secret, settings.admin.token, settings.state.url, settings.ledger.url, settings.alerts.webhook]
    held += [settings.telemetry.otel.endpoint, *(provider.key for provider in settings.providers.values())]
    return [secret.get_secret_value() for secret in held if secret is not None]


def in_colour(stream: Stream) -> bool:
    """Whether it is a terminal whose user wants colours (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


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
