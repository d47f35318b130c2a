"""Every kind of request body: what is text in it is a slot, what cannot be judged is refused."""

import gzip
import json
import random

import pytest

from tokenman_core.body.base import Body
from tokenman_core.body.json_body import JsonBody
from tokenman_core.body.jsonl_body import JsonlBody
from tokenman_core.body.multipart_body import MAX_PARTS, MultipartBody
from tokenman_core.body.read import read_body
from tokenman_core.body.text_body import BinaryBody, FormBody, TextBody
from tokenman_core.dialects.base import Operation
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.errors import BodyError

CHAT = Operation("chat", generates=True)
OTHER = Operation("other")
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\xff"


def read(data: bytes, content_type: str | bytes | None, operation: Operation = OTHER) -> Body:
    return read_body(data, content_type, DIALECTS["openai"], operation)


def texts(body: Body) -> list[str]:
    return [slot.text for slot in body.slots]


def mask(body: Body, old: str = "a@b", new: str = "M") -> bytes:
    for slot in body.slots:
        slot.text = slot.text.replace(old, new)
    return body.render()


@pytest.mark.parametrize(
    ("data", "content_type", "operation", "kind"),
    [
        (b"", None, CHAT, BinaryBody),
        (b'{"a":"x"}', "application/json", OTHER, JsonBody),
        (b'{"a":"x"}', b"application/json; charset=utf-8", OTHER, JsonBody),
        (b'{"a":"x"}', "application/vnd.api+json", OTHER, JsonBody),
        (b'{"a":"x"}', None, CHAT, JsonBody),
        (b'{"a":"x"}', None, OTHER, JsonBody),
        (b'{"a":"x"}', "application/x-www-form-urlencoded", CHAT, JsonBody),  # curl -d
        (b' \n{"a":"x"}', "text/plain", CHAT, JsonBody),
        (b'{"a":"x"}', "text/plain", OTHER, JsonBody),
        (b'{"a":"x"}', "image/png", CHAT, JsonBody),
        (b'{"a":"x"}', "image/png", OTHER, JsonBody),
        (b'{"a":"x"}\n{"a":"y"}\n', "application/x-ndjson", OTHER, JsonlBody),
        (b'{"a":"x"}\n{"a":"y"}\n', "application/octet-stream", OTHER, JsonlBody),
        (b"{\\usepackage{x}", "text/plain", OTHER, TextBody),
        (b"x", "text/plain", OTHER, TextBody),
        (b"x", "application/unheard-of", OTHER, TextBody),
        (b"x", "image/png", OTHER, TextBody),
        (b"a=x", "application/x-www-form-urlencoded", OTHER, FormBody),
        (PNG, "image/png", OTHER, BinaryBody),
        (PNG, "application/unheard-of", OTHER, BinaryBody),
        (b"%PDF-1.7 all of it is ASCII", "application/pdf", OTHER, BinaryBody),
        (b"--b\r\n\r\nx\r\n--b--", "multipart/form-data; boundary=b", CHAT, MultipartBody),
    ],
)
def test_the_body_is_read_by_what_it_is(
    data: bytes, content_type: str | None, operation: Operation, kind: type
) -> None:
    body = read(data, content_type, operation)
    assert type(body) is kind
    assert body.render() is data
    assert not body.changed
    assert bool(body.slots) == (kind is not BinaryBody)


@pytest.mark.parametrize(
    ("data", "content_type", "operation"),
    [
        (b'{"a":', "application/json", OTHER),
        (b"hello", None, CHAT),
        (b'{"a":', "text/plain", CHAT),
        (b" ", None, CHAT),
        (b'{"a":1,"a":2}', "text/plain", OTHER),
        (b'\xef\xbb\xbf{"a":1}', None, OTHER),
        (b"\xff\xfeh\x00", "text/plain; charset=utf-16", OTHER),
        (b"caf\xe9", "text/plain; charset=latin-1", OTHER),
        (b"\x00\x01\xff", "application/grpc", OTHER),
        (b"\x00\x01\xff", None, OTHER),
        (b"\xef\xbb\xbf{}", "application/json", OTHER),
        (b'{"a":1}\n{"a":', "application/jsonl", OTHER),
        (b'{"a":1}\n\r\n{"a":1,"a":2}', "application/jsonl", OTHER),
        (b"x", "multipart/form-data", OTHER),
    ],
)
def test_what_cannot_be_judged_is_refused(data: bytes, content_type: str | None, operation: Operation) -> None:
    with pytest.raises(BodyError) as caught:
        read(data, content_type, operation)
    assert caught.value.kind == "parse"


