"""Whatever a text says, nothing raises: it is detected, masked, looked for in all its forms, put back, whole and in pieces."""

import base64
import html
import json
from urllib.parse import quote

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tokenman_core.config.models import Redaction as Settings
from tokenman_core.redaction import Mapping, Memo, Redactor, Restorer
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate
from tokenman_core.redaction.entities import PLACEHOLDER, Text
from tokenman_core.redaction.forms import Forms
from tokenman_core.redaction.frames import LENGTH, pack_findings, pack_texts, unpack_texts
from tokenman_core.redaction.known import Known
from tokenman_core.redaction.spellings import forms
from tokenman_core.slots import Slot, SlotKind

from .conftest import InProcess

KEY = b"k" * 32
FINDER = InProcess(Detector(Re2Gate()))

# Escapes as they are written, cut short, and none at all; halves of characters; what ends strings, lines and documents.
BROKEN = [
    "%", "%%", "%2", "%f", "%FF", "%ff%fe", "%C3", "%c3%28", "%E2%82", "%F0%9F%98", "%ED%A0%80", "%ed%b0%80", "%25", "%2525FF",
    "%u0041", "%0", "%00", "%zz", "+", "=", "=3D", "=\n", "=C3", "&", "&#", "&#x", "&#xD800;", "&#1114112;", "&#99999999;",
    "&amp;#64;",
    "&nosuch;", "&amp", "\\", "\\\\", "\\u", "\\u00", "\\ud800", "\\udc00", "\\ud83d\\ude00", "\\udc00\\ud800", "\\u{110000}",
    "\\u{0}", "\\U00110000", "\\U0000d800", "\\x", "\\x4", "\\xff", "\\0", "\\\"", "\\'", "\\n", "\\r\\n", "\\/", "\\e[0m",
    "\\\\u005b", "\\N{DASH}", '"', "'", "`", "\n", "\r\n", "\r", "\t", "\x00", "\x01", "\x1b[31m", "\x7f", "\x80", "\x85", "\xff",
    "\u200b", "\u2028", "\ufeff", "\ufffe", "\uffff", "\ud800", "\udfff", "\udc80", "\ud83d", "\ude00", "\U0001f600",
    "\U0010ffff", "\uff21", "\uff3b", "\u0130", "\u0131", "\u017f", "\u1e9e", "\ufb01", "\u0660", "\u00b2", "\u2460", "\u0345",
    "é", "e\u0301", "{", "}", "[", "]", "(", ")", "<", ">", ",", ":", ";", "/", "//", "@", "://", "-----", "...", " ", "  ",
]  # fmt: skip
# What makes the text around it a value, and where a value goes.
ANNOUNCING = [
    "password: ", "the password is ", "password=", 'password = "', '{"password": "', '{\\"password\\": \\"', "PASSWORD=", "pwd=",
    "api_key: ", "token=", "Authorization: Bearer ", "secret: '", "https://u:", "curl -u admin:", "postgres://app:", "DB_PASS=",
    "Passwort: ", "card ", "IBAN ", "SSN ", "phone ", "born ", "passport no. ", "name: ", "-----BEGIN PRIVATE KEY-----\n",
    "curl https://a.example/ -d ", "mailto:", "![x](https://a.example/?q=", "http://", "[EMAIL_ADDRESS_", "[PASSWORD_0123456789ab]",
]  # fmt: skip
VALUES = [
    "jane.doe@example.com", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "219-09-9999", "+1 415 555 2671", "203.0.113.7",
    "fe80::1%eth0", "2001:db8::8a2e:370:7334", "sk-ant-api03-" + "aB3" * 31 + "AA", "ghp_" + "aB3d" * 9, "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "kite7Wing!", "Zebra-77",
    "Zebra%FF77x", "50%off%C3Now", "p%ED%A0%80w9x!", "a\\ud800b77kiteX", "pa%s%w0rd%", "x\ud800y77Kite", "100%\xff7pQ",
    "postgres://app:pw7%xK@db.example.com/prod", "https://u:p%zz9w@h.example.com/",
]  # fmt: skip
KEYS = ["", "password", "note", "pass\ud800word", "%FF", "api_key", "\x00", "ssn"]
KINDS: list[SlotKind] = ["user", "assistant", "tool_input", "tool_result", "system", "thinking", "other"]
TOOLS = ["", "Bash", "Write", "WebFetch", "send_email", "mcp__x__fetch"]

