import shutil
import ssl
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization

from tests.core.trust.fakes import Commands, Nssdb, debian, machine, rebuilding
from tokenman_core import ca
from tokenman_core.trust import Certificate, Done, here, stores
from tokenman_core.trust.anchors import LAYOUTS


@pytest.fixture
def authority(tmp_path):
    return ca.ensure(tmp_path / "ca", ["gateway.example"])


@pytest.fixture
def certificate(authority):
    return Certificate.of(authority.pem_path, authority.certificate)


def another(tmp_path) -> Certificate:
    other = ca.ensure(tmp_path / "other-ca", [])
    return Certificate.of(other.pem_path, other.certificate)


def carry_out(one, commands):
    for command in commands:
        assert one.run(command).code == 0, command


# --- systems with a folder of anchors


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda each: each.family)
def test_an_anchor_comes_and_goes_by_the_systems_own_command(tmp_path, certificate, layout):
    (tmp_path / layout.folder.lstrip("/")).mkdir(parents=True)
    name = layout.came[0].replace("-", "_")
    commands = Commands(**{name: rebuilding(tmp_path, layout.folder, layout.bundle)})
    one = machine(tmp_path, commands, tools=(layout.came[0],))
    (store,) = stores(one)
    assert layout.family in store.name
    assert not store.holds(certificate)
    assert not store.left(certificate)
    carry_out(one, store.add(certificate))
    assert store.holds(certificate)
    assert not store.holds(another(tmp_path))
    anchor = tmp_path / layout.folder.lstrip("/") / layout.file
    assert anchor.stat().st_mode & 0o777 == 0o644
    assert b"PRIVATE" not in anchor.read_bytes()
    carry_out(one, store.remove(certificate))
    assert not store.left(certificate)
    assert not anchor.exists()
    assert commands.ran[1] == layout.came
    assert commands.ran[-1] == layout.gone


def test_a_new_authority_takes_the_place_of_the_old_one(tmp_path, certificate):
    layout = LAYOUTS[0]
    (tmp_path / layout.folder.lstrip("/")).mkdir(parents=True)
    commands = Commands(update_ca_certificates=rebuilding(tmp_path, layout.folder, layout.bundle))
    one = machine(tmp_path, commands, tools=("update-ca-certificates",))
    (store,) = stores(one)
    old = another(tmp_path)
    carry_out(one, store.add(old))
    assert store.left(certificate)
    assert not store.holds(certificate)
    carry_out(one, store.add(certificate))
    assert store.holds(certificate)
    assert not store.holds(old)


def test_a_system_without_the_command_or_the_folder_has_no_store(tmp_path, certificate):
    assert stores(machine(tmp_path, Commands(), tools=("update-ca-certificates",))) == []
    (tmp_path / "usr/local/share/ca-certificates").mkdir(parents=True)
    assert stores(machine(tmp_path, Commands())) == []


# --- this Debian's own tool, in a folder of its own


def verified(bundle, leaf) -> bool:
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", str(bundle), "-verify_hostname", "api.openai.com", str(leaf)],
        capture_output=True,
    )
    return done.returncode == 0


def test_after_the_real_command_openssl_and_curl_trust_a_provider_host_and_afterwards_no_more(
    tmp_path, authority, certificate, unused_server
):
    one = debian(tmp_path / "debian")
    (store,) = stores(one)
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(authority.leaf(["api.openai.com"])[0].public_bytes(serialization.Encoding.PEM))
    bundle = tmp_path / "debian/etc/ssl/certs/ca-certificates.crt"
    carry_out(one, store.add(certificate))
    assert store.holds(certificate)
    assert verified(bundle, leaf)
    assert unused_server(authority, bundle) == 0
    carry_out(one, store.remove(certificate))
    assert not store.left(certificate)
    assert not verified(bundle, leaf)
    assert unused_server(authority, bundle) == 60  # curl: the peer's certificate cannot be authenticated
    assert not list((tmp_path / "debian/etc/ssl/certs").glob("*tokenman*"))
    assert not list((tmp_path / "debian/usr/local/share/ca-certificates").iterdir())


