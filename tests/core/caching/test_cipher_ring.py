"""The key in the system's keyring: made once, found again, and never waited for without end."""

import subprocess
import sys
import threading

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

from tokenman_core.caching.ring import SERVICE, NoRing, key_in_ring, system_ring


class Remembering(KeyringBackend):
    """A keyring in memory."""

    priority = 1

    def __init__(self):
        super().__init__()
        self.kept = {}

    def get_password(self, service, username):
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self.kept[service, username] = password


class Plain(Remembering):
    """Such as a file that anybody can read."""

    priority = 0.5


@pytest.fixture
def chosen():
    """Chooses a keyring for the library."""
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


def test_a_key_is_made_once_and_found_again(chosen):
    ring = Remembering()
    chosen(ring)
    key = key_in_ring("cache:1")
    assert len(key) == 32
    assert key_in_ring("cache:1") == key != key_in_ring("cache:2")
    assert list(ring.kept) == [(SERVICE, "cache:1"), (SERVICE, "cache:2")]


def test_keys_are_drawn_at_random():
    assert key_in_ring("a", Remembering) != key_in_ring("a", Remembering)


@pytest.mark.parametrize("weak", [fail.Keyring, null.Keyring, Plain])
def test_a_keyring_that_keeps_no_secret_is_not_used(chosen, weak):
    chosen(weak())
    assert system_ring() is None
    with pytest.raises(NoRing, match="no keyring"):
        key_in_ring("cache:1")


def test_of_a_chain_only_a_good_link_is_used(chosen, monkeypatch):
    good, plain = Remembering(), Plain()
    monkeypatch.setattr(chainer.ChainerBackend, "backends", [plain, good])
    chosen(chainer.ChainerBackend())
    key_in_ring("cache:1")
    assert good.kept
    assert not plain.kept


def test_a_chain_of_weak_links_is_none(chosen, monkeypatch):
    monkeypatch.setattr(chainer.ChainerBackend, "backends", [Plain(), Plain()])
    chosen(chainer.ChainerBackend())
    assert system_ring() is None


@pytest.mark.parametrize("found", ["", "nonsense", "00" * 31, "ä"])
def test_what_is_no_key_is_replaced(found):
    ring = Remembering()
    ring.kept[SERVICE, "a"] = found
    key = key_in_ring("a", lambda: ring)
    assert ring.kept[SERVICE, "a"] == key.hex()


def test_of_two_that_make_one_at_once_what_stands_there_counts():
    class Overtaken(Remembering):
        def set_password(self, service, username, password):
            super().set_password(service, username, "ab" * 32)

    assert key_in_ring("a", Overtaken) == b"\xab" * 32


def test_a_keyring_that_forgets_is_told():
    class Forgetful(Remembering):
        def set_password(self, service, username, password):
            pass

    with pytest.raises(NoRing, match="does not keep"):
        key_in_ring("a", Forgetful)


def test_what_a_keyring_says_when_it_fails_is_not_repeated():
    def broken():
        raise RuntimeError("the planted secret of a keyring")

    with pytest.raises(NoRing, match=r"the keyring failed \(RuntimeError\)") as told:
        key_in_ring("a", broken)
    assert "planted" not in str(told.value)


def test_a_keyring_that_asks_its_owner_is_not_waited_for():
    answered = threading.Event()

    def locked():
        answered.wait(30)

    with pytest.raises(NoRing, match=r"did not answer within 0\.05 s"):
        key_in_ring("a", locked, wait=0.05)
    answered.set()


def test_a_prompt_that_nobody_answers_does_not_keep_the_process():
    program = (
        "import time\n"
        "from tokenman_core.caching.ring import NoRing, key_in_ring\n"
        "try: key_in_ring('a', lambda: time.sleep(600), wait=0.05)\n"
        "except NoRing: print('none')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("none\n", 0)


def test_the_library_is_not_loaded_before_a_key_is_wanted():
    program = (
        "import sys\n"
        "from tokenman_core.caching.cipher import cipher_for\n"
        "cipher_for('off', b'x', configured=True)\n"
        "print([name for name in sys.modules if name.startswith(('keyring', 'secretstorage', 'jeepney'))])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
