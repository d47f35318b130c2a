"""The store of a Linux system: a folder of anchors, and a command that makes of it the files that programs read."""

from dataclasses import dataclass
from pathlib import Path

from tokenman_core.trust.machine import Machine
from tokenman_core.trust.store import NAME, Certificate, Command


@dataclass(frozen=True)
class Layout:
    """Of one family of systems: where anchors go, what to run after one came or went, and the bundle that is made."""

    family: str
    folder: str
    file: str
    came: Command
    gone: Command
    bundle: str


# The first whose folder and command are there. Sources: update-ca-certificates(8), update-ca-trust(8), trust(1).
LAYOUTS = (
    Layout(
        "Debian, Ubuntu, Alpine",
        "/usr/local/share/ca-certificates",
        f"{NAME}.crt",
        ("update-ca-certificates",),
        ("update-ca-certificates", "--fresh"),  # without it a link to what is gone would stay
        "/etc/ssl/certs/ca-certificates.crt",
    ),
    Layout(
        "Fedora, RHEL",
        "/etc/pki/ca-trust/source/anchors",
        f"{NAME}.pem",
        ("update-ca-trust", "extract"),
        ("update-ca-trust", "extract"),
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    ),
    Layout(
        "Arch",
        "/etc/ca-certificates/trust-source/anchors",
        f"{NAME}.crt",
        ("trust", "extract-compat"),
        ("trust", "extract-compat"),
        "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
    ),
    Layout(
        "SUSE",
        "/etc/pki/trust/anchors",
        f"{NAME}.pem",
        ("update-ca-certificates",),
        ("update-ca-certificates",),
        "/var/lib/ca-certificates/ca-bundle.pem",
    ),
)


class Anchors:
    privileged = True

    def __init__(self, machine: Machine, layout: Layout) -> None:
        self.name = f"the system ({layout.family})"
        self._layout = layout
        self._anchor = machine.path(layout.folder) / layout.file
        self._bundle = machine.path(layout.bundle)

    def holds(self, certificate: Certificate) -> bool:
        return certificate.stands_in(_text(self._bundle))

    def left(self, certificate: Certificate) -> bool:
        return self._anchor.exists() or self.holds(certificate)

    def add(self, certificate: Certificate) -> list[Command]:
        return [("install", "-m", "644", str(certificate.path), str(self._anchor)), self._layout.came]

    def remove(self, certificate: Certificate) -> list[Command]:
        return [("rm", "-f", str(self._anchor)), self._layout.gone]


def anchors(machine: Machine) -> list[Anchors]:
    """The system's store, if it is one of a kind that is known."""
    for layout in LAYOUTS:
        if machine.path(layout.folder).is_dir() and machine.which(layout.came[0]):
            return [Anchors(machine, layout)]
    return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
