import random

from tokenman_core.caching.repeats import Repeats

A, B, C, D = range(4)


def test_the_first_of_its_kind_is_no_repeat_and_the_next_one_is():
    repeats = Repeats(300)
    assert [repeats.seen(key, 10.0) for key in (A, B, A, A, B, C)] == [False, False, True, True, True, False]


def test_an_answer_is_as_old_as_the_call_that_was_paid_for():
    repeats = Repeats(300)
    times = [0, 200, 299.9, 300, 599.9, 600, 601]
    assert [repeats.seen(A, time) for time in times] == [False, True, True, False, True, False, True]


def test_it_holds_no_more_than_a_cache_would():
    repeats = Repeats(300, most=2)
    for key in (A, B):
        repeats.seen(key, 0)
    assert repeats.seen(A, 1)  # so B is the one that was wanted longest ago
    assert not repeats.seen(C, 2)
    assert len(repeats) == 2
    assert [repeats.seen(A, 3), repeats.seen(C, 3)] == [True, True]
    assert not repeats.seen(B, 3)


def test_a_shorter_time_and_a_smaller_memory_hold_at_once():
    repeats = Repeats(300)
    for key in (A, B, C):
        repeats.seen(key, 0)
    repeats.configure(100, 2)
    assert len(repeats) == 2
    assert not repeats.seen(A, 50)
    assert repeats.seen(C, 50)
    assert not repeats.seen(C, 100)


def test_no_time_at_all_repeats_nothing():
    repeats = Repeats(0)
    assert [repeats.seen(A, 1.0) for _ in range(3)] == [False, False, False]


def test_it_says_what_a_plain_list_of_all_calls_says():
    dice, repeats, kept, now = random.Random(4), Repeats(50, most=10**6), dict[int, float](), 0.0
    for _ in range(3000):
        now += dice.random() * 5
        key = dice.choice((A, B, C, D))
        expected = key in kept and now - kept[key] < 50
        if not expected:
            kept[key] = now
        assert repeats.seen(key, now) is expected
