"""The certificate authority of an installation: it can vouch for hosts of LLM providers, and for nothing else."""

import datetime
import ipaddress
import secrets
import ssl
import stat
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tokenman_core.clock import Clock, SystemClock
from tokenman_core.config.hosts import KNOWN
from tokenman_core.config.values import is_ip, parse_host
from tokenman_core.errors import ConfigError
from tokenman_core.secret import check_owner, own_folder, write_private

_DAY = 86400.0
CA_DAYS = 397  # what the CA/Browser Forum allowed a server certificate; a year and a month to renew in
NOTICE_DAYS = 30
LEAF_DAYS = 30  # in all, the day for clocks that go behind included
RENEW_DAYS = 10  # a leaf with less left is made anew
_MOST_LEAVES = 256
_SKEW = _DAY

# The private half and the certificate lie in one file, so that of two starts at once both have the same pair.
_PAIR = "authority.pem"
_CERTIFICATE = "tokenman-ca.pem"
_BUNDLE = "bundle.pem"

# Where systems keep their roots in one file: Debian and Alpine, Fedora, SUSE, macOS and the BSDs.
_SYSTEM_ROOTS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True)
class Leaf:
    """What is shown to a client for one set of names; lives in memory only. `until` in seconds since the epoch."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    since: float
    until: float


@dataclass(eq=False)
class Authority:
    """The authority in force. `pem_path` is the certificate that clients trust; `bundle_path` has the system's roots too."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    folder: Path
    clock: Clock
    notice: str = ""  # what the user should know: it is new in place of an expired one, or ends soon
    _leaves: OrderedDict[tuple[str, ...], Leaf] = field(default_factory=OrderedDict, repr=False)

    def __post_init__(self) -> None:
        self._permitted = frozenset(_permitted(self.certificate))
        self._leaf_key = ec.generate_private_key(
            ec.SECP256R1()
        )  # one for all leaves: they live and end with the process

    @property
    def pem_path(self) -> Path:
        return self.folder / _CERTIFICATE

    @property
    def bundle_path(self) -> Path:
        """For SSL_CERT_FILE, REQUESTS_CA_BUNDLE and their like, which replace the system's roots."""
        return self.folder / _BUNDLE

    @property
    def fingerprint(self) -> str:
        """SHA-256 in the form in which trust stores show it: `AB:CD:…`."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def expires(self) -> float:
        return self.certificate.not_valid_after_utc.timestamp()

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names that it may vouch for, each with all below it."""
        return tuple(_permitted(self.certificate))

    def permits(self, host: str) -> bool:
        """Whether clients would take a certificate of ours for this host (RFC 5280, 4.2.1.10); never for an IP address."""
        try:
            host = parse_host(host)
        except ValueError:
            return False
        if is_ip(host.strip("[]")):
            return False
        labels = host.split(".")
        return any(".".join(labels[index:]) in self._permitted for index in range(len(labels)))

    def cover(self, hosts: Iterable[str]) -> None:
        """Raises ConfigError, with what to do, if it may not vouch for one of them. IP addresses are passed over."""
        wanted = {host.lower() for host in hosts if not is_ip(host.strip("[]"))}
        if uncovered := sorted(host for host in wanted if not self.permits(host)):
            raise ConfigError(
                f"providers: the certificate authority in {self.folder} may not vouch for {', '.join(uncovered)}, which was "
                f"configured after it was made; to have one that may, {_rotate(self.folder)}"
            )

    def leaf(self, names: Iterable[str]) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """A server certificate for exactly these names, and its key; kept until it has few days left.

        Raises ValueError for no name at all, a name that is not permitted, and after the authority's own end.
        """
        now = self.clock.now()
        wanted = tuple(dict.fromkeys(name.rstrip(".").lower() for name in names))
        kept = self._leaves.get(wanted)
        if kept is not None and kept.since <= now < kept.until - RENEW_DAYS * _DAY:
            self._leaves.move_to_end(wanted)
            return kept.certificate, kept.key
        if not wanted or not all(self.permits(name) for name in wanted):
            raise ValueError("the certificate authority does not vouch for this name")
        if now >= self.expires:
            raise ValueError("the certificate authority has expired; a new start makes a new one")
        made = self._make(tuple(parse_host(name) for name in wanted), now)
        self._leaves[wanted] = made
        self._leaves.move_to_end(wanted)
        while len(self._leaves) > _MOST_LEAVES:
            self._leaves.popitem(last=False)
        return made.certificate, made.key

    def _make(self, names: tuple[str, ...], now: float) -> Leaf:
        since, until = now - _SKEW, min(now - _SKEW + LEAF_DAYS * _DAY, self.expires)
        common = names[0] if len(names[0]) <= 64 else ""  # the bound of a common name, X.520
        identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        certificate = (
            _builder(self._leaf_key, since, until)
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else []))
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            # RFC 5280, 4.2.1.6: critical where the subject is empty.
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=not common)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        # A certificate has whole seconds; what is kept must not outlive it.
        return Leaf(certificate, self._leaf_key, since, certificate.not_valid_after_utc.timestamp())


