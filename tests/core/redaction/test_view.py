"""A text as a reader would see it, and the way back to its characters."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenman_core.redaction.detectors.detector import encode
from tokenman_core.redaction.detectors.view import decode, fold, needed

SHOWN = [
    ("a\u200bb", "ab"),
    ("a\ufe0fb\U000e0041c\u2066d\u00ade\u3164f\u034f", "abcdef"),
    ("ａ１＠．", "a1@."),
    ("a%40b%2e", "a@b."),
    ("a%2540b%252540c", "a@b@c"),
    ("%4Aane Ｊ&#74;\\u004A", "Jane JJJ"),
    ("j%C3%BCrgen%e2%80%8b%EF%BC%A0x%25C3%25BC %C3 %C3%28 %ff", "jürgen@xü %C3 %C3( %ff"),
    ("p&amp;amp;w&amp;amp;lt;", "p&w<"),
    ("a\\u0040b", "a@b"),
    ("a\\\\u0040b\\x40c\\u{40}d\\U00000040e", "a@b@c@d@e"),
    ("4\\u200b1\\ufeff1\\uff11", "4111"),
    ("\\ud835\\udfd2\\uD835\\uDFCF", "41"),
    ("a\\nb\\\\tc", "a b c"),
    ("http:\\/\\/x", "http://x"),
    ("4111\u00a01111", "4111 1111"),
    ("415‑555–2671", "415-555-2671"),
    ("𝟒𝟏𝟓", "415"),
    ("٤١٥ ४१५ ４１５", "415 415 415"),
    ("ｊａｎｅ﹫ｘ․com", "jane@x.com"),
    ("a&#64;b&#x40;c&#X0040;d&commat;e&period;f", "a@b@c@d@e.f"),
    ("a&amp;#64;b&amp;amp;commat;c", "a@b@c"),
    ("4&shy;1&#8203;1&ZeroWidthSpace;1&nbsp;1", "4111 1"),
    ("p&amp;w&lt;&eacute;", "p&w<é"),
    ("&copyright; &nosuch; R&D;", "&copyright; &nosuch; R&D;"),
    ("jane\\_doe\\@x\\.com", "jane_doe@x.com"),
    ("\\d+\\.\\d a\\.", "\\d+\\.\\d a\\."),
    ("jane=40example.com", "jane@example.com"),
    ("a=3Db jane=40x c=2E", "a=b jane@x c."),
    ("jane@exam=\nple.com=\r\n.br", "jane@example.com.br"),
    ("x=40 width=40px", "x=40 width=40px"),
    ("100%", "100%"),
    ("%00%7f", "%00%7f"),
    ("1º ª x² ①", "1º ª x² ①"),
    ("\x1b[01;31m\x1b[Ka\x1b[m\x1b[Kb \\x1b[0mc \\033[1md \\e[0me \\\\u001b[38;5;1mf", "ab c d e f"),
    ("a[0m \\e[x] \\033 m", "a[0m \\e[x] \\033 m"),
    ("\\ud835 \\u{110000} &#1114112;", "\\ud835 \\u{110000} \ufffd"),
]


@pytest.mark.parametrize(("text", "seen"), SHOWN)
def test_a_text_is_seen_as_a_reader_sees_it(text: str, seen: str) -> None:
    assert decode(text).text == seen
    assert needed(text, encode(text)) or seen == text


PIECES = st.sampled_from(
    [
        "a",
        "%40",
        "\u200b",
        "ａ",
        "\\u0041",
        "\\/",
        "é",
        "\ud800",
        "%",
        "\\",
        "&#64;",
        "&",
        "amp;",
        "=",
        "=3D",
        "\n",
        "𝟏",
        "\\_",
        "\x1b[1m",
    ]
)


@pytest.mark.parametrize(
    "hint",
    [
        "%40",
        "&#64;",
        "&amp;#64;",
        "\\u0040",
        "\\n",
        "=40a",
        "=3D",
        "=\n",
        "=\r\n",
        "\x1b[1m",
        "\\033[m",
        "\u200b",
        "１",
    ],
)
def test_whatever_may_show_more_is_looked_at_again(hint: str) -> None:
    assert needed(f"so {hint} on", encode(f"so {hint} on"))


@given(st.lists(PIECES).map("".join))
def test_every_place_of_the_view_leads_back_to_its_characters(text: str) -> None:
    view = decode(text)
    last = 0
    for place, char in enumerate(view.text):
        start, end = view.original(place, place + 1)
        assert last <= start < end <= len(text)
        assert char in (text[start:end], decode("=3D" * ("=3D" in text) + text[start:end]).text[-1:]) or "=" in text
        last = end


@given(st.lists(PIECES).map("".join), st.data())
def test_a_part_of_the_view_leads_back_to_all_that_shows_it(text: str, data: st.DataObject) -> None:
    view = decode(text)
    if not view.text:
        return
    start = data.draw(st.integers(0, len(view.text) - 1))
    end = data.draw(st.integers(start + 1, len(view.text)))
    assert view.original(start, end) == (view.original(start, start + 1)[0], view.original(end - 1, end)[1])


@given(st.text())
def test_a_text_in_which_nothing_is_hidden_is_seen_as_it_stands(text: str) -> None:
    if not needed(text, encode(text)) and "%" not in text and "&" not in text and "\\" not in text and "=" not in text:
        assert decode(text).text == text == fold(text)


@pytest.mark.parametrize(
    "piece",
    [
        "%25",
        "&amp;",
        "\\\\",
        "=\n",
        "\u200b",
        "\\ud835",
        "&#0000000",
        "a\\_",
        "&a",
        "=40a",
        "%",
        "&",
        "\x1b[",
        "\x1b[0m",
        "\\x1b",
    ],
)
def test_the_time_that_a_view_takes_grows_with_the_text_and_no_faster(piece: str) -> None:
    def took(count: int) -> float:
        text = piece * count
        start = time.process_time()
        needed(text, encode(text))
        decode(text)
        return time.process_time() - start

    took(1000)
    small, large = min(took(5_000) for _ in range(3)), min(took(40_000) for _ in range(3))
    assert large < 8 * small * 4 + 0.01
