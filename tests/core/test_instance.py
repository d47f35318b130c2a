"""One instance a data folder, what it says of itself, and how a listener proves that it is one."""

import json
import logging
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tokenman_core import instance
from tokenman_core.config.models import Settings
from tokenman_core.config.values import Address
from tokenman_core.errors import ConfigError
from tokenman_core.instance import Instance, Prover, Running, Taken, proof

PROXY, ADMIN = Address("127.0.0.1", 7677), Address("::1", 7678)
NONCE = "0" * 64

HOLDER = """
import sys
from pathlib import Path
from tokenman_core.config.values import Address
from tokenman_core.instance import Instance
held = Instance.take(Path(sys.argv[1]), "run")
held.publish(Address("127.0.0.1", 1111), Address("127.0.0.1", 2222))
print("held", flush=True)
sys.stdin.read()
"""


def hold(folder: Path) -> "subprocess.Popen[str]":
    """Another process that has the folder, until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_is_held_by_one_process_and_the_other_is_told_by_which(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    try:
        with pytest.raises(Taken) as found:
            Instance.take(tmp_path)
    finally:
        holder.kill()
        holder.communicate()
    said = str(found.value)
    for word in (f"process {holder.pid}", "127.0.0.1:1111", "127.0.0.1:2222", "tokenman run", f"kill {holder.pid}"):
        assert word in said
    assert "\n" not in said


def test_a_killed_process_is_in_nobodys_way(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert instance.running(tmp_path) is not None  # it could not clean up
    held = Instance.take(tmp_path)
    assert instance.running(tmp_path) is None
    held.publish(PROXY, ADMIN)
    assert (tmp_path / "tokenman.pid").read_text() == str(os.getpid())


def test_a_stale_pid_that_another_process_has_by_now_blocks_nothing(tmp_path: Path) -> None:
    (tmp_path / "tokenman.pid").write_text(str(os.getppid()))  # one that lives
    place = {"pid": os.getppid(), "proxy": "127.0.0.1:1", "admin": "127.0.0.1:2", "version": "0", "started": "up"}
    (tmp_path / "instance.json").write_text(json.dumps(place))
    held = Instance.take(tmp_path)
    held.publish(PROXY, ADMIN)
    assert (tmp_path / "tokenman.pid").read_text() == str(os.getpid())


def test_what_is_published_is_read_back_and_taken_away_again(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    held = Instance.take(folder, "run")
    held.publish(PROXY, ADMIN)
    found = instance.running(folder)
    assert found is not None
    assert (found.pid, found.proxy, found.admin, found.started) == (os.getpid(), PROXY, ADMIN, "run")
    for name in ("tokenman.pid", "instance.json", "tokenman.lock"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    held.withdraw()
    held.withdraw()
    assert instance.running(folder) is None
    assert not (folder / "tokenman.pid").exists()
    with pytest.raises(Taken, match="is starting or ending just now"):
        Instance.take(folder)  # until the process has ended nobody else has its ports
    held.release()
    Instance.take(folder).release()


def test_a_pid_file_that_cannot_be_removed_or_written_is_logged_with_its_path(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokenman.pid"
    path.mkdir()
    with caplog.at_level(logging.WARNING):
        held = Instance.take(tmp_path)
        assert f"{path} cannot be removed" in caplog.text
        held.publish(PROXY, ADMIN)
        assert f"{path} cannot be written" in caplog.text
    assert instance.running(tmp_path) is not None


def test_a_folder_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenman.lock").mkdir()
    with pytest.raises(ConfigError, match=r"data_dir: the file .*tokenman\.lock cannot be locked"):
        Instance.take(tmp_path)


GOOD = {"pid": 1, "proxy": "127.0.0.1:1", "admin": "[::1]:2", "version": "1", "started": "up"}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[]", b"null", b"\xff", b"7",
        json.dumps({**GOOD, "pid": "x"}).encode(),
        json.dumps({**GOOD, "proxy": 7}).encode(),
        json.dumps({**GOOD, "admin": "nowhere"}).encode(),
        json.dumps({**GOOD, "version": "x" * 10_000}).encode(),
    ],
)  # fmt: skip
def test_a_place_file_that_makes_no_sense_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "instance.json").write_bytes(content)
    assert instance.running(tmp_path) is None


def test_a_place_file_that_makes_sense_is_read(tmp_path: Path) -> None:
    (tmp_path / "instance.json").write_text(json.dumps(GOOD))
    found = Running(1, Address("127.0.0.1", 1), Address("::1", 2), "1", "up")
    assert instance.running(tmp_path) == found


# -- the proof --


def test_a_proof_is_good_for_one_nonce_one_address_and_one_installation() -> None:
    made = proof(b"key", NONCE, PROXY)
    assert made == Prover(b"key").answer(f"nonce={NONCE}", PROXY)[1]
    others = {proof(b"key", "1" * 64, PROXY), proof(b"key", NONCE, ADMIN), proof(b"other", NONCE, PROXY)}
    assert len(others | {made}) == 4
    assert all(len(one) == 64 and int(one, 16) for one in others)


@pytest.mark.parametrize(
    "query", ["", NONCE, "nonce=", "nonce=" + "0" * 31, "nonce=" + "0" * 129, "nonce=" + "A" * 64, f"nonce={NONCE}&a=b"]
)
def test_a_nonce_that_is_too_short_too_long_or_none_is_refused(query: str) -> None:
    assert Prover(b"key").answer(query, PROXY)[0] == 400


def test_nothing_is_proved_beyond_loopback() -> None:
    assert Prover(b"key").answer(f"nonce={NONCE}", Address("192.0.2.1", 7677))[0] == 403


def test_the_key_is_that_of_the_installation(tmp_path: Path) -> None:
    one = Settings.model_validate({"data_dir": str(tmp_path / "a")})
    other = Settings.model_validate({"data_dir": str(tmp_path / "b")})
    assert instance.proof_key(one) == instance.proof_key(one) != instance.proof_key(other)
    assert len({instance.new_nonce() for _ in range(10)}) == 10


@pytest.mark.parametrize(
    "changed",
    [
        {"pid": "1e999"},
        {"proxy": f'"{"a" * 70}:1"'},
        {"admin": f'"{"a" * 70}:1"'},
        {"proxy": '"127.0.0.1:65536"'},
        {"pid": "[" * 2000},
    ],
    ids=["pid", "proxy", "admin", "port", "depth"],
)
def test_a_place_that_can_be_nobodys_is_stale(tmp_path, changed):
    said = {"pid": "7", "proxy": '"127.0.0.1:1"', "admin": '"127.0.0.1:2"', "version": '"1"', "started": '"up"'}
    path = tmp_path / "instance.json"
    path.write_text("{" + ",".join(f'"{name}": {value}' for name, value in said.items()) + "}")
    assert instance.running(tmp_path) is not None
    path.write_text("{" + ",".join(f'"{name}": {value}' for name, value in (said | changed).items()) + "}")
    assert instance.running(tmp_path) is None
