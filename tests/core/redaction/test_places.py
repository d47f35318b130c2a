"""Where a value stood is told in words of the wire format, never in the program's own."""

import pytest

from tokenman_core.redaction.places import place_of
from tokenman_core.slots import BASE64, INNER, NUMBER, Key, Path

INNER_RESPONSE: Path = ("contents", 0, "parts", 1, "functionResponse", "response")
RESPONSE = "contents[0].parts[1].functionResponse.response"
CALL: Path = ("messages", 1, "tool_calls", 0, "function")
ARGUMENTS = "messages[1].tool_calls[0].function.arguments"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("messages", 3, "content", 0, "text"), "messages[3].content[0].text"),
        (("system",), "system"),
        (("input", 2, "output"), "input[2].output"),
        (
            (*INNER_RESPONSE, "ada@example.org"),
            f"{RESPONSE}.*",
        ),
        (("messages", 1, "content", 0, "input", "ada@example.org"), "messages[1].content[0].input.*"),
        (("messages", 1, "content", 0, "input", "text"), "messages[1].content[0].input.*"),
        (("messages", 1, "content", 0, "input", Key("ada@example.org")), "messages[1].content[0].input(key)"),
        (
            (*CALL, "arguments", INNER, "text", 2),
            f"{ARGUMENTS}.*[2]",
        ),
        (("messages", 0, "content", 0, "source", "data", BASE64), "messages[0].content[0].source.data(base64)"),
        (("messages", 0, "content", NUMBER), "messages[0].content"),
        (("path", 12), "path[12]"),
        (("secret-name", 3), "*[3]"),
        ((2, "body", "messages", 0, "content"), "[2].body.messages[0].content"),
        ((), ""),
    ],
)
def test_a_place(path: Path, place: str) -> None:
    assert place_of(path) == place


def test_a_place_has_its_bound() -> None:
    assert len(place_of(("messages", *range(500)))) == 120
