import asyncio
import contextlib
import datetime
import shutil
import ssl
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import verification

from tokenman_core import ca
from tokenman_core.ca import ensure
from tokenman_core.clock import ManualClock, SystemClock
from tokenman_core.config.hosts import KNOWN
from tokenman_core.config.models import Settings
from tokenman_core.errors import ConfigError

DAY = 86400
HOSTS = ("api.anthropic.com", "api.openai.com", "gateway.example")


@pytest.fixture
def authority(tmp_path):
    return ensure(tmp_path / "ca", HOSTS, SystemClock())


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


# --- what it is


def test_it_is_made_once_and_private(tmp_path):
    first = ensure(tmp_path / "ca", HOSTS)
    again = ensure(tmp_path / "ca", HOSTS)
    assert again.fingerprint == first.fingerprint
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "ca").iterdir()}
    assert modes == {"authority.pem": 0o600, "tokenman-ca.pem": 0o644, "bundle.pem": 0o644}
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700
    assert b"PRIVATE" not in first.pem_path.read_bytes() + first.bundle_path.read_bytes()
    (tmp_path / "ca" / "authority.pem").chmod(0o644)
    ensure(tmp_path / "ca", HOSTS)
    assert stat.S_IMODE((tmp_path / "ca" / "authority.pem").stat().st_mode) == 0o600


def test_looking_at_it_makes_and_changes_nothing(tmp_path, authority):
    assert ca.existing(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "ca").iterdir()}
    found = ca.existing(tmp_path / "ca")
    assert found.fingerprint == authority.fingerprint
    assert {"gateway.example", "api.openai.com"} <= set(found.hosts)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "ca").iterdir()} == before
    (tmp_path / "ca" / "authority.pem").write_text("nonsense")
    with pytest.raises(ConfigError, match="does not hold the certificate authority"):
        ca.existing(tmp_path / "ca")


def test_starts_at_the_same_time_get_the_same_one(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        for round_ in range(5):
            folder = tmp_path / str(round_)
            found = list(pool.map(lambda _, folder=folder: ensure(folder, HOSTS), range(8)))
            assert len({one.fingerprint for one in found}) == 1
            public = x509.load_pem_x509_certificate(found[0].pem_path.read_bytes())
            assert public == found[0].certificate
            assert all(one.key.public_key() == public.public_key() for one in found)


def test_it_can_vouch_for_servers_with_the_permitted_names_and_nothing_else(authority):
    certificate = authority.certificate
    assert isinstance(certificate.public_key().curve, ec.SECP256R1)
    basic = extension(certificate, x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert list(extension(certificate, x509.ExtendedKeyUsage).value) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]
    usage = extension(certificate, x509.KeyUsage)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.digital_signature) == (True, True, False)
    names = extension(certificate, x509.NameConstraints)
    assert names.critical
    permitted = {name.value for name in names.value.permitted_subtrees}
    assert permitted >= {"api.anthropic.com", "api.openai.com", "gateway.example", "chatgpt.com"}
    excluded = {str(name.value) for name in names.value.excluded_subtrees}
    assert excluded == {"0.0.0.0/0", "::/0"}
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc < datetime.timedelta(days=397)
    assert authority.fingerprint.count(":") == 31


def test_the_table_of_hosts_covers_the_known_providers_and_holds_no_whole_domain():
    assert len(set(KNOWN)) == len(KNOWN)
    known = set(KNOWN)
    for host in Settings().hosts():
        assert host in known
    assert all(host == host.lower() and "*" not in host for host in KNOWN)
    assert not known & {
        "com",
        "ai",
        "googleapis.com",
        "amazonaws.com",
        "azure.com",
        "openai.com",
        "github.com",
        "google.com",
    }


