"""What looks like a credential, or would speak to a terminal, does not survive in a line."""

import time
import timeit

import pytest

from tokenman_core.credentials import Mask, written_out

KEYS = [
    "sk-ant-api03-abcdefghijklmnop",
    "sk-proj-abcdefghijklmnop",
    "sk-0123456789abcdef",
    "sk_live_abcdefgh12345678",
    "tkm_abcdefgh12345678",
    "ghp_abcdefgh12345678",
    "github_pat_abcdefgh12345678",
    "AIzaSyA0123456789abcdefghijklmno",
    "gsk_abcdefgh12345678",
    "xai-abcdefgh12345678",
    "AKIAABCDEFGHIJKLMNOP",
    "hf_abcdefgh12345678",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "xoxb-1234567890-abc",
]

# the line, and what must not survive in it
LINES = [
    *((f"the key is {key}, you know", key) for key in KEYS),
    *((f'{{"key":"{key}"}}', key) for key in KEYS),
    ("Authorization: Bearer abcdef", "abcdef"),
    ("authorization: bearer x.y.z-1", "x.y.z-1"),
    ("(b'authorization', b'Bearer opaque-value')", "opaque-value"),
    ("[(b'x-api-key', b'opaque')]", "opaque"),
    ("{'x-goog-api-key': 'opaque'}", "opaque"),
    ('{\\"x-api-key\\": \\"opaque\\"}', "opaque"),
    ("X-Api-Key: opaque", "opaque"),
    ("x-tokenman-key=opaque", "opaque"),
    ("Proxy-Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ("cookie: session=opaque", "opaque"),
    ("GET /v1beta/models?key=opaque&alt=sse HTTP/1.1", "opaque"),
    ("https://x.example/?alt=sse&access_token=opaque", "opaque"),
    ("1redis://user:opaque@host/0", "opaque"),
    ("head eyJhbGciOiJIUzI1NiJ9 alone", "hbGciOiJIUzI1NiJ9"),
    ("redis://user:opaque@host/0", "opaque"),
    ("connect to postgresql://u:opaque@db failed", "opaque"),
]


@pytest.mark.parametrize(("line", "credential"), LINES)
def test_what_looks_like_a_credential_does_not_survive(line, credential):
    masked = Mask()(line)
    assert credential not in masked
    assert "***" in masked
    assert Mask()(masked) == masked


# What a rule could begin with again and again, and never come to its end.
HOSTILE = (
    "a.", "a+", "-a", "sk-", "sk-ant-", "-sk-aaaaaaa", "eyJa.", "-eyJaaaaaaaa", "eyJ-", "ya29.", "-AIza", "tkm_", "-hf_",
    "bearer ", "basic\n", "x-api-key ", "cookie:", "authorization= ", "set-cookie: bearer ", "?key=", "http://", "a://", "://a",
    "AKIA", "sk_live_", " ", "a",
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_text_takes_no_longer_than_its_length(piece):
    """Four times the text takes four times as long, not sixteen times; the bound is far from both."""
    mask = Mask(["a-known-secret"])

    def best(length):
        text = piece * (length // len(piece))
        return min(timeit.repeat(lambda: mask(text), timer=time.process_time, number=1, repeat=3))

    assert best(40_000) < max(10 * best(10_000), 0.1)


@pytest.mark.parametrize(
    "line",
    [
        "the request req_0123456789abcdef01234567 took 5 ms",
        "POST /v1/messages?beta=true 200",
        "task-force sk-1",
        "https://api.openai.com/v1/x",
        "the bearer of this",
        "a key: value pair",
        "mode=redact",
        "2026-11-24 09:00:00",
        "[EMAIL_ADDRESS_0123456789ab]",
        "listens at 127.0.0.1:7677",
    ],
)
def test_ordinary_lines_stay_as_they_are(line):
    assert Mask()(line) == line


def test_known_secrets_go_whatever_they_look_like():
    masked = Mask(["hunter22", "hunter22-longer", "abc"])("hunter22-longer and hunter22 and abc")
    assert masked == "*** and *** and abc"


@pytest.mark.parametrize("text", ["plain", "with\ttab", "ümläut ✓ 日本", "[EMAIL_ADDRESS_0123456789ab]"])
def test_what_a_terminal_may_be_told_stays(text):
    assert written_out(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines", r"two\nlines"),
        ("\r\x1b[2J", r"\r\x1b[2J"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
        ("a\u202eb\u2066c\u2028d", r"a\u202eb\u2066c\u2028d"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text, shown):
    assert written_out(text) == shown
