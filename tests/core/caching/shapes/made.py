"""Strategies for answers: any text, any JSON, any mix of blocks."""

from typing import Any

from hypothesis import strategies as st

TEXTS = (
    st.text(max_size=60) | st.text(alphabet='ab \n[]{}"\\:', max_size=200) | st.just("[EMAIL_ADDRESS_0123456789ab] ")
)
SOME = st.text(min_size=1, max_size=40)
NUMBERS = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SOME, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(SOME, VALUES, max_size=4)
COUNTS = st.integers(0, 10**6)


def objects(needed: dict[str, Any], *more: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Objects that have the first members, and may have the others. What is no strategy stands for itself."""
    strategies = [
        {name: item if isinstance(item, st.SearchStrategy) else st.just(item) for name, item in members.items()}
        for members in (needed, *more)
    ]
    return st.fixed_dictionaries(strategies[0], optional=strategies[1] if more else {})


def extras(*names: str) -> dict[str, Any]:
    """Members that nobody has heard of."""
    return dict.fromkeys(names, VALUES)
