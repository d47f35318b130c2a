"""What of an answer's headers is given again, and that an entry's repr tells nothing of the answer."""

from decimal import Decimal

import pytest

from tokenman_core.caching.entry import Entry, kept_headers
from tokenman_core.usage import Usage

GOES = """
Connection: keep-alive
Keep-Alive: timeout=5
Transfer-Encoding: chunked
Trailer: x
TE: trailers
Upgrade: h2c
Proxy-Authenticate: Basic
Set-Cookie: __cf_bm=secret
Content-Length: 12
Content-Encoding: gzip
Date: Mon, 01 Jan 2026 00:00:00 GMT
Age: 3
Expires: 0
Retry-After: 3
retry-after-ms: 3
x-should-retry: true
x-ratelimit-remaining-requests: 4
x-ratelimit-limit-tokens: 9
anthropic-ratelimit-tokens-reset: 2026-01-01T00:00:00Z
RateLimit: "default";r=50
RateLimit-Policy: "default";q=100
ETag: "1"
Last-Modified: Mon, 01 Jan 2026 00:00:00 GMT
Digest: sha-256=x
Content-Digest: sha-256=:x:
Repr-Digest: sha-256=:x:
Content-MD5: x
Alt-Svc: h3=":443"
Strict-Transport-Security: max-age=1
X-TokenMan-Cache: miss
X-Tokenman-Request-Id: req_1
Server-Timing: x;dur=1
CF-RAY: 1
cf-cache-status: DYNAMIC
Via: 1.1 google
"""
STAYS = """
Content-Type: text/event-stream; charset=utf-8
content-type: application/json
Request-Id: req_0123
x-request-id: 0123
x-goog-request-id: 1
openai-organization: org-1
openai-version: 2020-10-01
openai-project: proj_1
anthropic-organization-id: 1
anthropic-version: 2023-06-01
X-Something-New: yes
"""


def pair(line: str) -> tuple[bytes, bytes]:
    name, _, value = line.encode().partition(b": ")
    return name, value


@pytest.mark.parametrize("line", GOES.split("\n")[1:-1])
def test_what_speaks_of_one_message_is_not_given_again(line: str) -> None:
    assert kept_headers((pair(line), (b"A", b"b"))) == ((b"A", b"b"),)


@pytest.mark.parametrize("line", STAYS.split("\n")[1:-1])
def test_what_speaks_of_the_answer_stays_as_it_came(line: str) -> None:
    assert kept_headers((pair(line),)) == (pair(line),)


def test_what_connection_names_goes_too() -> None:
    assert kept_headers(((b"Connection", b"close, X-Hop"), (b"x-hop", b"1"), (b"b", b"2"))) == ((b"b", b"2"),)


def test_order_and_repetition_stay() -> None:
    headers = ((b"b", b"2"), (b"Date", b"x"), (b"A", b"1"), (b"b", b"3"))
    assert kept_headers(headers) == ((b"b", b"2"), (b"A", b"1"), (b"b", b"3"))


def test_a_repr_does_not_show_the_body() -> None:
    entry = Entry(200, (), False, b"planted words", (), 1.0, "p", "m", "", 1.0, Usage(), Decimal(1))
    assert "planted" not in repr(entry)
