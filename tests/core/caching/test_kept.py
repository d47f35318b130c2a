"""The kept answers of a running proxy, switched on, off and on again."""

import subprocess
import sys
from contextlib import contextmanager
from decimal import Decimal

import pytest

from tokenman_core.caching import behind, kept
from tokenman_core.caching.answers import FILE, NotForgotten
from tokenman_core.caching.cipher import Cipher
from tokenman_core.caching.entry import Entry
from tokenman_core.caching.kept import Kept
from tokenman_core.clock import ManualClock
from tokenman_core.config.models import Settings
from tokenman_core.errors import ConfigError
from tokenman_core.usage import Usage

KEY = b"k" * 32
HAS_IT_OPEN = """
import sqlite3, sys
it = sqlite3.connect(sys.argv[1])
it.execute("select count(*) from answers").fetchall()
print("open", flush=True)
sys.stdin.read()
it.close()
"""


@contextmanager
def opened(path):
    """Another process has it open, and does nothing with it just now."""
    reader = subprocess.Popen(
        [sys.executable, "-c", HAS_IT_OPEN, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with reader:
        assert reader.stdout.readline() == b"open\n"
        yield reader


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def settings(tmp_path):
    def make(mode="all", routes=(), encrypt="off"):
        return Settings(data_dir=str(tmp_path), cache={"mode": mode, "encrypt": encrypt}, routes=list(routes))

    return make


@pytest.fixture
async def of(clock):
    """`of(settings)`: what is kept by a process that was started with them."""
    made = []

    async def start(settings):
        it = Kept(settings, b"r" * 32, clock)
        made.append(it)
        await it.obey(settings)
        return it

    yield start
    for each in made:
        await each.aclose()


def entry(clock, model="claude-sonnet-4-5", project=""):
    return Entry(
        200, ((b"content-type", b"application/json"),), False, b"{}", (), 0.5, "anthropic", model, project, clock.now(),
        Usage(10, 5), Decimal("0.01"),
    )  # fmt: skip


async def test_what_is_kept_is_forgotten_while_calls_may_be_cached(of, settings, clock, tmp_path):
    it = await of(settings())
    it.answers.keep(KEY, entry(clock))
    await it.answers.written()
    assert it.answers.figures().entries == 1
    assert await it.forget(project="web") == 0
    assert await it.forget() == 1
    assert it.answers.hot(KEY) is None
    assert await it.forget() == 0


async def test_a_file_of_before_is_removed_where_no_call_may_be_cached(of, settings, clock, tmp_path):
    before = await of(settings())
    before.answers.keep(KEY, entry(clock))
    await before.aclose()
    (tmp_path / f"{FILE}-wal").write_bytes(b"of a process that was killed")
    assert (tmp_path / FILE).exists()
    after = await of(settings("off"))
    assert not list(tmp_path.glob(f"{FILE}*"))
    assert (await after.forget(), await after.forget("m", "p")) == (0, 0)


async def test_a_file_of_before_that_stays_is_told_to_whoever_wants_it_forgotten(
    of, settings, clock, tmp_path, monkeypatch, caplog
):
    def stays(path, mark=None):
        raise PermissionError(13, "Permission denied")

    (tmp_path / FILE).write_bytes(b"of before")
    monkeypatch.setattr(kept, "remove_file", stays)
    monkeypatch.setattr(behind, "remove_file", stays)
    it = await of(settings("off"))
    assert "cannot be removed: Permission denied" in caplog.text
    with pytest.raises(NotForgotten, match="folder, disk and rights"):
        await it.forget()
    monkeypatch.undo()
    assert await it.forget() == 0
    assert not (tmp_path / FILE).exists()


async def test_a_file_that_another_process_uses_is_left_to_it(of, settings, clock, tmp_path):
    there = await of(settings())
    there.answers.keep(KEY, entry(clock))
    await there.answers.written()
    with opened(tmp_path / FILE) as reader:
        await there.aclose()
        here = await of(settings("off"))
        assert (tmp_path / FILE).exists()
        assert await here.forget("claude-opus-4-5") == 0
        assert await here.forget("claude-sonnet-4-5") == 1
        reader.stdin.close()
        assert reader.wait(30) == 0
    await here.obey(settings("off"))
    assert not list(tmp_path.glob(f"{FILE}*"))


async def test_two_at_once_of_which_one_may_not_cache(of, settings, clock, tmp_path):
    """Both of this process here; the file tells them apart no more than it does processes."""
    there = await of(settings())
    there.answers.keep(KEY, entry(clock))
    await there.answers.written()
    await of(settings("off"))
    assert there.answers.figures().trouble is None
    assert await there.forget("claude-sonnet-4-5") == 1, "it is still the same file"


async def test_switched_off_while_it_runs_it_still_forgets_and_purges(of, settings, clock):
    it = await of(settings())
    it.answers.keep(KEY, entry(clock))
    await it.answers.written()
    await it.obey(settings("off"))
    assert it.purge_age_seconds is not None
    assert await it.forget("claude-sonnet-4-5") == 1


async def test_a_route_alone_opens_it(of, settings, tmp_path):
    routes = [{"match": {"model": "gpt-*"}, "cache": "all"}]
    it = await of(settings("off", routes))
    assert it.purge_age_seconds is not None
    assert (tmp_path / FILE).exists()


async def test_the_age_of_the_last_round_grows_from_the_start_on(of, settings, clock):
    assert (await of(settings("off"))).purge_age_seconds is None
    it = await of(settings())
    clock.advance(30)
    assert it.purge_age_seconds is not None
    assert 0 <= it.purge_age_seconds <= 30


async def test_a_key_that_cannot_be_had_is_told_before_anything_is_open_and_asked_for_once(settings, clock, tmp_path):
    asked = []

    def none(encrypt, root, configured):
        asked.append((encrypt, configured))
        if encrypt == "on":
            raise ConfigError("cache.encrypt: on needs a place for its key")
        return None

    it = Kept(settings(encrypt="on"), b"r" * 32, clock, none)
    with pytest.raises(ConfigError, match=r"cache\.encrypt"):
        it.prepare(settings(encrypt="on"))
    it.prepare(settings("off", encrypt="on"))  # whom nobody needs is not asked
    assert asked == [("on", False)]
    it.prepare(settings())
    await it.obey(settings())
    assert asked == [("on", False), ("off", False)]
    with pytest.raises(ConfigError):
        await it.obey(settings(encrypt="on"))
    it.answers.keep(KEY, entry(clock))
    assert it.answers.hot(KEY) is not None, "all is as it was"
    await it.aclose()


async def test_a_reload_keeps_what_is_open_and_holds_it_to_the_new_bounds(of, settings, clock):
    it = await of(settings())
    answers = it.answers
    answers.keep(KEY, entry(clock))
    clock.advance(20)
    await it.obey(settings())
    assert it.answers is answers, "it is opened anew only to be sealed otherwise"
    assert answers.hot(KEY)
    shorter = settings()
    await it.obey(shorter.model_copy(update={"cache": shorter.cache.model_copy(update={"ttl": 10.0})}))
    assert it.answers is answers
    assert answers.hot(KEY) is None


async def test_of_two_that_are_sealed_otherwise_one_at_a_time_has_the_file(of, settings, clock, monkeypatch):
    it = await of(settings())
    before = it.answers
    monkeypatch.setattr(it, "_cipher", lambda *_: Cipher(KEY))
    await it.obey(settings(encrypt="on"))
    assert it.answers is not before
    assert it.answers.figures().encrypted
    assert not before._thread.is_alive()
