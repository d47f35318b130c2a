import multiprocessing
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tokenman_core import ca
from tokenman_core.admin.keys import admin_token
from tokenman_core.config.models import Settings
from tokenman_core.errors import ConfigError
from tokenman_core.instance import Instance
from tokenman_core.secret import derive, installation_secret, private_folder, write_private


def settings(folder: Path, secret: str | None = None) -> Settings:
    return Settings(data_dir=folder, secret=SecretStr(secret) if secret is not None else None)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_secret_is_made_once_and_private(tmp_path):
    found = settings(tmp_path / "a" / "data")
    first = installation_secret(found)
    assert len(first) == 64
    assert installation_secret(found) == first
    assert mode(found.data_dir) == 0o700
    assert [path.name for path in found.data_dir.iterdir()] == ["secret"]
    assert mode(found.data_dir / "secret") == 0o600
    assert installation_secret(settings(tmp_path / "b")) != first


def test_what_others_could_read_is_made_private_again(tmp_path):
    found = settings(tmp_path / "data")
    first = installation_secret(found)
    found.data_dir.chmod(0o755)
    (found.data_dir / "secret").chmod(0o644)
    assert installation_secret(found) == first
    assert (mode(found.data_dir), mode(found.data_dir / "secret")) == (0o700, 0o600)


def test_starts_at_the_same_time_get_the_same_secret(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        for round_ in range(20):
            found = settings(tmp_path / str(round_))
            assert len(set(pool.map(installation_secret, [found] * 16))) == 1
            assert [path.name for path in found.data_dir.iterdir()] == ["secret"]


def _start(folder: str, go, results) -> None:
    go.wait()
    results.put(installation_secret(settings(Path(folder))))


def test_processes_at_the_same_time_get_the_same_secret(tmp_path):
    spawn = multiprocessing.get_context("fork")
    go, results = spawn.Event(), spawn.Queue()
    processes = [spawn.Process(target=_start, args=(str(tmp_path / "data"), go, results)) for _ in range(4)]
    for process in processes:
        process.start()
    go.set()
    found = {results.get(timeout=30) for _ in processes}
    for process in processes:
        process.join(30)
    assert len(found) == 1


def test_the_setting_wins_and_no_file_is_made(tmp_path):
    found = settings(tmp_path / "data", "a-secret-that-is-long-enough")
    assert installation_secret(found) == b"a-secret-that-is-long-enough"
    assert not found.data_dir.exists()


def test_a_short_secret_is_refused_without_being_told(tmp_path):
    with pytest.raises(ConfigError, match="secret: is too short") as caught:
        installation_secret(settings(tmp_path, "hunter2"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_damaged_file_is_refused_not_replaced(tmp_path, content):
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigError, match="is damaged"):
        installation_secret(settings(tmp_path))
    assert (tmp_path / "secret").read_bytes() == content


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"data_dir: the folder .*/file/data cannot be made"):
        private_folder(tmp_path / "file" / "data")


def test_a_file_is_put_in_place_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "f"
    write_private(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_a_kept_file_stays(tmp_path):
    assert write_private(tmp_path / "f", b"first", keep=True) is True
    assert write_private(tmp_path / "f", b"second", keep=True) is False
    assert (tmp_path / "f").read_bytes() == b"first"


def test_derived_keys_are_those_of_the_standard():
    # HKDF-SHA256 by hand (RFC 5869): no salt is a salt of zeros; one block is enough for 32 bytes.
    import hashlib
    import hmac

    extracted = hmac.digest(b"\0" * 32, b"the secret", hashlib.sha256)
    assert derive(b"the secret", "vault") == hmac.digest(extracted, b"tokenman/vault\x01", hashlib.sha256)


@given(st.binary(min_size=16, max_size=64), st.text(), st.text())
def test_another_purpose_is_another_key(secret, one, other):
    if one.isprintable() and other.isprintable():
        assert (derive(secret, one) == derive(secret, other)) is (one == other)
        assert len(derive(secret, one)) == 32


# -- what somebody else could have prepared --


@pytest.fixture
def made(tmp_path):
    """All that a start makes in its folder."""
    found = settings(tmp_path / "data")
    installation_secret(found)
    admin_token(found)
    ca.ensure(found.data_dir / "ca", [])
    Instance.take(found.data_dir).release()
    return found


STARTS = {
    "secret": installation_secret,
    "admin-token": admin_token,
    "ca": lambda found: ca.ensure(found.data_dir / "ca", []),
    "lock": lambda found: Instance.take(found.data_dir).release(),
}


def foreign(monkeypatch, *paths: Path) -> None:
    """They belong to another user, whoever runs this test."""
    real = Path.stat

    def stat_(self, **options):
        found = real(self, **options)
        return os.stat_result([*found[:4], 4711, *found[5:]]) if self in paths else found

    monkeypatch.setattr(Path, "stat", stat_)


@pytest.mark.parametrize(
    ("start", "path"),
    [(start, "") for start in STARTS if start != "ca"]
    + [("secret", "secret"), ("admin-token", "admin-token"), ("ca", "ca"), ("ca", "ca/tokenman-ca.key")],
)
def test_what_belongs_to_another_user_is_not_believed(made, monkeypatch, start, path):
    path = made.data_dir / path
    if path.name.endswith(".key"):
        (path,) = [it for it in path.parent.iterdir() if b"PRIVATE KEY" in it.read_bytes()]
    STARTS[start](made)
    foreign(monkeypatch, path)
    with pytest.raises(ConfigError, match=rf"data_dir: {path} belongs to another user \(uid 4711\); .*chown -R "):
        STARTS[start](made)


@pytest.mark.parametrize("start", STARTS)
def test_a_parent_that_all_may_write_to_has_to_be_sticky(made, start):
    parent = made.data_dir.parent
    parent.chmod(0o777)
    with pytest.raises(ConfigError, match=rf"data_dir: whoever may write to {parent} .*chmod \+t {parent}"):
        STARTS[start](made)
    parent.chmod(0o1777)
    STARTS[start](made)
    parent.chmod(0o775)
    STARTS[start](made)


def test_a_link_is_judged_where_it_stands_and_where_it_leads(made, tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    link = tmp_path / "open" / "link"
    link.symlink_to(made.data_dir)
    with pytest.raises(ConfigError, match=r"whoever may write to .*/open could"):
        installation_secret(settings(link))
    (tmp_path / "link").symlink_to(tmp_path / "open" / "data")
    (tmp_path / "open" / "data").mkdir()
    with pytest.raises(ConfigError, match=r"whoever may write to .*/open could"):
        installation_secret(settings(tmp_path / "link"))
