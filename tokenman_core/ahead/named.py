"""Which names and types stand anywhere in a request: one short walk tells what need not be looked for in it."""

from typing import Any

Named = tuple[set[str], set[str]]
"""The names of all members, and the texts of those called `type`."""


def named(value: Any) -> Named:
    """Of all levels of a request's JSON."""
    objects, inside = list[dict[str, Any]](), [value]
    for each in inside:  # which grows meanwhile
        if type(each) is dict:
            objects.append(each)
            inside += each.values()
        elif type(each) is list:
            inside += each
    names = set[str]().union(*objects)
    return names, {kind for each in objects if type(kind := each.get("type")) is str} if "type" in names else set()
