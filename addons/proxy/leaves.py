"""Certificates for clients: from TokenMan's own authority in place of mitmproxy's, which is then neither made nor used."""

import logging
from collections.abc import Iterable
from typing import Any

from mitmproxy import certs, connection, tls
from mitmproxy.addonmanager import Loader
from mitmproxy.addons import tlsconfig
from OpenSSL import SSL

from addons.proxy.internals import Context
from tokenman_core.ca import Authority

log = logging.getLogger("tokenman.tls")

ALPN = (b"h2", b"http/1.1")

# TLS 1.2 with forward secrecy and AEAD only (RFC 7525, 4.2); what TLS 1.3 has is good as it stands.
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"

# mitmproxy's options from which the stock add-on would make its own authority.
_OTHERS = frozenset({"certs", "confdir", "key_size", "cert_passphrase"})


class Leaves(tlsconfig.TlsConfig):
    """mitmproxy's TLS add-on with other certificates; takes the place of the stock one in the chain when it is loaded."""

    name = "leaves"
    sealed = True

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._context = _server_context()

    def load(self, loader: Loader) -> None:
        super().load(loader)  # type: ignore[no-untyped-call]  # its options; they are there already if the stock add-on was
        addons = loader.master.addons
        # In place, so that a hook which is going round the chain just now no longer meets it. Its `running` would write a CA.
        addons.chain[:] = [_Retired() if type(addon) is tlsconfig.TlsConfig else addon for addon in addons.chain]
        addons.lookup.pop("tlsconfig", None)

    def running(self) -> None:
        """Nothing of ours waits for the master; the stock method writes the CA."""

    def configure(self, updated: Iterable[str]) -> None:
        super().configure(set(updated) - _OTHERS)  # type: ignore[no-untyped-call]

    # The stock hook serves the revocation list of mitmproxy's CA at a magic path of every host.
    request = None  # type: ignore[assignment]

    def get_cert(self, conn_context: Context) -> certs.CertStoreEntry:
        """The leaf for the name that the client asked for, else for the address it dialled.

        Raises ValueError if the authority does not vouch for that, which is so for every IP address.
        """
        client, server = conn_context.client, conn_context.server
        name = client.sni or (server.address[0] if server.address else "")
        certificate, key = self._authority.leaf([name])
        return certs.CertStoreEntry(certs.Cert(certificate), key, None, [])  # type: ignore[arg-type]  # says RSA only

    def tls_start_client(self, tls_start: tls.TlsData) -> None:
        if tls_start.ssl_conn is not None:
            return  # a user's add-on has its own
        if tls_start.is_dtls:
            return  # without a context mitmproxy closes the connection; no provider speaks it
        client = tls_start.conn
        assert isinstance(client, connection.Client)
        try:
            entry = self.get_cert(tls_start.context)
        except ValueError as error:
            log.warning("a client's TLS connection is refused: %s", error)
            return
        opened = SSL.Connection(self._context)
        opened.use_certificate(entry.cert.to_cryptography())
        opened.use_privatekey(entry.privatekey)
        opened.set_accept_state()
        tls_start.ssl_conn = opened


class _Retired:
    """Stands where the stock add-on stood."""

    name = "tlsconfig-retired"


def _server_context() -> SSL.Context:
    """One for all clients. The chain is the leaf alone: what a client trusts, it has."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION)
    context.set_cipher_list(_CIPHERS)
    context.set_alpn_select_callback(_choose)
    return context


def _choose(_: SSL.Connection, offered: list[bytes]) -> Any:
    """The client's first choice that we speak; none: the handshake goes on without, as RFC 7301 allows, with HTTP/1."""
    return next((protocol for protocol in offered if protocol in ALPN), SSL.NO_OVERLAPPING_PROTOCOLS)
