"""What base64 and hexadecimal hold is read wherever they begin, and told by the characters that hold a bit of it."""

import base64
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenman_core.redaction.detectors.coded import decoded, readable
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate, trips

MAIL = "jane.doe@example.com"
SAID = f"please write to {MAIL} today, é und so fort; "
DETECTOR = Detector(Re2Gate())
WAYS = {
    "whole": lambda data: base64.b64encode(data).decode(),
    "for URLs": lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
    "in lines": lambda data: base64.encodebytes(data * 4).decode(),
    "in quoted lines": lambda data: base64.encodebytes(data * 4).decode().replace("\n", "\n> "),
    "in lines of a JSON string": lambda data: base64.encodebytes(data * 4).decode().replace("\n", "\\n"),
}


@pytest.mark.parametrize("before", ["", "see ", '{"data": "', "data:text/plain;base64,", "x="])
@pytest.mark.parametrize("way", WAYS)
def test_a_value_that_nobody_told_of_is_found_in_base64(way: str, before: str) -> None:
    text = before + WAYS[way](SAID.encode()) + " end"
    assert trips(Re2Gate(), text)
    found = [each for each in DETECTOR.find(text) if each.entity == "EMAIL_ADDRESS"]
    assert len(found) == (4 if "lines" in way else 1)
    first = found[0]
    run = text[len(before) :]
    assert first.start - len(before) == SAID.encode().index(b"jane") * 8 // 6
    hidden = run[: first.start - len(before)]
    assert "amFuZ" not in hidden


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(random.Random(5).randbytes(4000)).decode(),
        "some_function_name_that_is_long/and/a/path/of/words",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "sha512-" + base64.b64encode(random.Random(6).randbytes(64)).decode(),
        base64.b64encode(b"nothing of anyone is said in here, nothing at all").decode(),
    ],
)
def test_what_holds_no_text_or_no_value_is_left_alone(text: str) -> None:
    assert not DETECTOR.find(text)


@given(
    st.binary(min_size=12, max_size=80),
    st.integers(0, 11),
    st.integers(1, 80),
    st.sampled_from(["aB3d", "aB3dk", "aB3d_k", "aB3d/kl"]),
)
def test_a_span_of_what_is_decoded_is_the_characters_that_hold_a_bit_of_it(
    data: bytes, start: int, length: int, before: str
) -> None:
    end = min(start + length, len(data))  # what stands before it is no word, and shifts it
    run = before + base64.b64encode(data).decode().rstrip("=")
    text = f"see {run} end"
    places = set()
    for coded in decoded(text):
        assert coded is not None
        at = -1
        while (at := coded.text.find(data.decode("latin-1"), at + 1)) >= 0:
            places.add(coded.original(at + start, at + end))
    low = 4 + len(before)
    assert (low + start * 8 // 6, low + -(-end * 8 // 6)) in places


def test_no_span_runs_from_one_run_into_the_next() -> None:
    (coded,) = decoded("YWJjZGVmZ2hpamtsMQ== bW5vcHFyc3R1dnd4MQ==")
    assert coded is not None
    assert coded.original(0, len(coded.text)) is None


@pytest.mark.parametrize(
    "piece", ["aB3d", "QUJD\n", "YWJjZGVm" * 9 + "\n", "0f", "a b ", "\\n", "A" * 15 + "\n", "x/\\"]
)
def test_the_time_that_reading_takes_grows_with_the_text_and_no_faster(piece: str) -> None:
    def took(size: int) -> float:
        text = piece * (size // len(piece))
        start = time.process_time()
        list(decoded(text))
        list(readable(text))
        return time.process_time() - start

    small, large = min(took(20_000) for _ in range(3)), min(took(160_000) for _ in range(3))
    assert large < 8 * small * 4 + 0.02


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("way", ["whole", "for URLs", "hexadecimal"])
def test_a_value_is_found_in_a_coded_text_of_two_bytes_a_character(codec: str, way: str) -> None:
    """As PowerShell takes its commands, and as Windows writes what it keeps."""
    data = SAID.replace("é", "ж").encode(codec)
    coded = data.hex() if way == "hexadecimal" else WAYS[way](data)
    text = f"powershell -EncodedCommand {coded} end"
    assert trips(Re2Gate(), text)
    (found,) = [each for each in DETECTOR.find(text) if each.entity == "EMAIL_ADDRESS"]
    bits = 4 if way == "hexadecimal" else 6
    inner = "utf-16-le" if codec == "utf-16" else codec
    begin, end = (data.index(part.encode(inner)) * 8 for part in ("jane", " today"))
    low = text.index(coded)
    assert (found.start, found.end) == (low + begin // bits, low - (-end // bits))