def test_the_refusal_of_json_lines_names_the_line() -> None:
    with pytest.raises(BodyError, match=r"^line 3 "):
        read(b'{"a":1}\r\n\r\n{"a":', "application/jsonl")


def test_each_json_line_is_spliced_on_its_own() -> None:
    data = b'{"x": "a@b"}\r\n\n {"x":"c" , "n":1.0}\n{"x":"\\u0061@b"}'
    body = read(data, "application/jsonl")
    assert texts(body) == ["a@b", "c", "a@b"]
    assert mask(body) == b'{"x": "M"}\r\n\n {"x":"c" , "n":1.0}\n{"x":"M"}'
    assert body.changed


def test_form_fields_are_decoded_and_only_changed_ones_are_written_anew() -> None:
    data = b"q=mail+a%40b&a%40b=1&&e=%e9&u=%C3%A9&k"
    body = read(data, "application/x-www-form-urlencoded")
    assert texts(body) == ["q", "mail a@b", "a@b", "1", "e", "é", "u", "é", "k"]
    assert body.slots[1].key == "q"
    assert mask(body, new="[M é]") == b"q=mail+%5BM+%C3%A9%5D&%5BM+%C3%A9%5D=1&&e=%e9&u=%C3%A9&k"


def test_a_text_is_one_slot() -> None:
    body = read("é a@b".encode(), "text/plain")
    assert mask(body) == "é M".encode()


def part(head: str, content: bytes) -> bytes:
    return b"--XyZ\r\n" + head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + content + b"\r\n"


FORM = b"".join(
    [
        part('Content-Disposition: form-data; name="purpose"', b"user a@b"),
        part(
            'Content-Disposition: form-data; name="f"; filename="a@b.txt"\nContent-Type: text/plain',
            b"\r\n--Xy a@b\r\n",
        ),
        part('content-disposition: form-data; name="j"\ncontent-type: application/json', b'{"x": "\\u0061@b"}'),
        part('Content-Disposition: form-data; name="l"; filename=l.jsonl', b'{"x":"a@b"}\n{"x":"c"}\n'),
        part('Content-Disposition: form-data; name="p"; filename="p.png"\nContent-Type: image/png', PNG),
        part(
            'Content-Disposition: form-data; name="b"; filename="b.bin"\nContent-Type: application/octet-stream',
            b"\0\xff",
        ),
        part('Content-Disposition: form-data; name="empty"', b""),
    ]
)


@pytest.mark.parametrize("boundary", ["XyZ", '"XyZ"'])
@pytest.mark.parametrize("end", [b"--XyZ--\r\n", b"--XyZ--"])
def test_parts_of_a_form_are_read_by_their_types(boundary: str, end: bytes) -> None:
    data = FORM + end
    body = read(data, f"multipart/form-data; boundary={boundary}", CHAT)
    assert texts(body) == ["user a@b", "a@b.txt", "\r\n--Xy a@b\r\n", "a@b", "l.jsonl", "a@b", "c", "p.png", "b.bin"]
    assert body.slots[0].key == "purpose"
    assert body.unreadable == {"image": 1, "file": 1}
    assert body.render() is data
    assert mask(body) == data.replace(b"a@b", b"M").replace(b"\\u0061@b", b"M")


