"""mitmproxy's options beside the door: forced, refused, or without effect."""

from typing import Any

import pytest
from mitmproxy.addons import default_addons
from mitmproxy.master import Master
from mitmproxy.options import Options

from addons.proxy import options as table


@pytest.fixture
async def master() -> Master:
    made = Master(Options())
    made.addons.add(*default_addons())
    return made


async def test_every_option_of_the_table_exists_in_this_mitmproxy(master: Master) -> None:
    names = {*table.FORCED, *table.REFUSED, *table.REFUSED_VALUES, *table.WITHOUT_EFFECT}
    assert {name for name in names if name not in master.options} == set()


@pytest.mark.parametrize("name", sorted(table.FORCED))
async def test_a_forced_option_is_set_and_set_back_when_changed(master: Master, name: str) -> None:
    wanted = table.FORCED[name][0]
    made = table.OptionTable(master.options)
    made.settle()
    assert getattr(master.options, name) == wanted
    master.addons.add(made)
    other: Any = "eager" if name == "connection_strategy" else not wanted
    if name == "add_upstream_certs_to_client_chain":
        return  # mitmproxy itself refuses it while upstream_cert is off
    master.options.update(**{name: other})
    assert getattr(master.options, name) == wanted


GIVEN = {
    "client_replay": ["x"], "server_replay": ["x"], "ssl_insecure": True, "client_certs": "/dev/null", "ciphers_server": "x",
    "ssl_verify_upstream_trusted_ca": "x", "ssl_verify_upstream_trusted_confdir": "x", "upstream_auth": "a:b", "proxyauth": "a:b",
    "certs": ["x"], "connect_addr": "127.0.0.1", "protobuf_definitions": "x", "stickyauth": ".*", "stickycookie": ".*",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(table.REFUSED))
async def test_a_refused_option_is_named_with_its_reason(name: str) -> None:
    bare = Options()
    for option, value in GIVEN.items():
        if option not in bare:
            bare.add_option(option, object, None, "")
        if option == name:
            bare._options[option].value = value
    with pytest.raises(table.OptionRefused, match=f"{name}: "):
        table.OptionTable(bare).settle()


async def test_a_live_change_to_a_refused_value_is_taken_back(master: Master) -> None:
    made = table.OptionTable(master.options)
    made.settle()
    master.addons.add(made)
    with pytest.raises(Exception, match="ssl_insecure"):
        master.options.update(ssl_insecure=True)
    assert master.options.ssl_insecure is False


async def test_old_tls_and_parent_proxies_by_mode_are_refused(master: Master) -> None:
    master.options.update(tls_version_client_min="TLS1")
    with pytest.raises(table.OptionRefused, match=r"TLS 1\.2"):
        table.OptionTable(master.options).settle()
    master.options.update(tls_version_client_min="TLS1_2")
    master.options.update(mode=["upstream:http://example.com:8080"])
    with pytest.raises(table.OptionRefused, match="HTTPS_PROXY"):
        table.OptionTable(master.options).settle()


async def test_what_has_no_effect_on_governed_calls_is_said_once(
    master: Master, caplog: pytest.LogCaptureFixture
) -> None:
    master.options.update(modify_body=["/a/b"])
    made = table.OptionTable(master.options)
    made.settle()
    made.settle()
    assert caplog.text.count("modify_body: write a stage") == 1