PERMITTED = [
    "api.openai.com",
    "API.OpenAI.com",
    "api.openai.com.",
    "eu.api.openai.com",
    "mine.openai.azure.com",
    "gateway.example",
]
NOT_PERMITTED = [
    "openai.com", "example.com", "evilapi.openai.com", "api.openai.com.evil.com", "xgateway.example", "127.0.0.1",
    "::1", "8.8.8.8", "[::1]",
    "*.api.openai.com", "", ".", ".api.openai.com", "api..openai.com", "api.openai.com:443", "a b.api.openai.com",
    "api.openai.com\0.evil.com",    "localhost",
]  # fmt: skip


@pytest.mark.parametrize("host", PERMITTED)
def test_permitted_names_and_what_is_below_them_get_leaves(authority, host):
    assert authority.permits(host)
    certificate, _ = authority.leaf([host])
    names = extension(certificate, x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [host.lower().rstrip(".")]


@pytest.mark.parametrize("host", NOT_PERMITTED, ids=repr)
def test_no_other_name_gets_a_leaf(authority, host):
    assert not authority.permits(host)
    for names in ([host], ["api.openai.com", host]):
        with pytest.raises(ValueError, match="does not vouch"):
            authority.leaf(names)


def test_no_name_at_all_gets_no_leaf(authority):
    with pytest.raises(ValueError, match="does not vouch"):
        authority.leaf([])


# --- its leaves


def test_a_leaf_is_a_server_certificate_for_exactly_its_names(authority):
    certificate, key = authority.leaf(["api.openai.com", "api.anthropic.com"])
    assert key.public_key() == certificate.public_key()
    certificate.verify_directly_issued_by(authority.certificate)
    assert extension(certificate, x509.BasicConstraints).value.ca is False
    assert list(extension(certificate, x509.ExtendedKeyUsage).value) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]
    names = extension(certificate, x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["api.openai.com", "api.anthropic.com"]
    assert (
        extension(certificate, x509.AuthorityKeyIdentifier).value.key_identifier
        == extension(authority.certificate, x509.SubjectKeyIdentifier).value.digest
    )
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    assert extension(certificate, x509.SubjectKeyIdentifier).value == own
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= datetime.timedelta(days=30)
    assert certificate.serial_number != authority.leaf(["chatgpt.com"])[0].serial_number


def test_a_long_name_stands_in_the_alternative_names_alone(authority):
    host = f"{'a' * 60}.{'b' * 30}.api.openai.com"
    certificate, _ = authority.leaf([host])
    assert not list(certificate.subject)
    assert extension(certificate, x509.SubjectAlternativeName).critical


def test_leaves_are_kept_and_renewed_before_they_end(tmp_path):
    clock = ManualClock(1_800_000_000)
    authority = ensure(tmp_path / "ca", HOSTS, clock)
    first, _ = authority.leaf(["api.openai.com"])
    assert authority.leaf(["API.openai.com"])[0] is first
    clock.advance(18 * DAY)
    assert authority.leaf(["api.openai.com"])[0] is first
    clock.advance(2 * DAY)
    second, _ = authority.leaf(["api.openai.com"])
    assert second is not first
    assert second.not_valid_before_utc.timestamp() <= clock.now() <= second.not_valid_after_utc.timestamp()
    clock.advance(-10 * DAY)  # a clock that was put right
    third, _ = authority.leaf(["api.openai.com"])
    assert third.not_valid_before_utc.timestamp() <= clock.now()


def test_a_leaf_never_outlives_its_authority_and_none_is_made_after_it(tmp_path):
    clock = ManualClock(1_800_000_000)
    authority = ensure(tmp_path / "ca", HOSTS, clock)
    clock.advance(395 * DAY)
    certificate, _ = authority.leaf(["api.openai.com"])
    assert certificate.not_valid_after_utc <= authority.certificate.not_valid_after_utc
    clock.advance(3 * DAY)
    with pytest.raises(ValueError, match="has expired"):
        authority.leaf(["api.openai.com"])


def test_the_number_of_kept_leaves_is_bounded(authority):
    for number in range(ca._MOST_LEAVES + 20):
        authority.leaf([f"h{number}.api.openai.com"])
    assert len(authority._leaves) == ca._MOST_LEAVES


# --- in time, and when the configuration changes


def test_an_expired_authority_is_made_anew_and_told(tmp_path):
    clock = ManualClock(1_800_000_000)
    old = ensure(tmp_path / "ca", HOSTS, clock)
    clock.advance(360 * DAY)
    assert ensure(tmp_path / "ca", HOSTS, clock).notice == ""
    clock.advance(10 * DAY)
    near = ensure(tmp_path / "ca", HOSTS, clock)
    assert near.fingerprint == old.fingerprint
    assert "ends on" in near.notice
    clock.advance(28 * DAY)
    new = ensure(tmp_path / "ca", HOSTS, clock)
    assert new.fingerprint != old.fingerprint
    assert "trust the new one" in new.notice
    assert x509.load_pem_x509_certificate(new.pem_path.read_bytes()) == new.certificate
    new.leaf(["api.openai.com"])


def test_a_host_that_it_does_not_cover_ends_the_start_and_tells_how_to_rotate(tmp_path):
    first = ensure(tmp_path / "ca", HOSTS)
    with pytest.raises(
        ConfigError, match=r"providers: .* may not vouch for new\.example.* remove the folder .*certs/README\.md"
    ):
        ensure(tmp_path / "ca", [*HOSTS, "new.example"])
    assert ensure(tmp_path / "ca", HOSTS).fingerprint == first.fingerprint
    shutil.rmtree(tmp_path / "ca")
    assert ensure(tmp_path / "ca", [*HOSTS, "new.example"]).permits("new.example")


def test_known_providers_need_no_rotation_and_addresses_are_passed_over(tmp_path):
    first = ensure(tmp_path / "ca", ["api.openai.com"])
    again = ensure(tmp_path / "ca", ["api.mistral.ai", "127.0.0.1", "::1", "mine.openai.azure.com"])
    assert again.fingerprint == first.fingerprint


def _other_pair(constrained: bool) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "another")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=9))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if constrained:
        subtrees = x509.NameConstraints([x509.DNSName("x.example")], None)
        builder = builder.add_extension(subtrees, critical=False)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + builder.sign(key, ca.hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("what", ["empty", "garbage", "half", "two halves", "unconstrained", "not critical"])
def test_another_authority_in_the_folder_is_not_used(tmp_path, what):
    path = tmp_path / "ca" / "authority.pem"
    good = ensure(tmp_path / "ca", HOSTS)
    pem = path.read_bytes()
    other = ensure(tmp_path / "other", HOSTS)
    path.write_bytes(
        {
            "empty": b"",
            "garbage": b"\xff garbage",
            "half": good.pem_path.read_bytes(),
            "two halves": pem[: pem.index(b"-----BEGIN CERT")] + other.pem_path.read_bytes(),
            "unconstrained": _other_pair(False),
            "not critical": _other_pair(True),
        }[what]
    )
    with pytest.raises(ConfigError, match="does not hold the certificate authority that was made here"):
        ensure(tmp_path / "ca", HOSTS)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "ca").write_text("")
    with pytest.raises(ConfigError, match="data_dir: the folder"):
        ensure(tmp_path / "ca", HOSTS)


