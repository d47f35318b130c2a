"""Bad keys are counted by address, for a time, and in bounded memory."""

import pytest

from tokenman_core.clients import failures as module
from tokenman_core.clients.failures import MOST, WINDOW_S, Failures
from tokenman_core.clock import ManualClock


def test_an_address_may_fail_so_often_and_is_then_told_how_long_to_wait() -> None:
    clock = ManualClock()
    failures = Failures(clock)
    assert [failures.add("10.0.0.1") for _ in range(MOST)] == [0.0] * MOST
    clock.advance(10)
    assert failures.add("10.0.0.1") == WINDOW_S - 10
    assert failures.add("10.0.0.2") == 0.0
    clock.advance(WINDOW_S - 10)
    assert failures.add("10.0.0.1") == 0.0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True), ("2001:db8::1", "2001:db8:0:1::1", False), ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True), ("10.0.0.1", "10.0.0.2", False), ("", "", True), ("odd" * 99, "odd" * 98, True),
    ],
)  # fmt: skip
def test_who_has_one_address_of_a_network_has_all_of_it(one: str, other: str, same: bool) -> None:
    failures = Failures(ManualClock())
    for _ in range(MOST):
        failures.add(one)
    assert (failures.add(other) > 0) is same


def test_no_crowd_makes_it_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ADDRESSES", 10)
    failures = Failures(ManualClock())
    for at in range(1000):
        failures.add(f"10.0.{at // 256}.{at % 256}")
    assert len(failures._seen) == 10
