"""Policy cases: a request, and what is expected to become of it; `tokenman config test` runs them without traffic."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tokenman_core.config.section import DialectName, EntityName, Section
from tokenman_core.config.wrong import wrong


class Asked(Section):
    """A call: `text` is what its user says, `body` the whole of what a program would send; one of the two."""

    dialect: DialectName = Field(examples=["anthropic"])
    model: str = ""
    project: str = ""
    text: str | None = Field(default=None, examples=["write to ada@example.org"])
    body: Mapping[str, Any] | None = None

    @model_validator(mode="after")
    def _one(self) -> "Asked":
        if (self.text is None) == (self.body is None):
            raise wrong("must hold either text or body; a good value: text: write to ada@example.org")
        return self


class Expected(Section):
    """What is not said may be anything. `masked`: exactly these kinds, [] for none; `refused`: the status."""

    masked: tuple[EntityName, ...] | None = Field(default=None, examples=[["EMAIL_ADDRESS"]])
    refused: Annotated[int, Field(ge=400, le=599)] | None = Field(default=None, examples=[400])
    provider: str | None = Field(default=None, examples=["anthropic"])
    cache: Literal["hit", "miss", "bypass"] | None = None

    @model_validator(mode="after")
    def _something(self) -> "Expected":
        if self.masked is None and self.refused is None and self.provider is None and self.cache is None:
            raise wrong("expects nothing; good values: masked: [EMAIL_ADDRESS], refused: 400, provider: openai")
        return self


class Case(Section):
    name: Annotated[str, Field(min_length=1)] = Field(examples=["addresses are masked"])
    request: Asked = Field(examples=[{"dialect": "anthropic", "text": "write to ada@example.org"}])
    expect: Expected = Field(examples=[{"masked": ["EMAIL_ADDRESS"]}])
