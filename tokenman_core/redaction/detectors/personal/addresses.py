"""Addresses of the net: IPv4, IPv6 and MAC, without versions, netmasks, times of day and what is nobody's."""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Final

from tokenman_core.redaction.detectors import words
from tokenman_core.redaction.detectors.words import VERSION, Spotted
from tokenman_core.redaction.entities import Finding

_IPV4 = re.compile(r"(?<![0-9.])[0-9]{1,3}\.(?:[0-9]{1,3}\.){2}[0-9]{1,3}(?!\.?[0-9])")
# What a colon sets apart from an address behind it: a sign, or a word that is no group of it (`mac:`, `tundra:`).
_LABELLED = "|".join(
    f"(?<={word}:.)"
    for word in ("[^0-9A-Fa-f:]", *(f"[G-Zg-z][A-Fa-f]{{{size}}}" for size in (1, 2, 3)), "[A-Za-z]{5}")
)
# As of chains of digits its first character stands first.
_IPV6 = re.compile(
    rf"[0-9A-Fa-f:](?:(?<![0-9A-Za-z_:.].)|(?<=_.)(?<![0-9A-Za-z_]_.)|(?<=:.)(?:{_LABELLED}))"
    r"(?:(?<=:)(?=:)|(?<!:)[0-9A-Fa-f]{0,3}:)(?:[0-9A-Fa-f]{0,4}:){1,6}"
    r"(?:(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\.?[0-9])|[0-9A-Fa-f]{1,4})?(?![0-9A-Za-z]|:[0-9A-Fa-f:]|_[0-9A-Za-z_])"
)
# Two groups alone may be a name in a program (`a::b`); these begin addresses: of a link, of a site, of the net (RFC 4291, 4193).
_BEGINS = re.compile(r"(?:fe[89ab]|f[cd][0-9a-f]|[23][0-9a-f]{2})[0-9a-f]:", re.IGNORECASE)
_ZONE = re.compile(
    r"%(?:25)?[0-9A-Za-z][0-9A-Za-z._~-]{0,31}"
)  # of an address of a link: on which interface (RFC 4007, 6874)
_MAC = re.compile(
    r"(?:(?<![0-9A-Za-z_:.-])(?<!\[\*)|(?<![0-9A-Za-z_].)(?<=_)|(?<=^[A-Za-z]:)|(?<=[^0-9A-Za-z_:][A-Za-z]:)|(?<=[A-Za-z]{3}:)|(?<=[G-Zg-z].:))"
    r"(?:[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4})(?![0-9A-Za-z-]|:[0-9A-Fa-f:]|_[0-9A-Za-z_]|\.[0-9A-Fa-f])"
)
_LEADING_ZERO = re.compile(r"(?<![0-9])0[0-9]")
# Of resolvers, of private networks as a whole (RFC 1918), and where clouds tell a machine about itself (RFC 3927).
EVERYBODYS: Final = frozenset(
    {"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "10.0.0.0", "172.16.0.0", "192.168.0.0", "169.254.169.254"}
)
_PORT = re.compile(r":[0-9]{2,5}(?![0-9])|/(?:[89]|[12][0-9]|3[0-2])(?![0-9.])")  # or the length of a network's prefix
_AMONG_NUMBERS = re.compile(r"[^0-9.][0-9]*\.[0-9]+[ ,]$")  # a decimal before it


# What stands between two addresses of a list: signs, and at most a word.
_LISTED = re.compile(r"[^0-9A-Za-z]{1,12}(?:[A-Za-z]{1,12}[^0-9A-Za-z]{1,6})?")
PRIVATE: Final = (
    "10."  # whose addresses often look like versions; those of the other private networks do not (RFC 1918)
)
_SURE, _LIKELY, _DOUBTFUL = 1.0, 0.85, 0.0


class Addresses:
    def ipv4(self, plain: str, spotted: Spotted) -> Iterator[Finding]:
        """In a list a doubtful one is an address if a neighbour surely is, or if both are of a private network.

        One of a private network that is a text by itself, as an item of a list in JSON is, counts as in a list.
        """
        doubtful: list[Finding] = []  # those of a list in which none has been sure so far
        last, sure = -1, False  # where the one before ends, and whether it is surely one, or in a list with one
        for match in _IPV4.finditer(plain):
            start, end = match.span()
            score = _ipv4_score(plain, spotted, start, end, in_range=last == start - 1)
            if (doubtful or score == _DOUBTFUL) and (last < 0 or _LISTED.fullmatch(plain, last, start) is None):
                doubtful, sure = [], False
            last = end
            if score is None:
                continue
            if score == _DOUBTFUL:
                doubtful.append(Finding(start, end, "IP_ADDRESS", _LIKELY))
                sure = sure or sum(plain.startswith(PRIVATE, each.start) for each in doubtful) > 1
            else:
                yield Finding(start, end, "IP_ADDRESS", score)
                sure = True
            if sure and doubtful:
                yield from doubtful
                doubtful = []
        if len(doubtful) == 1 and _is_alone(plain, doubtful[0]) and not words.nobodys(spotted.key, len(spotted.key)):
            yield doubtful[0]

    def ipv6(self, plain: str) -> Iterator[Finding]:
        for match in _IPV6.finditer(plain):
            value, end = match[0], match.end()
            if value[-1] == ":" != value[-2]:  # of the sentence
                value, end = value[:-1], end - 1
            groups = [group for group in value.split(":") if group]
            embedded = "." in value  # an address of IPv4 at its end
            if not any(char.isdigit() for char in value) or all(len(group) <= 2 for group in groups):
                continue
            if len(groups) < 3 and not embedded and (len(groups) < 2 or value[-1] == ":" or not _BEGINS.match(value)):
                continue
            try:
                address = ipaddress.IPv6Address(value)
            except ValueError:
                continue
            if address.is_loopback or address.is_unspecified or address.is_multicast:
                continue
            if embedded and (_is_nobodys(address.packed[-4:]) or groups[-1] in EVERYBODYS):
                continue
            zone = _ZONE.match(plain, end) if address.is_link_local else None
            yield Finding(match.start(), zone.end() if zone is not None else end, "IP_ADDRESS")

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


def _is_alone(plain: str, finding: Finding) -> bool:
    """Whether an address of a private network is all that stands in a text."""
    value = plain[finding.start : finding.end]
    return value.startswith(PRIVATE) and value == plain.strip()


def _is_nobodys(octets: Sequence[int]) -> bool:
    """Unspecified, loopback, netmask, multicast."""
    return octets[0] in (0, 127, 255) or 224 <= octets[0] < 240


def _ipv4_score(plain: str, spotted: Spotted, start: int, end: int, *, in_range: bool) -> float | None:
    """How sure it is that four numbers are someone's address by themselves; None if they are none.

    `in_range`: an address stands before it, and one character between them (`10.0.0.1-10.0.0.9`).
    """
    value = plain[start:end]
    if value in EVERYBODYS:
        return None
    # By hand: `ipaddress`, and presidio's recogniser, which asks the same, take many times as long.
    octets = [*map(int, value.split("."))]
    if max(octets) > 255 or _LEADING_ZERO.search(value):
        return None
    if _is_nobodys(octets):
        return None
    behind = plain[max(0, start - 1) : start]
    if (behind in ("-", "^", "~") and not in_range) or plain[max(0, start - 2) : start] in ("==", ">=", "<=", "~="):
        return None
    named = spotted.names("IP_ADDRESS", start)
    ahead = plain[end : end + 1]
    if (
        behind.isalpha() or ahead.isalpha() or behind == "_" or ahead == "_"
    ):  # a word that it touches must say so (`IP192.0.2.1`)
        return _SURE if named and behind not in ("v", "V") else None
    if named or _PORT.match(plain, end):
        return _SURE
    if spotted.near(VERSION, start, start):
        return None
    # Versions and sections have small parts, object identifiers begin with 0 to 2, lists of numbers have neighbours.
    if max(octets) < 20 or octets[0] < 3 or _AMONG_NUMBERS.search(plain[max(0, start - 16) : start]):
        return _DOUBTFUL
    return _LIKELY
