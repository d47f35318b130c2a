import pytest

from tests.core.ledger.calls import call
from tokenman_core.clock import ManualClock
from tokenman_core.record import Tried
from tokenman_core.telemetry.health import Health, Seen


@pytest.fixture
def clock():
    return ManualClock(100.0)


def tried(*outcomes, provider="anthropic"):
    return call(tried=tuple(Tried(provider, outcome) for outcome in outcomes))


def test_nothing_is_known_before_the_first_call(clock):
    assert Health(clock).of("anthropic") == Seen()


@pytest.mark.parametrize("outcome", ["server_error", "connect", "timeout", "reset", "protocol", "truncated", "broken"])
def test_what_is_the_providers_own_failure_is_one(clock, outcome):
    health = Health(clock)
    health.ended(tried(outcome))
    assert health.of("anthropic") == Seen(outcome, 100.0, 1, 1, outcome, 100.0)


@pytest.mark.parametrize("outcome", ["ok", "client_error", "rate_limited"])
def test_an_answer_of_any_other_kind_shows_that_it_is_there(clock, outcome):
    health = Health(clock)
    health.ended(tried("connect"))
    clock.advance(5)
    health.ended(tried(outcome))
    assert health.of("anthropic") == Seen("", 105.0, 2, 1, "connect", 100.0)


@pytest.mark.parametrize("outcome", ["unanswered", "not_sent", "refused", "cap", "full"])
def test_what_was_not_the_providers_doing_says_nothing_of_it(clock, outcome):
    health = Health(clock)
    health.ended(tried("ok"))
    clock.advance(5)
    health.ended(tried(outcome))
    assert health.of("anthropic") == Seen("", 100.0, 1, 0)


def test_providers_are_told_apart(clock):
    health = Health(clock)
    health.ended(call(tried=(Tried("openai", "timeout"), Tried("anthropic", "ok"))))
    assert (health.of("openai").failed, health.of("anthropic").failed) == ("timeout", "")
