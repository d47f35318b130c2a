"""What providers say of their limits, in the words of both vendors, and what becomes of a call by it."""

import pytest

from tokenman_core.clock import ManualClock
from tokenman_core.ratelimit.pace import _MOST, LONGEST_S, Paces, seconds

KEY = ("", "openai", "gpt-5")
TODAY = 1_795_000_000.0


def openai(kind: str, limit: int, remaining: int, reset: str) -> list[tuple[bytes, bytes]]:
    said = {"limit": str(limit), "remaining": str(remaining), "reset": reset}
    return [(f"X-RateLimit-{what}-{kind}".encode(), value.encode()) for what, value in said.items()]


def anthropic(kind: str, limit: int, remaining: int, reset: str) -> list[tuple[bytes, bytes]]:
    said = {"limit": str(limit), "remaining": str(remaining), "reset": reset}
    return [(f"anthropic-ratelimit-{kind}-{what}".encode(), value.encode()) for what, value in said.items()]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def paces(clock):
    return Paces(clock)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"12ms", 0.012), (b"3.5s", 3.5), (b"6m0s", 360), (b"1h2m3s", 3723), (b"1d", 86_400), (b"59.6", 59.6),
        (b"2026-11-18T11:21:00Z", 860), (b"1795000030", 30), (b"", None), (b"soon", None), (b"nan", None), (b"inf", None),
        (b"1e400", None), (b"\xff", None),
    ],
)  # fmt: skip
def test_a_reset_is_read_in_every_form(said, expected):
    found = seconds(said, TODAY)
    assert found == (None if expected is None else pytest.approx(expected, abs=1))


@pytest.mark.parametrize("said", [openai("requests", 60, 0, "60s"), anthropic("requests", 60, 0, "60")])
def test_a_call_waits_for_one_to_be_back_and_not_for_all(paces, clock, said):
    assert paces.wait(KEY, 10) == 0
    paces.learn(KEY, said)
    assert paces.wait(KEY, 10) == pytest.approx(1.0)
    clock.advance(1.01)
    assert paces.wait(KEY, 10) == 0


def test_a_large_call_waits_for_as_many_tokens_as_it_has(paces, clock):
    paces.learn(KEY, [*openai("requests", 60, 50, "10s"), *openai("tokens", 1000, 100, "90s")])
    assert paces.wait(KEY, 50) == 0
    assert paces.wait(KEY, 400) == pytest.approx(30)
    assert paces.wait(KEY, 10**9) == pytest.approx(90)  # more than there ever is: when all is back
    paces.learn(KEY, anthropic("output-tokens", 1000, 0, "90"))
    assert paces.wait(KEY, 400) == pytest.approx(0.09)  # how much it writes nobody knows


def test_calls_that_set_out_are_taken_off_until_the_provider_says_more(paces):
    paces.learn(KEY, openai("requests", 60, 2, "58s"))
    for expected in (0, 0, 0.97):
        assert paces.wait(KEY, 10) == pytest.approx(expected, abs=0.01)
        paces.sent(KEY, 10)
    paces.learn(KEY, openai("requests", 60, 30, "30s"))
    assert paces.wait(KEY, 10) == 0


def test_what_a_refusal_asks_for_is_waited_for_and_not_for_ever(paces, clock):
    paces.learn(KEY, [], 7.0)
    assert paces.wait(KEY, 1) == 7
    clock.advance(8)
    assert paces.wait(KEY, 1) == 0
    paces.learn(KEY, openai("requests", 60, 0, "1e300"), 1e300)
    assert paces.wait(KEY, 1) == LONGEST_S


@pytest.mark.parametrize("other", [("key 2", "openai", "gpt-5"), ("", "groq", "gpt-5"), ("", "openai", "gpt-4o")])
def test_the_limit_of_another_key_provider_or_model_is_not_this_ones(paces, other):
    paces.learn(KEY, openai("requests", 60, 0, "60s"), 9.0)
    assert paces.wait(other, 1) == 0


@pytest.mark.parametrize(
    "said",
    [
        openai("requests", 0, 0, "60s"),
        [(b"x-ratelimit-limit-requests", b"-1"), (b"x-ratelimit-remaining-requests", b"0")],
        openai("requests", 10**40, 0, "1s"),
        [(b"x-ratelimit-limit", b"5")],
        openai("requests", 60, 60, "-5s"),
        openai("requests", 60, 0, "0s"),
    ],
)  # fmt: skip
def test_nonsense_has_nobody_wait(paces, said):
    paces.learn(KEY, said)
    assert paces.wait(KEY, 5) == 0


def test_what_is_remembered_is_bounded(paces):
    for number in range(_MOST + 100):
        paces.learn(("", "openai", f"{number}-{'x' * 5000}"), openai("requests", 60, 0, "60s"))
    assert len(paces._known) == _MOST
    assert max(len(model) for _, _, model in paces._known) == 200
    paces.learn(KEY, [line for n in range(100) for line in openai("k" * (n % 29 + 1), 60, 0, "1s")])
    assert len(paces.of("openai", 8)) == 8
    (model, limit, left, reset) = paces.of("openai")[0]
    assert (model, limit.limit, left) == ("gpt-5", 60, 0)
    assert reset == pytest.approx(1)
    assert paces.of("groq") == []