def test_values_in_the_heads_of_parts_are_slots() -> None:
    heads = (
        'Content-Disposition: form-data; name="a@b"',
        'Content-Disposition: form-data; name="f"; filename="a@b.txt"; filename*=UTF-8\'\'a%40b.txt',
        "Content-Disposition: form-data; name=f; x=a@b\nContent-Description:  of a@b \nX-Card: 4539148803436467",
        'Content-Disposition: form-data; name="f[0]"\nContent-Type: text/plain; charset=utf-8; name="a@b"\nContent-Length: 1',
    )
    data = b"".join(part(head, b"x") for head in heads) + b"--XyZ--"
    body = read(data, "multipart/form-data; boundary=XyZ")
    assert [text for text in texts(body) if text != "x"] == [
        "a@b",
        "a@b.txt",
        "UTF-8''a%40b.txt",
        "a@b",
        "of a@b",
        "4539148803436467",
        "a@b",
    ]
    assert body.render() is data
    assert mask(body) == data.replace(b"a@b", b"M")


UMLAUT = "Müller; a@b\r\n"


@pytest.mark.parametrize(
    "kind", ["", "\nContent-Type: application/vnd.ms-excel", "\nContent-Type: text/csv", "\nContent-Type: image/x"]
)
@pytest.mark.parametrize(
    ("content", "codec"),
    [
        (UMLAUT.encode("latin-1"), "latin-1"),
        ("\u201ca@b\u201d \u20ac".encode("cp1252"), "cp1252"),
        (b"\x81 a@b", "latin-1"),
        (("\ufeff" + UMLAUT).encode("utf-16-le"), "utf-16-le"),
        (("\ufeff" + UMLAUT).encode("utf-16-be"), "utf-16-be"),
        (UMLAUT.encode("utf-16-le"), "utf-16-le"),
        (UMLAUT.encode("utf-16-be"), "utf-16-be"),
        (("\ufeff" + UMLAUT).encode("utf-32-le"), "utf-32-le"),
        (("\ufeff" + UMLAUT).encode("utf-32-be"), "utf-32-be"),
        (("\ufeff" + UMLAUT).encode(), "utf-8"),
        (b"x a@b\0", "utf-8"),
        ('\ufeff{"x": "\\u0061@b"}'.encode("utf-16-le"), "utf-16-le"),
        ('\ufeff{"x":"a@b"}\n{"x":"ü"}'.encode("utf-16-le"), "utf-16-le"),
    ],
)
def test_a_file_is_read_in_whatever_encoding_its_text_has(kind: str, content: bytes, codec: str) -> None:
    data = part('Content-Disposition: form-data; name="f"; filename="f"' + kind, content) + b"--XyZ--"
    body = read(data, "multipart/form-data; boundary=XyZ")
    assert any("a@b" in text for text in texts(body))
    odd = b"\x81" in content or (
        b"\0" in content and codec == "utf-8"
    )  # in no text, so what else it holds is not known
    assert sum(body.unreadable.values()) == odd
    assert body.render() is data
    made = content.replace("a@b".encode(codec), "M".encode(codec)).replace("\\u0061@b".encode(codec), "M".encode(codec))
    assert mask(body) == data.replace(content, made)
    assert made != content


def test_a_text_that_its_encoding_lacks_makes_the_file_utf_8() -> None:
    data = part('Content-Disposition: form-data; name="f"; filename="f"', b"M\xfcller a@b") + b"--XyZ--"
    body = read(data, "multipart/form-data; boundary=XyZ")
    assert mask(body, new="\u0142") == data.replace(b"M\xfcller a@b", "Müller \u0142".encode())


@pytest.mark.parametrize(
    "text", [b"RIFF-raff a@b", b"GIF8 a@b", b"ID3: a@b", b"OggS a@b", b"fLaC a@b", b"%PDF-a@b", b"the ftyp a@b"]
)
def test_a_text_that_begins_as_media_do_is_text(text: bytes) -> None:
    data = part('Content-Disposition: form-data; name="f"; filename="f"', text) + b"--XyZ--"
    assert mask(read(data, "multipart/form-data; boundary=XyZ")) == data.replace(b"a@b", b"M")


