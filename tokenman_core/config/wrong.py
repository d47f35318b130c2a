"""The one way in which a parser of settings says that a value will not do."""

from pydantic_core import PydanticCustomError


def wrong(message: str) -> PydanticCustomError:
    """An error that reads well behind the setting's name, and says what to do. The value is put behind it where it may be told
    (`given`): keep it out of the message, it may be a misplaced secret."""
    return PydanticCustomError("tokenman", message)
