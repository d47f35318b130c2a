"""Tells whether a port can be had, without disturbing anybody's start."""

import socket

from tokenman_core.config.values import Address


def free_port(address: Address) -> int:
    """The port that can be had there: the one that it names, for 0 one that is free.

    Bound and not listened at, so that of two starts at once neither disturbs the other. Raises OSError.
    """
    family, _, _, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        attempt.bind(place)
        return int(attempt.getsockname()[1])
