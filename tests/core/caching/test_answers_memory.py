"""The answers in memory: the ones used last within their limits, and what waits for the disk."""

import random
import threading
import tracemalloc

import pytest

from tests.core.caching.entries import STREAMED, entry, key_of, noise
from tokenman_core.caching import memory as module
from tokenman_core.caching.entry import Entry
from tokenman_core.caching.memory import Limits, Memory, weight
from tokenman_core.usage import Usage

MUCH = Limits(1000, 2**30)


def test_what_is_kept_is_there_and_waits():
    memory = Memory(MUCH)
    memory.keep(key_of(1), STREAMED)
    assert memory.get(key_of(1)) is STREAMED
    assert memory.get(key_of(2)) is None
    assert (len(memory), memory.size, memory.waiting) == (1, weight(STREAMED), 1)


def test_one_used_longest_ago_goes_first():
    memory = Memory(Limits(3, 2**30))
    for number in range(3):
        memory.keep(key_of(number), entry())
    memory.written(memory.batch(10, 2**30))
    memory.get(key_of(0))
    memory.keep(key_of(3), entry())
    assert [number for number in range(4) if memory.get(key_of(number))] == [0, 2, 3]


def test_they_take_no_more_than_they_may(monkeypatch):
    monkeypatch.setattr(module, "MOST_HOT", 100_000)
    memory = Memory(MUCH)
    for number in range(300):
        memory.keep(key_of(number % 70), entry(noise(number, number * 37 % 9000)))
        memory.written(memory.batch(10, 2**30))
        assert memory.size <= 100_000
    there = [found for number in range(70) if (found := memory.get(key_of(number)))]
    assert sum(map(weight, there)) == memory.size > 80_000


def test_less_where_the_whole_cache_may_have_less():
    memory = Memory(Limits(1000, 50_000))
    for number in range(100):
        memory.keep(key_of(number), entry(bytes(1000)))
    assert 40_000 < memory.size <= 50_000


def test_a_large_one_does_not_push_out_the_others():
    memory = Memory(Limits(1000, 400_000))
    memory.keep(key_of(1), entry())
    large = entry(bytes(60_000))
    memory.keep(key_of(2), large)
    assert len(memory) == 1
    assert memory.get(key_of(2)) is large  # it waits yet
    memory.written(memory.batch(10, 2**30))
    assert memory.get(key_of(2)) is None
    memory.keep(key_of(1), large)
    assert len(memory) == 0
    assert memory.get(key_of(1)) is large


def test_an_answer_in_the_place_of_another_is_counted_once():
    memory = Memory(MUCH)
    memory.keep(key_of(1), entry(bytes(9000)))
    memory.keep(key_of(1), entry())
    assert (len(memory), memory.size, memory.waiting) == (1, weight(entry()), 1)
    assert memory.batch(10, 2**30) == [(key_of(1), entry())]


@pytest.mark.parametrize("limits", [Limits(0, 2**30), Limits(1000, 0)])
def test_nothing_is_kept_where_nothing_may_be(limits):
    memory = Memory(limits)
    memory.keep(key_of(1), entry())
    memory.warm(key_of(1), entry())
    assert memory.get(key_of(1)) is None
    assert (len(memory), memory.waiting) == (0, 0)


def test_other_limits_hold_at_once_and_are_reached_with_the_next_trim():
    memory = Memory(MUCH)
    for number in range(500):
        memory.keep(key_of(number), entry())
    memory.limit(Limits(10, 2**30))
    memory.trim()
    assert len(memory) == 10
    assert memory.get(key_of(499))
    memory.limit(Limits(0, 2**30))
    memory.trim()
    assert (len(memory), memory.size, memory.waiting) == (0, 0, 0)


# -- what waits --