@pytest.fixture
def unused_server(tmp_path):
    """curl's exit code at a server that shows a leaf of the authority, with a bundle as its only roots."""
    import socket
    import threading

    def ask(authority, bundle) -> int:
        certificate, key = authority.leaf(["api.openai.com"])
        chain = tmp_path / "chain.pem"
        chain.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)

        def serve() -> None:
            try:
                connection, _ = listener.accept()
                with context.wrap_socket(connection, server_side=True) as stream:
                    stream.recv(4096)
                    stream.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            except OSError:
                pass

        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            thread = threading.Thread(target=serve)
            thread.start()
            place = f"api.openai.com:{port}"
            done = subprocess.run(
                ["curl", "-sS", "--noproxy", "*", "--capath", "/nowhere", "--cacert", str(bundle), "--resolve",
                 f"{place}:127.0.0.1", f"https://{place}/"], capture_output=True, timeout=30,
            )  # fmt: skip
            thread.join(30)
        return done.returncode

    return ask


# --- browsers


@pytest.fixture
def browsers(tmp_path):
    for folder in (".pki/nssdb", ".mozilla/firefox/abc.default"):
        (tmp_path / "home" / folder).mkdir(parents=True)
        (tmp_path / "home" / folder / "cert9.db").touch()
    (tmp_path / "home/.mozilla/firefox/empty.profile").mkdir()


def test_databases_of_chromium_and_firefox_are_found_and_asked_by_name(tmp_path, certificate, browsers):
    databases = {}

    def certutil(command):
        return databases.setdefault(command[2], Nssdb())(command)

    one = machine(tmp_path, Commands(certutil=certutil), tools=("certutil",))
    chromium, firefox = stores(one)
    assert (chromium.name, firefox.name) == ("Chromium (.pki/nssdb)", "Firefox (abc.default)")
    for store in (chromium, firefox):
        assert not store.left(certificate)
        carry_out(one, store.add(another(tmp_path)))
        assert store.left(certificate)
        assert not store.holds(certificate)
        carry_out(one, store.add(certificate))
        assert store.holds(certificate)
    assert {len(database.held) for database in databases.values()} == {1}
    carry_out(one, firefox.remove(certificate))
    assert (chromium.left(certificate), firefox.left(certificate)) == (True, False)
    added = next(command for command in one.run.ran if "-A" in command)
    assert added[:7] == ("certutil", "-d", f"sql:{tmp_path}/home/.pki/nssdb", "-A", "-t", "C,,", "-n")


def test_without_certutil_there_are_no_databases(tmp_path, browsers):
    assert stores(machine(tmp_path, Commands())) == []


# --- macOS and Windows


def test_the_login_keychain_holds_it_by_its_fingerprint(tmp_path, certificate):
    held: set[str] = set()

    def security(command):
        match command[1]:
            case "find-certificate":
                return Done(0 if held else 44, "".join(f"SHA-256 hash: {each}\n" for each in held))
            case "add-trusted-cert":
                held.add(certificate.sha256)
            case "delete-certificate":
                assert command[4] == "-t"
                held.discard(command[3])
        return Done(0)

    one = machine(tmp_path, Commands(security=security), system="darwin")
    (store,) = stores(one)
    assert not store.holds(certificate)
    carry_out(one, store.add(certificate))
    assert store.holds(certificate)
    assert not store.holds(another(tmp_path))
    held.add("AB" * 32)  # of an older authority
    assert store.left(Certificate.lost())
    assert not store.holds(Certificate.lost())
    carry_out(one, store.remove(Certificate.lost()))
    assert not held


def test_the_users_root_certificates_of_windows_hold_it_by_its_sha1(tmp_path, certificate):
    held: set[str] = set()

    def certutil(command):
        assert command[1] == "-user"
        match command[2]:
            case "-addstore":
                held.add(certificate.sha1)
            case "-delstore":
                held.discard(command[4])
            case "-store":
                return Done(0 if command[4] in held else 0x80090011)
        return Done(0)

    one = machine(tmp_path, Commands(certutil=certutil), system="windows")
    (store,) = stores(one)
    assert not store.holds(certificate)
    carry_out(one, store.add(certificate))
    assert store.holds(certificate)
    assert not store.left(Certificate.lost())
    carry_out(one, store.remove(certificate))
    assert not store.left(certificate)


# --- this machine


def test_commands_of_this_machine_are_run_and_their_failures_are_values():
    one = here()
    assert one.run(("true",)) == Done(0)
    assert one.run(("sh", "-c", "echo out; echo error >&2; exit 3")) == Done(3, "out\n", "error\n")
    assert one.run(("no-such-command-anywhere",)).code == 127
    assert one.which("sh") == shutil.which("sh")
