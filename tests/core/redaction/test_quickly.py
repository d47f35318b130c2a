"""Checks that are made by hand for speed say what the library or the longer way says that they stand in for."""

import ipaddress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tokenman_core.redaction.detectors.personal import emails
from tokenman_core.redaction.detectors.personal.addresses import Addresses
from tokenman_core.redaction.detectors.words import Spotted

PARTS = st.one_of(
    st.integers(0, 260).map(str), st.sampled_from(["00", "01", "012", "0", "127", "224", "239", "255", "999"])
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PARTS, min_size=4, max_size=4).map(".".join))
def test_an_address_of_the_net_is_one_for_ipaddress_too(value: str) -> None:
    text = f"IP address: {value}"
    found = [text[each.start : each.end] for each in Addresses().ipv4(text, Spotted(text))]
    try:
        address = ipaddress.IPv4Address(value)
    except ValueError:
        assert found == []
        return
    nobodys = address.is_loopback or address.is_unspecified or address.is_multicast or address.packed[0] in (0, 255)
    public = value in ("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9")
    assert found == ([] if nobodys or public else [value])


@example("write to o'neil")
@given(st.text(alphabet="ab0.'-_+é !#%\"\\/=n", max_size=70))
def test_the_local_part_of_an_address_is_the_same_wherever_the_search_for_it_begins(before: str) -> None:
    whole = emails._LOCAL.search(before)
    quick = emails._LOCAL.search(before, len(before.rstrip(emails._IN_LOCAL)))
    assert (whole and whole.span()) == (quick and quick.span())


@pytest.mark.parametrize("address", ["jane@host.invalid", "jane@corp.example", "jane@1und1.de", "jane@example.co.uk"])
def test_an_address_is_known_by_its_shape_or_by_its_domain(address: str) -> None:
    assert [(each.start, each.end) for each in emails.Emails().find(f"to {address} now")] == [(3, 3 + len(address))]
