"""Whom we trust."""

import ssl
from pathlib import Path

import pytest

from tests.core.net.fakes import Authority
from tokenman_core.errors import ConfigError
from tokenman_core.net import roots


def test_names_and_chains_are_checked_from_tls_1_2_on() -> None:
    context = roots.client_context({})
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT  # a company's own root may lack an extension


def test_the_named_file_is_trusted(authority: Authority) -> None:
    context = roots.client_context({"SSL_CERT_FILE": str(authority.pem)})
    names = [dict(part[0] for part in cert["subject"]).get("commonName") for cert in context.get_ca_certs()]  # type: ignore[union-attr,misc]
    assert "fake provider CA" in names


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_named_file_without_certificates_ends_the_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "roots.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        roots.client_context({"SSL_CERT_FILE": str(path)})


@pytest.mark.parametrize("folder", ["", "empty", "full"])
def test_a_machine_without_a_store_gets_mozillas_list(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    def bare() -> ssl.SSLContext:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    monkeypatch.setattr(ssl, "create_default_context", bare)
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "0a1b2c3d.0").write_bytes(b"")
    context = roots.client_context({"SSL_CERT_DIR": str(tmp_path / (folder or "missing"))})
    assert bool(context.cert_store_stats()["x509_ca"]) == (folder != "full")
