"""Values that run over the end of a line are found whole; what only stands side by side is not."""

import time

import pytest

from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate, trips
from tokenman_core.redaction.detectors.seams import broken_lines, wrapped

DETECTOR = Detector(Re2Gate())
KEY = "sk-ant-api03-" + "aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW0xY" * 3
JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ"
    ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
)
PEM = (
    "-----BEGIN PRIVATE KEY-----\n" + ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" * 2 + "\n") * 3 + "-----END PRIVATE KEY-----"
)


def cut(value: str, length: int, seam: str) -> str:
    return seam.join(value[at : at + length] for at in range(0, len(value), length))


SEAMS = [
    "\n",
    "\r\n",
    "\n    ",
    "\n> ",
    "\n# ",
    "\n// ",
    "\n+",
    "\n * ",
    "\n>> ",
    "\\n",
    "\\r\\n",
    "\\\n  ",
    "  \n",
    "\n\t-- ",
    "\\\\n",
]
VALUES = [
    ("EMAIL_ADDRESS", "jane.doe@exam", "ple.com"),
    ("EMAIL_ADDRESS", "jane.doe@", "example.com"),
    ("EMAIL_ADDRESS", "jane.doe@example.", "com"),
    ("EMAIL_ADDRESS", "jane_", "doe@example.com"),
    ("CREDIT_CARD", "4111 1111", "1111 1111"),
    ("CREDIT_CARD", "4111 1111 1111", "1111"),
    ("CREDIT_CARD", "411111111", "1111111"),
    ("IBAN_CODE", "DE89 3704 0044", "0532 0130 00"),
    ("IBAN_CODE", "GB29 NWBK", "6016 1331 9268 19"),
    ("API_KEY", KEY[:40], KEY[40:]),
    ("API_KEY", "ghp_aB3dE5fG7hI9kL1m", "N3pQ5rS7tU9vW1xY3zA5"),
    ("JWT", JWT[:76], JWT[76:]),
    ("US_SSN", "219-09-", "9999"),
    ("PHONE_NUMBER", "+1 415 555", "2671"),
    ("PHONE_NUMBER", "+1-415-", "555-2671"),
]


@pytest.mark.parametrize("seam", SEAMS)
@pytest.mark.parametrize(("entity", "first", "second"), VALUES)
def test_a_value_that_is_wrapped_is_found_from_its_first_character_to_its_last(
    entity: str, first: str, second: str, seam: str
) -> None:
    text = f"{seam.lstrip()}see {first}{seam}{second}, and so on"
    start, end = text.index(first), text.index(first) + len(first + seam + second)
    inside = [each for each in DETECTOR.find(text) if each.start < end and each.end > start]
    assert trips(Re2Gate(), text)
    assert (start, end, entity) in [each[:3] for each in inside], inside


@pytest.mark.parametrize("length", [64, 76])
@pytest.mark.parametrize("seam", ["\n", "\n> ", "\n    ", "\\n", "\n# "])
@pytest.mark.parametrize("value", [KEY, JWT, KEY[:13] + KEY[13:] * 4])
def test_a_key_that_is_wrapped_over_many_lines_is_found_whole(value: str, length: int, seam: str) -> None:
    text = seam.lstrip("\\n") + cut(value, length, seam) + "\n\nfoot"
    start = text.index(value[:12])
    found = [(each.start, each.end) for each in DETECTOR.find(text)]
    assert (start, text.index("\n\nfoot")) in found


@pytest.mark.parametrize("mark", ["", "> ", "# ", "// ", "+", "   "])
def test_a_private_key_is_found_whole_behind_any_mark(mark: str) -> None:
    text = "\n".join(mark + line for line in PEM.split("\n")) + "\nfoot"
    found = max(DETECTOR.find(text), key=lambda each: each.end - each.start)
    assert found.entity == "PRIVATE_KEY"
    assert text[found.start : found.end] == text[len(mark) : -5]


@pytest.mark.parametrize(
    "text",
    [
        "lr 3.0000e-04 tokens 8718715542\n2026-01-13T19:58:39.273Z auth: token expired, secret rotated\n"
        "2026-04-10T20:37:49.944Z",
        "the new password is rotated\n16:37:25 ERROR worker",
        "contact\njane@example.com",
        "jane@example.com\nThanks",
        "return self.name\n@app.route",
        "x = pass\n    @property.setter",
        "12345678\n23456785\n34567890\n45678901",
        "4111\n1111\n1111\n1111",
        "45391488\n03436467",
        "12\n34\n56",
        "+1 415 555 2671\n55",
        "total 219-09\n9999",
        "203.0.113.7\n203.0.113.8",
        KEY + "\nexport FOO",
        KEY + "\nFOO_BAR=1",
        "sk_live_aB3dE5fG7hJ9kL2mN4pQ\nAKIAIOSFODNN7EXAMPL2",
        "a1b2c3d4e5f6a7b8\n\n4111",
        "bob@corp.example\nalice@corp.example",
    ],
)
def test_lines_that_only_stand_one_below_the_other_are_not_joined(text: str) -> None:
    alone = DETECTOR.find(text)
    assert not [each for each in alone if "\n" in text[each.start : each.end]]


@pytest.mark.parametrize(
    "line",
    [
        "a1" * 8 + "\n",
        "x@y\n",
        "1\n",
        "@\n",
        "\\n",
        "aB3dE5fG7hJ9kL2m\\n",
        "+\n> ",
        "ab12cd34ef56@\n#",
        "\n",
        "1111 1111\n",
    ],
)
def test_the_time_that_many_lines_take_grows_with_the_text_and_no_faster(line: str) -> None:
    def took(count: int) -> float:
        text = line * count
        start = time.process_time()
        list(wrapped(text, (), lambda piece: ()))
        return time.process_time() - start

    took(1000)
    small, large = min(took(1_000) for _ in range(3)), min(took(8_000) for _ in range(3))
    assert large < 8 * small * 4 + 0.02


def test_what_is_joined_leads_back_to_the_text() -> None:
    text = "write to jane.doe@exam\n  > ple.com\n  > .br"
    (joined,) = broken_lines(text)
    assert joined.text == "write to jane.doe@example.com.br"
    assert [text[start:end] for _, start, end in joined.cut(9, 32)] == ["jane.doe@exam", "ple.com", ".br"]
