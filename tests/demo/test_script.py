"""What a request can ask of the fake provider."""

import pytest

from addons.demo.provider.script import FOREIGN, THOUGHT, Failure, Fault, Script, ToolCall, read
from addons.demo.provider.wire import Cut, Reset, Stall

PLACEHOLDER = "[EMAIL_ADDRESS_0123456789ab]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", Script(text="You said: hello")),
        ("[[say hi]]", Script(text="hi")),
        (f"[[say mail {PLACEHOLDER}]]", Script(text=f"mail {PLACEHOLDER}")),
        (f"x {PLACEHOLDER} [[say <$VALUE>]]", Script(text=f"<{PLACEHOLDER}>")),
        ("[[say <$VALUE>]]", Script(text="<>")),
        (f"{PLACEHOLDER} {PLACEHOLDER}, x [[say <$VALUES>]]", Script(text=f"<{PLACEHOLDER} {PLACEHOLDER}>")),
        ('[[tool functions.exec "text($VALUE1)"]]', Script(tools=(ToolCall("functions.exec", "text(1)"),))),
        ("a\nb [[say <$LAST>]]", Script(text="<a\nb>")),
        ('[[tool Write {"a": ["$LAST"]}]] say "it"', Script(tools=(ToolCall("Write", {"a": ['say "it"']}),))),
        ("[[say $FOREIGN]]", Script(text=FOREIGN)),
        ("[[tool A]][[tool B {}]]", Script(tools=(ToolCall("A", {}), ToolCall("B", {})))),
        ("[[tool A {]]", Script(text="The directive tool cannot be read: Expecting property name enclosed in double "
                                     "quotes: line 1 column 2 (char 1)")),
        ("[[thinking]][[say x]]", Script(text="x", thinking=THOUGHT)),
        ("[[thinking hm]][[say x]]", Script(text="x", thinking="hm")),
        ("[[big 7]]", Script(text="all wor")),
        ("x [[status 429 retry-after=7 times=2]]",
         Script(text="You said: x", failure=Failure(429, (("retry-after", "7"),), 2))),
        ("x [[slow 50ms]]", Script(text="You said: x", pause=0.05)),
        ("x [[slow 2s]]", Script(text="You said: x", pause=2)),
        ("x [[stall]]", Script(text="You said: x", fault=Fault(Stall()))),
        ("x [[reset first]]", Script(text="You said: x", fault=Fault(Reset(), first=True))),
        ("x [[cut]]", Script(text="You said: x", fault=Fault(Cut()))),
        ("x [[truncate]]", Script(text="You said: x", fault=Fault("truncate"))),
        ("x [[gzip]][[pieces 3]]", Script(text="You said: x", coding="gzip", piece=3)),
        ("x [[header a b c]]", Script(text="You said: x", headers=(("a", "b c"),))),
        ("x [[redirect http://h/]]", Script(text="You said: x", redirect="http://h/")),
        ("bash: [[ -f x ]] && [[nonsense]]", Script(text="You said: bash: [[ -f x ]] &&")),
    ],
)  # fmt: skip
def test_a_directive_in_the_text_says_what_is_answered(text: str, expected: Script) -> None:
    assert read("fake", text) == expected


def test_the_models_name_carries_directives_too() -> None:
    assert read("fake+slow:50ms+status:500", "x") == Script(text="You said: x", pause=0.05, failure=Failure(500))


def test_the_result_of_a_tool_is_said_where_the_user_says_nothing() -> None:
    assert read("fake", "", "42").text == "The tool said: 42"
    assert read("fake", "and?", "42").text == "You said: and?"


def test_images_are_counted() -> None:
    assert read("fake", "look", images=2).text == "You said: look (and 2 images)"
