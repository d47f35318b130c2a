from decimal import Decimal

import pytest

from tokenman_core.config.load import load
from tokenman_core.errors import ConfigError


def read(tmp_path, text):
    (tmp_path / "t.yaml").write_text(text)
    return load(tmp_path / "t.yaml", {"HOME": str(tmp_path)}).settings.guard


def test_it_is_off_by_default_and_each_of_it_may_be_switched_on_alone(tmp_path):
    assert read(tmp_path, "").model_dump() == {"repeats": 0, "errors": 0, "usd_per_minute": "0", "then": "block"}
    assert read(tmp_path, "guard: {repeats: 5, then: warn}").repeats == 5
    assert read(tmp_path, "guard: {usd_per_minute: 0.1}").usd_per_minute == Decimal("0.1")


@pytest.mark.parametrize(
    ("guard", "setting", "good"),
    [
        ("{repeats: 1}", "guard.repeats", "good values: 0 (off), 5, 20"),
        ("{errors: 1}", "guard.errors", "good values: 0 (off), 5, 20"),
        ("{repeats: -3}", "guard.repeats", ""),
        ("{repeats: 5000}", "guard.repeats", ""),
        ("{repeats: many}", "guard.repeats", ""),
        ("{usd_per_minute: .nan}", "guard.usd_per_minute", "good values: 0 (off), 0.5, 2"),
        ("{usd_per_minute: -1}", "guard.usd_per_minute", "good values: 0 (off), 0.5, 2"),
        ("{usd_per_minute: true}", "guard.usd_per_minute", "good values: 0 (off), 0.5, 2"),
        ("{usd_per_minute: fast}", "guard.usd_per_minute", "good values: 0 (off), 0.5, 2"),
        ("{then: stop}", "guard.then", "block"),
        ("{repeat: 5}", "guard.repeat", "repeats"),
    ],
)
def test_what_is_wrong_ends_the_start_and_names_a_good_value(tmp_path, guard, setting, good):
    with pytest.raises(ConfigError) as told:
        read(tmp_path, f"guard: {guard}")
    assert f"{setting}:" in str(told.value)
    assert good in str(told.value)
