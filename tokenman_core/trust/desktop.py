"""The user's own store on macOS (the login keychain) and on Windows (the user's root certificates)."""

import re

from tokenman_core.trust.machine import Machine
from tokenman_core.trust.store import Certificate, Command

_SHA256 = re.compile(r"SHA-256 hash: ([0-9A-F]{64})")


class Keychain:
    """security(1). macOS asks for the user's password in a window of its own."""

    name = "macOS (login keychain)"
    privileged = False

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._keychain = str(machine.home / "Library/Keychains/login.keychain-db")

    def holds(self, certificate: Certificate) -> bool:
        return certificate.sha256 in self._held()

    def left(self, certificate: Certificate) -> bool:
        return bool(self._held())

    def add(self, certificate: Certificate) -> list[Command]:
        usage = ("-r", "trustRoot", "-p", "ssl", "-k", self._keychain)
        return [*self.remove(certificate), ("security", "add-trusted-cert", *usage, str(certificate.path))]

    def remove(self, certificate: Certificate) -> list[Command]:
        # -t: its trust settings too.
        return [("security", "delete-certificate", "-Z", each, "-t", self._keychain) for each in self._held()]

    def _held(self) -> list[str]:
        """The fingerprints of all certificates of ours, of older authorities too."""
        found = self._machine.run(("security", "find-certificate", "-a", "-Z", "-c", "TokenMan CA", self._keychain))
        return _SHA256.findall(found.out) if found.code == 0 else []


class UserRoots:
    """certutil of Windows; it names certificates by their SHA-1 fingerprint."""

    name = "Windows (your root certificates)"
    privileged = False

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def holds(self, certificate: Certificate) -> bool:
        if not certificate.sha1:
            return False
        return self._machine.run(("certutil", "-user", "-store", "Root", certificate.sha1)).code == 0

    def left(self, certificate: Certificate) -> bool:
        return self.holds(certificate)

    def add(self, certificate: Certificate) -> list[Command]:
        return [("certutil", "-user", "-addstore", "Root", str(certificate.path))]

    def remove(self, certificate: Certificate) -> list[Command]:
        return [("certutil", "-user", "-delstore", "Root", certificate.sha1)]
