"""Turns what pydantic found wrong into sentences that name the setting and a good value; `given` puts the wrong one behind them."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from tokenman_core.config import known, written
from tokenman_core.config.document import Steps

_MARKS = frozenset({"[key]", "[rule]", "[action]"})


def steps(error: ErrorDetails) -> Steps:
    """Where the error is, without the marks that pydantic puts into its path."""
    return tuple(step for step in error["loc"] if step not in _MARKS)


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


def suggestion(word: str, model: type[BaseModel] | None, root: type[BaseModel]) -> str:
    """`; did you mean …?` or the list of what there is, "" where there is nothing.

    A name of this group that is close; else the same name in another group; else what others call what is called so here.
    """
    word = word.lower()
    names = list(_fields(model)) if model else []
    called = [_ELSEWHERE[word]] if word in _ELSEWHERE else []
    here = [name for name in called if name in names] or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    elsewhere = [setting for setting in _settings(root, "") if setting.rpartition(".")[2] == word]
    if meant := here or called or elsewhere[:3]:
        return f"; did you mean {' or '.join(meant)}?"
    return f"; known here: {', '.join(names)}" if names else ""


_ELSEWHERE = {
    "port": "listen",
    "host": "listen",
    "address": "listen",
    "bind": "listen",
    "api_key": "providers.NAME.key",
    "url": "base_url",
    "api_base": "base_url",
    "log_level": "telemetry.log.level",
    "timeout": "providers.NAME.timeouts",
    "mask": "redaction",
}
"""Settings by the names that other programs give them."""


def _settings(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """Every setting by its full name; those of a provider under `providers.NAME`, those of a list under `routes[0]`."""
    for name, field in _fields(model).items():
        yield f"{prefix}{name}"
        inner, way = _inner(field.annotation)
        if inner is not None:
            yield from _settings(inner, f"{prefix}{name}{way}.")


_STEPS: Mapping[Any, str] = {Mapping: ".NAME", tuple: "[0]"}


def _inner(kind: Any) -> tuple[type[BaseModel] | None, str]:
    """The model of a group of settings, and the way there: under each name, in a list, or "" for the group itself."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind, ""
    step = _STEPS.get(getattr(kind, "__origin__", None), "")
    for inner in getattr(kind, "__args__", ()):
        found, way = _inner(inner)
        if found is not None:
            return found, step + way
    return None, ""


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """By the names that one writes."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def is_secret(root: type[BaseModel], where: Steps) -> bool:
    """Whether a value there is a key, a token, or an address that may hold one."""
    model = _model(root, where[:-1])
    field = _fields(model).get(str(where[-1])) if model and where else None
    return field is not None and "SecretStr" in repr(field.annotation)


def holds_secrets(root: type[BaseModel], where: Steps) -> bool:
    """Whether a group of settings belongs there, or a list or names of groups, that has a secret among its own."""
    model, around = _model(root, where), _model(root, where[:-1])
    if model is None and around is not None and where:
        field = _fields(around).get(str(where[-1]))
        model = _inner(field.annotation)[0] if field else None
    return model is not None and any("SecretStr" in repr(field.annotation) for field in _deep(model))


def _deep(model: type[BaseModel]) -> Iterator[FieldInfo]:
    for field in model.model_fields.values():
        yield field
        if (inner := _inner(field.annotation)[0]) is not None:
            yield from _deep(inner)


def _unknown(error: ErrorDetails, where: Steps, root: type[BaseModel]) -> str:
    return f"there is no such setting{suggestion(str(where[-1]), _model(root, where[:-1]), root)}"


def _missing(error: ErrorDetails, where: Steps, root: type[BaseModel]) -> str:
    good = _good(root, where)
    if where[0] == "providers":
        close = difflib.get_close_matches(str(where[1]), known.PROVIDERS, n=1, cutoff=0.8)
        good += f"; or did you mean providers.{close[0]}, which is known?" if close else ""
    return f"is missing{good}"


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
    if where[0] != "providers":
        return "is not a name: letters, digits, blanks, _, . and -, at most 64" + _good(root, where)
    return "is not a name for a provider; good values: anthropic, my-ollama"


def _short(given: Any) -> bool:
    return isinstance(given, str) and len(given) < 20


def _model(root: type[BaseModel], where: Steps) -> type[BaseModel] | None:
    """The model that stands at `where`."""
    model: type[BaseModel] | None = root
    path = list(where)
    while path and model is not None:
        field = _fields(model).get(str(path.pop(0)))
        model, way = _inner(field.annotation) if field else (None, "")
        if way:  # the next step is a name or a number in it
            if not path:
                return None
            path.pop(0)
    return model


def _group(error: ErrorDetails, where: Steps, root: type[BaseModel]) -> str:
    """A group of settings that was given as something else: `redaction: off`."""
    model = _model(root, where)
    first = next(iter(_fields(model))) if model else ""
    good = _good(root, (*where, first)).removeprefix("; a good value: ") if first else ""
    return "must hold settings of its own" + (f", for example {{{first}: {good}}}" if good else "")


def _good(root: type[BaseModel], where: Steps) -> str:
    """`; a good value: …` where the model knows one: its example, else its default."""
    named = where
    while named and isinstance(named[-1], int):
        named = named[:-1]
    entry = len(named) < len(where)
    model = _model(root, named[:-1])
    field = _fields(model).get(str(named[-1])) if model and named else None
    if field is None:
        return ""
    given = field.examples[0] if field.examples else field.default
    if given is PydanticUndefined or given is None:
        return ""
    good = written.value(field, given)
    return f"; a good value: {written.yaml(good[0] if entry and isinstance(good, list) and good else good)}"


_TEXTS: Mapping[str, Callable[[ErrorDetails, Steps, type[BaseModel]], str]] = {
    "tokenman": _own,
    "extra_forbidden": _unknown,
    "missing": _missing,
    "literal_error": _choice,
    "int_type": _kind("must be a whole number"),
    "int_from_float": _kind("must be a whole number"),
    "float_type": _kind("must be a number"),
    "float_parsing": _kind("must be a number"),
    "string_type": _kind("must be a text"),
    "string_too_short": _kind("must not be empty"),
    "string_pattern_mismatch": _pattern,
    "tuple_type": _kind("must be a list"),
    "path_type": _kind("must be a path"),
    "mapping_type": _kind("must hold names, each with a value, as in {name: value}"),
    "dict_type": _kind("must hold names, each with a value, as in {name: value}"),
    "model_type": _group,
    "model_attributes_type": _group,
    "greater_than": _bound("must be greater than {gt}"),
    "greater_than_equal": _bound("must be at least {ge}"),
    "less_than_equal": _bound("must be at most {le}"),
    "finite_number": _kind("must be a number"),
}
