import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tokenman_core.config.values import Duration, Listen, Size, Url, parse_duration, parse_size

DURATIONS = [
    (30, 30), (1.5, 1.5), (0, 0), ("30", 30), ("1.5", 1.5), ("500ms", 0.5), ("30s", 30), ("1.5s", 1.5), ("5m", 300),
    ("1h", 3600), ("7d", 604800), ("90d", 7776000), (" 30 s ", 30), ("0", 0),
]  # fmt: skip
NO_DURATIONS = [
    "abc", -5, "-5", "-5s", "", "s", "5 years", "5S!", "1e3", "٣s", True, False, None, [], {}, math.nan, math.inf, -math.inf, "nan",
    "inf", 1e300, "99999999d", "1,5", "0x10", "5s5",
]  # fmt: skip


@pytest.mark.parametrize(("written", "seconds"), DURATIONS)
def test_durations_become_seconds(written, seconds):
    assert TypeAdapter(Duration).validate_python(written) == pytest.approx(seconds)


@pytest.mark.parametrize("written", NO_DURATIONS, ids=repr)
def test_what_is_no_duration_is_refused(written):
    with pytest.raises(ValidationError, match="is not a duration"):
        TypeAdapter(Duration).validate_python(written)


SIZES = [
    (65536, 65536), (0, 0), ("65536", 65536), ("64KiB", 65536), ("32MiB", 33554432), ("1GiB", 2**30), ("1GB", 10**9),
    ("2TB", 2 * 10**12), ("5kB", 5000), ("5KB", 5000), ("64kib", 65536), ("1.5MiB", 1572864), ("10 MiB", 10485760), ("12B", 12),
]  # fmt: skip
NO_SIZES = [
    "abc",
    -5,
    "-5",
    "-5MiB",
    "",
    1.5,
    "1.5",
    "1.5B",
    "10K",
    "10M",
    True,
    None,
    [],
    "1e3",
    "1ZiB",
    "٣",
    2**60,
    "9999999TB",
]


@pytest.mark.parametrize(("written", "size"), SIZES)
def test_sizes_become_bytes(written, size):
    found = TypeAdapter(Size).validate_python(written)
    assert found == size
    assert type(found) is int


@pytest.mark.parametrize("written", NO_SIZES, ids=repr)
def test_what_is_no_size_is_refused(written):
    with pytest.raises(ValidationError, match="is not a size"):
        TypeAdapter(Size).validate_python(written)


@given(st.one_of(st.text(), st.floats(), st.integers(), st.none(), st.booleans()))
def test_no_value_is_anything_but_a_good_one_or_refused(value):
    for parse in (parse_duration, parse_size):
        try:
            assert 0 <= parse(value) < 2**51
        except ValueError:
            pass


ADDRESSES = [
    ("127.0.0.1:7677", ("127.0.0.1", 7677), True), ("[::1]:1", ("::1", 1), True), ("localhost:1", ("localhost", 1), True),
    ("127.0.0.2:1", ("127.0.0.2", 1), True), ("0.0.0.0:1", ("0.0.0.0", 1), False), ("[::]:1", ("::", 1), False),
    ("10.0.0.1:0", ("10.0.0.1", 0), False), ("Box.example:1", ("box.example", 1), False),
    ("127.0.0.1.nip.io:1", ("127.0.0.1.nip.io", 1), False),
]  # fmt: skip


@pytest.mark.parametrize(("written", "place", "loopback"), ADDRESSES)
def test_addresses_are_read(written, place, loopback):
    found = TypeAdapter(Listen).validate_python(written)
    assert (found.host, found.port) == place
    assert found.loopback is loopback
    assert TypeAdapter(Listen).validate_python(str(found)) == found


@pytest.mark.parametrize(
    "written",
    [
        "7677",
        7677,
        ":7677",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "h:65536",
        "::1:80",
        "[x]:1",
        "a b:1",
        "[::1]",
        None,
        "h:-1",
    ],
)
def test_what_is_no_address_is_refused(written):
    with pytest.raises(ValidationError, match="is not an address"):
        TypeAdapter(Listen).validate_python(written)


URLS = [
    ("https://api.example.com", "https", "api.example.com", 443, "", "https://api.example.com"),
    ("https://api.example.com/", "https", "api.example.com", 443, "", "https://api.example.com"),
    ("https://api.example.com:443/v1/", "https", "api.example.com", 443, "/v1", "https://api.example.com/v1"),
    ("http://127.0.0.1:11434/v1", "http", "127.0.0.1", 11434, "/v1", "http://127.0.0.1:11434/v1"),
    ("http://[::1]:80/a/b", "http", "::1", 80, "/a/b", "http://[::1]/a/b"),
    ("HTTPS://API.Example.COM", "https", "api.example.com", 443, "", "https://api.example.com"),
]


@pytest.mark.parametrize(("written", "scheme", "host", "port", "path", "text"), URLS)
def test_base_urls_are_read(written, scheme, host, port, path, text):
    found = TypeAdapter(Url).validate_python(written)
    assert (found.scheme, found.host, found.port, found.path, str(found)) == (scheme, host, port, path, text)
    assert TypeAdapter(Url).validate_python(str(found)) == found


@pytest.mark.parametrize(
    "written",
    ["", "api.example.com", "ftp://x", "https://", "https:///v1", "https://x:99999", "https://x:0", "https://x?a=1", "https://x#a", "https://u:p@x",
     "https://u@x", "https://x\\@y", "https://x y", "https://ex\u0430mple.com", "https://*.x", 5, None, "https://-x-", "https://x..y"],
)  # fmt: skip
def test_what_is_no_base_url_is_refused(written):
    with pytest.raises(ValidationError):
        TypeAdapter(Url).validate_python(written)
