"""What a provider says that a call used."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """Tokens. `input` counts all that was read, cached or not; the cache fields say which part of it was cheaper or dearer."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0  # a part of output
