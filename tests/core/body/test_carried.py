"""Media that nobody reads are counted wherever they stand, and so are files of which only a part is read."""

import base64
import gzip
import json
from random import Random
from typing import Any

import pytest
import zstandard

from tokenman_core.body.carried import carried
from tokenman_core.body.read import read_body
from tokenman_core.dialects.anthropic import Anthropic
from tokenman_core.dialects.walk import answer_slots, find_slots

DIALECT = Anthropic()
BYTES = bytes(range(256))
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + BYTES).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + BYTES).decode()
FILM = base64.b64encode(b"\0\0\0\x20ftypisom" + BYTES).decode()
ZIP = base64.b64encode(b"PK\x03\x04\x14\0" + BYTES).decode()
URL = f"data:image/png;base64,{PNG}"
ESCAPED = json.dumps({"a": f"data:image/jpeg;base64,{JPEG}"}).replace("/", "\\/")
LINES = "\n".join(PNG[low : low + 76] for low in range(0, len(PNG), 76))
TEXT = base64.b64encode(b"name: Bob, and nothing else than words " * 8).decode()

CARRYING = [
    (f"see ![a]({URL}) there", {"image": 1}),
    (f"<img src='{URL}'> and [b]: {URL}", {"image": 2}),
    (f" {URL}", {"image": 1}),
    (f"\n{URL}", {"image": 1}),
    (f"\u200b{URL}", {"image": 1}),
    (f"dAtA:{URL[5:]}", {"image": 1}),
    (URL.replace("base64", "BASE64"), {"image": 1}),
    (URL.replace(";base64", ";name=a.png;base64") + " x", {"image": 1}),
    (f"x data:application/pdf;base64,{JPEG}", {"document": 1}),
    (f"x data:;base64,{PNG}", {"file": 1}),
    (f"data:image/png; base64,{PNG}", {"image": 1}),
    (f"x data: image/png ; name=a ; BASE64 ,{PNG}", {"image": 1}),
    (f"data: image/png;base64,{PNG}", {"image": 1}),
    (json.dumps({"log": base64.b64encode(gzip.compress(BYTES)).decode()}), {"file": 1}),
    (f"x {base64.b64encode(zstandard.compress(BYTES * 2)).decode()}", {"file": 1}),
    (f"x {base64.b64encode(b'SQLite format 3' + bytes(99)).decode()}", {"file": 1}),
    ("x data:image/png,%89PNG%0D%0A%1A%0A", {"image": 1}),
    (json.dumps({"img": URL}), {"image": 1}),
    (json.dumps({"img": json.dumps({"img": URL})}), {"image": 1}),
    (ESCAPED, {"image": 1}),
    (json.dumps({"screenshot": PNG, "other": JPEG}), {"image": 2}),
    (json.dumps({"photo": JPEG}).replace("/", "\\/"), {"image": 1}),
    (json.dumps({"lines": LINES}), {"image": 1}),
    (f"picture:\n{LINES}\n", {"image": 1}),
    (json.dumps({"film": FILM, "archive": ZIP}), {"video": 1, "document": 1}),
]  # fmt: skip
CARRYING_NONE = [
    "a plain text that is long enough to carry something",
    f"x data:text/plain;base64,{TEXT} y",
    f"x data:image/png;base64,{TEXT} y",  # it is read, whatever it is called
    "x data:image/svg+xml,%3Csvg%20xmlns='http://www.w3.org/2000/svg'%3E y",
    "set data:image/png;base64, then the picture, in base64 of any length",
    f"token {TEXT}",
    "iVBORw0KGgo begins every PNG, and /9j/ every JPEG, as UklGR does WebP and a sound",
    f"x{PNG[:40]}",
    "metadata:x,y and data:z, and so on for a while",
]


def counted(value: Any) -> dict[str, int]:
    return dict(find_slots(value).unreadable)