ANY = st.text(st.characters(), max_size=12)
PIECES = st.one_of(st.sampled_from(BROKEN), st.sampled_from(ANNOUNCING), st.sampled_from(VALUES), ANY)
WRITTEN = st.sampled_from(
    [
        lambda text: text,
        lambda text: text,
        lambda text: quote(text, safe="", errors="surrogatepass"),
        lambda text: html.escape(text),
        lambda text: json.dumps(text),
        lambda text: json.dumps({"password": text, "a": [text]}, ensure_ascii=False),
        lambda text: json.dumps(json.dumps({"password": text})),
        lambda text: base64.b64encode(text.encode("utf-8", "surrogatepass")).decode(),
        lambda text: text.encode("utf-8", "surrogatepass").hex(),
        lambda text: "\u200b".join(text),
        lambda text: text[::-1],
        lambda text: "\n".join(text[low : low + 7] for low in range(0, len(text), 7)),
    ]
)
JOINED = st.lists(PIECES, min_size=1, max_size=8).map("".join)
TEXTS = st.builds(lambda way, text: way(text), WRITTEN, JOINED)


def through_the_worker(texts: list[Text]) -> None:
    """What goes to the worker and what comes back, as bytes."""
    frame = b"".join(pack_texts(texts))[LENGTH.size + 1 :]
    assert unpack_texts(frame) == texts
    pack_findings([FINDER.detector.find(*each) for each in texts])


def put_back(mapping: Mapping, texts: list[str], cut: int) -> None:
    """Whole and in pieces, as text and as the source of JSON, by every kind of tool."""
    for egress in ("same_host", "always", "never"):
        restorer = Restorer(mapping, egress, strange=True)  # type: ignore[arg-type]
        for tool in TOOLS:
            kind: SlotKind = "tool_input" if tool else "assistant"
            restorer.whole([Slot(("input", place), kind, text, tool) for place, text in enumerate(texts)])
            for source in (False, True):
                for text in texts:
                    given = json.dumps({"a": text}) if source else text
                    for piece in (given[:cut], given[cut:]):
                        restorer.feed(Slot((), kind, piece, tool, channel="c", partial_json=source))
                    restorer.close("c")


@settings(max_examples=60)
@given(
    texts=st.lists(TEXTS, min_size=1, max_size=4),
    keys=st.lists(st.sampled_from(KEYS), min_size=4, max_size=4),
    kinds=st.lists(st.sampled_from(KINDS), min_size=4, max_size=4),
    said=TEXTS,
    cut=st.integers(0, 60),
)
@example(
    texts=["the password is Zebra%FF77x", "so type Zebra%FF77x"], keys=[""] * 4, kinds=["user"] * 4, said="", cut=0
)
async def test_no_text_makes_a_call_fail(
    texts: list[str], keys: list[str], kinds: list[SlotKind], said: str, cut: int
) -> None:
    through_the_worker([Text(text, key) for text, key in zip(texts, keys, strict=False)])
    memo = Memo()
    once: list[str] = []
    for _ in range(2):  # judged, and remembered
        redactor = Redactor(Settings(), KEY, FINDER, memo)
        mapping = redactor.mapping()
        slots = [
            Slot(("messages", 0, "content", place, key), kind, text, message=0)
            for place, (text, key, kind) in enumerate(zip(texts, keys, kinds, strict=False))
        ]
        await redactor.mask(slots, mapping)
        masked = [slot.text for slot in slots]
        assert once in ([], masked)
        once = masked
    back = [Slot((place,), "assistant", text) for place, text in enumerate(masked)]
    Restorer(mapping, "always").whole(back)
    assert [slot.text for slot in back] == texts
    values = [value.text for value in mapping.values()]
    put_back(mapping, [*masked, *texts, said, said.join(PLACEHOLDER.findall("".join(masked)))], cut)
    later = [Slot(("messages", 1, "content"), "user", f"{said}{value}{said}") for value in values]
    await redactor.mask(later, mapping)


@settings(max_examples=100)
@given(
    value=TEXTS.filter(bool),
    text=TEXTS,
    entity=st.sampled_from(["PASSWORD", "EMAIL_ADDRESS", "CREDIT_CARD", "PHONE_NUMBER"]),
)
@example(value="a%FFbcdef", text="a%FFbcdef", entity="PASSWORD")
def test_every_value_has_forms_and_is_found_as_it_is(value: str, text: str, entity: str) -> None:
    for form in forms(value, entity):
        known = Known([(entity, value)])
        for place in known.find(f"{text} {form} {text}"):
            assert place is None or place.start < place.end
    mapping = Mapping(KEY)
    placeholder, _ = mapping.placeholder(entity, value)
    for depth in range(3):
        stood, times = mapping._values[placeholder].standing(depth)
        assert isinstance(stood, str)
        for form in (
            placeholder,
            f"%5B{placeholder[1:-1]}%5D",
            f"&#91;{placeholder[1:-1]}&#93;",
            f"\\u005b{placeholder[1:-1]}\\u005d",
        ):
            for found in Forms([placeholder]).all(text + form + text):
                found.written(stood, times)
