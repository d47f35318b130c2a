"""Chooses how a request's body is read. What cannot be judged is refused, and nothing that is text goes unread."""

import json
from typing import Any

from tokenman_core.body.base import Body
from tokenman_core.body.encoded import codec_of, is_read_whole, readable
from tokenman_core.body.json_body import JsonBody
from tokenman_core.body.jsonl_body import JsonlBody
from tokenman_core.body.media import media_of
from tokenman_core.body.multipart_body import MultipartBody
from tokenman_core.body.text_body import BinaryBody, FormBody, RecodedBody, TextBody
from tokenman_core.dialects import words
from tokenman_core.dialects.base import Dialect, Operation
from tokenman_core.errors import BodyError
from tokenman_core.slots import Found

_JSON_LINES = frozenset({"application/jsonl", "application/x-jsonl", "application/x-ndjson", "application/jsonlines"})
_FORM = "application/x-www-form-urlencoded"
_UNSTATED = frozenset({"", "application/octet-stream"})


def read_body(data: bytes, content_type: str | bytes | None, dialect: Dialect, operation: Operation) -> Body:
    """The body of a request, decoded from its content coding; `content_type` is the header's value as it came.

    Raises BodyError("parse") for what cannot be judged: broken JSON, a text in another encoding than UTF-8, bytes that are
    neither text nor known media.
    """
    if not data:
        return BinaryBody(data)
    stated = content_type.decode("latin-1") if isinstance(content_type, bytes) else content_type or ""
    media_type = stated.partition(";")[0].strip().lower()

    def find_slots(value: Any) -> Found:
        return dialect.request_slots(operation, value)

    def read_part(part: bytes, part_type: str, is_file: bool) -> Body:
        return _part(part, part_type, is_file, find_slots)

    if media_type.startswith("multipart/"):
        return MultipartBody(data, stated, read_part)
    if _is_json(media_type):
        return JsonBody(data, find_slots)
    if media_type in _JSON_LINES:
        return JsonlBody(data, find_slots)
    if operation.generates and (media_type in _UNSTATED or data.lstrip()[:1] in (b"{", b"[")):
        return JsonBody(data, find_slots)
    return _unstructured(data, media_type, find_slots)


def _part(data: bytes, media_type: str, is_file: bool, find_slots: Any) -> Body:
    if not data:
        return BinaryBody(data)
    if _is_json(media_type):
        return JsonBody(data, find_slots)
    if media_type in _JSON_LINES:
        return JsonlBody(data, find_slots)
    return _unstructured(data, media_type, find_slots, any_bytes=is_file)


def _unstructured(data: bytes, media_type: str, find_slots: Any, *, any_bytes: bool = False) -> Body:
    """Text is read, as JSON if it is some; media are counted, and with `any_bytes` so is anything else, even what is read in part.

    Files come in any encoding of text, and so may what says that it is media and does not look like some.
    """
    known = media_of(data)
    text = None if known else readable(data)
    any_text = any_bytes or (words.media_of(media_type) != "file" and not words.is_text_type(media_type))
    if any_text and not known and (text is None or text.startswith("\ufeff")) and (codec := codec_of(data)) is not None:
        body = _recoded(data, codec, media_type, find_slots)
        if not is_read_whole(data.decode(codec), codec):
            body.unreadable[words.media_of(media_type)] += 1
        return body
    if text is not None:
        body = _text(data, text, media_type, find_slots)
        if any_bytes and not is_read_whole(text, "utf-8"):
            body.unreadable[words.media_of(media_type)] += 1
        return body
    if words.is_text_type(media_type):
        raise BodyError("parse", "the body says that it is text, and is not valid UTF-8")
    if known or any_bytes or words.media_of(media_type) != "file":
        return BinaryBody(data, known or words.media_of(media_type))
    raise BodyError("parse", "the body is neither text nor media of a known type: state its content type")


def _recoded(data: bytes, codec: str, media_type: str, find_slots: Any) -> Body:
    text = data.decode(codec)
    bare = text.removeprefix("\ufeff")
    mark = "\ufeff".encode(codec) if bare is not text else b""
    return RecodedBody(data, _text(bare.encode("utf-8"), bare, media_type, find_slots), codec, mark)


def _text(data: bytes, text: str, media_type: str, find_slots: Any) -> Body:
    # Whatever it is called: in JSON, a text may stand behind escapes that only a parser sees through.
    bare = text.lstrip().removeprefix("\ufeff")
    if bare.startswith(("{", "[")):
        for make in (JsonBody, JsonlBody):
            try:
                return make(data, find_slots)
            except BodyError:
                continue
        if _loosely_json(bare):
            raise BodyError("parse", "the body is JSON that two readers may read differently")
    return FormBody(data) if media_type == _FORM else TextBody(data, text)


def _loosely_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_json(media_type: str) -> bool:
    return media_type.endswith(("/json", "+json"))
