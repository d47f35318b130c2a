"""A value that was found once is found again in every way in which it may be written, and restored as it stood."""

import base64
import html
import json
import quopri
import re
import time
from collections.abc import Iterable, Sequence
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenman_core.config.models import Redaction as Settings
from tokenman_core.redaction import Redactor, Restorer
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate
from tokenman_core.redaction.detectors.merge import merge
from tokenman_core.redaction.entities import PLACEHOLDER, Finding
from tokenman_core.redaction.known import Known
from tokenman_core.redaction.needles import PIECE
from tokenman_core.redaction.spellings import forms
from tokenman_core.slots import Slot

from .conftest import InProcess


def places(text: str, *values: tuple[str, str]) -> list[Finding]:
    known = Known()
    for entity, value in values:
        known.add(entity, value)
    return [*merge(place for place in known.find(text) if place is not None)]


def covered(text: str, found: list[Finding]) -> str:
    return "|".join(text[each.start : each.end] for each in found)


MAIL = "jane.doe+x@example.com"
PASSWORD = "p\"w\\x9!ü&<'"
WAYS = {
    "as it is": lambda value: value,
    "in JSON": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "in JSON of ASCII": lambda value: json.dumps(value)[1:-1],
    "in JSON in JSON": lambda value: json.dumps(json.dumps(value, ensure_ascii=False)[1:-1], ensure_ascii=False)[1:-1],
    "percent-encoded": lambda value: quote(value, safe=""),
    "percent-encoded in lower case": lambda value: (
        quote(value, safe="").replace("%2B", "%2b").replace("%C3%BC", "%c3%bc")
    ),
    "percent-encoded twice": lambda value: quote(quote(value, safe=""), safe=""),
    "in HTML": lambda value: html.escape(value),
    "in HTML twice": lambda value: html.escape(html.escape(value)),
    "as references by number": lambda value: "".join(f"&#{ord(each)};" for each in value),
    "as references by hexadecimal number": lambda value: "".join(f"&#x{ord(each):X};" for each in value),
    "as escapes of JSON": lambda value: "".join(f"\\u{ord(each):04x}" for each in value),
    "in hexadecimal": lambda value: value.encode().hex(),
    "in hexadecimal in upper case": lambda value: value.encode().hex().upper(),
    "in base64": lambda value: base64.b64encode(value.encode()).decode(),
    "in base64 for URLs": lambda value: base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
    "behind one byte in base64": lambda value: base64.b64encode(b"\n" + value.encode() + b" and more").decode(),
    "behind two bytes in base64": lambda value: base64.b64encode(b": " + value.encode() + b", so on").decode(),
    "in quoted-printable": lambda value: "x=3D1 " + quopri.encodestring(value.encode(), quotetabs=True).decode(),
    "with characters of no width": lambda value: "\u200b".join(value),
    "with soft hyphens": lambda value: "\u00ad".join(value),
    "in full width": lambda value: "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in value),
}
_NOT_ALL = {("in quoted-printable", PASSWORD)}  # a letter beyond ASCII is two of its escapes


@pytest.mark.parametrize(
    ("way", "value"),
    [(way, value) for way in WAYS for value in (MAIL, PASSWORD, "Zebra-77-kite") if (way, value) not in _NOT_ALL],
)
def test_a_known_value_is_found_however_it_is_written(way: str, value: str) -> None:
    as_written = WAYS[way](value)
    text = f'some <words> "before" {as_written} and (behind)'
    found = places(text, ("PASSWORD", value))
    assert found
    assert covered(text, found).strip() in as_written
    if "base64" not in way:
        assert covered(text, found) in (as_written, as_written[6:])
    else:
        rest = text
        for each in reversed(found):
            rest = rest[: each.start] + "*" * 60 + rest[each.end :]
        for at in range(len(value.encode()) - 5):
            for offset in range(3):
                part = base64.b64encode(bytes(offset) + value.encode()[at : at + 6]).decode()[4:-4]
                assert len(part) < 4 or part not in rest


