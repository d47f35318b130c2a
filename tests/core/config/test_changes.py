"""What a configuration changes in another one, by name, and what of it waits for a start."""

from pathlib import Path
from typing import Any

import pytest

from tokenman_core.config.changes import AT_START, changed, obeyed, waiting
from tokenman_core.config.explain import name as named
from tokenman_core.config.models import Settings

OLD = Settings()


def settings(**given: Any) -> Settings:
    return Settings.model_validate(given)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ()),
        ({"redaction": {"mode": "block"}}, ("redaction.mode",)),
        ({"redaction": {"allow": ["a*"]}}, ("redaction.allow",)),
        ({"providers": {"openai": {"key": "sk-x"}}}, ("providers.openai.key",)),
        ({"providers": {"openai": {"timeouts": {"idle": 1}}}}, ("providers.openai.timeouts.idle",)),
        ({"providers": {"mine": {"base_url": "http://127.0.0.1:1", "dialect": "openai"}}}, ("providers.mine",)),
        ({"routes": [{"try": ["openai"]}]}, ("routes",)),
        ({"admin": {"listen": "127.0.0.1:1", "metrics": "open"}}, ("admin.listen", "admin.metrics")),
    ],
)  # fmt: skip
def test_what_differs_is_named(given: Any, names: tuple[str, ...]) -> None:
    new = settings(**given)
    assert changed(OLD, new) == names
    assert changed(new, OLD) == names
    assert changed(new, settings(**given)) == ()


def test_what_is_obeyed_at_a_start_only_stays_as_it_was_and_is_named() -> None:
    new = settings(
        listen="127.0.0.1:1", admin={"listen": "127.0.0.1:2", "metrics": "open"}, data_dir="/elsewhere",
        telemetry={"log": {"level": "debug", "format": "json"}}, retry={"attempts": 7},
    )  # fmt: skip
    assert waiting(OLD, new) == ("listen", "data_dir", "admin.listen", "telemetry.log.format")
    kept = obeyed(OLD, new)
    assert (kept.listen, kept.data_dir, kept.admin.listen) == (OLD.listen, OLD.data_dir, OLD.admin.listen)
    assert (kept.admin.metrics, kept.retry.attempts, kept.telemetry.log.level) == ("open", 7, "debug")
    assert kept.telemetry.log.format == "console"
    assert waiting(OLD, kept) == ()
    assert obeyed(OLD, OLD) == OLD


def test_every_setting_that_waits_for_a_start_is_one() -> None:
    flat = {named(tuple(path.split("."))) for path in AT_START}
    for name in flat:
        found: Any = OLD
        for step in name.split("."):
            found = getattr(found, step)


def test_nothing_of_a_secret_is_named() -> None:
    assert changed(OLD, settings(secret="sixteen-letters-long")) == ("secret",)
    assert "sixteen" not in repr(changed(OLD, settings(data_dir=str(Path("/x")), secret="sixteen-letters-long")))
