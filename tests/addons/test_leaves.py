"""The certificates that clients get, seen by real clients through the proxy's real engine."""

import asyncio
import contextlib
import os
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from mitmproxy import http, tls
from mitmproxy.addons import core, next_layer, proxyserver, tlsconfig
from mitmproxy.connection import Client, Server
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy.context import Context
from OpenSSL import SSL

from addons.proxy.leaves import Leaves
from tokenman_core.ca import ensure


class Answers:
    """Answers every request itself, so that nothing is dialled."""

    def request(self, flow: http.HTTPFlow) -> None:
        flow.response = http.Response.make(200, flow.request.http_version.encode())


@pytest.fixture
def authority(tmp_path):
    return ensure(tmp_path / "ca", ["api.openai.com", "gateway.example"])


@contextlib.asynccontextmanager
async def proxy(authority, tmp_path, **options):
    master = Master(Options(listen_host="127.0.0.1", listen_port=0, confdir=str(tmp_path / "confdir")))
    master.addons.add(core.Core(), proxyserver.Proxyserver(), next_layer.NextLayer(), tlsconfig.TlsConfig())
    master.options.update(connection_strategy="lazy", upstream_cert=False, **options)
    master.addons.add(Answers(), Leaves(authority))
    running = asyncio.create_task(master.run())
    server = master.addons.get("proxyserver")
    while not server.listen_addrs():
        assert not running.done()
        await asyncio.sleep(0.01)
    try:
        yield server.listen_addrs()[0][1]
    finally:
        master.shutdown()
        await running


async def command(*arguments, **environment):
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, **environment}
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    return output.decode()


def curl(authority, port, *arguments):
    trusted = ("--cacert", str(authority.pem_path), "--proxy", f"http://127.0.0.1:{port}")
    return command("curl", "-sS", "--noproxy", "", *trusted, *arguments)


async def handshake(port, target, context, server_hostname):
    """A CONNECT and a TLS handshake inside; the protocol that was agreed on, the TLS version and the certificate's bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        await asyncio.wait_for(writer.start_tls(context, server_hostname=server_hostname), 10)
        inner = writer.get_extra_info("ssl_object")
        return inner.selected_alpn_protocol(), inner.version(), inner.getpeercert(binary_form=True)
    finally:
        writer.close()


async def test_curl_trusts_our_leaf_over_both_protocols(authority, tmp_path):
    async with proxy(authority, tmp_path) as port:
        assert await curl(authority, port, "--http1.1", "https://api.openai.com/") == "HTTP/1.1"
        assert await curl(authority, port, "--http2", "https://gateway.example/") == "HTTP/2.0"
        assert await curl(authority, port, "--http2", "https://eu.api.openai.com/") == "HTTP/2.0"


async def test_a_host_that_the_authority_does_not_vouch_for_gets_no_certificate(authority, tmp_path):
    async with proxy(authority, tmp_path) as port:
        for url in ("https://www.example.com/", "https://127.0.0.1/", "https://[::1]/"):
            answer = await curl(authority, port, "-k", url)
            assert answer.startswith("curl: (35)")
        assert await curl(authority, port, "https://api.openai.com/") == "HTTP/2.0"


async def test_python_gets_the_chain_that_it_can_verify(authority, tmp_path):
    context = ssl.create_default_context(cafile=str(authority.bundle_path))
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with proxy(authority, tmp_path) as port:
        protocol, version, certificate = await handshake(port, "api.openai.com:443", context, "api.openai.com")
    assert (protocol, version) == ("h2", "TLSv1.3")
    names = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["api.openai.com"]


NODE = """
const net = require('net'), tls = require('tls');
const raw = net.connect(process.argv[1], '127.0.0.1', () =>
  raw.write('CONNECT api.openai.com:443 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'));
