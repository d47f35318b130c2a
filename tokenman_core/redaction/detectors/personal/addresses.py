"""Addresses of the net: IPv4, IPv6 and MAC, without versions, netmasks, times of day and what is nobody's."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from tokenman_core.redaction.detectors.words import VERSION, Spotted
from tokenman_core.redaction.entities import Finding

_IPV4 = re.compile(r"(?<![0-9A-Za-z_.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9]|\.[0-9]|[A-Za-z_])")
_IPV6 = re.compile(
    r"(?:(?<![0-9A-Za-z_:.])|(?<=[^0-9A-Fa-f:]:)(?=[0-9A-Fa-f]))(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})?(?![0-9A-Za-z_:])"
)
_MAC = re.compile(
    r"(?<![0-9A-Za-z_:.-])(?:[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4})(?![0-9A-Za-z_:-]|\.[0-9A-Fa-f])"
)
_LEADING_ZERO = re.compile(r"(?<![0-9])0[0-9]")
# Of resolvers, of private networks as a whole (RFC 1918), and where clouds tell a machine about itself (RFC 3927).
EVERYBODYS: Final = frozenset(
    {"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "10.0.0.0", "172.16.0.0", "192.168.0.0", "169.254.169.254"}
)
_PORT = re.compile(r":[0-9]{2,5}(?![0-9])|/(?:[89]|[12][0-9]|3[0-2])(?![0-9.])")  # or the length of a network's prefix
_AMONG_NUMBERS = re.compile(r"[^0-9.][0-9]*\.[0-9]+[ ,]$")  # a decimal before it


class Addresses:
    def ipv4(self, plain: str, spotted: Spotted) -> Iterator[Finding]:
        for match in _IPV4.finditer(plain):
            value = match[0]
            if value in EVERYBODYS:
                continue
            # By hand: `ipaddress`, and presidio's recogniser, which asks the same, take many times as long.
            octets = [*map(int, value.split("."))]
            if max(octets) > 255 or _LEADING_ZERO.search(value):
                continue
            if octets[0] in (0, 127, 255) or 224 <= octets[0] < 240:  # unspecified, loopback, netmask, multicast
                continue
            behind = plain[max(0, match.start() - 1) : match.start()]
            if behind in ("-", "^", "~", "v", "V") or plain[max(0, match.start() - 2) : match.start()] in (
                "==",
                ">=",
                "<=",
                "~=",
            ):
                continue
            if spotted.names("IP_ADDRESS", match.start()) or _PORT.match(plain, match.end()):
                yield Finding(*match.span(), "IP_ADDRESS")
                continue
            # Versions and sections have small parts, object identifiers begin with 0 to 2, lists of numbers have neighbours.
            if (
                max(octets) < 20
                or octets[0] < 3
                or _AMONG_NUMBERS.search(plain[max(0, match.start() - 16) : match.start()])
            ):
                continue
            if spotted.near(VERSION, match.start(), match.start()):
                continue
            yield Finding(*match.span(), "IP_ADDRESS", 0.85)

    def ipv6(self, plain: str) -> Iterator[Finding]:
        for match in _IPV6.finditer(plain):
            value = match[0]
            groups = [group for group in value.split(":") if group]
            if len(groups) < 3 or all(len(group) <= 2 for group in groups) or not any(char.isdigit() for char in value):
                continue
            try:
                address = ipaddress.IPv6Address(value)
            except ValueError:
                continue
            if not (address.is_loopback or address.is_unspecified or address.is_multicast):
                yield Finding(*match.span(), "IP_ADDRESS")

    def mac(self, plain: str, spotted: Spotted) -> Iterator[Finding]:
        """No broadcast, no zeroes, none of the groups' own; digits alone (times, dates) only where a word says so."""
        for match in _MAC.finditer(plain):
            value = match[0].lower()
            digits = [char for char in value if char.isalnum()]
            if len(set(digits)) < 3 or value.startswith(("01:00:5e", "33:33:", "01-00-5e", "33-33-")):
                continue
            mixed = any(char.isalpha() for char in digits) and any(char.isdigit() for char in digits)
            if mixed or spotted.near("MAC_ADDRESS", *match.span()):
                yield Finding(*match.span(), "MAC_ADDRESS")