def said(text: str) -> list[dict[str, Any]]:
    """Bodies in which a text stands where programs put theirs."""
    result = {"type": "tool_result", "tool_use_id": "toolu_01", "content": text}
    calls = [
        {"id": "c", "function": {"name": "f", "arguments": said}} for said in (f"x {text}", json.dumps({"a": text}))
    ]
    return [
        {"messages": [{"role": "user", "content": f"{text} "}]},
        {"messages": [{"role": "user", "content": [result]}]},
        {"messages": [{"role": "tool", "tool_call_id": "call_1", "content": text}]},
        {"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": text}}}]}]},
        *({"messages": [{"role": "assistant", "tool_calls": [call]}]} for call in calls),
    ]  # fmt: skip


def test_media_that_a_text_carries_are_counted_in_every_place() -> None:
    for text, media in CARRYING:
        assert dict(carried(text)) == media, text[:80]
        for body in said(text):
            assert counted(body) == media, (text[:80], body)
        for content_type in ("text/plain", "application/octet-stream"):
            part = read_body(text.encode(), content_type, DIALECT, DIALECT.operation("POST", "/v1/files"))
            assert dict(part.unreadable) == media, text[:80]


def test_texts_that_carry_none_are_not_counted() -> None:
    for text in CARRYING_NONE:
        assert not carried(text), text
        for body in said(text):
            assert not counted(body), text


def test_what_carries_media_is_read_all_the_same() -> None:
    text = f"mail jane@x.test ![a]({URL})"
    assert [slot.text for slot in find_slots({"content": text})] == [text]
    assert [slot.text for slot in answer_slots({"content": text})] == [text]


def test_a_text_of_countless_beginnings_costs_no_more() -> None:
    assert sum(carried(f"x {PNG}\n" * 1000).values()) == 65
    assert dict(carried(f"/9j/{'A' * 30} " * 1000)) == {"file": 1}


def multipart(part: bytes, head: bytes) -> dict[str, int]:
    data = b'--XyZ\r\nContent-Disposition: form-data; name="file"' + head + b"\r\n\r\n" + part + b"\r\n--XyZ--\r\n"
    operation = DIALECT.operation("POST", "/v1/files")
    return dict(read_body(data, "multipart/form-data; boundary=XyZ", DIALECT, operation).unreadable)


FILE = b'; filename="a.bin"\r\nContent-Type: application/octet-stream'
PICTURE = b'; filename="a.png"\r\nContent-Type: image/png'


def test_a_binary_part_of_which_only_some_characters_are_text_is_counted() -> None:
    random = Random(1)
    value = "ghp_ixhuWC7hQ2mZ9kTb4LsXv8NcRy6PdJ3f5Ga1"
    for low, high in ((0, 256), (32, 256), (128, 256), (64, 192)):
        for encoding in ("ascii", "utf-16-le", "utf-16-be"):
            around = [bytes(random.randrange(low, high) for _ in range(300)) for _ in range(2)]
            part = value.encode(encoding).join(around)
            assert multipart(part, FILE) == {"file": 1}, (low, high, encoding)
            assert multipart(part, PICTURE) == {"image": 1}
    # Messages of protocol buffers: all ASCII, with lengths between the texts.
    assert multipart(b"\n\x04name\x12(" + value.encode() + b"\x18\x05", FILE) == {"file": 1}


@pytest.mark.parametrize(
    "part",
    [
        b"name,card\r\nBob,1\f\x1b[31mred\x1b[0m\n",
        "Straße und Gärten, façade, naïve".encode("cp1252"),
        "“quoted” – and a list • of 5 €".encode("cp1252"),
        "Straße и улица 通り".encode("utf-16"),
        "name: Bob and a long text behind it".encode("utf-16-le"),
        "Straße и улица 通り".encode(),
        b"N\bNA\bAM\bME\bE  man page",
    ],
)
def test_a_part_that_is_text_is_not_counted(part: bytes) -> None:
    assert multipart(part, FILE) == {}
