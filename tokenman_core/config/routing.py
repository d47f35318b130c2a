"""Routes: which calls go where, in which order, and under which name of the model."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from tokenman_core.config.section import Section
from tokenman_core.config.values import Word
from tokenman_core.config.wrong import wrong


class Place(Section):
    """A provider that is tried, perhaps under another name of the model. Places with a `weight` share the calls by it."""

    provider: str = Field(examples=["anthropic"])
    model: Annotated[str, Field(min_length=1)] | None = None
    weight: int = Field(default=0, ge=0, examples=[1])


class Match(Section):
    """Patterns with `*` and `?`; `provider` is the one that the call named."""

    model: str = Field(default="*", min_length=1)
    project: str = "*"
    provider: str = Field(default="*", min_length=1)


def _place(value: Any) -> Any:
    return {"provider": value} if isinstance(value, str) else value


def _some(places: tuple[Place, ...] | None) -> tuple[Place, ...] | None:
    if places is not None and not places:
        raise wrong("must not be empty; a good value: [anthropic]; left out, it is whoever serves the model")
    return places


class Route(Section):
    """Calls that match are answered by the first of `try` that can; without it, of those providers whose `models` have the
    model, by their `priority`. `cache`, where it is set, is their `cache.mode`.
    """

    match: Match = Field(default_factory=dict, examples=[{"model": "claude-*"}])  # type: ignore[assignment]
    places: Annotated[
        tuple[Annotated[Place, BeforeValidator(_place, json_schema_input_type=str | Place)], ...] | None,
        AfterValidator(_some),
    ] = Field(default=None, alias="try", examples=[["anthropic"]], json_schema_extra={"minItems": 1})
    cache: Annotated[Literal["off", "deterministic", "all"], Word] | None = None
