"""docs/resilience.md says what the code does: its tables are held to the policy, its settings to the loader."""

import re
from pathlib import Path

import pytest

from tokenman_core.clock import ManualClock
from tokenman_core.config.load import Loaded, load
from tokenman_core.config.models import Settings
from tokenman_core.failover.policy import SAFE, Again, Course, Last, Next, Policy, Rules
from tokenman_core.verdicts import Failure
from tokenman_core.waiting import COMMENT, EVERY_S

TEXT = (Path(__file__).parent.parent / "docs" / "resilience.md").read_text()
README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT + README, re.DOTALL)
STATUSES = (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 501, 502, 503, 504, 529)


def table(first: str) -> list[list[str]]:
    """The rows of the table whose first row begins like this."""
    _, _, rest = TEXT.partition(f"\n{first}")
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


DECISIONS = [row[1:] for row in table("| | what failed")]
KINDS = {row[0].strip("`") for row in table("| failure")}


def fits(cell: str, failure: str) -> bool:
    if cell == "anything":
        return True
    words = [word.strip().strip("`") for word in cell.split(",")]
    if failure.isdigit():
        other = "other 4xx" in words and failure.startswith("4") and int(failure) not in Rules().statuses
        return failure in words or other or (failure[0] == "5" and "5xx" in words)
    return failure in words


def said(failure: str, **conditions: bool) -> str:
    """What the table says of it."""
    for what, harmless, another, left, then in DECISIONS:
        given = {"repeatable": harmless, "more": another, "left": left}
        if fits(what, failure) and all(not cell or (cell == "yes") == conditions[name] for name, cell in given.items()):
            return then
    raise AssertionError("no row fits")


def test_the_table_of_decisions_has_its_six_rows_and_every_kind_of_failure_is_explained() -> None:
    assert len(DECISIONS) == 6
    assert set(SAFE) | {"a number"} == KINDS


@pytest.mark.parametrize("failure", [*SAFE, *map(str, STATUSES)])
@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("more", [True, False])
@pytest.mark.parametrize("left", [True, False])
def test_the_table_of_decisions_is_what_the_policy_does(failure: str, repeatable: bool, more: bool, left: bool) -> None:
    policy = Policy(Rules(), ManualClock(), lambda: 0.5)
    failed = Failure("status", "", int(failure)) if failure.isdigit() else Failure(failure, "")
    course = Course(tries=1 if left else Rules().attempts)
    decision = policy.decide(failed, "p", course, more=more, repeatable=repeatable, once=False)
    names = {Again: "again", Next: "next", Last: "last"}
    assert names[type(decision)] == said(failure, repeatable=repeatable, more=more, left=left)


def loaded(block: str, folder: Path) -> Loaded:
    path = folder / "tokenman.yaml"
    path.write_text(block)
    environment = {"HOME": str(folder), "BACKUP_KEY": "k", "EAST_KEY": "k", "WEST_KEY": "k"}
    return load(path, environment)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_example_is_a_good_configuration(block: str, tmp_path: Path) -> None:
    loaded(block, tmp_path)


def test_the_settings_are_shown_with_their_defaults(tmp_path: Path) -> None:
    (block,) = [block for block in BLOCKS if "statuses" in block]
    found, usual = loaded(block, tmp_path).settings, Settings()
    for name in ("retry", "breaker", "limits"):
        assert getattr(found, name) == getattr(usual, name)
    assert found.providers["anthropic"].timeouts == usual.providers["anthropic"].timeouts


def test_the_deadlines_are_shown_with_their_defaults(tmp_path: Path) -> None:
    usual, rows = Settings(), table("| | setting")
    assert len(rows) == 8
    for _, name, default, _ in rows:
        section, _, setting = name.strip("`").partition(".")
        value = getattr(usual.limits if section == "limits" else usual.providers["openai"].timeouts, setting)
        assert default == (f"{value:g}s" if value else "0")


def test_the_wait_and_its_comment_are_the_ones_that_are_sent() -> None:
    assert f"`{COMMENT.decode().strip()}`" in TEXT
    assert f"after {EVERY_S:g} seconds" in TEXT
