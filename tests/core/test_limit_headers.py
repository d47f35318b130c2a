import pytest

from tokenman_core.limit_headers import Room, beside, headers, tightest

NOW = 1_795_000_000.0
OURS = (Room("requests", 60, 12, 30.5), Room("tokens", 1000, 0, 90.0))


def test_openais_words():
    assert dict(headers("openai", OURS, NOW)) == {
        b"x-ratelimit-limit-requests": b"60", b"x-ratelimit-remaining-requests": b"12", b"x-ratelimit-reset-requests": b"30.5s",
        b"x-ratelimit-limit-tokens": b"1000", b"x-ratelimit-remaining-tokens": b"0", b"x-ratelimit-reset-tokens": b"1m30s",
    }  # fmt: skip


def test_anthropics_words():
    assert headers("anthropic", OURS[:1], NOW) == (
        (b"anthropic-ratelimit-requests-limit", b"60"),
        (b"anthropic-ratelimit-requests-remaining", b"12"),
        (b"anthropic-ratelimit-requests-reset", b"2026-11-18T11:07:10Z"),
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, b"0ms"),
        (0.0124, b"12ms"),
        (1, b"1s"),
        (3.5, b"3.5s"),
        (59.9994, b"59.999s"),
        (60, b"1m0s"),
        (3725, b"1h2m5s"),
    ],
)
def test_spans_as_openai_writes_them(seconds, text):
    assert dict(headers("openai", [Room("tokens", 1, 1, seconds)], NOW))[b"x-ratelimit-reset-tokens"] == text


@pytest.mark.parametrize(("theirs", "ours_told"), [(b"500", True), (b"12", True), (b"3", False), (b"much", True)])
def test_the_tighter_limit_is_told(theirs, ours_told):
    said = ((b"X-RateLimit-Remaining-Requests", theirs), (b"x-ratelimit-limit-requests", b"10000"))
    gone, come = beside("openai", said, OURS[:1], NOW)
    assert (b"x-ratelimit-remaining-requests" in gone) is ours_told
    assert bool(come) is ours_told


def test_of_several_limits_the_one_with_the_least_left():
    rooms = [Room("requests", 60, 12, 1), Room("requests", 5, 3, 1), Room("tokens", 9, 9, 1)]
    assert tightest(rooms) == (rooms[1], rooms[2])
