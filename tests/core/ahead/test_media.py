import base64
import struct
import zlib
from typing import Any

import pytest

from tokenman_core.ahead import media
from tokenman_core.ahead.media import RULES, SMALL_OPENAI, held_elsewhere, image_size, tokens


def png(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


HEADS = {
    "png": png(640, 480),
    "gif": b"GIF89a" + struct.pack("<HH", 640, 480) + b"\0" * 8,
    "bmp": b"BM" + b"\0" * 16 + struct.pack("<ii", 640, -480),
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\0"
    + b"\0" * 9
    + b"\xff\xff\xc2\x00\x11\x08"
    + struct.pack(">HH", 480, 640)
    + b"\0" * 9,
    "webp lossy": b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 10 + struct.pack("<HH", 640, 480),
    "webp lossless": b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + (639 | 479 << 14).to_bytes(4, "little"),
    "webp extended": b"RIFF\0\0\0\0WEBPVP8X" + b"\0" * 8 + (639).to_bytes(3, "little") + (479).to_bytes(3, "little"),
}


@pytest.mark.parametrize("kind", HEADS)
def test_an_image_says_its_size_in_its_first_bytes(kind):
    assert image_size(HEADS[kind]) == (640, 480)


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_that_is_cut_off_says_nothing_and_raises_nothing(kind):
    for end in range(len(HEADS[kind])):
        assert image_size(HEADS[kind][:end]) in (None, (640, 480))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def url(data: bytes) -> str:
    return "data:image/png;base64," + b64(data)


def anthropic(data: bytes) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": b64(data)}}


# Published examples: Anthropic's table of image sizes (1000 x 1000: about 1,334 tokens); OpenAI's gpt-4o, high detail: 1024 x 1024
# is 765, 2048 x 4096 is 1,105; Gemini: 258 for a small one.
@pytest.mark.parametrize(
    ("dialect", "model", "part", "least", "most"),
    [
        ("anthropic", "claude-opus-5", anthropic(png(1000, 1000)), 1_334, 1_400),
        ("anthropic", "claude-opus-5", anthropic(png(8000, 8000)), 1_600, 4_785),
        ("openai", "gpt-4o", {"type": "image_url", "image_url": {"url": url(png(1024, 1024))}}, 765, 3_000),
        ("openai", "gpt-5", {"type": "input_image", "image_url": url(png(2048, 4096))}, 1_105, 3_800),
        ("openai", "gpt-4o-mini", {"type": "input_image", "image_url": "https://example.org/a.png"}, SMALL_OPENAI, SMALL_OPENAI),
        ("gemini", "gemini-2.5-pro", {"inlineData": {"mimeType": "image/png", "data": b64(png(300, 300))}}, 258, 258),
        ("gemini", "gemini-2.5-pro", {"inline_data": {"mime_type": "audio/wav", "data": b64(b"x" * 10_000)}}, 320, 5_000),
    ],
)  # fmt: skip
def test_an_image_is_never_taken_for_less_than_its_provider_says(dialect, model, part, least, most):
    assert least <= tokens({"messages": [{"content": [{"type": "text", "text": "x"}, part]}]}, dialect, model) <= most


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "image", "source": {"type": "base64", "data": "no image"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,!!!"}},
    ],
)
def test_an_image_that_cannot_be_measured_is_as_large_as_any(part):
    assert tokens([part], "anthropic") == RULES["anthropic"].unknown


def test_a_document_is_measured_by_its_pages_and_by_its_size_if_they_cannot_be_counted():
    def document(data: bytes) -> list[Any]:
        return [{"type": "document", "source": {"type": "base64", "data": b64(data)}}]

    pages = b"%PDF-1.7 " + b"<< /Type /Page >> " * 3 + b"<< /Type /Pages >>"
    assert tokens(document(pages), "anthropic") == 3 * RULES["anthropic"].page
    assert tokens(document(b"%PDF-1.7 " + b"z" * 20_000), "anthropic") == 10 * RULES["anthropic"].page
    hidden = pages + b"<< /Type /ObjStm >>" + b"z" * 20_000
    assert tokens(document(hidden), "anthropic") == 10 * RULES["anthropic"].page
    assert tokens([{"type": "file", "file": {"file_data": "data:application/pdf;base64," + b64(pages)}}], "openai") == (
        3 * RULES["openai"].page
    )


def test_texts_cost_nothing_here_and_nonsense_raises_nothing():
    assert tokens({"messages": [{"content": "x" * 1000}], "tools": [{"type": "image"}]}, "openai") == 0
    for value in (None, 3, "x", [[[]]], {"type": "input_audio", "input_audio": None}, {"inlineData": {"data": 3}}):
        media.tokens(value, "openai")
    deep: Any = "x"
    for _ in range(10_000):
        deep = [deep]
    assert tokens(deep, "openai") == 0


def test_what_a_provider_holds_is_told_by_its_ids():
    value = {
        "previous_response_id": "resp_1", "conversation": {"id": "conv_1"}, "prompt": {"id": "pmpt_1"},
        "input": [{"content": [{"type": "input_file", "file_id": "file_1"}, {"fileData": {"fileUri": "files/2"}}]}],
        "tools": [{"file_id": "not this"}],
    }  # fmt: skip
    assert held_elsewhere(value) == ["resp_1", "conv_1", "pmpt_1", "file_1", "files/2"]
    assert held_elsewhere({"cachedContent": "cachedContents/3"}) == ["cachedContents/3"]
    assert held_elsewhere([1]) == held_elsewhere({"previous_response_id": None}) == []
