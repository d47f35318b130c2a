"""What all trust stores have in common."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

NAME = "tokenman"
"""How our certificate is called in stores that ask for a name: so a new one takes the place of the old."""

Command = tuple[str, ...]


@dataclass(frozen=True)
class Certificate:
    """Our authority's, in the file `path`. Fingerprints in hex, capitals, without colons."""

    path: Path
    der: bytes
    sha1: str
    sha256: str

    @classmethod
    def of(cls, path: Path, certificate: x509.Certificate) -> "Certificate":
        return cls(
            path,
            certificate.public_bytes(serialization.Encoding.DER),
            certificate.fingerprint(hashes.SHA1()).hex().upper(),  # by which Windows names certificates
            certificate.fingerprint(hashes.SHA256()).hex().upper(),
        )

    @classmethod
    def lost(cls) -> "Certificate":
        """Of an authority whose files are gone: no store holds it, and those that go by a name are asked by name."""
        return cls(Path(), b"", "", "")

    def stands_in(self, pem: str) -> bool:
        """Whether it is among the certificates of a text in PEM, however its lines are broken."""
        return bool(self.der) and base64.b64encode(self.der).decode() in "".join(pem.split())


class Store(Protocol):
    """`privileged`: its commands need root. Commands are made for the store as it is at the moment."""

    name: str
    privileged: bool

    def holds(self, certificate: Certificate) -> bool:
        """Whether programs that use this store trust exactly this certificate."""

    def left(self, certificate: Certificate) -> bool:
        """Whether anything of ours is in it, of an older authority too."""

    def add(self, certificate: Certificate) -> list[Command]:
        """The commands after which it holds the certificate, and no older one."""

    def remove(self, certificate: Certificate) -> list[Command]:
        """The commands after which nothing of ours is left in it."""