@pytest.mark.parametrize(
    ("head", "media"),
    [
        (b"GIF89a\x01\0\x01\0\x80\0\0", "image"),
        (b"RIFF\x24\x08\0\0WAVEfmt ", "image"),
        (b"ID3\x03\0", "audio"),
        (b"OggS\0\x02", "audio"),
        (b"fLaC\0\0\0\x22", "audio"),
        (b"\xff\xd8\xff\xe0", "image"),
        (b"PK\x03\x04", "document"),
        (b"\0\0\0\x18ftypmp42", "video"),
        (b"%PDF-1.7\n", "document"),
    ],
)
def test_media_are_told_by_their_first_bytes(head: bytes, media: str) -> None:
    data = part('Content-Disposition: form-data; name="f"; filename="f"', head + b"and a@b") + b"--XyZ--"
    assert read(data, "multipart/form-data; boundary=XyZ").unreadable == {media: 1}


@pytest.mark.parametrize(
    "content", [random.Random(1).randbytes(5000), gzip.compress(random.Random(2).randbytes(500)), b"\0" * 99]
)
def test_a_file_of_other_bytes_is_counted(content: bytes) -> None:
    data = part('Content-Disposition: form-data; name="f"; filename="f"', content) + b"--XyZ--"
    body = read(data, "multipart/form-data; boundary=XyZ")
    assert body.unreadable == {"file": 1}
    assert mask(body) is data


def test_a_file_name_cannot_break_out_of_its_head() -> None:
    body = read(
        part('Content-Disposition: form-data; name="f"; filename="x"', b"y") + b"--XyZ--",
        "multipart/form-data; boundary=XyZ",
    )
    body.slots[0].text = 'a"\r\nb'
    assert b'filename="a%22%0D%0Ab"\r\n' in body.render()


@pytest.mark.parametrize(
    "data",
    [
        b"x" + FORM + b"--XyZ--",  # text before the first boundary
        FORM + b"--XyZ--\r\nhidden",
        FORM,
        FORM + b"--XyZ",
        FORM + b"--XyZhidden\r\n\r\nx\r\n--XyZ--",
        FORM.replace(b"\r\n", b"\n") + b"--XyZ--",
        part("Content-Transfer-Encoding: base64\nContent-Type: text/plain", b"YUBi") + b"--XyZ--",
        part("Content-Type: text/plain\nContent-Type: image/png", b"x") + b"--XyZ--",
        part("Content-Type : text/plain", b"x") + b"--XyZ--",
        part("no colon", b"x") + b"--XyZ--",
        part("Content-Type: text/plain", b"\xff") + b"--XyZ--",
        part('Content-Disposition: form-data; name="f"; filename="f"\nContent-Type: text/plain', b"\0\xff")
        + b"--XyZ--",
        part('Content-Disposition: form-data; name="a"; name="b"', b"x") + b"--XyZ--",
        part('Content-Disposition: form-data; name="a" b@c', b"x") + b"--XyZ--",
        part('Content-Disposition: form-data; a@b="c"', b"x") + b"--XyZ--",
        part('Content-Disposition: form-data; name="a\\"', b"x") + b"--XyZ--",
        part("X-Card-4539148803436467: x", b"x") + b"--XyZ--",
        part("Content-Type: application/json", b"{") + b"--XyZ--",
        part('Content-Disposition: form-data; name="x"', b"\0\xff") + b"--XyZ--",  # no file, no text
        part("A: b", b"") * (MAX_PARTS + 1) + b"--XyZ--",
    ],
)
def test_a_form_that_two_readers_may_cut_differently_is_refused(data: bytes) -> None:
    with pytest.raises(BodyError):
        read(data, "multipart/form-data; boundary=XyZ")


@pytest.mark.parametrize("stated", ["", "; boundary=", "; boundary=a; boundary=b", "; boundary=" + "x" * 71])
def test_a_form_needs_one_boundary(stated: str) -> None:
    with pytest.raises(BodyError):
        read(FORM + b"--XyZ--", "multipart/form-data" + stated)


def test_only_a_json_body_can_be_replaced() -> None:
    for data, content_type in (
        (b"x", "text/plain"),
        (b'{"a":1}\n{"a":2}', "application/jsonl"),
        (FORM + b"--XyZ--", "multipart/form-data; boundary=XyZ"),
    ):
        body = read(data, content_type)
        assert body.value is None
        with pytest.raises(TypeError):
            body.replace({})
    body = read(b'{"a":1}', None)
    body.replace({"a": "x"})
    assert json.loads(body.render()) == {"a": "x"}
    assert texts(body) == ["x"]
