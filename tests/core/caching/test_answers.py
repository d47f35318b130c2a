"""The store of answers as a running proxy has it: a thread of its own, and nobody who waits for it."""

import asyncio
import sqlite3
import stat
import threading
import time
from contextlib import asynccontextmanager

import pytest

from tests.core.caching.entries import KEY, NOW, PLANTED, STREAMED, entry, key_of, noise
from tokenman_core.caching import answers as module
from tokenman_core.caching import behind as behind_module
from tokenman_core.caching import memory as memory_module
from tokenman_core.caching.answers import Answers, Limits, NotForgotten
from tokenman_core.caching.behind import ROUND_S
from tokenman_core.caching.cipher import Cipher
from tokenman_core.clock import ManualClock

MUCH = Limits(1000, 2**30)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "cache.db"


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def running(path, clock):
    """Opens answers, and closes them."""

    @asynccontextmanager
    async def open_(limits=MUCH, ttl=300.0, cipher=None, at=path):
        answers = Answers(at, limits, ttl, clock, cipher, key=KEY)
        await answers.start()
        try:
            yield answers
        finally:
            await answers.aclose()

    return open_


async def until(condition):
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not come")


async def test_what_is_kept_is_hot_at_once_and_found_after_a_restart(running):
    async with running() as answers:
        answers.keep(key_of(1), STREAMED)
        assert answers.hot(key_of(1)) is STREAMED
        assert await answers.find(key_of(1)) is STREAMED
        assert await answers.find(key_of(2)) is None
    async with running() as answers:
        assert answers.hot(key_of(1)) is None
        found = await answers.find(key_of(1))
        assert found == STREAMED
        assert answers.hot(key_of(1)) is found


async def test_the_end_writes_what_waits(running):
    async with running() as answers:
        for number in range(300):
            answers.keep(key_of(number), entry(noise(number, 3000)))
    async with running() as answers:
        assert answers.figures().entries == 300
        for number in range(300):
            assert (await answers.find(key_of(number))).body == noise(number, 3000)


async def test_figures_tell_how_it_stands(running, path, clock):
    async with running(Limits(3, 2**30), cipher=Cipher(KEY)) as answers:
        for number in range(5):
            answers.keep(key_of(number), entry())
        await until(lambda: answers.figures().round is not None and not answers.figures().waiting)
        await answers.written()
        figures = answers.figures()
        assert (figures.entries, figures.memory_entries, figures.evicted) == (3, 3, 2)
        assert 0 < figures.bytes < 10_000
        assert figures.memory_bytes > 3 * 2000
        assert (figures.waiting, figures.damaged, figures.unwritten, figures.trouble) == (0, 0, 0, None)
        assert (figures.path, figures.encrypted, figures.round) == (str(path), True, NOW)


async def test_before_the_start_and_after_the_end_it_is_memory_alone(path, clock):
    answers = Answers(path, MUCH, 300.0, clock, None, key=KEY)
    answers.keep(key_of(1), STREAMED)
    assert answers.hot(key_of(1)) == await answers.find(key_of(1)) == STREAMED
    assert await answers.find(key_of(2)) is None
    await answers.written()
    assert not path.parent.exists()
    await answers.start()
    await answers.written()
    await answers.aclose()
    await answers.aclose()
    assert answers.hot(key_of(1)) == STREAMED
    assert await answers.find(key_of(2)) is None
    answers.keep(key_of(2), STREAMED)
    answers.configure(MUCH, 100.0)


async def test_a_hit_in_memory_touches_no_disk(running, path, monkeypatch):
    async with running() as answers:
        answers.keep(key_of(1), STREAMED)
        await answers.written()
        asked = []
        monkeypatch.setattr(answers._behind, "ask", lambda question: asked.append(question))
        for _ in range(100):
            assert answers.hot(key_of(1)) is STREAMED
            assert await answers.find(key_of(1)) is STREAMED
        assert asked == []


