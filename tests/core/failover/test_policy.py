"""What is tried again, where, and what never is."""

import pytest

from tokenman_core.clock import ManualClock
from tokenman_core.failover.policy import SAFE, Again, Course, Decision, Last, Next, Policy, Rules
from tokenman_core.verdicts import Failure, Headers

AGAIN = Again(0.25)


def decide(
    failure: Failure, *, tries: int = 1, waited: float = 0.0, more: bool = False, repeatable: bool = True,
    once: bool = False, policy: Policy | None = None,
) -> Decision:  # fmt: skip
    policy = policy or Policy(Rules(), ManualClock(), lambda: 0.5)
    return policy.decide(failure, "p", Course(tries, waited), more=more, repeatable=repeatable, once=once)


def status(number: int, *headers: tuple[str, str]) -> Failure:
    fields: Headers = tuple((name.encode(), value.encode()) for name, value in headers)
    return Failure("status", "", number, fields)


@pytest.mark.parametrize("number", [429, 502, 503, 504, 529])
def test_the_statuses_of_the_setting_are_tried_again_at_the_same_provider_first(number: int) -> None:
    assert decide(status(number), more=True) == AGAIN
    assert decide(status(number), tries=3, more=True) == Next()
    assert decide(status(number), tries=3) == Last()


@pytest.mark.parametrize("number", [500, 501, 505, 599])
def test_other_failures_of_the_provider_go_on_to_the_next_and_never_again_to_the_same(number: int) -> None:
    assert decide(status(number), more=True) == Next()
    assert decide(status(number)) == Last()


@pytest.mark.parametrize("number", [400, 401, 403, 404, 408, 409, 413, 422])
def test_what_the_caller_did_wrong_is_wrong_everywhere(number: int) -> None:
    assert decide(status(number), more=True) == Last()


@pytest.mark.parametrize("kind", ["connect", "reset"])
def test_who_cannot_be_reached_is_waited_for_only_if_nobody_else_can_be_asked(kind: str) -> None:
    assert decide(Failure(kind, ""), more=True) == Next()
    assert decide(Failure(kind, "")) == AGAIN
    assert decide(Failure(kind, ""), tries=3) == Last()


def test_a_connection_that_went_stale_is_replaced_at_once_and_counts_as_a_try() -> None:
    stale = Failure("stale", "")
    assert decide(stale, more=True) == decide(stale) == Again(0.0)
    assert decide(stale, tries=3) == Last()
    assert decide(stale, once=True) == Last()
    assert decide(stale, repeatable=False) == Last()


@pytest.mark.parametrize("kind", ["timeout", "protocol", "refused", "full"])
def test_who_was_too_slow_or_spoke_nonsense_is_not_asked_again(kind: str) -> None:
    assert decide(Failure(kind, ""), more=True) == Next()
    assert decide(Failure(kind, "")) == Last()


def test_an_answer_over_the_cap_is_the_last_one() -> None:
    assert decide(Failure("cap", ""), more=True) == Last()


def test_a_kind_that_nobody_thought_of_is_never_tried_again() -> None:
    assert decide(Failure("strange", ""), more=True) == Last()
    assert "strange" not in SAFE


@pytest.mark.parametrize(
    ("failure", "decision"),
    [
        (Failure("connect", ""), AGAIN), (Failure("reset", ""), Last()), (Failure("timeout", ""), Last()),
        (status(503), Last()), (status(429), AGAIN),
    ],
)  # fmt: skip
def test_what_may_not_be_done_twice_is_tried_again_only_if_it_was_not_begun(
    failure: Failure, decision: Decision
) -> None:
    assert decide(failure, repeatable=False) == decision


def test_a_clients_own_retry_is_tried_once_at_each_provider() -> None:
    assert decide(status(503), once=True, more=True) == Next()
    assert decide(status(503), once=True) == Last()


def test_what_the_provider_asks_for_is_obeyed_up_to_the_bound() -> None:
    assert decide(status(429, ("retry-after", "7"))) == Again(7.0)
    assert decide(status(429, ("retry-after", "31")), more=True) == Next()
    assert decide(status(429, ("retry-after", "31"))) == Last()
    assert decide(status(429, ("retry-after-ms", "10"))) == Again(0.25)


def test_a_provider_that_says_not_to_ask_again_is_not_asked_again() -> None:
    assert decide(status(503, ("x-should-retry", "false")), more=True) == Next()
    assert decide(status(503, ("x-should-retry", "false"))) == Last()
    assert decide(status(503, ("x-should-retry", "true"))) == AGAIN


def test_the_waits_of_a_call_are_bounded_together() -> None:
    assert decide(status(503, ("retry-after", "20")), tries=2, waited=40) == Again(20.0)
    assert decide(status(503, ("retry-after", "20")), tries=2, waited=41) == Last()


def test_delays_double() -> None:
    policy = Policy(Rules(attempts=9), ManualClock(), lambda: 0.5)
    waits = [decide(status(503), tries=tries, policy=policy) for tries in range(1, 9)]
    assert [wait.seconds for wait in waits if isinstance(wait, Again)] == [0.25, 0.5, 1, 2, 4, 8, 15, 15]


def test_an_outage_is_not_multiplied() -> None:
    policy = Policy(Rules(), ManualClock(), lambda: 0.5)
    made = 0
    for _ in range(500):
        policy.budget("p").first()
        made += decide(status(503), policy=policy) == AGAIN
    assert made <= 500 * 0.2 + 10
    assert decide(status(503), policy=policy, more=True) == Next()
    other = policy.decide(status(503), "q", Course(), more=False, repeatable=True, once=False)
    assert other == AGAIN  # its budget is its own
