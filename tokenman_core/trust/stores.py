"""Which trust stores a machine has."""

from tokenman_core.trust.anchors import anchors
from tokenman_core.trust.desktop import Keychain, UserRoots
from tokenman_core.trust.machine import Machine
from tokenman_core.trust.nss import databases
from tokenman_core.trust.store import Store


def stores(machine: Machine) -> list[Store]:
    """The system's or the user's own store first, then those of browsers."""
    match machine.system:
        case "linux":
            return [*anchors(machine), *databases(machine)]
        case "darwin":
            return [Keychain(machine), *databases(machine)]
        case "windows":
            return [UserRoots(machine)]
