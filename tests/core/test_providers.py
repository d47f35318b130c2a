"""What a configuration makes of a provider."""

from typing import Any

import pytest

from tokenman_core.config.models import Settings
from tokenman_core.providers import of_settings


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({"base_url": "https://api.example.com"}, True),
        ({"base_url": "https://api.example.com", "stream_usage": False}, False),
        ({"base_url": "https://api.mistral.ai/v1"}, False),
        ({"base_url": "https://codestral.mistral.ai", "stream_usage": True}, False),
    ],
)
def test_streams_are_asked_for_their_usage_unless_the_user_or_the_provider_forbids_it(
    said: dict[str, Any], asked: bool
) -> None:
    settings = Settings.model_validate({"providers": {"mine": said | {"dialect": "openai"}}})
    assert of_settings(settings).by_name["mine"].stream_usage is asked
