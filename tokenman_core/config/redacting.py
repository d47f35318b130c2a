"""What the settings of redaction are made of: values by name, wildcard or expression, recognisers, and overrides by project."""

import fnmatch
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    WithJsonSchema,
    model_validator,
)

from tokenman_core.config.section import NAME, EntityName, Section
from tokenman_core.config.values import Flag, Word
from tokenman_core.config.wrong import wrong

Action = Literal["redact", "block", "hash", "log", "off"]
Egress = Literal["same_host", "always", "never"]
Unreadable = Literal["pass", "block"]
OffOn = Annotated[Literal["off", "on"], Word]

OWN: Final = "CUSTOM"
"""The kind of what `deny` names, where it says no other."""

_LONGEST = 1000  # characters of an expression: enough for any form of number, and not for a list of thousands
_LEAST = 3  # characters that are said of a value that is masked wherever it stands

# What everybody writes: an expression that finds something in it would mask text that is nobody's secret.
_ORDINARY = (
    "a of the and to in is it that for on as with by if we no 0 1 2 10 x = y ; ( ) , . - / : \n return true null id"
)
# Three values that have nothing in common: what lets all of them pass lets everything pass.
_UNLIKE = ("q7.x@w-p.example", "4539 1488 0343 6467", "zZ9-k_2QpL0vv~/wE8+3")


def _frozen(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(value))


