"""Whose an address is behind a name that is no provider's, and that it is asked again where it is dialled."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from addons.proxy.door import Destination
from addons.proxy.gate import Gate
from tokenman_core.net import Forbidden, Guard, UpstreamError

PORT = 8000


class Doors:
    """A provider at 10.0.0.5, and one at the name box.lan, which leads to 10.0.0.6."""

    def governs(self, host: str | None, port: int | None) -> bool:
        return (host, port) == ("10.0.0.5", PORT)

    def names_at(self, port: int) -> set[str]:
        return {"box.lan"} if port == PORT else set()

    def inner(self, host: str, mark: str) -> None:
        raise AssertionError("nobody was kept from anything")


class Names(Guard):
    """`inner`: names that may not be dialled."""

    def __init__(self, inner: set[str] = frozenset(), **names: list[str]) -> None:  # type: ignore[assignment]
        super().__init__()
        self.names, self.inner = {"box.lan": ["10.0.0.6"], **names}, inner

    async def resolve(self, host: str, port: int) -> list[str]:
        if host in self.inner:
            raise Forbidden(host)
        return await self.resolve_permitted(host, port)

    async def resolve_permitted(self, host: str, port: int) -> list[str]:
        if host not in self.names:
            raise UpstreamError("connect", host)
        return self.names[host]


def gate(guard: Guard) -> Gate:
    return Gate(cast(Any, Doors()), guard, lambda: 0)


@pytest.mark.parametrize(
    ("host", "addresses", "place"),
    [
        ("alias.lan", ["10.0.0.5"], ("10.0.0.5", PORT)),
        ("alias.lan", ["10.0.0.9", "10.0.0.5"], ("10.0.0.5", PORT)),
        ("alias.lan", ["10.0.0.6"], ("box.lan", PORT)),
        ("10.0.0.6", ["10.0.0.6"], ("box.lan", PORT)),
        ("alias.lan", ["10.0.0.9"], None),
        ("nowhere.lan", [], None),
    ],
)
async def test_a_name_stands_for_the_provider_whose_address_it_has(
    host: str, addresses: list[str], place: tuple[str, int] | None
) -> None:
    asked = Destination(host, PORT)
    await gate(Names(**({host: addresses} if addresses else {}))).tokenman_destination(asked)
    assert asked.place == place


async def test_a_name_that_somebody_set_up_to_lead_inside_opens_nothing() -> None:
    for host, opens in (
        ("rebinds.example", False), ("notlocalhost", False), ("1.example", False), ("127.1", True), ("0x7f.1", True),
        ("localhost", True), ("a.localhost.", True), ("[::1]", True),
    ):  # fmt: skip
        asked = Destination(host, PORT)
        await gate(Names({host}, **{host: ["10.0.0.5"]})).tokenman_destination(asked)
        assert (asked.place is not None) is opens, host


async def test_what_leads_to_a_provider_by_the_time_it_is_dialled_is_not_dialled() -> None:
    for host, address, error in (("a.lan", "10.0.0.5", True), ("b.lan", "10.0.0.9", False)):
        server = SimpleNamespace(address=(host, PORT), error=None)
        await gate(Names(**{host: [address]})).server_connect(
            cast(Any, SimpleNamespace(server=server, client=object()))
        )
        assert (server.error is not None) is error
        assert server.address == ((host, PORT) if error else (address, PORT))
