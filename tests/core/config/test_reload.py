"""A configuration that is read again: obeyed where it is fine, refused whole where it is not, and nothing done for no change."""

import os
from pathlib import Path
from typing import Any

import pytest

from tokenman_core.clock import ManualClock
from tokenman_core.config.load import Loaded, load
from tokenman_core.config.reload import Reload, Reloader, as_json
from tokenman_core.errors import ConfigError


class World:
    def __init__(self, path: Path, text: str, **more: Any) -> None:
        self.path, self.obeyed, self.told = path, list[Loaded](), list[Reload]()
        path.write_text(text)
        self.environ = {"HOME": str(more.pop("home", path.parent))} | more.pop("environ", {})
        self.wrong: Exception | None = None
        named = None if more.pop("found", False) else path
        loaded = load(named, self.environ, **more)
        self.reloader = Reloader(loaded, self.environ, self._obey, ManualClock(), self.told.append)

    async def _obey(self, loaded: Loaded) -> None:
        if self.wrong is not None:
            raise self.wrong
        self.obeyed.append(loaded)

    async def save(self, text: str) -> Reload:
        self.path.write_text(text)
        return await self.again()

    def remove(self) -> None:
        self.path.unlink()

    async def again(self) -> Reload:
        before = len(self.told)
        for _ in range(2):
            await self.reloader.look()
        assert len(self.told) == before + 1
        return self.told[-1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokenman.yaml"


async def test_what_is_saved_is_obeyed(path: Path) -> None:
    world = World(path, "retry: {attempts: 2}")
    done = await world.save("retry: {attempts: 4}\nredaction: {mode: block}")
    assert (done.result, done.changed, done.restart, done.errors) == (
        "applied",
        ("retry.attempts", "redaction.mode"),
        (),
        (),
    )
    assert world.obeyed[-1].settings.retry.attempts == 4
    assert world.reloader.loaded.origin("redaction.mode") == f"{path}:2"
    assert world.reloader.last is done


async def test_a_file_that_says_the_same_does_nothing_but_where_it_says_it_is_known(path: Path) -> None:
    world = World(path, "retry: {attempts: 2}")
    done = await world.save("# a remark\nretry: {attempts: 2}")
    assert (done.result, done.changed, world.obeyed) == ("unchanged", (), [])
    assert world.reloader.loaded.origin("retry.attempts") == f"{path}:2"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("retry:\n  attempts: none", ":2: retry.attempts: must be a whole number"),
        ("retry: [", ":1: is not valid YAML"),
        ("routes:\n- try: [nobody]", "routes[0].try[0]: names no provider"),
        ("providers:\n  openai: {key: env:NOT_THERE}", ":2: providers.openai.key: refers to the environment variable"),
    ],
)
async def test_a_broken_file_keeps_the_old_and_is_told_with_its_line(
    path: Path, text: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(path, "retry: {attempts: 2}")
    done = await world.save(text)
    assert (done.result, world.obeyed) == ("refused", [])
    assert told in done.errors[0]
    assert any(told in one.getMessage() and one.levelname == "ERROR" for one in caplog.records)
    assert world.reloader.loaded.settings.retry.attempts == 2
    assert (await world.save("retry: {attempts: 2}")).result == "unchanged"
    assert (await world.save("retry: {attempts: 3}")).changed == ("retry.attempts",)


async def test_what_cannot_be_obeyed_is_refused_whole(path: Path) -> None:
    world = World(path, "retry: {attempts: 2}")
    for wrong, told in ((ConfigError("providers: no"), "providers: no"), (RuntimeError("sk-secret"), "RuntimeError")):
        world.wrong = wrong
        done = await world.save(f"retry: {{attempts: 5}} # {told}")
        assert done.result == "refused"
        assert told in done.errors[0]
        assert "sk-secret" not in repr(done)
        assert world.reloader.loaded.settings.retry.attempts == 2
    world.wrong = None
    assert (await world.save("retry: {attempts: 5}")).result == "applied"


async def test_what_waits_for_a_start_is_named_once_and_stays(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(path, "listen: 127.0.0.1:7000")
    done = await world.save("# first\n\nlisten: 127.0.0.1:7001")
    assert (done.result, done.changed, done.restart) == ("unchanged", (), ("listen",))
    assert world.reloader.loaded.settings.listen.port == 7000
    assert world.reloader.loaded.origin("listen") == f"{path}:1"
    await world.save("listen: 127.0.0.1:7001")
    said = [one for one in caplog.records if "listen" in one.getMessage()]
    assert [one.levelname for one in said] == ["WARNING"]
    done = await world.save("listen: 127.0.0.1:7001\nretry: {attempts: 2}")
    assert (done.result, done.changed, done.restart) == ("applied", ("retry.attempts",), ("listen",))
    assert world.obeyed[-1].settings.listen.port == 7000


async def test_the_command_line_and_the_environment_still_win(path: Path) -> None:
    world = World(path, "", overrides={"retry.attempts": 9}, environ={"TOKENMAN_RETRY__MAX_WAIT": "7s"})
    done = await world.save("retry: {attempts: 1, max_wait: 1s, max_delay: 2s}")
    assert done.changed == ("retry.max_delay",)
    settings = world.obeyed[-1].settings
    assert (settings.retry.attempts, settings.retry.max_wait) == (9, 7.0)


async def test_a_file_that_is_gone_keeps_what_it_said_and_is_read_when_it_is_back(path: Path) -> None:
    place = path.parent / ".config" / "tokenman" / "tokenman.yaml"
    place.parent.mkdir(parents=True)
    world = World(place, "redaction: {mode: block}", found=True, home=path.parent)
    place.unlink()
    done = await world.again()
    assert done.result == "refused"
    assert "is gone; what it said stays in force" in done.errors[0]
    assert world.reloader.loaded.settings.redaction.mode == "block"
    assert (await world.save("redaction: {mode: hash}")).changed == ("redaction.mode",)


async def test_a_file_that_was_not_there_at_the_start_is_seen(path: Path) -> None:
    place = path.parent / ".config" / "tokenman" / "tokenman.yaml"
    place.parent.mkdir(parents=True)
    world = World(place, "", found=True, home=path.parent)
    place.unlink()
    world.reloader = Reloader(load(None, world.environ), world.environ, world._obey, ManualClock(), world.told.append)
    assert (await world.save("retry: {attempts: 5}")).changed == ("retry.attempts",)


async def test_files_of_secrets_are_watched_also_those_that_were_missing(path: Path) -> None:
    key = path.parent / "key"
    world = World(path, "")
    done = await world.save(f"providers: {{openai: {{key: 'file:{key}'}}}}")
    assert done.result == "refused"
    key.write_text("sk-one")
    assert (await world.again()).changed == ("providers.openai.key",)
    key.write_text("sk-two")
    assert (await world.again()).changed == ("providers.openai.key",)
    secret = world.obeyed[-1].settings.providers["openai"].key
    assert secret is not None
    assert secret.get_secret_value() == "sk-two"
    await world.save("retry: {attempts: 4}")
    key.write_text("sk-three")
    for _ in range(3):
        await world.reloader.look()
    assert set(world.told[-1].changed) == {"providers.openai.key", "retry.attempts"}  # the last was to leave it out


async def test_asked_for_it_is_read_without_a_change(path: Path) -> None:
    world = World(path, "")
    assert (await world.reloader.reload()).result == "unchanged"


def test_what_is_told_of_it() -> None:
    assert as_json(None, str) is None
    assert as_json(Reload("refused", 3.0, errors=("x",)), str) == {
        "result": "refused", "time": "3.0", "changed": [], "restart": [], "errors": ["x"],
    }  # fmt: skip


async def test_what_a_start_would_tell_is_told_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(path, "")
    text = "providers: {openai: {base_url: 'http://127.0.0.1:9', key: sk-in-the-file}}"
    for more in ("", "\nretry: {attempts: 2}"):
        await world.save(text + more)
    said = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert [line for line in said if line.endswith("openai is at http://127.0.0.1:9")] == [
        "openai is at http://127.0.0.1:9"
    ]
    assert len([line for line in said if "providers.openai.key holds the secret itself" in line]) == 1
    assert "sk-in-the-file" not in caplog.text


NOTHING = [
    "",
    " \n\n",
    "# all commented out\n",
    "{}",
    "---\n",
    "--- {}\n...\n",
    "\ufeff",
    "null",
    "~",
    "budgets:\n",
    "admin: {}\nlimits: {}",
]


@pytest.mark.parametrize("nothing", [*NOTHING, "admin:\n  # token: env:T\n", "limits: {request_headers: {}}"])
async def test_a_file_without_any_setting_keeps_what_it_said_until_one_stands_in_it(path: Path, nothing: str) -> None:
    before = """
redaction: {mode: block}
access: {clients: required}
admin: {token: the-admin-token-of-this-test}
budgets: [{name: daily, limit_usd: 10, window: day}]
"""
    world = World(path, before)
    done = await world.save(nothing)
    assert (done.result, world.obeyed) == ("refused", [])
    settings = world.reloader.loaded.settings
    assert (settings.access.clients, len(settings.budgets)) == ("required", 1)
    assert settings.admin.token is not None
    done = await world.save("retry: {attempts: 3}")  # the default
    assert done.result == "applied"
    assert set(done.changed) == {"redaction.mode", "access.clients", "admin.token", "budgets"}


async def test_the_error_says_what_to_do_about_a_file_without_any_setting(path: Path) -> None:
    done = await World(path, "redaction: {mode: block}").save("{}")
    assert len(done.errors) == 1
    assert done.errors[0].startswith(f"{path}: holds no setting; what it said stays in force")
    assert "restart, or write one of them" in done.errors[0]


async def test_an_empty_file_where_the_defaults_are_in_force_is_no_change(path: Path) -> None:
    assert (await World(path, "# nothing").save("")).result == "unchanged"


async def test_a_pipe_in_the_place_of_the_file_is_not_waited_for(path: Path) -> None:
    world = World(path, "retry: {attempts: 2}")
    world.remove()
    os.mkfifo(path)
    done = await world.again()
    assert done.errors == (f"{path}: is no longer a file; what it said stays in force",)
    world.remove()
    done = await world.save("retry: {attempts: 4}")
    assert (done.result, done.changed) == ("applied", ("retry.attempts",))
