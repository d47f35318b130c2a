"""Whatever happens to the file of kept answers, each of them is given whole or not at all, and the cache goes on."""

import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.core.caching.entries import KEY, NOW, entry, key_of, noise
from tokenman_core.caching.behind import AGAIN_S, IDLE_S, Behind, Bounds
from tokenman_core.caching.cipher import Cipher
from tokenman_core.caching.memory import Limits, Memory
from tokenman_core.clock import ManualClock

ROOT = Path(__file__).parents[3]
CIPHERS = {"plain": None, "sealed": Cipher(KEY)}
SIZES = [0, 50, 900, 4000, 30_000]


class Store:
    """The store without its thread."""

    def __init__(self, path, cipher=None):
        limits = Limits(1000, 2**30)
        self.clock, self.memory = ManualClock(NOW), Memory(limits)
        self.behind = Behind(path, self.memory, Bounds(limits, 1e9), self.clock, cipher, KEY)

    def settle(self):
        for _ in range(1000):
            if self.behind.step() == IDLE_S:
                return
        raise AssertionError("it never rests")


def kept(number):
    return entry(noise(number, SIZES[number % len(SIZES)]), model="ab"[number % 2])


def cold(store):
    store.memory._hot.clear()
    store.memory._hot_bytes = 0


def check(store, numbers):
    """Each is whole or not there; the cache works on. Returns how many were found."""
    found = {number: store.behind.look(key_of(number)) for number in numbers}
    assert all(each in (None, kept(number)) for number, each in found.items())
    for _ in range(3):
        store.memory.keep(key_of(10_000), kept(10_000))
        store.settle()
        store.clock.advance(AGAIN_S)
    store.settle()
    assert store.behind.trouble is None
    cold(store)
    assert store.behind.look(key_of(10_000)) == kept(10_000)
    assert not [
        each for number in numbers if (each := store.behind.look(key_of(number))) is not None and each != kept(number)
    ]
    return sum(each is not None for each in found.values())


# -- bytes that are not what they were --


def flipped(data, generator):
    for _ in range(generator.choice([1, 1, 3, 50])):
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)


def truncated(data, generator):
    del data[generator.randrange(len(data)) :]


def zeroed(data, generator):
    at = generator.randrange(0, len(data), 4096)
    data[at : at + 4096] = bytes(len(data[at : at + 4096]))


