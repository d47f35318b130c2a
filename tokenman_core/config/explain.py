"""Turns what pydantic found wrong into sentences that name the setting and a good value, never what was given."""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails, PydanticUndefined

from tokenman_core.config.document import Steps


def steps(error: ErrorDetails) -> Steps:
    """Where the error is, without the marks that pydantic puts into its path."""
    return tuple(step for step in error["loc"] if step != "[key]")


def sentence(error: ErrorDetails, root: type[BaseModel]) -> str:
    """The error behind the name of its setting: `limits.request_body: is not a size; good values: …`."""
    where = steps(error)
    return f"{name(where)}: {_TEXTS.get(error['type'], _other)(error, where, root)}".removeprefix(": ")


def name(where: Steps) -> str:
    """`providers.mine.models[0]`."""
    text = ""
    for step in where:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def suggestion(word: str, names: Iterable[str]) -> str:
    """`; did you mean …?` or the list of what there is, "" where there is nothing."""
    names = list(names)
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known here: {', '.join(names)}" if names else ""


def _unknown(error: ErrorDetails, where: Steps, root: type[BaseModel]) -> str:
    model = _model(root, where[:-1])
    return f"there is no such setting{suggestion(str(where[-1]), model.model_fields if model else ())}"


def _missing(error: ErrorDetails, where: Steps, root: type[BaseModel]) -> str:
    return f"is missing{_good(root, where)}"


def _choice(error: ErrorDetails, where: Steps, root: type[BaseModel]) -> str:
    words = str(error["ctx"]["expected"]).replace("'", "")
    given = error.get("input")
    close = difflib.get_close_matches(given, words.replace(" or ", ", ").split(", "), n=1) if _short(given) else []
    return f"must be one of {words}" + (f"; did you mean {close[0]}?" if close else "")


def _kind(text: str) -> Callable[[ErrorDetails, Steps, type[BaseModel]], str]:
    return lambda error, where, root: f"{text}{_good(root, where)}"


def _bound(text: str) -> Callable[[ErrorDetails, Steps, type[BaseModel]], str]:
    return lambda error, where, root: text.format(**error["ctx"]) + _good(root, where)


def _other(error: ErrorDetails, where: Steps, root: type[BaseModel]) -> str:
    return "has a wrong value" + _good(root, where)


def _own(error: ErrorDetails, where: Steps, root: type[BaseModel]) -> str:
    return error["msg"]


def _pattern(error: ErrorDetails, where: Steps, root: type[BaseModel]) -> str:
    return "is not a name for a provider; good values: anthropic, my-ollama"


_TEXTS: Mapping[str, Callable[[ErrorDetails, Steps, type[BaseModel]], str]] = {
    "tokenman": _own,
    "extra_forbidden": _unknown,
    "missing": _missing,
    "literal_error": _choice,
    "int_type": _kind("must be a whole number"),
    "int_from_float": _kind("must be a whole number"),
    "float_type": _kind("must be a number"),
    "string_type": _kind("must be a text"),
    "string_too_short": _kind("must not be empty"),
    "string_pattern_mismatch": _pattern,
    "tuple_type": _kind("must be a list"),
    "path_type": _kind("must be a path"),
    "mapping_type": _kind("must hold settings of its own"),
    "model_type": _kind("must hold settings of its own"),
    "greater_than": _bound("must be greater than {gt}"),
    "greater_than_equal": _bound("must be at least {ge}"),
    "less_than_equal": _bound("must be at most {le}"),
    "finite_number": _kind("must be a number"),
}


def _short(given: Any) -> bool:
    return isinstance(given, str) and len(given) < 20


def _model(root: type[BaseModel], where: Steps) -> type[BaseModel] | None:
    """The model that stands at `where`."""
    model: type[BaseModel] | None = root
    path = list(where)
    while path and model is not None:
        field = model.model_fields.get(str(path.pop(0)))
        kind = field.annotation if field else None
        inner = [it for it in getattr(kind, "__args__", ()) if isinstance(it, type) and issubclass(it, BaseModel)]
        if inner and path:  # a mapping of models: the next step is a name in it
            path.pop(0)
            kind = inner[0]
        model = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    return model


def _good(root: type[BaseModel], where: Steps) -> str:
    """`; a good value: …` where the model knows one: its example, else its default."""
    named = where
    while named and isinstance(named[-1], int):
        named = named[:-1]
    model = _model(root, named[:-1])
    field = model.model_fields.get(str(named[-1])) if model and named else None
    if field is None:
        return ""
    if field.examples:
        return f"; a good value: {field.examples[0]}"
    if field.default is PydanticUndefined or field.default is None:
        return ""
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"; a good value: {value if isinstance(value, str) else json.dumps(value, default=str)}"
