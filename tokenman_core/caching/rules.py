"""What the configuration says of the cache."""

from dataclasses import dataclass
from typing import Literal

Mode = Literal["off", "deterministic", "all"]
Pace = Literal["at_once", "original"]

MOST = 10 << 20  # bytes of an answer that is kept, where nothing else is said


@dataclass(frozen=True)
class Rules:
    """`shared`: callers may get each other's answers. `tools`: calls may have tools at hand. `tool_calls`: answers may call them.

    `most`: bytes of an answer that is kept.
    """

    mode: Mode = "off"
    shared: bool = False
    tools: bool = False
    tool_calls: bool = False
    pace: Pace = "at_once"
    most: int = MOST
