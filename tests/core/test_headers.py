"""Which headers pass: a table each."""

import pytest

from tokenman_core import headers as h

SENT = (
    (b"Host", b"api.example"),
    (b"User-Agent", b"program/1"),
    (b"X-Unknown", b"kept"),
    (b"x-unknown", b"kept twice"),
    (b"Connection", b"keep-alive, x-hop"),
    (b"X-Hop", b"gone"),
    (b"Proxy-Authorization", b"Basic xyz"),
    (b"X-TokenMan-Project", b"gone"),
    (b"TE", b"trailers"),
    (b"Content-Length", b"5"),
    (b"Transfer-Encoding", b"chunked"),
    (b"Authorization", b"Bearer sk-1"),
)


def test_a_provider_gets_the_programs_headers_in_order_and_case_and_none_that_is_ours() -> None:
    assert h.to_provider(SENT, h.first(SENT, b"connection")) == (
        (b"User-Agent", b"program/1"),
        (b"X-Unknown", b"kept"),
        (b"x-unknown", b"kept twice"),
        (b"Authorization", b"Bearer sk-1"),
    )


def test_a_client_gets_the_providers_headers_but_none_that_binds_it_to_the_providers_host() -> None:
    said = (
        (b"Request-Id", b"r1"), (b"Alt-Svc", b"h3"), (b"Strict-Transport-Security", b"max-age=1"), (b"x-tokenman-cache", b"hit"),
        (b"Content-Length", b"5"), (b"Retry-After", b"7"), (b"Keep-Alive", b"5"), (b"Server", b"cloud"),
    )  # fmt: skip
    kept = ((b"Request-Id", b"r1"), (b"Content-Length", b"5"), (b"Retry-After", b"7"), (b"Server", b"cloud"))
    assert h.to_client(said, 5) == kept
    assert h.to_client(said, 9) == (*(pair for pair in kept if pair[0] != b"Content-Length"), (b"content-length", b"9"))
    assert b"Content-Length" not in dict(h.to_client(said, None))


def test_two_lengths_are_replaced_by_the_true_one() -> None:
    doubled = ((b"content-length", b"5"), (b"content-length", b"5"))
    assert h.to_client(doubled, 5) == ((b"content-length", b"5"),)


def test_a_record_has_no_credential() -> None:
    shown = dict(h.without_secrets(SENT))
    assert shown[b"Authorization"] == b"[hidden]"
    assert shown[b"User-Agent"] == b"program/1"
    assert h.query_without_secrets("key=AIza1&alt=sse&flag") == "key=[hidden]&alt=sse&flag"
    assert h.query_without_secrets("") == ""


def test_an_ungoverned_call_loses_only_what_was_meant_for_us() -> None:
    names = [k for k, _ in h.ungoverned(SENT)]
    assert b"Proxy-Authorization" not in names
    assert b"X-TokenMan-Project" not in names
    assert b"Authorization" in names
    assert b"Host" in names


@pytest.mark.parametrize(
    ("sent", "refused"),
    [
        ((), False),
        (((b"Origin", b"https://evil.example"),), True),
        (((b"Origin", b"null"),), True),
        (((b"Origin", b"http://localhost:3000"),), False),
        (((b"Sec-Fetch-Site", b"cross-site"),), True),
        (((b"Sec-Fetch-Site", b"same-site"),), True),
        (((b"Sec-Fetch-Site", b"none"),), False),
    ],
)
def test_pages_of_other_sites_are_told_by_what_browsers_say(sent: h.Headers, refused: bool) -> None:
    assert h.cross_site(sent, ["http://localhost:3000"]) is refused
    assert h.cross_site(sent, ["*"]) is (refused and b"origin" not in {k.lower() for k, _ in sent})


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        (b"127.0.0.1:7677", True),
        (b"LOCALHOST", True),
        (b"localhost.", True),
        (b"[::1]:7677", True),
        (b"evil.example", False),
        (b"localhost:80@evil.example", False),
        (b"x#@localhost", False),
        (b"localhost/evil", False),
        (b"localhost:port", False),
        (b"", False),
        ("löcalhost".encode(), False),
    ],
)
def test_only_the_listeners_own_names_are_answered_to(host: bytes, allowed: bool) -> None:
    assert h.host_allowed(((b"Host", host),), {"localhost", "127.0.0.1", "::1"}) is allowed


def test_a_request_without_or_with_two_hosts_is_nobodys() -> None:
    assert not h.host_allowed((), {"localhost"})
    assert not h.host_allowed(((b"host", b"localhost"), (b"host", b"localhost")), {"localhost"})


def test_a_virtual_key_goes_nowhere_with_a_call_that_is_not_governed() -> None:
    kept = ((b"authorization", b"Bearer sk-mine"), (b"x-note", b"hello"))
    keys = ((b"X-Api-Key", b"tkm_1"), (b"authorization", b"Bearer tkm_1"), (b"authorization", b"Basic OnRrbV8x"))
    assert h.ungoverned((*kept, *keys)) == kept


@pytest.mark.parametrize(
    ("value", "login"),
    [
        (b"Basic MDEyMzQ1Njc4OWFiOg==", ("0123456789ab", "")),
        (b"basic  MDEyMzQ1Njc4OWFiOnJ1bg==", ("0123456789ab", "run")),
        (b"Basic MDEyMzQ1Njc4OWFi", ("0123456789ab", "")),
        (b"Bearer tkm_1", ("", "tkm_1")),
        (b"Digest MDEyMzQ1Njc4OWFiOg==", ("", "")),
        (b"Basic", ("", "")),
        (b"Basic !!!", ("", "")),
        (b"Basic /////w==", ("", "")),
        (b"", ("", "")),
    ],
)
def test_the_login_at_a_proxy_is_read_or_there_is_none(value: bytes, login: tuple[str, str]) -> None:
    assert h.proxy_login(((b"Proxy-Authorization", value),)) == login
    assert h.proxy_login(((b"Authorization", value),)) == ("", "")
