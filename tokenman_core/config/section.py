"""What all groups of settings have in common, and the names that several of them may hold."""

import difflib
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema, field_validator, model_validator

from tokenman_core.config import known
from tokenman_core.config.wrong import wrong

DialectName = Literal["anthropic", "openai", "gemini"]


class Section(BaseModel):
    """A group of settings; what it does not know is an error, never ignored."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value  # a heading whose lines are all commented out

    @field_validator("*", mode="before")
    @classmethod
    def _lists_to_tuples(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
"""What a kind of value may be called: it becomes a part of its placeholders."""


def unknown(value: str, own: Iterable[str] = ()) -> str:
    """What to tell of a name that is no entity's; `own` are those of the user's."""
    names = sorted({*known.ENTITIES, *own})
    upper = value.upper()
    close = [name for name in names if len(upper) > 2 and upper in name]
    close = close or difflib.get_close_matches(upper, names, n=1)
    return (
        f"is not an entity; did you mean {close[0]}?" if close else f"is not an entity; known here: {', '.join(names)}"
    )


def _entity(value: str) -> str:
    if not NAME.fullmatch(value):
        raise wrong(unknown(value))
    return value


EntityName = Annotated[
    str,
    AfterValidator(_entity),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": sorted(known.ENTITIES | known.ENTITIES_LATER)},
                {"type": "string", "pattern": f"^{NAME.pattern}$"},
            ]
        }
    ),
]
"""The name of a kind of value, `EMAIL_ADDRESS`, or of one of the user's own; whether there is such a one, `conflicts` says."""
