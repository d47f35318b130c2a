"""Which names and types stand anywhere in a request: one short walk tells what need not be looked for in it."""

from typing import Any

Named = tuple[set[str], set[str]]
"""The names of all members, and the texts of those called `type`."""


def named(value: Any) -> Named:
    """Of all levels of a request's JSON."""
    names, kinds = set[str](), set[str]()
    inside = [value] if type(value) is dict or type(value) is list else []
    for each in inside:
        if type(each) is dict:
            names.update(each)
            if type(kind := each.get("type")) is str:
                kinds.add(kind)
            inside += [one for one in each.values() if type(one) is dict or type(one) is list]
        else:
            inside += [one for one in each if type(one) is dict or type(one) is list]
    return names, kinds
