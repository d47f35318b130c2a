"""The file of clients: what it holds and does not, who sees a change and when, and what a damaged one does."""

import json
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tokenman_core.clients import Client, Clients, Exists, TooMany, store
from tokenman_core.clients.record import Unfit, line_of, read
from tokenman_core.clock import ManualClock

NOBODY = "0" * 64
WEB = Client("web", NOBODY, 1000.0, "site", ("claude-*",), ("anthropic",), "5/day", "60/min", 2000.0)


class World:
    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, ManualClock()

    def process(self, key: bytes = b"k" * 32) -> Clients:
        return Clients(self.folder, key, self.clock)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "data")


def of(clients: Clients, key: str) -> Client | None:
    return clients.now().of(clients.digest(key))


def test_a_key_is_its_clients_and_nobody_elses(world: World) -> None:
    clients = world.process()
    key, other = clients.add(WEB), clients.add(replace(WEB, name="other"))
    assert key != other
    found = of(clients, key)
    assert found == replace(WEB, digest=clients.digest(key))
    for bad in ("", key[:-1], key + "a", key.lower(), key.upper(), NOBODY, clients.digest(key), "\0", "\ud800"):
        assert of(clients, bad) is None


def test_the_file_holds_no_key_and_without_the_secret_its_hashes_are_nothings(world: World) -> None:
    clients = world.process()
    key = clients.add(WEB)
    text = clients.path.read_text()
    assert key not in text
    assert key[4:] not in text
    assert stat.S_IMODE(clients.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(clients.path.parent.stat().st_mode) == 0o700
    assert of(world.process(b"another"), key) is None


def test_another_process_sees_a_new_key_and_a_revocation_within_two_seconds(world: World) -> None:
    one, other = world.process(), world.process()
    assert not other.now().clients
    key = one.add(WEB)
    world.clock.advance(1.9)
    assert of(other, key) is not None
    assert one.revoke("web")
    world.clock.advance(1.9)
    assert of(other, key) is None
    assert of(one, key) is None
    assert not one.revoke("web")


def test_it_is_looked_at_no_more_than_twice_a_second(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    clients, looks, real = world.process(), list[object](), os.stat

    def look(path: Path) -> os.stat_result:
        looks.append(path)
        return real(path)

    monkeypatch.setattr(os, "stat", look)
    for _ in range(100):
        clients.now()
        world.clock.advance(0.01)
    monkeypatch.undo()
    assert 1 <= len(looks) <= 3


def test_the_version_tells_of_each_change_and_of_nothing_else(world: World) -> None:
    clients = world.process()
    seen = {clients.now().version}
    clients.add(WEB)
    for _ in range(3):
        world.clock.advance(1)
        seen.add(clients.now().version)
    assert len(seen) == 2


def test_a_name_is_one_clients_until_he_is_revoked(world: World) -> None:
    clients = world.process()
    first = clients.add(WEB)
    with pytest.raises(Exists):
        clients.add(replace(WEB, project="other"))
    clients.revoke("web")
    second = clients.add(WEB)
    assert of(clients, first) is None
    assert of(clients, second) is not None


def test_many_at_once_all_come_in(world: World) -> None:
    threads = [
        threading.Thread(target=lambda name=f"c{at}": world.process().add(replace(WEB, name=name))) for at in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(world.process().now().clients) == 20


def test_there_is_a_most(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST", 2)
    clients = world.process()
    for name in ("a", "b"):
        clients.add(replace(WEB, name=name))
    with pytest.raises(TooMany):
        clients.add(replace(WEB, name="c"))


def unreadable(path: Path) -> None:
    path.unlink()
    path.mkdir()


def endless(path: Path) -> None:
    path.write_bytes(b"x" * ((8 << 20) + 1))


@pytest.mark.parametrize("damage", [unreadable, endless])
def test_a_file_that_cannot_be_read_lets_nobody_in_and_says_so_until_it_can(
    world: World, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    clients = world.process()
    key = clients.add(WEB)
    content = clients.path.read_bytes()
    assert of(clients, key)
    damage(clients.path)
    world.clock.advance(1)
    assert clients.now().trouble
    assert of(clients, key) is None
    assert "no virtual key is accepted" in caplog.text
    with pytest.raises((OSError, TooMany)):
        clients.add(replace(WEB, name="b"))
    if clients.path.is_dir():
        clients.path.rmdir()
    clients.path.write_bytes(content)
    world.clock.advance(1)
    assert not clients.now().trouble
    assert of(clients, key)


BAD = [
    b"{", b"[]", b"7", b"{}", b'{"name": "x"}', b"\xff", b"[" * 5000,
    *(
        json.dumps({"name": "x", "digest": "a" * 64, "created": 1} | odd).encode()
        for odd in (
            {"ips": ["10.0.0.0/8"]}, {"models": "claude-*"}, {"models": [7]}, {"project": 7}, {"expires": "soon"},
            {"expires": float("nan")}, {"expires": True}, {"expires": 1e30}, {"digest": "x"}, {"name": "a/b"}, {"name": "*"},
            {"models": ["x"] * 51}, {"project": "a\nb"}, {"name": ""},
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("line", BAD, ids=[f"{at}" for at in range(len(BAD))])
def test_a_line_that_cannot_be_read_is_nobodys_and_stays_and_all_others_hold(
    world: World, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A bound that this version does not know, too: the key would do more than it may."""
    with pytest.raises((ValueError, RecursionError)):
        read(line)
    clients = world.process()
    key = clients.add(WEB)
    clients.path.write_bytes(line + b"\n" + clients.path.read_bytes())
    world.clock.advance(1)
    assert [each.name for each in clients.now().clients] == ["web"]
    assert of(clients, key)
    assert "clients:1 cannot be read, so that key is refused" in caplog.text
    clients.add(replace(WEB, name="other"))
    assert clients.path.read_bytes().startswith(line + b"\n")


def test_what_is_written_is_read_the_same() -> None:
    least = Client("a", NOBODY, 1.0)
    assert read(line_of(WEB)) == WEB
    assert read(line_of(least)) == least
    assert b"project" not in line_of(least)


@pytest.mark.parametrize("name", ["", "a/b", "a*", "-a", "a" * 65, "a\n", "ä", "a[b]", "a?", "a:b"])
def test_a_name_means_nothing_in_a_pattern_or_a_path(name: str) -> None:
    with pytest.raises(Unfit, match=r"^name: "):
        replace(WEB, name=name)


def test_what_a_client_may_use_and_until_when() -> None:
    assert WEB.may_ask("claude-opus-4-5")
    assert not WEB.may_ask("gpt-5")
    assert not WEB.may_ask("Claude-x")
    assert not WEB.may_use("openai")
    assert WEB.may_use("anthropic")
    free = Client("a", NOBODY, 1.0)
    assert free.may_ask("")
    assert free.may_use("any")
    assert [WEB.expired(moment) for moment in (1999.9, 2000.0, 2000.1)] == [False, True, True]
    assert not free.expired(1e11)
