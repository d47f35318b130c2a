"""Reads a YAML file into plain values, and remembers the line of each."""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tokenman_core.errors import ConfigError

Steps = tuple[str | int, ...]

LARGEST = 1024 * 1024  # bytes; a configuration that someone wrote by hand has some thousands
_MOST_VALUES = 100_000  # aliases can make a small file large
_DEEPEST = 30


@dataclass
class Document:
    """`values` are dicts, lists and scalars; `lines` has the line (from 1) of each by its steps from the top."""

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Steps, int] = field(default_factory=dict)
    blank: bool = False  # the file holds no setting: nothing, comments, `{}`, or names with nothing behind them

    def line(self, steps: Steps) -> int | None:
        """The line of a value, or of the nearest one around it."""
        while steps and steps not in self.lines:
            steps = steps[:-1]
        return self.lines.get(steps)


def read(path: Path) -> Document:
    """Raises ConfigError, with the line, for what cannot be read or is not YAML. It never quotes a value."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        there = shlex.quote(str(path))
        raise ConfigError(f"{path}: there is no such file; to make one: tokenman config init {there}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not text in UTF-8") from None
    if len(raw) > LARGEST:
        raise ConfigError(f"{path}: is larger than 1 MiB, which no configuration is")
    try:
        tree = YAML(typ="rt").load(text)
    except DuplicateKeyError as error:
        name = re.search(r'duplicate key "([^"\n]{1,80})"', str(error.problem))
        what = f"{name[1]} is given twice" if name else "a setting is given twice"
        raise ConfigError(f"{path}:{_line(error)}: {what}; keep one of the two") from None
    except MarkedYAMLError as error:
        raise ConfigError(f"{path}:{_line(error)}: is not valid YAML: {_remedy(error)}") from None
    except (YAMLError, ValueError, RecursionError):
        raise ConfigError(f"{path}: is not valid YAML") from None
    if tree is None:
        return Document(blank=True)
    if not isinstance(tree, CommentedMap):
        raise ConfigError(f"{path}:1: must hold settings, for example listen: 127.0.0.1:7677")
    document = Document()
    document.values = _plain(tree, (), document, path)
    document.blank = _says_nothing(document.values)
    return document


def _says_nothing(value: Any) -> bool:
    """Whether no setting is given: a group without any is none."""
    return value is None or (isinstance(value, dict) and all(map(_says_nothing, value.values())))


def scalar(text: str) -> Any:
    """The value of a setting that stands in an environment variable: YAML, so that lists and numbers can be given.

    Raises ValueError for what is not YAML.
    """
    try:
        tree = YAML(typ="rt").load(text)
    except (YAMLError, ValueError, RecursionError):
        raise ValueError("is not a YAML value") from None
    document = Document()
    return _plain(tree, (), document, Path())


# What the parser says, and what a person should do. Its own words may quote one character or an alias, never a value.
_NOT_CLOSED = ("stream end", "end of stream")
_REMEDIES = (
    (("'\\t'",), "a tab where only spaces may be; indent with spaces"),
    (_NOT_CLOSED, "a bracket, a brace or a quote that begins here is not closed"),
    (("block end",), "the indentation does not fit the lines above; settings of one group begin at the same column"),
    (("mapping values",), "a colon where none can be; put the value into quotes, or the setting on a line of its own"),
    (("sequence entries",), "a list cannot begin here; write [a, b], or each entry behind a - on a line of its own"),
    (("alias",), "a * that no & belongs to; put a value that begins with * into quotes"),
    (("cannot start any token",), "a value that begins with a sign of YAML's own; put it into quotes"),
    (("',' or",), "a comma or a closing bracket is missing"),
)


def _remedy(error: MarkedYAMLError) -> str:
    said = str(error.problem or error.context)
    return next((remedy for words, remedy in _REMEDIES if any(word in said for word in words)), said)


def _line(error: MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    if error.context_mark and any(word in str(error.problem) for word in _NOT_CLOSED):
        mark = error.context_mark  # where it began, not where the file ends
    return int(mark.line) + 1 if mark else 1


def _plain(node: Any, steps: Steps, document: Document, path: Path) -> Any:
    if len(document.lines) > _MOST_VALUES or len(steps) > _DEEPEST:
        raise ConfigError(f"{path}: holds more than a configuration can mean (aliases that repeat each other?)")
    if isinstance(node, CommentedMap):
        found: dict[str, Any] = {}
        for key, value in node.items():
            name = str(key)
            inner = (*steps, name)
            document.lines[inner] = _start(node, key, document, steps)
            found[name] = _plain(value, inner, document, path)
        return found
    if isinstance(node, CommentedSeq):
        items = []
        for index, value in enumerate(node):
            inner = (*steps, index)
            document.lines[inner] = _start(node, index, document, steps)
            items.append(_plain(value, inner, document, path))
        return items
    for kind in (bool, int, float, str):  # ruamel's scalars remember how they were written; only the value counts here
        if isinstance(node, kind):
            return kind(node)
    return node


def _start(node: CommentedMap | CommentedSeq, key: Any, document: Document, steps: Steps) -> int:
    position = (node.lc.data or {}).get(key)
    return int(position[0]) + 1 if position else document.lines.get(steps, 1)  # what came by a merge key has no line