def test_too_many_are_not_waited_with(monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    memory = Memory(MUCH)
    for number in range(5):
        memory.keep(key_of(number), entry())
    assert (memory.waiting, memory.dropped) == (3, 2)
    assert memory.get(key_of(4))  # in memory it is
    memory.written(memory.batch(10, 2**30))
    memory.keep(key_of(4), entry())
    assert (memory.waiting, memory.dropped) == (1, 2)


def test_too_much_is_not_waited_with(monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", 3 * weight(entry()))
    memory = Memory(MUCH)
    for number in range(5):
        memory.keep(key_of(number), entry())
    assert (memory.waiting, memory.dropped) == (3, 2)
    memory.keep(key_of(0), entry(b"{ }"))  # takes no room twice
    assert memory.dropped == 3
    assert memory.get(key_of(0)).body == b"{ }"
    memory.written(memory.batch(10, 2**30))
    for number in range(3):
        memory.keep(key_of(number), entry())
    assert (memory.waiting, memory.dropped) == (3, 3)


def test_those_that_wait_longest_are_written_first_and_not_too_many_at_once():
    memory = Memory(MUCH)
    for number in range(5):
        memory.keep(key_of(number), entry(bytes(1000)))
    one = weight(entry(bytes(1000)))
    assert [key for key, _ in memory.batch(2, 2**30)] == [key_of(0), key_of(1)]
    assert [key for key, _ in memory.batch(10, 3 * one)] == [key_of(0), key_of(1), key_of(2)]
    assert [key for key, _ in memory.batch(10, 1)] == [key_of(0)]
    memory.written(memory.batch(3, 2**30))
    assert [key for key, _ in memory.batch(10, 2**30)] == [key_of(3), key_of(4)]


def test_an_answer_that_came_while_another_was_written_waits_on():
    memory = Memory(MUCH)
    memory.keep(key_of(1), entry())
    batch = memory.batch(10, 2**30)
    memory.keep(key_of(1), entry(b"new"))
    memory.written(batch)
    assert memory.batch(10, 2**30) == [(key_of(1), entry(b"new"))]


def test_what_was_found_on_disk_is_not_put_over_something_newer():
    memory = Memory(MUCH)
    memory.keep(key_of(1), entry(b"new"))
    memory.warm(key_of(1), entry(b"old"))
    memory.warm(key_of(2), entry(b"found"))
    assert (memory.get(key_of(1)).body, memory.get(key_of(2)).body) == (b"new", b"found")
    assert memory.waiting == 1


def test_what_the_disk_evicted_goes_unless_it_waits_anew():
    memory = Memory(MUCH)
    memory.keep(key_of(1), entry())
    memory.written(memory.batch(10, 2**30))
    memory.keep(key_of(2), entry())
    memory.drop([key_of(1), key_of(2), key_of(3)])
    assert memory.get(key_of(1)) is None
    assert memory.get(key_of(2))


def test_it_is_told_what_was_used_and_in_which_order(monkeypatch):
    monkeypatch.setattr(module, "_MOST_USED", 3)
    memory = Memory(MUCH)
    for number in range(4):
        memory.keep(key_of(number), entry())
    for number in (0, 1, 2, 0, 9, 3):
        memory.get(key_of(number))
    assert memory.used() == [key_of(2), key_of(0), key_of(3)]
    assert memory.used() == []
    memory.warm(key_of(7), entry(bytes(2**28)))
    assert memory.used() == [key_of(7)]


# -- what is forgotten --


def test_what_matches_is_forgotten_wherever_it_is():
    memory = Memory(Limits(1000, 400_000))
    memory.keep(key_of(1), entry(model="a"))
    memory.written(memory.batch(10, 2**30))
    memory.keep(key_of(2), entry(model="a"))
    memory.keep(key_of(3), entry(bytes(60_000), model="a"))
    memory.keep(key_of(4), entry(model="b"))
    assert memory.forget(lambda each: each.model == "a") == {key_of(1), key_of(2), key_of(3)}
    assert (len(memory), memory.size, memory.waiting) == (1, weight(entry()), 1)
    assert memory.get(key_of(4))


def test_what_comes_while_it_forgets_stays():
    memory = Memory(MUCH)
    memory.keep(key_of(1), entry(b"old"))

    def matches(each: Entry) -> bool:
        memory.keep(key_of(1), entry(b"new"))
        return True

    memory.forget(matches)
    assert memory.get(key_of(1)).body == b"new"
    assert memory.waiting == 1


def test_what_an_answer_weighs_is_at_least_what_it_takes():
    def made(number: int) -> Entry:
        generator = random.Random(number)
        return entry(
            generator.randbytes(number),
            headers=tuple((generator.randbytes(12), generator.randbytes(30)) for _ in range(number % 20)),
            pieces=tuple((generator.random(), generator.randrange(300, 9000)) for _ in range(number % 300)),
            usage=Usage(*(generator.randrange(300, 10**6) for _ in range(6)), {"a": number + 300}),
            model=f"model {number}",
            project=f"project {number}",
            seconds=generator.random(),
            stored=generator.random(),
        )

    memory = Memory(MUCH)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(500):
            memory.keep(number.to_bytes(32, "big"), made(number))
        memory.written(memory.batch(1000, 2**30))
        memory.used()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.6 * memory.size < taken <= memory.size


def test_many_threads_leave_it_whole(monkeypatch):
    monkeypatch.setattr(module, "MOST_HOT", 200_000)
    memory = Memory(Limits(50, 2**30))
    failed = []

    def work(seed):
        generator = random.Random(seed)
        try:
            for _ in range(1500):
                key = key_of(generator.randrange(100))
                match generator.randrange(8):
                    case 0:
                        memory.forget(lambda each: each.seconds < 0.1)
                    case 1:
                        memory.written(memory.batch(5, 10_000))
                    case 2:
                        memory.drop([key])
                    case 3:
                        memory.warm(key, entry(bytes(generator.randrange(5000)), seconds=generator.random()))
                    case 4 | 5:
                        memory.keep(key, entry(bytes(generator.randrange(5000)), seconds=generator.random()))
                    case _:
                        memory.get(key)
                        memory.used()
        except Exception as error:  # a thread's failure is the test's
            failed.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    memory.trim()
    there = [found for number in range(100) if (found := memory._hot.get(key_of(number)))]
    assert (len(there), sum(map(weight, there))) == (len(memory), memory.size)
    assert memory._waiting_bytes == sum(map(weight, memory._waiting.values()))
    assert len(memory) <= 50
