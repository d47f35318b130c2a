"""Values that run over the end of a line are found whole; what only stands side by side is not."""

import re
import time
from pathlib import Path

import pytest

from tests.corpora.code import sources
from tests.corpora.measure import finder
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
    "\n| ",
    "\r\n> ",
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
    ("EMAIL_ADDRESS", "jane.d", "oe@example.com"),
    ("EMAIL_ADDRESS", "jane.doe", "@example.com"),
    ("EMAIL_ADDRESS", "jdoe4", "2@example.com"),
    ("EMAIL_ADDRESS", "jane+ne", "ws@example.com"),
    ("EMAIL_ADDRESS", "jane.doe@example.c", "om"),
    ("CREDIT_CARD", "4111 1111", "1111 1111"),
    ("CREDIT_CARD", "4111 1111 1111", "1111"),
    ("CREDIT_CARD", "411111111", "1111111"),
    ("CREDIT_CARD", "45391488", "03436467"),
    ("CREDIT_CARD", "4", "539 1488 0343 6467"),
    ("CREDIT_CARD", "4539 14", "88 0343 6467"),
    ("IBAN_CODE", "DE89 3704 0044", "0532 0130 00"),
    ("IBAN_CODE", "GB29 NWBK", "6016 1331 9268 19"),
    ("IBAN_CODE", "DE", "89 3704 0044 0532 0130 00"),
    ("IBAN_CODE", "D", "E89370400440532013000"),
    ("IBAN_CODE", "DE893704004", "40532013000"),
    ("API_KEY", KEY[:40], KEY[40:]),
    ("API_KEY", KEY[:9], KEY[9:]),
    ("API_KEY", "ghp_a", "B3dE5fG7hI9kL1mN3pQ5rS7tU9vW1xY3zA5"),
    ("API_KEY", "AKIAIOSFO", "DNN7EXAMPL2"),
    ("API_KEY", "ghp_aB3dE5fG7hI9kL1m", "N3pQ5rS7tU9vW1xY3zA5"),
    ("JWT", JWT[:76], JWT[76:]),
    ("US_SSN", "219-09-", "9999"),
    ("PHONE_NUMBER", "+1 415 555", "2671"),
    ("US_SSN", "219-09", "-9999"),
    ("PHONE_NUMBER", "+1-415-", "555-2671"),
    ("PHONE_NUMBER", "+1 650-2", "53-0000"),
    ("PHONE_NUMBER", "+1 650-253", "-0000"),
    ("IP_ADDRESS", "10.20.", "30.40"),
    ("IP_ADDRESS", "10.20", ".30.40"),
    ("IP_ADDRESS", "10.", "20.30.40"),
    ("IP_ADDRESS", "203.0.113.", "57"),
    ("IP_ADDRESS", "ip: 203.0.1", "13.57"),
    ("IP_ADDRESS", "2001:db8:", "85a3::8a2e:370:7334"),
    ("IP_ADDRESS", "2001:db8:85", "a3::8a2e:370:7334"),
    ("MAC_ADDRESS", "3c:22:fb:", "9a:71:0e"),
    ("MAC_ADDRESS", "3c:22:f", "b:9a:71:0e"),
    ("MAC_ADDRESS", "3c-22-fb", "-9a-71-0e"),
    ("CRYPTO", "bc1qar0srrr7x", "fkvy5l643lydnw9re59gtzzwf5mdq"),
]


@pytest.mark.parametrize("seam", SEAMS)
@pytest.mark.parametrize(("entity", "first", "second"), VALUES)
def test_a_value_that_is_wrapped_is_found_from_its_first_character_to_its_last(
    entity: str, first: str, second: str, seam: str
) -> None:
    text = f"{seam.lstrip()}see {first}{seam}{second}, and so on"
    first = first.removeprefix("ip: ")
    start, end = text.index(first), text.index(first) + len(first + seam + second)
    inside = [each for each in DETECTOR.find(text) if each.start < end and each.end > start]
    assert trips(Re2Gate(), text)
    assert (start, end, entity) in [each[:3] for each in inside], inside