def test_the_bundle_has_the_systems_roots_too(authority, monkeypatch, tmp_path):
    roots = x509.load_pem_x509_certificates(authority.bundle_path.read_bytes())
    assert len(roots) > 50
    assert roots[-1] == authority.certificate
    # A start inside an environment that names our own bundle must not put it into itself.
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle_path))
    again = ensure(authority.folder, HOSTS)
    assert len(x509.load_pem_x509_certificates(again.bundle_path.read_bytes())) == len(roots)
    corporate = tmp_path / "corporate.pem"
    corporate.write_bytes(ensure(tmp_path / "other", HOSTS).pem_path.read_bytes().rstrip())
    monkeypatch.setenv("SSL_CERT_FILE", str(corporate))
    assert len(x509.load_pem_x509_certificates(ensure(authority.folder, HOSTS).bundle_path.read_bytes())) == 2


# --- what others make of it


def test_cryptography_verifies_the_chain(authority):
    store = verification.Store([authority.certificate])
    certificate, _ = authority.leaf(["api.openai.com"])
    verifier = verification.PolicyBuilder().store(store).build_server_verifier(x509.DNSName("api.openai.com"))
    assert verifier.verify(certificate, []) == [certificate, authority.certificate]


def unpermitted(authority, *names):
    """A leaf that a thief of the key would make."""
    return authority._make(tuple(names), authority.clock.now()).certificate


