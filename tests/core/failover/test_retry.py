"""How long to wait before a retry, and how many retries there may be."""

import random
import time

import pytest

from tokenman_core.clock import ManualClock
from tokenman_core.failover.retry import Budget, backoff, retry_after

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, 0.0),
        ({"retry-after": "Tue Nov 14 22:13:50 2023"}, 30.0),
        ({"retry-after": "99999999999999999999"}, 1e20),
        ({"retry-after": "9" * 301}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "Mon, 01 Jan 9999999999999999999999 00:00:00 GMT"}, None),
        ({"retry-after": "Mon, 01 Jan 2024 00:00:00 +99999999999999"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
    ],
)  # fmt: skip
def test_what_a_provider_asks_for_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    fields = tuple((name.encode(), value.encode()) for name, value in headers.items())
    assert retry_after(fields, NOW) == seconds


def test_a_date_is_in_utc_wherever_the_machine_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "America/New_York")
        time.tzset()
        found = retry_after(((b"Retry-After", b"Tue Nov 14 22:13:50 2023"),), NOW)
    time.tzset()
    assert found == 30.0


def test_delays_lie_below_a_bound_that_doubles_up_to_the_most_and_vary() -> None:
    chance = random.Random(1)
    for retry, bound in enumerate([0.5, 1, 2, 4, 8, 16, 30, 30]):
        delays = [backoff(retry, 0.5, 30, chance.random) for _ in range(300)]
        assert all(0 <= delay <= bound for delay in delays)
        assert max(delays) > 0.8 * bound
        assert min(delays) < 0.2 * bound
    assert backoff(10_000, 0.5, 30, lambda: 0.999) < 30


def test_retries_are_a_share_of_the_traffic() -> None:
    clock = ManualClock()
    budget = Budget(clock, share=0.2, floor=10, most=100)
    taken = 0
    for _ in range(1000):
        budget.first()
        taken += budget.take()
    assert taken <= 1000 * 0.2 + 10
    assert taken >= 200


def test_little_traffic_may_retry_too_and_a_rest_gives_it_back() -> None:
    clock = ManualClock()
    budget = Budget(clock, floor=3)
    assert [budget.take() for _ in range(4)] == [True, True, True, False]
    clock.advance(20)
    assert [budget.take() for _ in range(2)] == [True, False]
    clock.advance(3600)
    assert [budget.take() for _ in range(4)] == [True, True, True, False]