@pytest.mark.parametrize("value", ["203.0.113.57", "85.214.132.117", "219-09-9999"])
def test_a_line_that_is_full_may_break_a_number_anywhere(value: str) -> None:
    for cut in range(2, len(value) - 2):
        first, second = value[:cut], value[cut:]
        text = f"and that is the number to which everything of theirs goes, {first}\n{second}, all day"
        start = text.index(first, 40)
        halves = [each for part in (first, second) for each in DETECTOR.find(part)]
        whole = (start, start + len(value) + 1) in [each[:2] for each in DETECTOR.find(text)]
        assert whole or halves, text  # a half that is an address itself is masked as that


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
        "write to Jane.\ndoe@example.com",
        "write to jane\ndoe@example.com",
        "www.example.com\ninfo@example.com",
        "see README.md\njane@example.com",
        "version 1.2\njane@example.com",
        "2.\njane@example.com",
        "self.name\n@app.get",
        "jane.doe\n@pytest.fixture",
        "3.10\n3.10.1\n3.10.2\n3.20",
        "10.2\n10.2.1\n10.2.2",
        "costs 12.50\n14.20.3",
        "$12.50.\n14.25",
        "v10.20.\n30.40",
        "200 2\n10.0.0.1",
        "10.20.30.40\n50",
        "10.20.30.40\n10.20.30.41",
        "at 10:20:\n30:40",
        "else:\n    abad = 1",
        "fe80::1\n12:30",
        "45391488\n03436467\n45391488",
        "| 45391488\n| 03436467",
        "The password will be named\nSHASUMS256.txt.asc",
        "calls=3 20\n16 400\n\nfn=func1",
        "total 219-0\n9-9999",
        "call 5\n650-2530000",
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


PAGE = (Path(__file__).parents[3] / "docs" / "redaction.md").read_text()
ROWS = re.findall(r"^\| `([^`]*⏎[^`]*)` \| (?:`([^`]*)` )?\|$", PAGE, re.MULTILINE)


def test_the_page_on_redaction_has_its_table_of_values_in_pieces() -> None:
    assert len(ROWS) == 14


@pytest.mark.parametrize(("written", "masked"), ROWS, ids=[row[0] for row in ROWS])
def test_each_row_of_that_table_is_so(written: str, masked: str) -> None:
    text = written.replace("⏎", "\n")
    found = finder(DETECTOR)(text)
    assert [text[start:end] for start, end, _ in found] == ([masked.replace("⏎", "\n")] if masked else [])


def hard_wrapped(text: str, width: int) -> str:
    """A text as a terminal of that width shows it, and as it is copied from there."""
    return "\n".join(line[at : at + width] for line in text.split("\n") for at in range(0, max(1, len(line)), width))


@pytest.mark.parametrize("width", [40, 80])
def test_code_that_is_cut_at_a_width_raises_no_more_alarms_than_other_code(width: int) -> None:
    find = finder(DETECTOR)
    size = alarms = 0
    for texts in sources().values():
        for text in texts:
            cut = hard_wrapped(text[:1_500], width)
            size += len(cut)
            alarms += sum("\n" in cut[start:end] for start, end, entity in find(cut) if entity != "EMAIL_ADDRESS")
    assert size > 500_000
    assert alarms / size * 102_400 <= 0.5


PADDED = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="


@pytest.mark.parametrize("end", ["\n", "\r\n", "\\n"])
@pytest.mark.parametrize(
    ("before", "value", "behind"),
    [
        ("PrivateKey = ", PADDED, "Address = 10.0.0.2/24"),
        ("A_KEY=", PADDED, "NEXT_VAR=foo"),
        ("ACCOUNT_KEY=", PADDED[:-1] * 2 + "==", "NEXT_VAR=foo"),
        ("access_token: ", PADDED, "other: thing"),
        ("TOKEN=", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "NEXT_VAR=foo"),
        ("run --password=", "hunter2abc", "--count-of-things=4"),
    ],
)
def test_a_value_that_is_whole_takes_nothing_of_the_next_line(before: str, value: str, behind: str, end: str) -> None:
    text = before + value + end + behind
    found = {text[each.start : each.end] for each in DETECTOR.find(text) if each.entity != "IP_ADDRESS"}
    assert found == {value}


def test_a_line_that_goes_on_behind_an_equals_sign_is_one() -> None:
    """Quoted-printable, as mails have it: of a key, which could end so, in a line that is full."""
    assert "jane.doe@exam=\nple.com" in shown("mail jane.doe@exam=\nple.com")
    before = "x" * (75 - 40) + " "
    assert any(KEY in each.replace("=\n", "") for each in shown(f"{before}{KEY[:39]}=\n{KEY[39:]}"))


def shown(text: str) -> list[str]:
    return [text[each.start : each.end] for each in DETECTOR.find(text)]
