"""Counts the bad keys of each address, so that whoever tries many is told to wait."""

import ipaddress
from collections import OrderedDict

from tokenman_core.clock import Clock

MOST = 20
WINDOW_S = 60.0
_ADDRESSES = 10_000  # that are remembered; the one that has failed least recently is forgotten


class Failures:
    """A good key is never held up by it: it is too long to be guessed, and nobody else's guesses are to keep its owner out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def add(self, address: str) -> float:
        """One more from there; for how many seconds it is to wait, 0.0 for not at all."""
        name, now = _network(address), self._clock.monotonic()
        count, until = self._seen.get(name, (0, 0.0))
        if now >= until:
            count, until = 0, now + WINDOW_S
        self._seen[name] = count + 1, until
        self._seen.move_to_end(name)
        if len(self._seen) > _ADDRESSES:
            self._seen.popitem(last=False)
        return until - now if count >= MOST else 0.0


def _network(address: str) -> str:
    """Whoever has one address of IPv6 has all of its /64."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
