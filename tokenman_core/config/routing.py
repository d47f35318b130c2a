"""Routes: which calls go where, in which order, and under which name of the model."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from tokenman_core.config.section import Section


class Place(Section):
    """A provider that is tried, perhaps under another name of the model. Places with a `weight` share the calls by it."""

    provider: str = Field(examples=["openai"])
    model: Annotated[str, Field(min_length=1)] | None = None
    weight: int = Field(default=0, ge=0)


class Match(Section):
    """Patterns with `*` and `?`; `provider` is the one that the call named."""

    model: str = "*"
    project: str = "*"
    provider: str = "*"


def _place(value: Any) -> Any:
    return {"provider": value} if isinstance(value, str) else value


class Route(Section):
    """Calls that match are answered by the first of `try` that can."""

    match: Match = Field(default_factory=dict)  # type: ignore[assignment]
    places: tuple[Annotated[Place, BeforeValidator(_place)], ...] = Field(
        alias="try", min_length=1, examples=[["anthropic"]]
    )
