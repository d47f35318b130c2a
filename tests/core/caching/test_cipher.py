"""How the bytes of a kept answer are closed, and where the key comes from."""

import logging

import pytest

from tests.core.caching.entries import KEY, PLANTED
from tokenman_core.caching.cipher import Checksum, Cipher, cipher_for
from tokenman_core.caching.entry import Damaged
from tokenman_core.caching.ring import NoRing
from tokenman_core.errors import ConfigError

ROOT = b"the installation's secret"


@pytest.mark.parametrize("seal", [Cipher(KEY), Checksum(KEY)], ids=["cipher", "checksum"])
class TestBoth:
    @pytest.mark.parametrize("plain", [b"", b"x", PLANTED * 100], ids=["none", "one", "many"])
    def test_what_was_closed_opens(self, seal, plain):
        assert seal.open(seal.close(plain, b"about"), b"about") == plain

    def test_it_opens_as_nothing_else(self, seal):
        with pytest.raises(Damaged):
            seal.open(seal.close(PLANTED, b"about"), b"about it")

    def test_what_it_is_about_cannot_run_into_what_is_closed(self, seal):
        sealed = seal.close(b"bc", b"a")
        with pytest.raises(Damaged):
            seal.open(sealed[1:], b"ab")

    @pytest.mark.parametrize("sealed", [b"", b"x", bytes(27), bytes(28), bytes(200)], ids=len)
    def test_nonsense_is_damage(self, seal, sealed):
        with pytest.raises(Damaged):
            seal.open(sealed, b"about")

    def test_another_key_has_another_mark(self, seal):
        assert len(seal.mark) == 16
        assert seal.mark == type(seal)(KEY).mark
        assert seal.mark != type(seal)(bytes(32)).mark
        with pytest.raises(Damaged):
            type(seal)(bytes(32)).open(seal.close(PLANTED, b""), b"")


def test_a_cipher_and_a_checksum_with_one_key_are_told_apart():
    assert Cipher(KEY).mark != Checksum(KEY).mark
    assert (Cipher(KEY).encrypted, Checksum(KEY).encrypted) == (True, False)


def test_what_is_sealed_shows_nothing():
    sealed = Cipher(KEY).close(PLANTED * 10, b"about")
    assert not any(word in sealed for word in PLANTED.split() if len(word) > 3)


def test_each_sealing_has_a_nonce_of_its_own():
    drawn = []

    def random(size):
        drawn.append(size)
        return bytes([len(drawn)]) * size

    cipher = Cipher(KEY, random)
    first, second = cipher.close(PLANTED, b""), cipher.close(PLANTED, b"")
    assert drawn == [12, 12]
    assert (first[:12], second[:12]) == (b"\1" * 12, b"\2" * 12)
    assert first[12:] != second[12:]
    assert len({Cipher(KEY).close(b"", b"") for _ in range(100)}) == 100


# -- where the key comes from --


def ring(name):
    ring.asked.append(name)
    return KEY


@pytest.fixture(autouse=True)
def asked():
    ring.asked = []
    return ring.asked


def no_ring(name):
    raise NoRing("there is none")


def test_off_asks_nothing(asked):
    assert cipher_for("off", ROOT, configured=True, ring=ring) is None
    assert asked == []


@pytest.mark.parametrize("encrypt", ["auto", "on"])
@pytest.mark.parametrize("configured", [True, False])
def test_the_key_lies_in_the_keyring_where_there_is_one(encrypt, configured, asked):
    assert cipher_for(encrypt, ROOT, configured=configured, ring=ring).mark == Cipher(KEY).mark
    cipher_for(encrypt, ROOT, configured=configured, ring=ring)
    cipher_for(encrypt, b"another", configured=configured, ring=ring)
    assert asked[0] == asked[1] != asked[2]
    assert all(name.startswith("cache:") and len(name) == len("cache:") + 16 for name in asked)


@pytest.mark.parametrize("encrypt", ["auto", "on"])
def test_without_one_a_secret_that_was_set_gives_the_key(encrypt):
    one, again = (cipher_for(encrypt, ROOT, configured=True, ring=no_ring) for _ in "12")
    assert one.mark == again.mark != cipher_for(encrypt, b"another", configured=True, ring=no_ring).mark
    assert again.open(one.close(b"x", b""), b"") == b"x"


def test_without_both_auto_does_not_encrypt_and_says_so(caplog):
    with caplog.at_level(logging.INFO, "tokenman.cache"):
        assert cipher_for("auto", ROOT, configured=False, ring=no_ring) is None
    assert "not encrypted on disk: there is none" in caplog.text


def test_without_both_on_is_refused_with_what_to_do():
    with pytest.raises(ConfigError) as refused:
        cipher_for("on", ROOT, configured=False, ring=no_ring)
    said = str(refused.value)
    assert said.startswith("cache.encrypt: ")
    for each in ("there is none", "env:NAME", "auto, off"):
        assert each in said
    assert ROOT.decode() not in said
