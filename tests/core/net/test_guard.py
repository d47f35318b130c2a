"""Which addresses may be dialled."""

import asyncio
import socket
from ipaddress import ip_address

import pytest

from tokenman_core.net import Forbidden, Guard, UpstreamError
from tokenman_core.net.guard import is_own

INNER = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255",
    "192.168.0.1", "192.168.255.255", "100.64.0.1", "100.127.255.255", "169.254.169.254", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255", "192.0.0.1",
    "::", "::1", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fdff::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:10.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo, of 127.0.0.1
]  # fmt: skip
OUTER = [
    "1.1.1.1", "9.255.255.255", "11.0.0.1", "172.15.255.255", "172.32.0.1", "192.167.255.255", "192.169.0.1",
    "100.63.255.255", "100.128.0.1", "169.253.255.255", "223.255.255.255", "126.255.255.255", "128.0.0.1",
    "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1", "2001:4860:4860::8888",
]  # fmt: skip
WRITTEN_OTHERWISE = [
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0x7f.1",
    "[::1]",
    "LOCALHOST",
    "0",
]


def nobody(_: object) -> bool:
    return False


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What the resolver answers, by name."""
    table: dict[str, list[str]] = {}

    async def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
        if host not in table:
            raise socket.gaierror(-2, "unknown")
        return [(socket.AF_INET6 if ":" in a else socket.AF_INET, 1, 6, "", (a, port)) for a in table[host]]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return table


@pytest.mark.parametrize("address", INNER)
async def test_inner_addresses_are_refused(address: str) -> None:
    with pytest.raises(Forbidden) as caught:
        await Guard(own=nobody).resolve(address, 443)
    assert caught.value.kind == "refused"


@pytest.mark.parametrize("address", OUTER)
async def test_outer_addresses_pass_as_they_are(address: str) -> None:
    assert await Guard(own=nobody).resolve(address, 443) == [str(ip_address(address))]


@pytest.mark.parametrize("host", WRITTEN_OTHERWISE)
async def test_another_way_to_write_an_inner_address_changes_nothing(host: str) -> None:
    with pytest.raises(Forbidden):
        await Guard(own=nobody).resolve(host, 443)
    with pytest.raises(Forbidden):
        Guard(own=nobody).judge_literal(host, 443)


async def test_a_name_is_judged_by_what_it_leads_to(names: dict[str, list[str]]) -> None:
    names |= {
        "inside.example": ["10.0.0.1", "::1"],
        "outside.example": ["1.1.1.1"],
        "both.example": ["10.0.0.1", "1.1.1.1"],
    }
    guard = Guard(own=nobody)
    with pytest.raises(Forbidden):
        await guard.resolve("inside.example", 443)
    assert await guard.resolve("outside.example", 443) == ["1.1.1.1"]
    assert await guard.resolve("both.example", 443) == ["1.1.1.1"]
    with pytest.raises(UpstreamError) as caught:
        await guard.resolve("nowhere.example", 443)
    assert caught.value.kind == "connect"


async def test_families_take_turns(names: dict[str, list[str]]) -> None:
    names["x.example"] = ["2606:4700::1", "2606:4700::2", "1.1.1.1", "1.1.1.1", "1.0.0.1", "1.0.0.2"]
    assert await Guard(own=nobody).resolve("x.example", 443) == [
        "2606:4700::1", "1.1.1.1", "2606:4700::2", "1.0.0.1", "1.0.0.2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("permitted", "host", "port", "passes"),
    [
        (("127.0.0.1", 11434), "127.0.0.1", 11434, True),
        (("127.0.0.1", 11434), "127.0.0.1", 11435, False),
        (("127.0.0.1", 11434), "10.0.0.1", 11434, False),
        (("LLM.Example.", 80), "llm.example", 80, True),
        (("llm.example", 80), "llm.example.", 80, True),
        (("llm.example", 80), "x.llm.example", 80, False),
        (("llm.example", None), "llm.example", 8000, True),
        (("10.1.0.0/16", None), "10.1.2.3", 22, True),
        (("10.1.0.0/16", None), "llm.example", 22, True),
        (("10.1.0.0/16", None), "::ffff:10.1.2.3", 22, True),
        (("10.1.0.0/16", None), "10.2.2.3", 22, False),
        (("10.1.0.0/16", 22), "10.1.2.3", 23, False),
        (("[::1]", 80), "::1", 80, True),
    ],
)
async def test_what_the_configuration_names_may_be_inside(
    names: dict[str, list[str]], permitted: tuple[str, int | None], host: str, port: int, passes: bool
) -> None:
    names |= {name: ["10.1.2.3"] for name in ("llm.example", "llm.example.", "x.llm.example")}
    guard = Guard([permitted], own=nobody)
    if passes:
        assert await guard.resolve(host, port)
    else:
        with pytest.raises(Forbidden):
            await guard.resolve(host, port)


@pytest.mark.parametrize(
    ("bound", "host", "port", "ours"),
    [
        ("127.0.0.1", "127.0.0.1", 7677, True), ("127.0.0.1", "127.0.0.2", 7677, False), ("127.0.0.1", "::1", 7677, True),
        ("127.0.0.1", "0.0.0.0", 7677, True), ("127.0.0.1", "::", 7677, True), ("127.0.0.1", "0.0.0.5", 7677, True),
        ("127.0.0.1", "::ffff:127.0.0.1", 7677, True), ("0.0.0.0", "8.8.4.4", 7677, True), ("::", "8.8.4.4", 7677, True),
        ("localhost", "127.0.0.1", 7677, True), ("127.0.0.1", "me.example", 7677, True), ("127.0.0.1", "127.0.0.1", 80, False),
        ("0.0.0.0", "127.0.0.2", 7677, True), ("::", "127.0.0.2", 7677, True), ("localhost", "127.0.0.2", 7677, True),
        ("9.9.9.9", "127.0.0.2", 7677, True), ("127.0.0.2", "127.0.0.2", 7677, True),
        ("9.9.9.9", "9.9.9.9", 7677, True), ("0.0.0.0", "1.1.1.1", 7677, False),
    ],
)  # fmt: skip
async def test_no_way_leads_back_to_our_own_listener_whatever_is_permitted(
    names: dict[str, list[str]], bound: str, host: str, port: int, ours: bool
) -> None:
    names["me.example"] = ["8.8.4.4"]
    guard = Guard([(host, None)], lambda: [(bound, 7677)], own=lambda address: str(address) == "8.8.4.4")
    for step in (guard.resolve, guard.resolve_permitted):
        if ours:
            with pytest.raises(Forbidden):
                await step(host, port)
        else:
            assert await step(host, port)


async def test_an_address_of_this_machine_is_refused_though_it_looks_public() -> None:
    guard = Guard(own=lambda address: str(address) == "8.8.4.4")
    for host in ("8.8.4.4", "::ffff:8.8.4.4"):
        with pytest.raises(Forbidden):
            await guard.resolve(host, 443)


def test_an_address_is_of_this_machine_if_a_socket_can_be_bound_to_it() -> None:
    assert is_own(ip_address("127.0.0.1"))
    assert not is_own(ip_address("1.1.1.1"))
    assert not is_own(ip_address("2606:4700::1111"))


@pytest.mark.parametrize("host", ["a.localhost", "localhost.", "10.0.0.1", "::1", "169.254.169.254"])
def test_behind_a_proxy_an_inner_address_in_the_open_is_refused(host: str) -> None:
    with pytest.raises(Forbidden):
        Guard(own=nobody).judge_literal(host, 443)
    Guard([(host, 443)], own=nobody).judge_literal(host, 443)


@pytest.mark.parametrize("host", ["api.example", "1.1.1.1", "localhost.example", "127.0.0.1.example"])
def test_behind_a_proxy_other_names_are_the_proxys_affair(host: str) -> None:
    Guard(own=nobody).judge_literal(host, 443)