raw.once('data', () => {
  const inner = tls.connect({socket: raw, servername: 'api.openai.com', ALPNProtocols: ['h2', 'http/1.1']}, () => {
    console.log(inner.authorized, inner.alpnProtocol, inner.getProtocol()); inner.destroy();
  });
  inner.on('error', e => console.log(e.message));
});
"""


async def test_node_trusts_our_leaf(authority, tmp_path):
    async with proxy(authority, tmp_path) as port:
        environment = {"NODE_EXTRA_CA_CERTS": str(authority.pem_path)}
        assert await command("node", "-e", NODE, str(port), **environment) == "true h2 TLSv1.3\n"


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [(["http/1.1", "h2"], "http/1.1"), (["h3", "h2"], "h2"), (["http/1.0", "spdy/3"], None), ([], None)],
)
async def test_the_clients_first_protocol_that_we_speak_is_taken(authority, tmp_path, offered, agreed):
    context = ssl.create_default_context(cafile=str(authority.pem_path))
    if offered:
        context.set_alpn_protocols(offered)
    async with proxy(authority, tmp_path) as port:
        assert (await handshake(port, "api.openai.com:443", context, "api.openai.com"))[0] == agreed


async def test_tls_before_1_2_is_refused_whatever_the_option_says(authority, tmp_path, caplog):
    context = ssl.create_default_context(cafile=str(authority.pem_path))
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with proxy(authority, tmp_path, tls_version_client_min="TLS1") as port:
        assert (await handshake(port, "api.openai.com:443", context, "api.openai.com"))[1] == "TLSv1.2"
        context.set_ciphers("ALL:@SECLEVEL=0")  # else this side would not even offer it
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await handshake(port, "api.openai.com:443", context, "api.openai.com")
    assert "cannot agree on a TLS version" in caplog.text


async def test_the_engines_own_authority_is_neither_made_nor_kept(authority, tmp_path):
    async with proxy(authority, tmp_path) as port:
        assert await curl(authority, port, "https://api.openai.com/") == "HTTP/2.0"
    assert not (tmp_path / "confdir").exists()


async def test_under_mitmdump_the_stock_add_on_is_replaced_before_it_makes_its_authority(authority, tmp_path):
    from mitmproxy.tools.dump import DumpMaster

    class Script:
        """As the stub does: ours come while the master is starting."""

        def load(self, loader):
            loader.master.addons.add(Leaves(authority))

    master = DumpMaster(
        Options(listen_host="127.0.0.1", listen_port=0, confdir=str(tmp_path / "confdir")), with_termlog=False
    )
    master.addons.add(Script())
    running = asyncio.create_task(master.run())
    while not master.addons.get("proxyserver").listen_addrs():
        assert not running.done()
        await asyncio.sleep(0.01)
    assert master.addons.get("tlsconfig") is None
    assert not [addon for addon in master.addons.chain if type(addon) is tlsconfig.TlsConfig]
    master.options.update(confdir=str(tmp_path / "other"))  # as mitmweb can, live
    master.shutdown()
    await running
    assert not (tmp_path / "confdir").exists()
    assert not (tmp_path / "other").exists()


def test_the_engines_own_revocation_list_is_not_served(authority):
    assert not callable(getattr(Leaves(authority), "request", None))


def started(authority, sni, address=None):
    client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0, sni=sni)
    context = Context(client, Options())
    context.server = Server(address=address)
    data = tls.TlsData(client, context)
    Leaves(authority).tls_start_client(data)
    return data.ssl_conn


@pytest.mark.parametrize(
    ("sni", "address", "served"),
    [
        ("api.openai.com", None, "api.openai.com"),
        ("api.openai.com", ("10.0.0.1", 443), "api.openai.com"),
        (None, ("gateway.example", 443), "gateway.example"),
        ("API.OpenAI.com", ("gateway.example", 443), "api.openai.com"),
        (None, ("10.0.0.1", 443), None),
        (None, None, None),
        ("www.example.com", ("api.openai.com", 443), None),
        ("*.api.openai.com", ("api.openai.com", 443), None),
    ],
)
def test_the_leaf_is_for_the_name_that_was_asked_for_else_for_the_address(authority, sni, address, served):
    found = started(authority, sni, address)
    if served is None:
        assert found is None
        return
    certificate = found.get_certificate(as_cryptography=True)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [served]
    certificate.verify_directly_issued_by(authority.certificate)


def test_a_users_own_context_stays(authority):
    client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0, sni="www.example.com")
    own = SSL.Connection(SSL.Context(SSL.TLS_SERVER_METHOD))
    data = tls.TlsData(client, Context(client, Options()), ssl_conn=own)
    Leaves(authority).tls_start_client(data)
    assert data.ssl_conn is own


def test_a_refusal_is_logged_without_the_name_that_a_stranger_sent(authority, caplog):
    started(authority, "stranger.example\n")
    assert "TLS connection is refused" in caplog.text
    assert "stranger" not in caplog.text


def test_a_leaf_is_made_in_less_than_what_the_loop_may_be_held(authority):
    import time

    authority.leaf(["warm.api.openai.com"])
    best = min(_seconds(authority, time.perf_counter, f"h{number}.api.openai.com") for number in range(20))
    assert best < 0.003  # about 0.3 ms; the machine may be busy with other tests
    assert authority.leaf(["h1.api.openai.com"])[0].fingerprint(hashes.SHA256())


def _seconds(authority, clock, name):
    started = clock()
    authority.leaf([name])
    return clock() - started
