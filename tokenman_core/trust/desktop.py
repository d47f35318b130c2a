"""The user's own store on macOS (the login keychain) and on Windows (the user's root certificates)."""

from tokenman_core.trust.machine import Machine
from tokenman_core.trust.store import Certificate, Command


class Keychain:
    """security(1). macOS asks for the user's password in a window of its own."""

    name = "macOS (login keychain)"
    privileged = False

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._keychain = str(machine.home / "Library/Keychains/login.keychain-db")

    def holds(self, certificate: Certificate) -> bool:
        found = self._machine.run(("security", "find-certificate", "-a", "-Z", "-c", "TokenMan CA", self._keychain))
        return found.code == 0 and certificate.sha256 in found.out.upper()

    def left(self, certificate: Certificate) -> bool:
        return self.holds(certificate)

    def add(self, certificate: Certificate) -> list[Command]:
        usage = ("-r", "trustRoot", "-p", "ssl", "-k", self._keychain)
        return [("security", "add-trusted-cert", *usage, str(certificate.path))]

    def remove(self, certificate: Certificate) -> list[Command]:
        return [
            ("security", "remove-trusted-cert", str(certificate.path)),
            ("security", "delete-certificate", "-Z", certificate.sha256, self._keychain),
        ]


class UserRoots:
    """certutil of Windows; it names certificates by their SHA-1 fingerprint."""

    name = "Windows (your root certificates)"
    privileged = False

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def holds(self, certificate: Certificate) -> bool:
        return self._machine.run(("certutil", "-user", "-store", "Root", certificate.sha1)).code == 0

    def left(self, certificate: Certificate) -> bool:
        return self.holds(certificate)

    def add(self, certificate: Certificate) -> list[Command]:
        return [("certutil", "-user", "-addstore", "Root", str(certificate.path))]

    def remove(self, certificate: Certificate) -> list[Command]:
        return [("certutil", "-user", "-delstore", "Root", certificate.sha1)]
