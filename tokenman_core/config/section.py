"""What all groups of settings have in common, and the names that several of them may hold."""

import difflib
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


def _entity(value: str) -> str:
    if value not in known.ENTITIES | known.ENTITIES_LATER:
        upper = value.upper()
        close = [name for name in sorted(known.ENTITIES) if len(upper) > 2 and upper in name]
        close = close or difflib.get_close_matches(upper, known.ENTITIES, n=1)
        raise wrong(
            f"is not an entity; did you mean {close[0]}?"
            if close
            else f"is not an entity; known here: {', '.join(sorted(known.ENTITIES))}"
        )
    return value


Entity = Annotated[
    str,
    AfterValidator(_entity),
    WithJsonSchema({"type": "string", "enum": sorted(known.ENTITIES | known.ENTITIES_LATER)}),
]
"""The name of a kind of value, `EMAIL_ADDRESS`."""
