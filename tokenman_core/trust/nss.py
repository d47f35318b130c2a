"""The databases of Firefox and of Chromium on Linux, which are asked and changed by NSS's `certutil`."""

from collections.abc import Iterator
from pathlib import Path

from tokenman_core.trust.machine import Machine
from tokenman_core.trust.store import NAME, Certificate, Command

_DATABASE = "cert9.db"
_CHROMIUM = (".pki/nssdb", "snap/chromium/current/.pki/nssdb")
_FIREFOX = (
    ".mozilla/firefox",
    ".config/mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
    "Library/Application Support/Firefox/Profiles",
)
_MOST = 20  # profiles


class Nss:
    privileged = False

    def __init__(self, machine: Machine, name: str, folder: Path) -> None:
        self.name = name
        self._machine, self._database = machine, f"sql:{folder}"

    def holds(self, certificate: Certificate) -> bool:
        found = self._machine.run(self._certutil("-L", "-n", NAME, "-a"))
        return found.code == 0 and certificate.stands_in(found.out)

    def left(self, certificate: Certificate) -> bool:
        return self._machine.run(self._certutil("-L", "-n", NAME)).code == 0

    def add(self, certificate: Certificate) -> list[Command]:
        old = self.remove(certificate) if self.left(certificate) else []
        # "C": a trusted authority, for servers alone.
        return [*old, self._certutil("-A", "-t", "C,,", "-n", NAME, "-i", str(certificate.path))]

    def remove(self, certificate: Certificate) -> list[Command]:
        return [self._certutil("-D", "-n", NAME)]

    def _certutil(self, *words: str) -> Command:
        return ("certutil", "-d", self._database, *words)


def databases(machine: Machine) -> list[Nss]:
    """Those of this user that are there; none without `certutil` (Debian: libnss3-tools)."""
    if machine.which("certutil") is None:
        return []
    found = [
        Nss(machine, f"Chromium ({folder})", machine.home / folder)
        for folder in _CHROMIUM
        if (machine.home / folder / _DATABASE).is_file()
    ]
    return found + [Nss(machine, f"Firefox ({profile.name})", profile) for profile in _profiles(machine)][:_MOST]


def _profiles(machine: Machine) -> Iterator[Path]:
    for folder in _FIREFOX:
        yield from (file.parent for file in sorted((machine.home / folder).glob(f"*/{_DATABASE}")))
