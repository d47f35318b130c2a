import pytest

from addons.proxy.plain_host import MOST, host_of, host_said

HEAD = b"POST /v1 HTTP/1.1\r\nAccept: */*\r\nhOsT:  api.groq.com:80 \r\nX: y\r\n\r\nHost: other"


def test_the_name_is_told_as_soon_as_it_is_there_and_not_before():
    until = HEAD.index(b" \r\nX") + 3
    assert [host_said(HEAD[:end]) for end in range(1, until)] == [None] * (until - 1)
    assert {host_said(HEAD[:end]) for end in range(until, len(HEAD) + 1)} == {"api.groq.com"}


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01", b"SSH-2.0-OpenSSH\r\n", b"EHLO mail.example\r\n", b"PING\r\n", b"get / HTTP/1.1\r\n", b"A" * 21,
        b"GET / HTTP/1.1\r\n\r\nHost: in.body\r\n", b"GET / HTTP/1.0\n\nHost: in.body\n", b"GET / HTTP/1.1\r\n" + b"a" * MOST,
    ],
)  # fmt: skip
def test_what_has_no_name_is_waited_for_no_longer(data):
    assert host_said(data) == ""


@pytest.mark.parametrize(
    ("value", "name"),
    [("a.example", "a.example"), (" a.example:80", "a.example"), ("[::1]:80", "[::1]"), ("a:b", "a:b"), ("", "")],
)
def test_a_name_stands_without_its_port(value, name):
    assert host_of(value) == name
