"""The compiled gate kept on disk: it saves a start its second, and nobody can put another in its place."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.core.redaction.test_detection import OBEDIENT
from tokenman_core.config.models import Settings
from tokenman_core.redaction import Detection, Finding, Text
from tokenman_core.redaction import gate_file as module
from tokenman_core.redaction.detectors import gate
from tokenman_core.redaction.detectors.gate import HyperscanGate, Re2Gate, compile_database
from tokenman_core.redaction.gate_file import FILE, GateFile, gate_file
from tokenman_core.secret import write_private

KEY = b"k" * 32


def database() -> bytes:
    made = compile_database()
    assert made is not None  # there is a wheel of Hyperscan for the platform that tests run on
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE


def modes(folder: Path) -> dict[str, int]:
    return {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()}


async def until_hyperscan(detection: Detection) -> None:
    async with asyncio.timeout(30):
        while not isinstance(detection.gate, HyperscanGate):  # noqa: ASYNC110 it is compiled on a thread, which tells nobody
            await asyncio.sleep(0.01)


async def test_the_second_start_has_the_gate_at_once_and_compiles_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detection = Detection(command=OBEDIENT, kept=GateFile(path, KEY))
    await detection.start()
    assert isinstance(detection.gate, Re2Gate)
    await until_hyperscan(detection)
    async with asyncio.timeout(30):
        while GateFile(path, KEY).read() is None:  # noqa: ASYNC110 it is written on a thread, which tells nobody
            await asyncio.sleep(0.01)
    await detection.close()
    assert modes(path.parent) == {FILE: 0o600}

    def never() -> bytes:
        raise AssertionError

    monkeypatch.setattr("tokenman_core.redaction.detection.compile_database", never)
    again = Detection(kept=GateFile(path, KEY))
    await again.start()
    assert isinstance(again.gate, HyperscanGate)
    assert await again.find([Text("mail alice@example.com"), Text("plain")]) == [
        (Finding(5, 22, "EMAIL_ADDRESS"),),
        (),
    ]
    await again.close()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def too_short(path: Path) -> None:
    path.write_bytes(b"x" * 31)


def of_another_installation(path: Path) -> None:
    path.unlink()
    GateFile(path, b"j" * 32).write(database())


def signed_by_nobody(path: Path) -> None:
    """A database that finds nothing, behind the MAC of the right one."""
    content = path.read_bytes()
    path.write_bytes(content[:32] + database()[:4] + bytes(len(content) - 36))


def readable_by_a_group(path: Path) -> None:
    path.chmod(0o640)


def writable_by_others(path: Path) -> None:
    path.chmod(0o602)


def a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def gone(path: Path) -> None:
    path.unlink()


WRONG = [
    truncated, flipped, empty, too_short, of_another_installation, signed_by_nobody, readable_by_a_group, writable_by_others,
    a_link, a_pipe, gone, a_folder,
]  # fmt: skip


@pytest.mark.parametrize("spoil", WRONG)
def test_a_file_that_may_be_somebody_elses_is_none_and_is_written_anew(
    path: Path, spoil: Callable[[Path], None]
) -> None:
    kept = GateFile(path, KEY)
    kept.write(database())
    assert kept.read() == database()
    spoil(path)
    assert kept.read() is None
    if spoil is not a_folder:  # that stays in the way, and costs each start its second
        kept.write(database())
        assert kept.read() == database()
        assert path.stat().st_mode & 0o777 == 0o600
        assert not path.is_symlink()


def test_a_file_of_another_user_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = GateFile(path, KEY)
    kept.write(database())
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    assert kept.read() is None


def test_a_file_made_from_other_patterns_flags_or_a_library_of_another_version_is_none(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = GateFile(path, KEY)
    kept.write(database())
    expressions = list(gate._EXPRESSIONS)
    expressions[0] += b"x"
    for target, name, value in (
        (gate, "_EXPRESSIONS", tuple(expressions)),
        (gate, "_flag", lambda at: 0),
        (gate, "BEHIND", gate.BEHIND[:1]),
        (__import__("hyperscan"), "__version__", "0.0"),
        (gate.platform, "machine", lambda: "another"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(target, name, value)
            assert kept.read() is None, name
    assert kept.read() == database()


async def test_a_database_that_cannot_be_loaded_here_is_compiled_anew(path: Path) -> None:
    """As one that was made on a machine whose processor can do more; its MAC is right."""
    kept = GateFile(path, KEY)
    kept.write(b"\0\0\0\4junk")
    detection = Detection(command=OBEDIENT, kept=kept)
    await detection.start()
    assert isinstance(detection.gate, Re2Gate)
    await until_hyperscan(detection)
    async with asyncio.timeout(30):
        while kept.read() != database():  # noqa: ASYNC110 it is written on a thread, which tells nobody
            await asyncio.sleep(0.01)
    await detection.close()


async def test_where_nothing_can_be_written_detection_goes_on(path: Path) -> None:
    detection = Detection(command=OBEDIENT, kept=GateFile(path / "missing" / FILE, KEY))
    await detection.start()
    await until_hyperscan(detection)
    assert await detection.find([Text("a@example.com x ")]) == [(Finding(0, 1, "PASSWORD"),)]
    await detection.close()


def test_without_hyperscan_nothing_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = GateFile(path, KEY)
    kept.write(database())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert kept.read() is None


def test_the_key_is_the_installations(tmp_path: Path) -> None:
    """Whoever can write the file, but cannot read the secret, writes one that is taken for none."""
    one, two = (Settings(data_dir=tmp_path / name) for name in ("one", "two"))
    gate_file(one).write(database())
    assert gate_file(one).read() == database()
    gate_file(two)  # makes its folder and secret
    write_private(two.data_dir / FILE, (one.data_dir / FILE).read_bytes())
    assert gate_file(two).read() is None
    assert module.FILE == FILE