async def test_an_answer_too_large_for_memory_is_found_on_disk_and_while_it_waits(running):
    async with running() as answers:
        large = entry(noise(1, memory_module.MOST_HOT // memory_module.SHARE))
        answers.keep(key_of(1), large)
        assert answers.hot(key_of(1)) is large  # it waits yet
        await answers.written()
        assert answers.hot(key_of(1)) is None
        assert await answers.find(key_of(1)) == large
        assert answers.hot(key_of(1)) is None


async def test_other_limits_and_another_ttl_hold_from_now_on(running, clock):
    async with running() as answers:
        for number in range(10):
            answers.keep(key_of(number), entry(stored=NOW - number * 10))
        await answers.written()
        answers.configure(MUCH, 55.0)
        assert [number for number in range(10) if answers.hot(key_of(number))] == [0, 1, 2, 3, 4, 5]
        await until(lambda: answers.figures().entries == 6)
        answers.configure(Limits(2, 2**30), 55.0)
        await until(lambda: answers.figures().entries == 2)
        answers.configure(Limits(0, 2**30), 55.0)
        assert answers.hot(key_of(5)) is answers.hot(key_of(4)) is None
        await until(lambda: answers.figures().entries == 0)
        answers.keep(key_of(1), entry())
        assert (answers.figures().memory_entries, answers.figures().waiting) == (0, 0)
        assert answers.hot(key_of(1)) is await answers.find(key_of(1)) is None


async def test_rounds_go_on_by_themselves(running, clock):
    async with running() as answers:
        answers.keep(key_of(1), entry())
        await answers.written()
        for rounds in range(1, 4):
            clock.advance(ROUND_S)
            await until(lambda rounds=rounds: answers.figures().round == NOW + rounds * ROUND_S)
        clock.advance(200)
        await until(lambda: answers.figures().entries == 0)
        assert answers.figures().memory_entries == 0


async def test_answers_are_forgotten_by_model_and_project_or_all(running):
    async with running() as answers:
        for number, (model, project) in enumerate([("a", "x"), ("a", "y"), ("b", "x"), ("b", "")]):
            answers.keep(key_of(number), entry(model=model, project=project))
        assert await answers.forget(model="a", project="y") == 1
        assert await answers.forget(project="") == 1
        assert await answers.forget(model="a") == 1
        assert [number for number in range(4) if await answers.find(key_of(number))] == [2]
        assert await answers.forget() == 1
        assert await answers.forget() == 0
        assert await answers.find(key_of(2)) is None


@pytest.mark.parametrize("named", [{}, {"model": "a"}], ids=["all", "a model"])
async def test_answers_are_forgotten_though_it_does_not_run(running, path, clock, named):
    async with running() as answers:
        answers.keep(key_of(1), entry(noise(1, 3000), model="a"))
    alone = Answers(path, MUCH, 300.0, clock, None, key=KEY)
    assert sum(await asyncio.gather(*(alone.forget(**named) for _ in range(3)))) == 1
    assert not any(noise(1, 3000)[1000:1040] in each.read_bytes() for each in path.parent.iterdir())
    await alone.start()
    assert await alone.find(key_of(1)) is None
    await alone.aclose()
    assert await answers.forget() == 1  # of those that it holds in memory
    assert answers.hot(key_of(1)) is None


async def test_what_could_not_be_forgotten_is_told(running, path):
    path.mkdir(parents=True)
    (path / "in the way").touch()
    async with running() as answers:
        assert answers.figures().trouble
        answers.keep(key_of(1), entry())
        with pytest.raises(NotForgotten):
            await answers.forget()
        assert answers.hot(key_of(1)) is None


# -- nobody waits --


@asynccontextmanager
async def held(answers):
    """A thread that is kept busy, as by a disk that does not answer."""
    free, busy = threading.Event(), threading.Event()

    def hold():
        busy.set()
        free.wait(60)

    answers._behind.ask(hold)
    answers._wake.set()
    await asyncio.to_thread(busy.wait, 60)
    try:
        yield
    finally:
        free.set()


async def test_a_disk_that_does_not_answer_is_a_miss(running, monkeypatch):
    monkeypatch.setattr(module, "ANSWER_S", 0.05)
    monkeypatch.setattr(module, "_FORGET_S", 0.05)
    async with running() as answers:
        answers.keep(key_of(1), entry())
        async with held(answers):
            assert await answers.find(key_of(2)) is None
            assert await answers.find(key_of(1))
            with pytest.raises(NotForgotten, match="does not answer"):
                await answers.forget()
        await until(lambda: answers.hot(key_of(1)) is None)  # it is done all the same


async def test_only_the_first_waits_for_a_disk_that_does_not_answer(running, monkeypatch):
    async with running() as answers:
        answers.keep(key_of(1), entry())
    async with running() as answers:
        async with held(answers):
            monkeypatch.setattr(module, "ANSWER_S", 0.05)
            assert await answers.find(key_of(2)) is None
            waiting = len(answers._behind._asked)
            monkeypatch.setattr(module, "ANSWER_S", 600.0)
            assert [await answers.find(key_of(number)) for number in range(1, 50)] == [None] * 49
            assert len(answers._behind._asked) == waiting
        await until(lambda: not answers._late)
        assert await answers.find(key_of(1)), "it is asked again as soon as it answers"


async def test_keeping_never_waits_nor_raises_and_is_bounded(running, monkeypatch):
    monkeypatch.setattr(memory_module, "MOST_WAITING", 50)
    async with running() as answers:
        async with held(answers):
            for number in range(200):
                answers.keep(key_of(number), entry(noise(number, 1000)))
            figures = answers.figures()
            assert (figures.waiting, figures.unwritten, figures.memory_entries) == (50, 150, 200)
            assert all(answers.hot(key_of(number)) for number in range(200))
        await answers.written()
        assert answers.figures().waiting == 0
        assert answers.figures().entries == 50


async def test_too_many_who_ask_get_a_miss(running, monkeypatch):
    monkeypatch.setattr(behind_module, "_MOST_ASKED", 10)
    monkeypatch.setattr(module, "ANSWER_S", 30.0)
    async with running() as answers:
        async with held(answers):
            asked = [asyncio.create_task(answers.find(key_of(number))) for number in range(50)]
            await until(lambda: sum(task.done() for task in asked) == 40)
        assert await asyncio.gather(*asked) == [None] * 50


async def test_who_does_not_wait_any_more_is_in_nobodys_way(running):
    async with running() as answers:
        answers.keep(key_of(1), entry())
        await answers.written()
        async with held(answers):
            asked = asyncio.create_task(answers.find(key_of(2)))
            await asyncio.sleep(0)
            asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await answers.find(key_of(2)) is None


async def test_the_thread_outlives_what_should_not_happen(running, monkeypatch, caplog):
    def fails():
        raise RuntimeError("planted")

    async with running() as answers:
        monkeypatch.setattr(answers._memory, "trim", fails)
        answers.configure(MUCH, 300.0)
        await until(lambda: "the cache's thread failed" in caplog.text)
        monkeypatch.undo()
        answers.keep(key_of(1), entry())
        await answers.written()
        assert answers.figures().entries == 1
        assert "planted" not in caplog.text


# -- the file --


async def test_its_files_are_private(running, path):
    async with running() as answers:
        answers.keep(key_of(1), entry())
        await answers.written()
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {"cache.db": 0o600, "cache.db-wal": 0o600, "cache.db-shm": 0o600}


def words(path):
    return b"".join(each.read_bytes() for each in sorted(path.parent.iterdir()))


@pytest.mark.parametrize("cipher", [None, Cipher(KEY)], ids=["plain", "sealed"])
async def test_neither_model_nor_project_nor_key_material_stands_in_any_file(running, path, cipher):
    async with running(cipher=cipher) as answers:
        for number in range(50):
            answers.keep(
                number.to_bytes(32, "big"),
                entry(b'{"text": "Dear <PERSON_1>, "}', model="planted-model", project="jane.doe@example.com"),
            )
        await answers.written()
        found = words(path)
        await answers.forget(project="jane.doe@example.com")
        found += words(path)
    found += words(path)
    for planted in (b"planted", b"model-", b"jane", b"example.com", KEY):
        assert planted not in found


async def test_with_a_key_not_even_the_words_of_an_answer_stand_there(running, path):
    async with running(cipher=Cipher(KEY)) as answers:
        answers.keep(key_of(1), entry(PLANTED))
        answers.keep(key_of(2), entry(noise(1, 3000)))
        await answers.written()
        found = words(path)
    found += words(path)
    for planted in (*(word for word in PLANTED.split() if len(word) > 4), noise(1, 3000)[1000:1020], b"content-type"):
        assert planted not in found


async def test_nothing_that_is_stored_is_unpickled(running, path):
    async with running() as answers:
        answers.keep(key_of(1), entry())
    bomb = f"cos\nsystem\n(S'touch {path.parent}/planted'\ntR.".encode()
    with sqlite3.connect(path) as other:
        other.execute("update answers set sealed = ?", (bomb,))
    other.close()
    async with running() as answers:
        assert await answers.find(key_of(1)) is None
        assert answers.figures().damaged == 1
    assert not (path.parent / "planted").exists()


async def test_two_on_one_file_see_what_the_other_keeps_and_forgets(running):
    async with running() as one, running() as other:
        for number in range(100):
            (one, other)[number % 2].keep(key_of(number), entry(noise(number, 2000), model="ab"[number % 3 == 0]))
        await one.written()
        await other.written()
        for number in range(100):
            assert (await one.find(key_of(number))).body == (await other.find(key_of(number))).body
        await one.forget(model="b")
        await until(lambda: not any(other.hot(key_of(number)) for number in range(0, 100, 3)))
        assert all([await other.find(key_of(number)) for number in range(100) if number % 3])
        assert one.figures().trouble is other.figures().trouble is None


async def test_many_keep_find_and_forget_at_once(running):
    """What is found is what was kept under that key, whole."""

    async def one(answers, number):
        for turn in range(10):
            key = (number * 7 + turn) % 40
            answers.keep(key_of(key), entry(noise(key, 500 + key * 200), model=f"m{key % 3}"))
            found = await answers.find(key_of((key + turn) % 40))
            assert found is None or found.body in [noise(each, 500 + each * 200) for each in range(40)]
            if turn == 5 and number % 10 == 0:
                await answers.forget(model=f"m{turn % 3}")

    async with running(Limits(30, 2**30)) as answers:
        await asyncio.gather(*(one(answers, number) for number in range(40)))
        await answers.written()
        assert answers.figures().trouble is None


async def test_it_ends_within_its_time_though_the_disk_does_not_answer(path, clock, monkeypatch):
    monkeypatch.setattr(module, "_CLOSE_S", 0.0)
    answers = Answers(path, MUCH, 300.0, clock, None, key=KEY)
    await answers.start()
    async with held(answers):
        before = time.monotonic()
        await answers.aclose()
        assert time.monotonic() - before < 30
    await asyncio.to_thread(answers._thread.join, 30)
