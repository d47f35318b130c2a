"""Which models a call names besides its own, whatever else stands in its place."""

from typing import Any

import pytest

from tokenman_core.besides import models


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"model": "a", "models": ["b", 5, "c"]}, ["b", "c"]),
        ({"fallbacks": [{"model": "d", "max_tokens": 5}, {"model": None}, "e", {}]}, ["d"]),
        ({"fallbacks": "default"}, []),
        ({"tools": [{"type": "advisor_20260301", "model": "f"}, {"type": "custom", "model": "g"}, {"model": "h"}, 5]}, ["f"]),
        ({"tools": {"type": "advisor", "model": "f"}, "models": "b"}, []),
        ({"models": ["a"], "fallbacks": [{"model": "b"}], "tools": [{"type": "advisor_1", "model": "c"}]}, ["a", "b", "c"]),
        (None, []), ([], []), ({}, []),
    ],
    ids=range(9),
)  # fmt: skip
def test_they_are_told_from_the_body(value: Any, named: list[str]) -> None:
    assert models(value) == named
