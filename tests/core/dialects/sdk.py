"""Every string that a provider's own client library knows of a request or an answer, each planted in a smallest body around it."""

import inspect
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pydantic
import typing_extensions

DEEPEST = 14
_ANNOTATES = (
    typing.Annotated,
    typing.Required,
    typing.NotRequired,
    typing_extensions.Required,
    typing_extensions.NotRequired,
)

Steps = tuple[str | int, ...]


class Planted(NamedTuple):
    """A body in which the string at `path` is the planted one. Of a list, the only item is 0; of free-form keys, one is `k`."""

    path: Steps
    body: Any

    @property
    def name(self) -> str:
        """The path in one word, without the numbers: `messages.content.text`."""
        return ".".join(step for step in self.path if isinstance(step, str))


class Sdk:
    """Walks types. `aliases`: fields of models have their names of the wire. `apart`: keys below which a type is another one."""

    def __init__(self, mark: str, *, aliases: bool = True, apart: frozenset[str] = frozenset()) -> None:
        self._mark, self._aliases, self._apart = mark, aliases, apart

    def strings(self, root: Any) -> list[Planted]:
        """All strings under a type, each once for every type of object that holds it (and for every key of `apart` above it)."""
        return list(self._walk(root, (), frozenset(), set()))

    def _walk(self, kind: Any, path: Steps, above: frozenset[type], seen: set[Any]) -> Iterator[Planted]:
        kind = _bare(kind)
        origin, args = typing.get_origin(kind), typing.get_args(kind)
        if len(path) > DEEPEST:
            return
        if kind is str or kind is Any or kind is object:
            yield Planted(path, self._mark)
        elif origin in (typing.Union, types.UnionType):
            for each in args:
                yield from self._walk(each, path, above, seen)
        elif fields := _fields(kind, self._aliases):
            name = (kind, path[-1:] if path and isinstance(path[-1], str) else path[-2:-1], self._apart & set(path))
            if name in seen:
                return
            seen.add(name)
            for key, (each, _) in fields.items():
                around = _smallest(kind, self._aliases)
                for leaf in self._walk(each, (*path, key), above | {kind}, seen):
                    yield Planted(leaf.path, {**around, key: leaf.body})
        elif origin in (list, set, frozenset, Sequence, Iterable) or _is_list(origin):
            for leaf in self._walk(args[0], (*path, 0), above, seen):
                yield Planted(leaf.path, [leaf.body])
        elif origin in (dict, Mapping) or _is_mapping(origin):
            for leaf in self._walk(args[1], (*path, "k"), above, seen):
                yield Planted(leaf.path, {"k": leaf.body})
        elif kind in (dict, Mapping):
            yield Planted((*path, "k"), {"k": self._mark})
        elif kind is list:
            yield Planted((*path, 0), [self._mark])


def _bare(kind: Any) -> Any:
    """Without what only annotates it."""
    while True:
        if isinstance(kind, typing_extensions.TypeAliasType | typing.TypeAliasType):
            kind = kind.__value__
        elif typing.get_origin(kind) in _ANNOTATES:
            kind = typing.get_args(kind)[0]
        else:
            return kind


def _fields(kind: Any, aliases: bool) -> dict[str, tuple[Any, bool]]:
    """Name on the wire -> type, and whether it must be there."""
    if typing_extensions.is_typeddict(kind):
        hints = _hints(kind)
        return {key: (each, key in kind.__required_keys__) for key, each in hints.items()}
    if inspect.isclass(kind) and issubclass(kind, pydantic.BaseModel):
        return {
            (field.alias or key) if aliases else key: (field.annotation, field.is_required())
            for key, field in kind.model_fields.items()
        }
    return {}


_KNOWN: dict[Any, dict[str, Any]] = {}


def _hints(kind: Any) -> dict[str, Any]:
    if kind not in _KNOWN:
        _KNOWN[kind] = typing.get_type_hints(kind, include_extras=True)
    return _KNOWN[kind]


def _smallest(kind: Any, aliases: bool) -> dict[str, Any]:
    """The fields that tell what an object is: those that must be there, and those of one value."""
    made: dict[str, Any] = {}
    for key, (each, needed) in _fields(kind, aliases).items():
        bare = _bare(each)
        args = typing.get_args(bare)
        if typing.get_origin(bare) is typing.Literal:
            if needed or len(args) == 1:
                made[key] = args[0]
        elif needed and bare is str:
            made[key] = "x"
    return made


def _is_list(origin: Any) -> bool:
    return inspect.isclass(origin) and issubclass(origin, Iterable) and not issubclass(origin, Mapping)


def _is_mapping(origin: Any) -> bool:
    return inspect.isclass(origin) and issubclass(origin, Mapping)
