"""JSON as strangers write it: any spacing, any escapes, keys that stand twice."""

import json
from typing import Any

from hypothesis import strategies as st

CHARACTERS = st.characters(exclude_categories=["Cs"])
# Strings that look like the structure around them are the ones that mislead a search.
TRICKY = st.sampled_from(
    [
        '":',
        '\\":',
        '\\\\":',
        '" :',
        ": ",
        ", ",
        '", "',
        '{"a":1}',
        '{\\"a\\": 1}',
        "a",
        "",
        "\\",
        '"',
        "é",
        "</a>",
        "\U0001f600",
    ]
)
STRINGS = st.one_of(TRICKY, st.text(CHARACTERS, max_size=12), st.lists(TRICKY, max_size=4).map("".join))
KEYS = st.one_of(st.sampled_from(["a", "b", "type", "text", ":", '"', "\\"]), STRINGS)
NUMBERS = st.one_of(
    st.integers(-5, 5), st.integers(), st.integers(2**63, 2**80), st.floats(allow_nan=False, allow_infinity=False)
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, STRINGS),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=20,
)
SPACES = st.sampled_from(["", "", "", " ", "\n", "\t \r\n"])


@st.composite
def literals(draw: st.DrawFn, text: str) -> str:
    """One string in one of the styles that writers have."""
    style = draw(st.integers(0, 3))
    if style == 0:
        return json.dumps(text, ensure_ascii=False)
    if style == 1:
        return json.dumps(text)
    if style == 2:
        return json.dumps(text, ensure_ascii=False).replace("/", "\\/").replace("<", "\\u003c").replace(">", "\\u003e")
    return (
        '"' + "".join(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else json.dumps(char)[1:-1] for char in text) + '"'
    )


@st.composite
def documents(draw: st.DrawFn, value: Any, doubled: bool = False) -> str:
    """`value` as text; with `doubled`, objects may repeat one of their keys in another style."""

    def write(value: Any) -> str:
        if isinstance(value, str):
            return draw(literals(value))
        if isinstance(value, list):
            return "[" + ",".join(draw(SPACES) + write(item) + draw(SPACES) for item in value) + "]"
        if isinstance(value, dict):
            pairs = list(value.items())
            if doubled and pairs and draw(st.booleans()):
                pairs.append(draw(st.sampled_from(pairs)))
            parts = (draw(SPACES) + draw(literals(k)) + draw(SPACES) + ":" + draw(SPACES) + write(v) for k, v in pairs)
            return "{" + ",".join(parts) + draw(SPACES) + "}"
        return json.dumps(value)

    return draw(SPACES) + write(value) + draw(SPACES)
