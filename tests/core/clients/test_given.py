"""The key is found wherever programs put keys, and stays nowhere in what is left of the request."""

import base64

import pytest

from tokenman_core.clients.given import CONFLICT, given
from tokenman_core.clients.keys import KEY, new_key
from tokenman_core.verdicts import Headers

MINE, OTHER = "tkm_" + "A" * 43, "tkm_" + "B" * 43
RAW = MINE.encode()
BASIC = b"Basic " + base64.b64encode(b"user:" + RAW)
BASIC_USER = b"basic " + base64.b64encode(RAW + b":x")
PLAIN: Headers = ((b"content-type", b"application/json"), (b"x-stainless-os", b"Linux"))


def test_keys_have_256_bits_and_are_each_another() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(KEY.fullmatch(key) for key in keys)


@pytest.mark.parametrize(
    "header",
    [
        (b"x-tokenman-key", RAW), (b"X-TokenMan-Key", b" " + RAW + b" "), (b"authorization", b"Bearer " + RAW),
        (b"Authorization", b"bearer   " + RAW), (b"authorization", RAW), (b"x-api-key", RAW), (b"X-Goog-Api-Key", RAW),
        (b"api-key", RAW), (b"Authorization", BASIC), (b"Authorization", BASIC_USER),
    ],
)  # fmt: skip
def test_it_is_found_in_each_header_and_taken_out(header: tuple[bytes, bytes]) -> None:
    found = given((*PLAIN, header), "alt=sse")
    assert (found.key, found.headers, found.query) == (MINE, PLAIN, "alt=sse")


@pytest.mark.parametrize("query", [f"key={MINE}", f"KEY={MINE}", f"api%5Fkey={MINE}", f"access_token=%74km_{'A' * 43}"])
def test_it_is_found_in_the_query_and_taken_out(query: str) -> None:
    found = given(PLAIN, f"alt=sse&{query}&x=1")
    assert (found.key, found.headers, found.query) == (MINE, PLAIN, "alt=sse&x=1")


def test_without_one_all_stays_as_it_is() -> None:
    headers = (*PLAIN, (b"authorization", b"Bearer sk-mine"), (b"x-api-key", b"sk-ant-mine"))
    found = given(headers, "key=AIza-mine&&alt=sse")
    assert (found.key, found.headers, found.query) == ("", headers, "key=AIza-mine&&alt=sse")


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ((b"x-tokenman-key", b"nonsense"), "nonsense"), ((b"x-tokenman-key", b""), ""), ((b"x-api-key", b"tkm_short"), "tkm_short"),
        ((b"x-tokenman-key", b"sk-ant-mine"), "sk-ant-mine"),
    ],
)  # fmt: skip
def test_what_is_meant_for_one_is_taken_for_one(header: tuple[bytes, bytes], key: str) -> None:
    """So that a mistyped key is refused, and never sent to a provider."""
    found = given((*PLAIN, header), "")
    assert (found.key, found.headers) == (key, PLAIN)


def test_the_same_one_twice_is_one_and_two_are_a_conflict() -> None:
    twice = ((b"x-api-key", RAW), (b"authorization", b"Bearer " + RAW))
    assert given(twice, f"key={MINE}").key == MINE
    for two in (
        ((b"x-api-key", RAW), (b"x-tokenman-key", OTHER.encode())),
        ((b"x-api-key", RAW), (b"X-Api-Key", OTHER.encode())),
    ):
        assert given(two, "").key == CONFLICT
    assert given(((b"x-api-key", RAW),), f"key={OTHER}").key == CONFLICT


@pytest.mark.parametrize(
    "header",
    [(b"x-note", b"my key is " + RAW), (b"cookie", b"a=" + RAW), (b"user-agent", b"x/" + RAW[:20]), (b"referer", RAW)],
)
def test_where_nobody_puts_keys_it_is_no_key_and_goes_no_further_all_the_same(header: tuple[bytes, bytes]) -> None:
    found = given((*PLAIN, header), f"q={MINE}&x=1")
    assert (found.key, found.headers, found.query) == ("", PLAIN, "x=1")


def test_the_callers_own_keys_go_with_it_and_nothing_else() -> None:
    own = ((b"x-api-key", b"sk-ant-mine"), (b"Authorization", b"Bearer sk-ant-oat01-x"), (b"cookie", b"a=1"))
    found = given((*PLAIN, *own, (b"x-tokenman-key", RAW)), "key=AIza-mine&alt=sse")
    assert found.without_own == ((*PLAIN, (b"cookie", b"a=1")), "alt=sse")


def test_nothing_of_it_is_shown_by_accident() -> None:
    assert MINE not in repr(given(((b"x-api-key", RAW), (b"x-note", RAW)), ""))