def swapped(data, generator):
    one, other = (generator.randrange(0, len(data) // 4096) * 4096 for _ in "12")
    data[one : one + 4096], data[other : other + 4096] = data[other : other + 4096], data[one : one + 4096]


def garbled_head(data, generator):
    for _ in range(3):
        data[generator.randrange(min(200, len(data)))] = generator.randrange(256)


@pytest.fixture(scope="module", params=CIPHERS)
def pristine(request, tmp_path_factory):
    """A folder with a file and its log, as a process leaves them that was killed: half of the rows in each."""
    folder = tmp_path_factory.mktemp("pristine")
    store = Store(folder / "cache.db", CIPHERS[request.param])
    for number in range(40):
        store.memory.keep(key_of(number), kept(number))
        store.settle()
    store.behind._disk.checkpoint()
    for number in range(40, 80):
        store.memory.keep(key_of(number), kept(number))
        store.settle()
    copy = tmp_path_factory.mktemp("copy")
    for each in folder.iterdir():
        shutil.copy(each, copy / each.name)
    store.behind.close()
    return copy, CIPHERS[request.param]


def test_the_copy_is_whole(pristine, tmp_path):
    folder, cipher = pristine
    for each in folder.iterdir():
        shutil.copy(each, tmp_path / each.name)
    store = Store(tmp_path / "cache.db", cipher)
    assert check(store, range(80)) == 80
    assert store.behind.damaged == 0
    store.behind.close()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("file", ["cache.db", "cache.db-wal"])
@pytest.mark.parametrize("way", [flipped, truncated, zeroed, swapped, garbled_head], ids=lambda way: way.__name__)
def test_damaged_bytes_are_a_miss(pristine, tmp_path, way, file, seed):
    folder, cipher = pristine
    for each in folder.iterdir():
        shutil.copy(each, tmp_path / each.name)
    data = bytearray((tmp_path / file).read_bytes())
    way(data, random.Random(seed))
    (tmp_path / file).write_bytes(data)
    store = Store(tmp_path / "cache.db", cipher)
    check(store, range(80))
    assert {each.name for each in tmp_path.iterdir()} <= {"cache.db", "cache.db-wal", "cache.db-shm"}
    store.behind.close()


@pytest.mark.parametrize("seed", range(6))
def test_bytes_damaged_under_way_are_a_miss(pristine, tmp_path, seed):
    """The file changes under an open cache, as when a disk fails."""
    folder, cipher = pristine
    for each in folder.iterdir():
        shutil.copy(each, tmp_path / each.name)
    generator = random.Random(seed)
    store = Store(tmp_path / "cache.db", cipher)
    store.settle()
    for _ in range(5):
        with (tmp_path / "cache.db").open("r+b") as file:
            size = file.seek(0, 2)
            for _ in range(20):
                file.seek(generator.randrange(max(1, size - 50)))
                file.write(generator.randbytes(50))
        for number in generator.sample(range(80), 30):
            assert store.behind.look(key_of(number)) in (None, kept(number))
        store.memory.keep(key_of(generator.randrange(200, 300)), kept(1))
        store.settle()
        store.clock.advance(AGAIN_S)
        cold(store)
    check(store, range(80))
    store.behind.close()


# -- a process that is killed --

_WRITER = """
import sys
from pathlib import Path
from tests.core.caching.test_disk_damage import CIPHERS, Store, kept
from tests.core.caching.entries import key_of
path, cipher, seed = Path(sys.argv[1]), CIPHERS[sys.argv[2]], int(sys.argv[3])
store = Store(path, cipher)
for turn in range(100_000):
    number = (seed * 31 + turn * 7) % 60
    store.memory.keep(key_of(number), kept(number))
    store.behind.step()
    if turn % 40 == 39:
        store.behind.forget("a" if turn % 3 else None, None)
    print(turn, flush=True)
"""


@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_process_killed_while_it_writes_leaves_each_answer_whole_or_none(tmp_path, cipher):
    path = tmp_path / "data" / "cache.db"
    generator = random.Random(cipher)
    found = 0
    for seed in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), cipher, str(seed)], cwd=ROOT, stdout=subprocess.PIPE
        )
        try:
            for _ in range(generator.randrange(20, 150)):
                assert writer.stdout.readline()
        finally:
            writer.kill()  # SIGKILL
            writer.wait(30)
            writer.stdout.close()
        store = Store(path, CIPHERS[cipher])
        found += check(store, range(60))
        assert (store.behind.damaged, store.behind.trouble) == (0, None)
        store.behind.close()
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("pragma integrity_check").fetchone() == ("ok",)
    assert found > 20


@pytest.mark.parametrize("cipher", CIPHERS)
def test_two_processes_write_to_one_file(tmp_path, cipher):
    path = tmp_path / "data" / "cache.db"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), cipher, str(seed)], cwd=ROOT, stdout=subprocess.PIPE
        )
        for seed in range(2)
    ]
    store = Store(path, CIPHERS[cipher])
    try:
        for _ in range(60):
            for writer in writers:
                assert writer.stdout.readline()
            for number in range(0, 60, 7):
                assert store.behind.look(key_of(number)) in (None, kept(number))
            cold(store)
            store.settle()
            store.clock.advance(AGAIN_S)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait(30)
            writer.stdout.close()
    check(store, range(60))
    store.behind.close()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("pragma integrity_check").fetchone() == ("ok",)