def compiled(source: str) -> Any:
    """An expression of RE2, which takes a time linear in the text. Raises ValueError that says why it is none."""
    import re2  # wanted only where somebody wrote an expression

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(source, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise ValueError(text.partition(":")[0]) from None  # what stands behind the colon is a piece of the expression
    except UnicodeEncodeError:
        raise ValueError("half a character") from None


def _expression(source: str) -> str:
    if len(source) > _LONGEST:
        raise wrong(f"is longer than {_LONGEST} characters; a good value: a list of shorter ones")
    try:
        pattern = compiled(source)
    except ValueError as error:
        raise wrong(
            f"is no expression that RE2 takes ({error}); it has no look-around and no back-references;"
            r" a good value: 'E-\d{6}'"
        ) from None
    if pattern.search("") is not None:
        raise wrong(r"matches the empty text, so it would be found everywhere; a good value: 'E-\d{6}'")
    return source


Expression = Annotated[str, Field(min_length=1), AfterValidator(_expression)]
"""An expression of RE2 that does not match the empty text."""


def _sharp(source: str) -> str:
    """An expression that is searched for in all text."""
    _expression(source)
    if compiled(source).search(_ORDINARY) is not None:
        raise wrong(r"is so broad that it finds ordinary words or numbers; a good value: 'E-\d{6}'")
    return source


class Rule(Section):
    """How one kind of value is treated. Findings whose score is below `threshold` are not believed."""

    action: Annotated[Action, Word] | None = None
    threshold: float | None = Field(default=None, ge=0, le=1, strict=False, examples=[0.6])

    @model_validator(mode="after")
    def _something(self) -> "Rule":
        if self.action is None and self.threshold is None:
            raise wrong("says nothing; a good value: {action: redact, threshold: 0.6}")
        return self


def _kind_of_rule(value: Any) -> str:
    return "[rule]" if isinstance(value, Mapping | Rule) else "[action]"


Treated = Annotated[
    Annotated[Annotated[Action, Word], Tag("[action]")] | Annotated[Rule, Tag("[rule]")], Discriminator(_kind_of_rule)
]
"""An action, or an action and a threshold."""

Entities = Annotated[Mapping[EntityName, Treated], AfterValidator(_frozen), PlainSerializer(dict)]


def action_of(said: Action | Rule | None) -> Action | None:
    return said.action if isinstance(said, Rule) else said


class Listed(Section):
    """A value, or many: as a whole (`value`), with `*` and `?` (`glob`), or as an expression of RE2 (`regex`); one of the three.

    Without an `entity` it holds for every kind.
    """

    entity: EntityName | None = None
    value: Annotated[str, Field(min_length=1)] | None = Field(default=None, examples=["ada@example.org"])
    glob: Annotated[str, Field(min_length=1)] | None = Field(default=None, examples=["*@example.com"])
    regex: Expression | None = Field(default=None, examples=[r"E-\d{6}"])

    @model_validator(mode="after")
    def _one(self) -> "Listed":
        if sum(each is not None for each in (self.value, self.glob, self.regex)) != 1:
            raise wrong('must say one of value, glob and regex; a good value: {glob: "*@example.com"}')
        return self


def _listed(value: Any) -> Any:
    """As one writes it: /expression/, a text with wildcards, or a plain text."""
    if isinstance(value, Mapping | Listed):
        return value
    if not isinstance(value, str):
        raise wrong('must be a text; a good value: "*@example.com"')
    if not value:
        raise wrong('must not be empty; a good value: "*@example.com"')
    if len(value) > 2 and value.startswith("/") and value.endswith("/"):
        return {"regex": value[1:-1]}
    return {"glob" if "*" in value or "?" in value else "value": value}


def _matcher(listed: Listed) -> Callable[[str], bool]:
    """Whether an entry stands for a value as a whole; case aside, but for expressions."""
    if listed.regex is not None:
        expression = compiled(f"(?:{listed.regex})")
        return lambda value: expression.fullmatch(value) is not None
    if listed.glob is not None:
        glob = re.compile(fnmatch.translate(listed.glob.lower().replace("[", "[[]")))
        return lambda value: glob.match(value.lower()) is not None
    same = (listed.value or "").lower()
    return lambda value: value.lower() == same


def _lets_not_all_pass(listed: Listed) -> Listed:
    passes = _matcher(listed)
    if all(passes(value) for value in _UNLIKE):
        good = f"entities: {{{listed.entity}: off}}" if listed.entity else "mode: off"
        raise wrong(f'lets every value pass; if that is meant: {good}; a good value: "*@example.com"')
    return listed


def _names_enough(listed: Listed) -> Listed:
    if listed.regex is not None:
        _sharp(listed.regex)
    elif len(re.sub(r"[*?\s]", "", listed.value if listed.value is not None else listed.glob or "")) < _LEAST:
        raise wrong(f"is too short to be looked for in all text; a good value has {_LEAST} characters or more")
    return listed


_Text = Annotated[str, Field(min_length=1)]
Allowed = Annotated[
    Listed, BeforeValidator(_listed, json_schema_input_type=_Text | Listed), AfterValidator(_lets_not_all_pass)
]
Denied = Annotated[
    Listed, BeforeValidator(_listed, json_schema_input_type=_Text | Listed), AfterValidator(_names_enough)
]


def _own_name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise wrong("is no name for a kind of value: capitals, digits and _; a good value: EMPLOYEE_ID")
    return value


class Recognizer(Section):
    """A kind of value of the user's own: what `pattern` (RE2) matches, with words of which one near it makes it sure.

    `score`: of what no such word stands beside, where none are given; with a word near it is surer, without one it counts half.
    """

    name: Annotated[str, AfterValidator(_own_name)] = Field(examples=["EMPLOYEE_ID"])
    pattern: Annotated[str, AfterValidator(_sharp)] = Field(min_length=1, examples=[r"E-\d{6}"])
    context: tuple[Annotated[str, Field(min_length=2)], ...] = Field(default=(), examples=[["employee"]])
    score: float = Field(default=0.8, gt=0, le=1, strict=False)


class Override(Section):
    """What is otherwise for some projects. `entities` are laid over those of all, `allow` and `deny` added to them."""

    mode: Annotated[Action, Word] | None = None
    entities: Entities = Field(default_factory=dict)
    secrets: Annotated[Action, Word] | None = None
    restore: Flag | None = None
    restore_egress: Egress | None = None
    note: OffOn | None = None
    unreadable: Unreadable | None = None
    allow: tuple[Allowed, ...] = Field(default=(), examples=[["*@example.com"]])
    deny: tuple[Denied, ...] = Field(default=(), examples=[["Project Aurora"]])


_PROJECT = r"[^\s\x00-\x1f\x7f]{1,64}"


def _project(value: str) -> str:
    if not re.fullmatch(_PROJECT, value):
        raise wrong('is no name for projects; good values: billing, "team-a/*"')
    return value


Projects = Annotated[
    Mapping[
        Annotated[str, AfterValidator(_project), WithJsonSchema({"type": "string", "pattern": f"^{_PROJECT}$"})],
        Override,
    ],
    AfterValidator(_frozen),
    PlainSerializer(dict),
]
"""By a project's name, in which `*` and `?` stand for any text and any character; the first that matches."""
