import stat
import threading

import pytest

from tokenman_core.clock import ManualClock
from tokenman_core.config.models import Redaction as Settings
from tokenman_core.lines import LOOK_S, TooMany
from tokenman_core.redaction import Memo, Redactor
from tokenman_core.redaction.allowed import Allowed, lines_of
from tokenman_core.redaction.entities import Finding
from tokenman_core.slots import Slot

KEY = b"k" * 32
DAY = "2026-11-24"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def allowed(tmp_path, clock):
    return Allowed(tmp_path, KEY, clock)


def test_only_a_keyed_hash_and_the_day_are_kept_in_a_private_file(allowed, tmp_path):
    assert allowed.add("ada@example.org", DAY)
    content = allowed.path.read_text()
    assert "ada" not in content
    assert all(len(line.split()[0]) == 64 and line.split()[1] == DAY for line in content.splitlines())
    assert stat.S_IMODE(allowed.path.stat().st_mode) == 0o600
    assert Allowed(tmp_path, b"other" * 7).now().digests == allowed.now().digests
    assert (
        not Allowed(tmp_path, b"other" * 7).now().permits("ada@example.org")
    )  # the hash is of no use without the secret


def test_a_value_is_known_in_every_way_in_which_known_values_are_looked_for(allowed):
    allowed.add('pa"ss/wörd', DAY)
    now = allowed.now()
    for written in (
        'pa"ss/wörd',
        r"pa\"ss/wörd",
        r"pa\"ss/w\u00f6rd",
        "pa%22ss%2Fw%C3%B6rd",
        ' pa"ss/wörd ',
        'pa"ss/wörd.',
    ):
        assert now.permits(written), written
    assert not now.permits('pa"ss/word')
    assert not now.permits('PA"ss/wörd')


def test_a_change_is_seen_within_half_a_second_and_not_looked_for_more_often(allowed, clock, tmp_path):
    other = Allowed(tmp_path, KEY, clock)
    empty = allowed.now()
    other.add("ada@example.org", DAY)
    assert allowed.now() is empty
    clock.advance(LOOK_S)
    assert allowed.now().permits("ada@example.org")
    assert allowed.now().version != empty.version
    other.remove("ada@example.org")
    clock.advance(LOOK_S)
    assert not allowed.now().permits("ada@example.org")
    assert allowed.now().version == empty.version


def test_adding_twice_and_removing_what_is_not_there_are_told(allowed):
    assert allowed.add("ada@example.org", DAY)
    assert not allowed.add("ada@example.org", "2026-11-25")
    assert not allowed.remove("bob@example.org")
    assert allowed.remove("ada@example.org")
    assert not allowed.remove("ada@example.org")
    assert allowed.path.read_bytes() == b""


def test_a_file_that_cannot_be_read_or_is_damaged_allows_nothing(allowed, clock, caplog):
    allowed.add("ada@example.org", DAY)
    assert allowed.now().permits("ada@example.org")
    allowed.path.unlink()
    allowed.path.mkdir()
    clock.advance(LOOK_S)
    assert not allowed.now().permits("ada@example.org")
    assert "nothing is taken out of redaction" in caplog.text
    allowed.path.rmdir()
    allowed.path.write_bytes(b"\xff\x00 nonsense\n" + b"0" * 63 + b"\n\n")
    clock.advance(LOOK_S)
    assert allowed.now().digests == frozenset()
    allowed.path.write_bytes(b"0" * 10_000_000)
    clock.advance(LOOK_S)
    assert allowed.now().digests == frozenset()


def test_there_is_a_bound(allowed):
    allowed.path.write_bytes(b"".join(b"%064x 2026-11-24\n" % number for number in range(5_000)))
    with pytest.raises(TooMany):
        allowed.add("ada@example.org", DAY)


def test_several_at_once_lose_nothing(tmp_path):
    values = [f"user{number}@example.org" for number in range(12)]
    threads = [threading.Thread(target=lambda each=each: Allowed(tmp_path, KEY).add(each, DAY)) for each in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = Allowed(tmp_path, KEY).now()
    assert all(now.permits(each) for each in values)


class Finder:
    """Finds `ada@example.org` wherever it stands."""

    def __init__(self) -> None:
        self.asked = 0

    async def find(self, texts):
        self.asked += 1
        return [
            (Finding(at, at + 15, "EMAIL_ADDRESS"),) if (at := text.find("ada@example.org")) >= 0 else ()
            for text, _ in texts
        ]


async def test_what_is_remembered_of_a_text_does_not_outlive_the_set(allowed, clock):
    redactor = Redactor(Settings(), b"p", Finder(), Memo(), allowed)

    async def masked(*texts: str) -> list[str]:
        slots = [Slot((), "user", text) for text in texts]
        await redactor.mask(slots, redactor.mapping())
        return [slot.text for slot in slots]

    texts = ("to ada@example.org", "again ada@example.org", "and ada%40example.org")
    before = await masked(*texts)
    assert not any("example.org" in text for text in before)
    allowed.add("ada@example.org", DAY)
    clock.advance(LOOK_S)
    assert await masked(*texts) == list(texts)
    allowed.remove("ada@example.org")
    clock.advance(LOOK_S)
    assert await masked(*texts) == before


async def test_an_allowed_value_is_not_looked_for_in_later_texts(allowed, clock):
    allowed.add("ada@example.org", DAY)
    redactor = Redactor(Settings(), b"p", Finder(), Memo(), allowed)
    slots = [Slot((), "user", "ada@example.org, bob"), Slot((), "user", "x ada@example.org")]
    found = await redactor.mask(slots, redactor.mapping())
    assert [slot.text for slot in slots] == ["ada@example.org, bob", "x ada@example.org"]
    assert not found.masked


class Contextual:
    """Finds a password only where the text says that it is one."""

    async def find(self, texts):
        return [
            (Finding(at + 12, at + 21, "PASSWORD"),) if (at := text.find("password is ")) >= 0 else ()
            for text, _ in texts
        ]


async def test_what_was_let_through_in_a_text_is_masked_everywhere_in_it_afterwards(allowed, clock):
    redactor = Redactor(Settings(), b"p", Contextual(), Memo(), allowed)
    allowed.add("hunter2!x", DAY)
    text = "the password is hunter2!x and again hunter2!x"
    for masked in (False, True):
        slot = Slot((), "user", text)
        await redactor.mask([slot], redactor.mapping())
        assert ("hunter2" not in slot.text) is masked
        allowed.remove("hunter2!x")
        clock.advance(LOOK_S)


def test_a_value_may_pass_as_one_kind_alone(allowed, clock):
    assert allowed.add("4155552671", DAY, "PHONE_NUMBER")
    assert not allowed.add("4155552671", DAY, "PHONE_NUMBER")
    now = allowed.now()
    assert now.permits("4155552671", "PHONE_NUMBER")
    assert not now.permits("4155552671", "US_BANK_NUMBER")
    assert not now.permits("4155552671")
    assert "4155552671" not in allowed.path.read_text()
    assert allowed.add("ada@example.org", DAY)
    assert [(day, entity) for day, entity, _ in lines_of(allowed.path)] == [(DAY, ""), (DAY, "PHONE_NUMBER")]
    assert not allowed.remove("4155552671")
    assert allowed.remove("4155552671", "PHONE_NUMBER")
    clock.advance(LOOK_S)
    assert not allowed.now().permits("4155552671", "PHONE_NUMBER")
    assert allowed.now().permits("ada@example.org", "EMAIL_ADDRESS")