def ensure(folder: Path, hosts: Iterable[str], clock: Clock | None = None) -> Authority:
    """The authority that `folder` holds, made there at the first start and again when it has expired.

    `hosts`: those that are configured; the table of known providers is permitted anyway, so that adding one of these does
    not ask for new trust. IP addresses among them are passed over: no certificate is ever made for one.
    Raises ConfigError if the folder cannot be used, holds something else, or a host is not covered by the authority in it.
    """
    clock = clock or SystemClock()
    own_folder(folder)
    wanted = [host.lower() for host in hosts if not is_ip(host.strip("[]"))]
    path = folder / _PAIR
    notice = ""
    try:
        if not path.exists():
            write_private(path, _new_pair(wanted, clock), keep=True)
        authority = _read(path, clock)
        if clock.now() >= authority.expires:
            write_private(path, _new_pair(wanted, clock))
            authority = _read(path, clock)
            notice = f"the certificate authority had expired; trust the new one: {authority.pem_path}"
        elif clock.now() >= authority.expires - NOTICE_DAYS * _DAY:
            end = authority.certificate.not_valid_after_utc.date().isoformat()
            notice = f"the certificate authority ends on {end}; to have a new one now, {_rotate(folder)}"
        _publish(authority)
    except OSError as error:
        raise ConfigError(f"data_dir: the files in {folder} cannot be read or made: {error.strerror}") from None
    authority.cover(wanted)
    authority.notice = notice
    return authority


def existing(folder: Path, clock: Clock | None = None) -> Authority | None:
    """The authority that `folder` holds, expired or not; None if none was made yet. Nothing is made or changed.

    Raises ConfigError if the files cannot be read or hold something else.
    """
    path = folder / _PAIR
    try:
        return _read(path, clock or SystemClock()) if path.exists() else None
    except OSError as error:
        raise ConfigError(f"data_dir: the files in {folder} cannot be read: {error.strerror}") from None


def _rotate(folder: Path) -> str:
    return (
        f"remove the folder {folder}, start again, and trust the new certificate in place of the old (certs/README.md)"
    )


def _new_pair(hosts: list[str], clock: Clock) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    since = clock.now() - _SKEW
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "TokenMan"),
            # Several may stand in one trust store, of one person's machines or after a rotation.
            x509.NameAttribute(NameOID.COMMON_NAME, f"TokenMan CA {secrets.token_hex(3)}"),
        ]
    )
    certificate = (
        _builder(key, since, since + CA_DAYS * _DAY)
        .subject_name(subject)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
        .add_extension(
            x509.NameConstraints(
                permitted_subtrees=[x509.DNSName(host) for host in _subtrees([*KNOWN, *hosts])],
                # Constraints on names say nothing of addresses: without these, clients take a leaf for any IP.
                excluded_subtrees=[
                    x509.IPAddress(ipaddress.ip_network("0.0.0.0/0")),
                    x509.IPAddress(ipaddress.ip_network("::/0")),
                ],
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def _builder(key: ec.EllipticCurvePrivateKey, since: float, until: float) -> x509.CertificateBuilder:
    """What the authority and its leaves have in common."""
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .public_key(key.public_key())
        .not_valid_before(_moment(since))
        # Both ends belong to the validity (RFC 5280, 4.1.2.5), so a period of n days ends a second earlier.
        .not_valid_after(_moment(until - 1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)


def _subtrees(hosts: list[str]) -> list[str]:
    """The hosts without those that another one covers."""
    names = set(hosts)
    return [
        host
        for host in dict.fromkeys(hosts)
        if not any(host.split(".", cut)[-1] in names for cut in range(1, host.count(".") + 1))
    ]


def _read(path: Path, clock: Clock) -> Authority:
    check_owner(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)
    raw = path.read_bytes()
    damaged = ConfigError(
        f"data_dir: {path} does not hold the certificate authority that was made here; {_rotate(path.parent)}"
    )
    try:
        key = serialization.load_pem_private_key(raw, None)
        certificate = x509.load_pem_x509_certificate(raw)
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature):
        raise damaged from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise damaged
    if not _permitted(certificate):
        raise damaged
    return Authority(certificate, key, path.parent, clock)


def _permitted(certificate: x509.Certificate) -> list[str]:
    """The names that a certificate's critical constraints permit."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return []
    if not constraints.critical:
        return []
    return [name.value for name in constraints.value.permitted_subtrees or () if isinstance(name, x509.DNSName)]


def _publish(authority: Authority) -> None:
    """Puts the files for clients beside the pair, if they are not what they should be."""
    own = authority.certificate.public_bytes(serialization.Encoding.PEM)
    for path, content in ((authority.pem_path, own), (authority.bundle_path, _system_roots(authority) + own)):
        if not path.exists() or path.read_bytes() != content:
            write_private(path, content, mode=0o644)


def _system_roots(authority: Authority) -> bytes:
    paths = (ssl.get_default_verify_paths().cafile, *_SYSTEM_ROOTS, certifi.where())
    for path in (Path(path) for path in paths if path):
        if path.is_file() and path.resolve() != authority.bundle_path.resolve():  # SSL_CERT_FILE may name our own
            roots = path.read_bytes()
            return roots if roots.endswith(b"\n") else roots + b"\n"
    return b""