@pytest.mark.parametrize(
    ("entity", "value", "other"),
    [
        ("CREDIT_CARD", "4539 1488 0343 6467", "4539148803436467"),
        ("CREDIT_CARD", "4539148803436467", "4539-1488-0343-6467"),
        ("CREDIT_CARD", "4539-1488-0343-6467", "4539.1488.0343.6467"),
        ("CREDIT_CARD", "378282246310005", "3782 822463 10005"),
        ("IBAN_CODE", "DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
        ("IBAN_CODE", "de89370400440532013000", "DE89 3704 0044 0532 0130 00"),
        ("US_SSN", "219-09-9999", "219 09 9999"),
        ("US_SSN", "219 09 9999", "219099999"),
        ("PHONE_NUMBER", "+1 (415) 555-2671", "+14155552671"),
        ("PHONE_NUMBER", "+1 415 555 2671", "14155552671"),
        ("EMAIL_ADDRESS", "Jane.Doe@Example.com", "jane.doe@example.com"),
        ("EMAIL_ADDRESS", "jane.doe@example.com", "JANE.DOE@EXAMPLE.COM"),
        ("API_KEY", "sk-ant-aB3dE5fG7h\n> hI9kL2mN4pQ6", "sk-ant-aB3dE5fG7hhI9kL2mN4pQ6"),
        ("PASSWORD", "Zebra\u200b-77", "Zebra-77"),
        ("PASSWORD", "Ze%62ra%2D77x", "Zebra-77x"),
        ("PASSWORD", "Zebra\\u002d77", "Zebra-77"),
    ],
)
def test_a_known_value_is_found_with_other_separators_and_without_what_wrapped_it(
    entity: str, value: str, other: str
) -> None:
    text = f"it is {other}."
    assert covered(text, places(text, (entity, value))) == other


@pytest.mark.parametrize("text", ["id 945391488034364671", "0219099999", "order 14155552671000", "kites", "akite1"])
def test_a_known_number_is_not_found_in_a_longer_one_nor_a_short_word_in_a_longer_one(text: str) -> None:
    values = [("CREDIT_CARD", "4539 1488 0343 6467"), ("US_SSN", "219-09-9999"), ("PHONE_NUMBER", "+1 415 555 2671")]
    assert places(text, *values, ("PASSWORD", "kite"), ("PASSWORD", "kite1")) == []


@given(st.text(alphabet="ab\u200b%&#;=\\u0064@.\n", max_size=40), st.integers(0, 40))
def test_a_place_is_always_a_part_of_the_text(around: str, at: int) -> None:
    text = around[:at] + "Zebra&#45;77" + around[at:]
    for place in places(text, ("PASSWORD", "Zebra-77")):
        assert 0 <= place.start < place.end <= len(text)


def test_an_escaped_value_is_found_wherever_it_stands_in_a_long_text() -> None:
    for before in range(PIECE - 14, PIECE + 2):
        text = "." * before + "Zebra&#45;77-kite" + " " * 20_000 + "Zebra\u200b-77-kite"
        assert covered(text, places(text, ("PASSWORD", "Zebra-77-kite"))) == "Zebra&#45;77-kite|Zebra\u200b-77-kite"


def test_a_value_is_found_wherever_it_stands_in_a_long_text() -> None:
    for before in range(PIECE - 40, PIECE + 2):
        text = "." * before + MAIL + " " * 20_000 + "Zebra-77-kite"
        assert (
            covered(text, places(text, ("EMAIL_ADDRESS", MAIL), ("PASSWORD", "Zebra-77-kite")))
            == f"{MAIL}|Zebra-77-kite"
        )


def test_the_ways_to_write_a_value_are_few() -> None:
    assert len(forms("x" * 100 + '"\\%&ü\n', "PASSWORD")) < 40
    assert all(forms(each) for each in ("a\ud800bc", "%", "\\", "....", "\n\n\n\n"))


@pytest.mark.parametrize("piece", ["jane", "&#64;", "%40", "Zebra-", "=\n", "\u200b", "aaaa", "YWJj"])
def test_the_time_that_a_search_takes_grows_with_the_text_and_no_faster(piece: str) -> None:
    known = Known()
    for number in range(20):
        known.add("PASSWORD", f"Zebra-{number}-kite")
    list(known.find(""))

    def took(count: int) -> float:
        text = piece * count
        start = time.process_time()
        list(known.find(text))
        return time.process_time() - start

    small, large = min(took(4_000) for _ in range(3)), min(took(32_000) for _ in range(3))
    assert large < 8 * small * 4 + 0.02


@pytest.mark.parametrize(
    ("later", "back"),
    [
        ("{}", 'p"w\\x9!'),
        ('{{"a": "{}"}}', '{"a": "p\\"w\\\\x9!"}'),
        ('{{"a": "{{\\"b\\": \\"{}\\"}}"}}', '{"a": "{\\"b\\": \\"p\\\\\\"w\\\\\\\\x9!\\"}"}'),
    ],
    ids=["as text", "in JSON", "in JSON in JSON"],
)
async def test_what_stood_escaped_comes_back_as_the_place_needs_it(later: str, back: str) -> None:
    redactor = Redactor(Settings(), b"k" * 32, InProcess(Detector(Re2Gate())))
    mapping = redactor.mapping()
    text = json.dumps({"password": 'p"w\\x9!'})
    slots = [Slot(("a",), "tool_result", text)]
    await redactor.mask(slots, mapping)
    (placeholder,) = PLACEHOLDER.findall(slots[0].text)
    answers = [Slot((), "assistant", slots[0].text), Slot((), "assistant", later.format(placeholder))]
    Restorer(mapping, "always").whole(answers)
    assert [slot.text for slot in answers] == [text, back]


@pytest.mark.parametrize(
    ("before", "behind"), [(b"", b""), (b"\n", b"x"), (b": ", b""), (b"", b", so"), (b"\n", b"xy"), (b": ", b"\n")]
)
def test_every_character_of_base64_that_holds_a_bit_of_the_value_is_masked(before: bytes, behind: bytes) -> None:
    value = MAIL.encode()
    coded = base64.b64encode(before + value + behind).decode()
    (found,) = places(coded, ("EMAIL_ADDRESS", MAIL))
    assert found.start == len(before) * 8 // 6
    assert found.end == -(-(len(before) + len(value)) * 8 // 6)


@pytest.mark.parametrize("seam", ["\n", "\r\n", "\n    ", "\n> ", "\n# ", "\\n", "\n+"])
@pytest.mark.parametrize("value", [MAIL, "sk-ant-aB3dE5fG7hI9kL2mN4pQ6"])
def test_a_known_value_is_found_where_it_is_wrapped(value: str, seam: str) -> None:
    text = f"{seam.lstrip()}see {value[:11]}{seam}{value[11:]}, and so on"
    assert covered(text, places(text, ("API_KEY", value))) == f"{value[:11]}{seam}{value[11:]}"


@pytest.mark.parametrize("text", ["12345\n67890", "aaaaaa\naaaaaa", "Zebra\n77"])
def test_what_little_a_short_value_says_is_not_looked_for_over_lines(text: str) -> None:
    value = text.replace("\n", "")
    assert places(text, ("PASSWORD", value)) == []


@pytest.mark.parametrize("seam", ["\n", "\r\n", "\n> ", "\\n", "\n        "])
@pytest.mark.parametrize("before", range(48, 56))
def test_a_known_value_is_found_in_base64_that_is_broken_over_lines(before: int, seam: str) -> None:
    coded = base64.encodebytes(b"x" * before + MAIL.encode() + b", and so on " * 9).decode().rstrip("\n")
    text = "data: " + coded.replace("\n", seam) + seam
    (found,) = places(text, ("EMAIL_ADDRESS", MAIL))
    kept = text[6 : found.start].replace(seam, "")
    assert len(kept) == before * 8 // 6
    masked = text[found.start : found.end].replace(seam, "")
    assert len(kept + masked) == -(-(before + len(MAIL)) * 8 // 6)


@pytest.mark.parametrize(("value", "text"), [("acbbacab", "acbbacabac"), ("acbbacab", "acbbacab c")])
def test_a_value_of_few_different_characters_is_not_looked_for_inside_longer_words(value: str, text: str) -> None:
    assert covered(text, places(text, ("PASSWORD", value))) == (value if value in text.split() else "")


def test_many_values_are_found_as_few_are() -> None:
    values = [("PASSWORD", f"kite {number} wing/{number}") for number in range(300)]
    for few, many in ((values[:3], values), (values[-3:], values[::-1])):
        text = (
            " ".join(value for _, value in few)
            + quote(few[0][1], safe="")
            + base64.b64encode(few[1][1].encode()).decode()
        )
        assert places(text, *few) == places(text, *many)


def test_what_stands_in_a_text_already_is_looked_for_only_where_there_is_more() -> None:
    known = Known()
    known.add("PASSWORD", "Zebra-77")
    standing = [Finding(2, 10, "PASSWORD")]
    assert not [place for place in known.find("x Zebra-77 y", standing) if place]
    assert len([place for place in known.find("x Zebra-77 y Zebra-77", standing) if place]) == 2
    assert [place for place in known.find("x Zebra-77 y Zebra&#45;77", standing) if place]
    # What is read before it may take a part of it away, and show another one elsewhere.
    for text in ("\\nebra-77 ...", "%41ebra-77 ..."):
        known.add("PASSWORD", text[1:8])
        hidden = text + "".join(f"&#{ord(each)};" for each in text[1:8])
        assert [place for place in known.find(hidden, [Finding(1, 8, "PASSWORD")]) if place and place.start > 8]


@pytest.mark.parametrize("value", ["41bc@d.com", "1bc-d@e.com", "40%x9/ yz", "4a b9"])
@pytest.mark.parametrize("stray", ["%", "%4", "100%", "x%%"])
def test_a_percent_sign_before_an_encoded_value_does_not_hide_it(stray: str, value: str) -> None:
    for written in (quote(value, safe=""), quote(value, safe="").lower(), value):
        text = f"see {stray}{written} ok"
        if len(value) >= 8 or stray[-1] == "%":
            assert covered(text, places(text, ("PASSWORD", value))) == written


@pytest.mark.parametrize(
    ("value", "text"),
    [("demo", "%de%6Do"), ("admin", "%ad%6Din"), ("4a b9", "%4a%20b9x"), ("1a1a1a1a", "%1a%31a1a1ax")],
)
def test_behind_a_percent_sign_too_only_what_is_looked_for_and_stands_alone_is_found(value: str, text: str) -> None:
    assert not places(text, ("PASSWORD", value))


class Slowly(Known):
    """Looks for every value in every text, in all its forms."""

    def _anchor(self, text: str) -> str:
        return ""

    @staticmethod
    def _bares(texts: Sequence[str]) -> Iterable[tuple[str, bool]]:
        return [("", False) for _ in texts]


VALUES = [
    ("EMAIL_ADDRESS", MAIL), ("PASSWORD", PASSWORD), ("PASSWORD", "Zebra-77"), ("PASSWORD", "nested-77x"),
    ("PASSWORD", "p%40ss=3Dw0"), ("PASSWORD", "1a1a1a1a1"), ("PASSWORD", "Größe-9/ß"), ("PASSWORD", "秘密の鍵です"),
    ("PASSWORD", "*!*?$$+*"), ("PASSWORD", "line one\nline-2"), ("PERSON", "Ann Lee"), ("CREDIT_CARD", "4539 1488 0343 6467"),
    ("US_SSN", "219-09-9999"), ("PHONE_NUMBER", "+1 (415) 555-2671"), ("API_KEY", "sk-ant-aB3dE5fG7hI9kL2mN4pQ6=="),
    ("CONNECTION_STRING", "postgres://app:pw9xK@db.example.com/prod?sslmode=require&x=1"),
]  # fmt: skip
WRITTEN = st.builds(lambda way, value: WAYS[way](value[1]), st.sampled_from([*WAYS]), st.sampled_from(VALUES))
WRAPPED = st.builds(
    lambda value, at, seam: value[1][:at] + seam + value[1][at:],
    st.sampled_from(VALUES),
    st.integers(1, 16),
    st.sampled_from(["\n", "\r\n", "\n> ", "\\n", "\\r\\n", "\n    // ", " \\\n", "\u200b"]),
)
BETWEEN = st.one_of(
    st.sampled_from(["", " ", "\n", "\\n", "\\", ", ", '"', "x", "%", "&", "=", "1", "%20", "\\u00e9", "\u200b", "é"]),
    st.text(max_size=4),
)
TEXTS = st.lists(st.tuples(BETWEEN, st.one_of(WRITTEN, WRAPPED)), max_size=5).map(
    lambda parts: "".join(map("".join, parts))
)


def found_by(known: Known, text: str, standing: Sequence[Finding] = ()) -> set[Finding]:
    for entity, value in VALUES:
        known.add(entity, value)
    return {place for place in known.find(text, standing) if place is not None}


def covering(places: Iterable[Finding]) -> set[int]:
    return {at for place in places for at in range(place.start, place.end)}


@settings(max_examples=120, deadline=None)
@given(TEXTS, st.sampled_from(["", "x" * (PIECE - 30), "\n" * (PIECE - 9)]))
def test_looking_for_anchors_first_misses_nothing(text: str, before: str) -> None:
    text = before + text
    assert found_by(Known(), text) == found_by(Slowly(), text)


@settings(max_examples=120, deadline=None)
@given(TEXTS, st.sampled_from(["", "x" * (PIECE - 30), "\n" * (PIECE - 9)]), st.data())
def test_what_stands_in_a_text_hides_no_other_place(text: str, before: str, data: st.DataObject) -> None:
    text = before + text
    plain = [
        Finding(match.start(), match.end(), entity)
        for entity, value in VALUES
        for match in re.finditer(re.escape(value), text)
    ]
    standing = [each for each in sorted(plain) if data.draw(st.booleans())]
    standing = [each for at, each in enumerate(standing) if not at or standing[at - 1].end <= each.start]
    quick = covering([*standing, *found_by(Known(), text, standing)])
    assert quick == covering([*standing, *found_by(Slowly(), text)])


def test_a_value_that_a_written_break_would_cut_hides_no_wrapped_one() -> None:
    known = Known([("PASSWORD", "nested-77x-kite")])
    text = "see \\nested-77x-kite and nested-\\n77x-kite"
    found = [place for place in known.find(text, [Finding(5, 20, "PASSWORD")]) if place is not None]
    assert any(text[place.start : place.end] == "nested-\\n77x-kite" for place in found)


def test_a_short_value_is_found_where_an_escape_makes_it_long() -> None:
    assert covered("xAnn%20Lee", places("xAnn%20Lee", ("PERSON", "Ann Lee"))) == "Ann%20Lee"


def test_a_value_that_stands_in_a_text_too_often_to_be_counted_hides_no_other_place() -> None:
    value = "4539 1488 0343 6467"
    text = f"{value} " * 300 + "4539148803436467"
    standing = [Finding(at, at + 19, "CREDIT_CARD") for at in range(0, 6000, 20)]
    found = Known([("CREDIT_CARD", value)]).find(text, standing)
    assert any(place is not None and place.start == 6000 for place in found)
