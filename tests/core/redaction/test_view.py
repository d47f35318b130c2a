"""A text as a reader would see it, and the way back to its characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenman_core.redaction.detectors.detector import encode
from tokenman_core.redaction.detectors.view import decode, needed


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\u200bb", "ab"),
        ("ａ１＠．", "a1@."),
        ("a%40b%2e", "a@b."),
        ("a\\u0040b", "a@b"),
        ("a\\nb\\\\tc", "a b c"),
        ("http:\\/\\/x", "http://x"),
        ("4111\u00a01111", "4111 1111"),
        ("415‑555–2671", "415-555-2671"),
        ("𝟒𝟏𝟓", "415"),
        ("100%", "100%"),
        ("%00%7f", "%00%7f"),
    ],
)
def test_a_text_is_seen_as_a_reader_sees_it(text: str, seen: str) -> None:
    assert decode(text).text == seen
    assert needed(text, encode(text)) or seen == text


@given(st.lists(st.sampled_from(["a", "%40", "\u200b", "ａ", "\\u0041", "\\/", "é", "\ud800", "%", "\\"])).map("".join))
def test_every_place_of_the_view_leads_back_to_its_characters(text: str) -> None:
    view = decode(text)
    assert len(view.text) == len(view.starts) == len(view.ends)
    for place, char in enumerate(view.text):
        start, end = view.original(place, place + 1)
        assert decode(text[start:end]).text.endswith(char) or text[start:end] == char
    assert list(view.starts) == sorted(view.starts)