def ip_leaf(authority, monkeypatch):
    import ipaddress

    monkeypatch.setattr(ca.x509, "DNSName", lambda name: x509.IPAddress(ipaddress.ip_address(name)))
    try:
        return unpermitted(authority, "127.0.0.1")
    finally:
        monkeypatch.undo()


def openssl_verify(authority, certificate, tmp_path):
    path = tmp_path / "leaf.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    command = [
        "openssl",
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-CAfile",
        str(authority.pem_path),
        str(path),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_openssl_verifies_permitted_leaves_and_no_others(authority, tmp_path, monkeypatch):
    assert openssl_verify(authority, authority.leaf(["api.openai.com"])[0], tmp_path).returncode == 0
    other = openssl_verify(authority, unpermitted(authority, "www.example.com"), tmp_path)
    assert other.returncode != 0
    assert "permitted subtree violation" in other.stderr
    address = openssl_verify(authority, ip_leaf(authority, monkeypatch), tmp_path)
    assert address.returncode != 0
    assert "excluded subtree violation" in address.stderr


@contextlib.asynccontextmanager
async def server(authority, certificate, tmp_path):
    path = tmp_path / "server.pem"
    private = authority._leaf_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    async def answer(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            await writer.drain()
        writer.close()

    running = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with running:
        yield running.sockets[0].getsockname()[1]


async def python_client(authority, host, port):
    context = ssl.create_default_context(cafile=str(authority.pem_path))
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
    except ssl.SSLError as error:
        return str(error)
    writer.close()
    return "ok"


async def command(*arguments, **environment):
    import os

    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, **environment}
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    return output.decode()


async def curl_client(authority, host, port):
    return await command(
        "curl", "-sS", "--cacert", str(authority.pem_path), "--resolve", f"{host}:{port}:127.0.0.1", f"https://{host}:{port}/"
    )  # fmt: skip


NODE = """
const [host, port] = process.argv.slice(1);
const options = {host: '127.0.0.1', port, headers: {host}, agent: false};
if (host !== '127.0.0.1') options.servername = host;
require('https').get(options, r => r.pipe(process.stdout)).on('error', e => console.log(e.code + ' ' + e.message));
"""


async def node_client(authority, host, port):
    return await command("node", "-e", NODE, host, str(port), NODE_EXTRA_CA_CERTS=str(authority.pem_path))


@pytest.mark.parametrize("client", [python_client, curl_client, node_client])
async def test_clients_accept_a_providers_host_and_refuse_another_and_an_address(
    authority, tmp_path, monkeypatch, client
):
    async with server(authority, authority.leaf(["api.openai.com"])[0], tmp_path) as port:
        assert await client(authority, "api.openai.com", port) == "ok"
    async with server(authority, unpermitted(authority, "www.example.com"), tmp_path) as port:
        assert "permitted subtree violation" in await client(authority, "www.example.com", port)
    async with server(authority, ip_leaf(authority, monkeypatch), tmp_path) as port:
        assert "excluded subtree violation" in await client(authority, "127.0.0.1", port)
