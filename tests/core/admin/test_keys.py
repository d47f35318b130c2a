import stat

import pytest

from tokenman_core.admin.keys import CODE_S, SESSION_S, Codes, Keys, TooManyFailures, admin_token
from tokenman_core.clock import ManualClock
from tokenman_core.config.load import load
from tokenman_core.config.models import Settings
from tokenman_core.errors import ConfigError


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def codes(clock):
    return Codes(clock)


@pytest.fixture
def keys(codes, clock):
    return Keys("the-token", codes, clock)


# -- the token --


def test_a_token_is_made_at_the_first_start_for_its_owner_alone_and_kept(tmp_path):
    settings = Settings(data_dir=tmp_path / "data")
    token = admin_token(settings)
    path = tmp_path / "data" / "admin-token"
    assert len(token) >= 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert admin_token(settings) == token == path.read_text().strip()
    assert admin_token(Settings(data_dir=tmp_path / "other")) != token


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o611])
def test_one_that_others_could_read_or_write_is_renewed_and_that_is_told(tmp_path, mode, caplog):
    path = tmp_path / "admin-token"
    path.write_text("known-to-everybody\n")
    path.chmod(mode)
    token = admin_token(Settings(data_dir=tmp_path))
    assert token == path.read_text().strip()
    assert len(token) >= 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"the admin token in {path} could be read by others" in caplog.text
    assert token not in caplog.text
    caplog.clear()
    assert admin_token(Settings(data_dir=tmp_path)) == token
    assert not caplog.text


def test_one_in_a_file_of_its_owner_alone_stays(tmp_path):
    (tmp_path / "admin-token").write_text("my-very-own-token\n")
    (tmp_path / "admin-token").chmod(0o600)
    assert admin_token(Settings(data_dir=tmp_path)) == "my-very-own-token"


def test_the_configured_token_wins_and_no_file_is_made(tmp_path):
    assert admin_token(Settings(data_dir=tmp_path, admin={"token": "sixteen-letters-"})) == "sixteen-letters-"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", b"fifteen-letters\n"])
def test_a_file_that_holds_no_token_ends_the_start_and_says_what_to_do(tmp_path, content):
    (tmp_path / "admin-token").write_bytes(content)
    (tmp_path / "admin-token").chmod(0o600)
    with pytest.raises(ConfigError, match=r"admin\.token: the file .*admin-token .*remove it"):
        admin_token(Settings(data_dir=tmp_path))


@pytest.mark.parametrize("token", [" ", "fifteen-letters", " fifteen-letters  "])
def test_a_configured_token_that_can_be_guessed_ends_the_start_and_is_not_told(tmp_path, token):
    file = tmp_path / "tokenman.yaml"
    file.write_text(f"admin:\n  token: '{token}'\n")
    with pytest.raises(ConfigError, match=r"tokenman\.yaml:2: admin\.token: has \d+ characters.* 16 ") as raised:
        load(file, {"HOME": str(tmp_path)})
    assert "fifteen" not in str(raised.value)
    with pytest.raises(ConfigError, match=r"admin\.token: has"):
        load(None, {"HOME": str(tmp_path), "TOKENMAN_ADMIN_TOKEN": token})


# -- what is admitted --


@pytest.mark.parametrize("given", ["", "the-toke", "the-token ", "THE-TOKEN", "the-tokené", "\ud800"])
def test_only_the_token_is_admitted(keys, given):
    assert keys.admits("the-token")
    assert not keys.admits(given)


def test_a_code_opens_one_session_and_no_more(keys, codes):
    code = codes.new()
    assert not keys.admits(code)
    session = keys.session(code)
    assert session is not None
    assert keys.admits(session)
    assert keys.session(code) is None


def test_a_code_is_good_for_ten_minutes_and_a_session_for_twelve_hours(keys, codes, clock):
    early, late = codes.new(), codes.new()
    clock.advance(CODE_S - 1)
    session = keys.session(early)
    assert session is not None
    clock.advance(1)
    assert keys.session(late) is None
    clock.advance(SESSION_S - 2)
    assert keys.admits(session)
    clock.advance(1)
    assert not keys.admits(session)


def test_codes_and_sessions_are_bounded_and_the_oldest_goes(keys, codes):
    first = codes.new()
    more = [codes.new() for _ in range(20)]
    assert keys.session(first) is None
    sessions = [keys.session(more[0])]
    for _ in range(100):
        sessions.append(keys.session(codes.new()))
    assert None not in sessions
    assert not keys.admits(sessions[0])
    assert all(keys.admits(session) for session in sessions[1:])


def test_who_tries_codes_has_to_wait_and_keeps_nobody_out_who_has_one(keys, codes, clock):
    for _ in range(20):
        assert keys.session("guess") is None
    with pytest.raises(TooManyFailures) as caught:
        keys.session("guess")
    assert 0 < caught.value.wait <= 60
    session = keys.session(codes.new())
    assert session is not None
    assert keys.admits(session)
    clock.advance(60)
    assert keys.session("guess") is None


def test_another_token_ends_the_old_one_and_the_sessions_and_the_same_one_nothing(codes, keys):
    session = keys.session(codes.new())
    keys.renew("the-token")
    assert keys.admits("the-token")
    assert keys.admits(session)
    keys.renew("another")
    assert keys.admits("another")
    assert not keys.admits("the-token")
    assert not keys.admits(session)
    assert keys.admits(keys.session(codes.new()))
