"""What a configuration makes of a provider."""

from dataclasses import replace
from typing import Any

import pytest

from tests.core.scripted import provider
from tokenman_core.config.models import Settings
from tokenman_core.providers import Providers, of_settings


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


def test_every_path_leads_to_below_the_path_of_its_base_url() -> None:
    codex = "/backend-api/codex"
    cases = [
        ("/team-a", "", "/team-b/x", "/team-a/team-b/x"),
        ("/team-a", "", "//team-b/x", "/team-a//team-b/x"),
        ("/team-a", "", "/team-abc/x", "/team-a/team-abc/x"),
        ("/v1", "", "//v1/messages", "/v1/messages"),
        ("/team-a/v1", "", "/v1/messages", "/team-a/v1/messages"),
        ("/team-a", codex, "/team-b/responses", "/team-a/team-b/responses"),
        ("/team-a", codex, f"{codex}/responses", "/team-a/responses"),
        ("/team-a", codex, "/v1/responses", "/team-a/responses"),
        (codex, codex, "/backend-api/accounts", f"{codex}/backend-api/accounts"),
    ]
    for base, native, path, target in cases:
        one = provider("x", "openai", key="sk-of-the-house", base_path=base, native_path=native)
        assert one.target(path) == target
        assert one.holds(one.target(path))
    own = provider("codex", "openai", base_path=codex, native_path=codex)  # the caller's own login
    assert own.target("/backend-api/accounts") == "/backend-api/accounts"


def test_a_provider_is_known_by_its_address_however_that_is_written() -> None:
    here = provider("a", host="127.0.0.1")
    found = Providers([replace(here, scheme="http", port=8000), replace(here, name="b", host="localhost", port=9000)])
    for host, port in (
        ("127.0.0.1", 8000), ("::ffff:127.0.0.1", 8000), ("[::FFFF:7f00:1]", 8000), ("64:ff9b::127.0.0.1", 8000),
        ("127.0.0.1", 9000), ("::1", 9000), ("0:0:0:0:0:0:0:1", 9000), ("localhost.", 9000),
    ):  # fmt: skip
        assert found.governs(host, port), host
        assert found.of_host(host, port) is found.by_name["a" if port == 8000 else "b"]
    for host, port in (("127.0.0.2", 8000), ("127.0.0.1", 8001), ("::2", 9000), ("x:y", 8000), ("localhost", 8000)):
        assert not found.governs(host, port), host


def test_only_what_is_reached_without_tls_is_told_by_the_address_of_its_name() -> None:
    box = replace(provider("box", host="box.lan"), scheme="http", port=8000)
    found = Providers(
        [box, replace(box, name="ip", host="10.0.0.1"), replace(box, name="tls", host="x.example", scheme="https")]
    )
    assert found.names_at(8000) == {"box.lan"}
    assert found.names_at(8001) == frozenset()
