"""The one way in which a parser of settings says that a value will not do."""

from pydantic_core import PydanticCustomError


def wrong(message: str) -> PydanticCustomError:
    """An error that reads well behind the setting's name. Keep the value out of it: it may be a misplaced secret."""
    return PydanticCustomError("tokenman", message)
