"""Which addresses may be dialled: after the name was looked up, so that no name can stand for an address inside.

The caller dials one of the addresses that it gets back. A second look-up could give another one (DNS rebinding).
"""

import asyncio
import socket
from collections.abc import Callable, Collection, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from tokenman_core.net.wire import UpstreamError

Address = IPv4Address | IPv6Address

# The table is our own: what `ipaddress` calls global differs between the Pythons that we run on.
REFUSED = tuple(
    ip_network(net)
    for net in (
        "0.0.0.0/8",  # RFC 1122 §3.2.1.3: this network; Linux takes it for loopback
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # RFC 1918: private
        "100.64.0.0/10",  # RFC 6598: carrier-grade NAT
        "127.0.0.0/8", "169.254.0.0/16",  # loopback; link-local, where clouds keep their metadata
        "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",  # RFC 6890: special, tests
        "224.0.0.0/4", "240.0.0.0/4",  # multicast; reserved, and broadcast
        "::/128", "::1/128", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "100::/64", "2001:db8::/32",
        "64:ff9b:1::/48",  # RFC 8215: NAT64 of a network's own
    )
)  # fmt: skip
# An IPv4 address inside of an IPv6 one, by its place from the right: judged as what it is.
EMBEDDED = (
    (IPv6Network("::ffff:0:0/96"), 0),  # RFC 4291 §2.5.5.2: mapped
    (IPv6Network("::/96"), 0),  # RFC 4291 §2.5.5.1: compatible
    (IPv6Network("64:ff9b::/96"), 0),  # RFC 6052: NAT64
    (IPv6Network("::ffff:0:0:0/96"), 0),  # RFC 2765: translated
    (IPv6Network("2002::/16"), 80),  # RFC 3056: 6to4
)
TEREDO = IPv6Network("2001::/32")  # RFC 4380: the IPv4 address is there, inverted


class Forbidden(UpstreamError):
    """The name leads to an address that may not be dialled from here."""

    def __init__(self, why: str) -> None:
        super().__init__("refused", why)


def embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, IPv4Address):
        return None
    if address in TEREDO:
        return IPv4Address(~int(address) & 0xFFFFFFFF)
    for network, shift in EMBEDDED:
        if address in network and int(address) > 1:
            return IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return None


def is_inner(address: Address) -> bool:
    """Whether the address is of this machine or of a network around it, as far as the address itself tells."""
    inside = embedded(address)
    if inside is not None:
        return is_inner(inside)
    return any(address in net for net in REFUSED if net.version == address.version)


def is_own(address: Address) -> bool:
    """Whether it is an address of this machine: a socket can be bound to no other. No packet is sent."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


Listeners = Callable[[], Iterable[tuple[str, int]]]


class Guard:
    """`permitted`: hosts with a port, or with None for all ports, that may be dialled though their address is inner. A host
    may be a network ("10.1.0.0/16") too.

    `listeners` gives our own: no name leads there, whatever is permitted.
    """

    def __init__(
        self,
        permitted: Collection[tuple[str, int | None]] = (),
        listeners: Listeners = tuple,
        *,
        own: Callable[[Address], bool] = is_own,
    ) -> None:
        self._listeners, self._own = listeners, own
        self.permit(permitted)

    def permit(self, permitted: Collection[tuple[str, int | None]]) -> None:
        """These from now on, and no others."""
        self._permitted = {(_normal(host), port) for host, port in permitted}
        self._networks = [(network, port) for host, port in permitted if (network := _network(host))]

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses to dial, in order; one of them is to be dialled, and not the name again.

        Raises Forbidden, or UpstreamError("connect") for a name that nobody knows.
        """
        found = await self._find(host, port)
        allowed = [address for address in found if self._permits(host, address, port) or not self._refuses(address)]
        if not allowed:
            raise Forbidden(f"{host} is this machine or in a private network; intercept.private can permit it")
        return [str(address) for address in _interleaved(allowed)]

    async def resolve_permitted(self, host: str, port: int) -> list[str]:
        """For a host that our own environment names. Raises Forbidden for ourselves, UpstreamError."""
        return [str(address) for address in _interleaved(await self._find(host, port))]

    def judge_literal(self, host: str, port: int) -> None:
        """For a destination whose name somebody else looks up (a parent proxy). Raises Forbidden for an inner address."""
        name = _normal(host)
        address = ip_address("127.0.0.1") if name == "localhost" or name.endswith(".localhost") else _literal(name)
        if address is None or self._permits(host, address, port):
            return
        if self._refuses(address):
            raise Forbidden(f"{host} is this machine or in a private network; intercept.private can permit it")

    async def _find(self, host: str, port: int) -> list[Address]:
        literal = _literal(_normal(host))
        found = [literal] if literal else await _look_up(host, port)
        if any(self._is_listener(address, port) for address in found):
            raise Forbidden("that is TokenMan itself")
        return found

    def _permits(self, host: str, address: Address, port: int) -> bool:
        if not {(_normal(host), port), (_normal(host), None)}.isdisjoint(self._permitted):
            return True
        inside = embedded(address) or address
        return any(at in (port, None) and inside in network for network, at in self._networks)

    def _refuses(self, address: Address) -> bool:
        return is_inner(address) or self._own(embedded(address) or address)

    def _is_listener(self, address: Address, port: int) -> bool:
        """An address of this machine with a port of ours, whichever address of it we are bound to: firewalls lead from one to
        another. But what is bound to one address of loopback is not met at the others, where a provider may listen."""
        hosts = [host for host, listening in self._listeners() if listening == port]
        if not hosts:
            return False
        address = embedded(address) or address
        if str(address) in hosts or address.is_unspecified or address in _THIS_NETWORK:
            return True
        if address in _LOOPBACK:
            return any((bound := _literal(host)) is None or bound not in _LOOPBACK for host in hosts)
        return address.is_loopback or self._own(address)


_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_LOOPBACK = IPv4Network("127.0.0.0/8")


def _normal(host: str) -> str:
    return host.lower().rstrip(".").strip("[]")


def _literal(name: str) -> Address | None:
    """The address that a host is written as, also in the ways that only the C library reads: `127.1`, `0x7f000001`."""
    try:
        return ip_address(name)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(name)) if name[-1:].isalnum() and " " not in name else None
    except (OSError, UnicodeError):
        return None


def is_fixed(host: str) -> bool:
    """Whether nobody decides where it leads: an address, however it is written, or this machine's own name (RFC 6761 §6.3)."""
    name = _normal(host)
    return name == "localhost" or name.endswith(".localhost") or _literal(name) is not None


def _network(host: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(host, strict=False) if "/" in host else None
    except ValueError:
        return None


async def _look_up(host: str, port: int) -> list[Address]:
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as e:
        raise UpstreamError("connect", f"the name {host} cannot be resolved") from e
    return [ip_address(str(info[4][0])) for info in infos]


def _interleaved(addresses: list[Address]) -> list[Address]:
    """Families in turn, the first one's first (RFC 8305 §4), so that one that is broken costs one attempt."""
    unique = list(dict.fromkeys(addresses))
    first = [a for a in unique if a.version == unique[0].version]
    other = [a for a in unique if a.version != unique[0].version]
    mixed: list[Address] = []
    for n in range(max(len(first), len(other))):
        mixed += first[n : n + 1] + other[n : n + 1]
    return mixed
