"""How much a call can have used at most, whatever its provider says: what models and requests cannot do is not booked as money."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from tokenman_core.ahead import ceilings, media
from tokenman_core.ahead.named import named
from tokenman_core.ahead.output import stated
from tokenman_core.ahead.quote import SEARCHES, served
from tokenman_core.exchange import Exchange
from tokenman_core.usage import Usage

_MOST_TURNS: Final = 100  # of a model that goes on by itself with tools of its provider's, where nothing bounds it
_BESIDES: Final = 2_000  # tokens that a provider puts around a request: roles, what it says of tools
_ABSURD: Final = 10
"""Times what a model can do. Up to that a provider may have another model behind the name, and it is booked all that is known to be
possible; beyond, the figure says nothing at all, and what the request holds and allows says more."""
_SLOWEST: Final = 500  # bytes a second, of any sound that words can be told from
_SHORTEST_S: Final = 60


def believed(exchange: Exchange, models: Sequence[str], said: Usage) -> Usage:
    """`said` itself, if a model of these names can have used it: all that it can read, and write at its limit.

    Else, of each count that is beyond, the most that such a model can have used; of an absurd one, what the request can have
    used by what it holds and allows.
    """
    known = [ceilings.of(model) for model in models if model] or [ceilings.UNKNOWN]
    context, most = max(each.context for each in known), max(each.output for each in known)
    if _fits(said, context, most, SEARCHES, 0):
        return said
    value = exchange.body.value if exchange.body is not None else None
    turns, limit = _turns(exchange, models), stated(exchange.operation, value)
    answers = turns * (limit.answers if limit else 1)
    size = max(len(exchange.raw), sum(len(slot.text) for slot in exchange.body.slots) if exchange.body else 0)
    came = exchange.captured.seen if exchange.captured else len(exchange.said or b"")
    write = max(max(most, (limit.limit or 0) if limit else 0) * answers, came)
    read, calls, seconds = max(context, size) * turns, SEARCHES * turns, _SHORTEST_S + size // _SLOWEST
    if _fits(said, read, write, calls, seconds):
        return said
    if said.input > _ABSURD * read:
        read = (min(context, size + _BESIDES) if _alone(exchange) else context) * turns
    if said.output > _ABSURD * write:
        write = (most if limit is None or limit.limit is None else limit.limit) * answers
    return replace(
        said,
        input=min(said.input, read),
        output=min(said.output, write),
        cache_read=0 if said.input > read else min(said.cache_read, read),  # the dearer price, where nobody knows
        cache_write_5m=min(said.cache_write_5m, read),
        cache_write_1h=min(said.cache_write_1h, read),
        reasoning=min(said.reasoning, write),
        parts=_parts(said.parts, read, write, calls, seconds),
    )


def _fits(said: Usage, read: int, write: int, calls: int, seconds: int) -> bool:
    return (
        max(said.input, said.cache_read, said.cache_write_5m, said.cache_write_1h) <= read
        and max(said.output, said.reasoning) <= write
        and (not said.parts or _parts(said.parts, read, write, calls, seconds) == said.parts)
    )


def _parts(said: Mapping[str, int], read: int, write: int, calls: int, seconds: int) -> Mapping[str, int]:
    """By what they are parts of. The characters of a text that is read aloud were counted here."""

    def most(name: str) -> int:
        if name.endswith("_tokens"):
            return write if name.startswith("output_") else read
        return seconds if name == "audio_seconds" else calls

    return {name: count if name == "input_characters" else min(count, most(name)) for name, count in said.items()}


def _turns(exchange: Exchange, models: Sequence[str]) -> int:
    """How often the model may read all again, because of what tools of its provider's brought."""
    value = exchange.body.value if exchange.body is not None else None
    tools = [served(exchange.dialect.name, value, model) for model in models or ("",)]
    if any(each.unbounded for each in tools):
        return _MOST_TURNS
    return min(_MOST_TURNS, 1 + max(max(each.rounds, each.searches) for each in tools))


def _alone(exchange: Exchange) -> bool:
    """Whether all that the model read stands in the request as text: no media, and nothing that the provider holds."""
    if exchange.body is None or exchange.body.unreadable or exchange.operation.elsewhere:
        return False
    names, kinds = named(exchange.body.value)
    return media.KINDS.isdisjoint(kinds) and (media.NAMES | media.NAMES_ELSEWHERE).isdisjoint(names)
