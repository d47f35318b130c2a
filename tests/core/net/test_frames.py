"""The frames of HTTP/2, told apart however the bytes are cut."""

import pytest

from tokenman_core.net.frames import FrameError, Frames


def frame(kind: int, flags: int = 0, payload: bytes = b"", stream: int = 1) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


SETTINGS = frame(4, stream=0)


@pytest.mark.parametrize("size", [1, 2, 7, 9, 10, 1000])
@pytest.mark.parametrize(
    ("sent", "idle"),
    [
        (frame(1, 4, b"head") + frame(0, 0, b"body") + frame(0, 1), 0),
        (frame(1, 0, b"he") + frame(9, 4, b"ad"), 0),
        (frame(0) * 3, 3),
        (frame(0, 8, b"\x04pad!"), 1),
        (frame(6, 0, b"12345678"), 1),
        (frame(2, 0, b"12345") + frame(3, 0, b"1234") + frame(8, 0, b"1234") + frame(99), 4),
    ],
    ids=["call", "continued", "empty", "padded", "ping", "others"],
)
def test_frames_that_carry_nothing_of_a_message_are_counted(size: int, sent: bytes, idle: int) -> None:
    frames, data = Frames(100, preface=5), b"PRI* " + SETTINGS + sent
    found = sum(frames.feed(data[at : at + size]) for at in range(0, len(data), size))
    assert found == idle + 1


@pytest.mark.parametrize("cut", [3, 9])
def test_a_frame_that_is_too_long_is_told_by_its_first_bytes(cut: int) -> None:
    frames = Frames(100)
    frames.feed(SETTINGS + frame(0, 0, b"x" * 100))
    with pytest.raises(FrameError):
        frames.feed(frame(0, 0, b"x" * 101)[:cut])


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"<html>", frame(0, 0, b"x"), b"\x16\x03\x03\0\x02\x02\x28"]
)
def test_what_does_not_begin_with_settings_is_no_http2(said: bytes) -> None:
    with pytest.raises(FrameError):
        Frames(1 << 14).feed(said)
