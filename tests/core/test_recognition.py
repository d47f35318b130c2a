"""To whom a call belongs that names no host, and where it then goes."""

import pytest

from tokenman_core.config.models import Settings
from tokenman_core.providers import Provider, Providers, of_settings
from tokenman_core.recognition import Call, Local, by_base_url, unmarked


@pytest.fixture(scope="module")
def known() -> Providers:
    return of_settings(Settings())


@pytest.mark.parametrize(
    ("method", "target", "names", "provider", "path"),
    [
        ("POST", "/v1/messages", [], "anthropic", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens?beta=true", [], "anthropic", "/v1/messages/count_tokens"),
        ("POST", "/v1/messages/batches", [], "anthropic", "/v1/messages/batches"),
        ("GET", "/v1/models", [b"anthropic-version"], "anthropic", "/v1/models"),
        ("GET", "/v1/models", [b"authorization"], "openai", "/v1/models"),
        ("GET", "/v1/models", [b"x-goog-api-key"], "gemini", "/v1/models"),
        ("POST", "/v1/chat/completions", [b"authorization"], "openai", "/v1/chat/completions"),
        ("POST", "/v1/responses", [b"authorization"], "openai", "/v1/responses"),
        ("POST", "/v1/responses", [b"authorization", b"chatgpt-account-id"], "codex", "/v1/responses"),
        ("POST", "/backend-api/codex/responses", [], "codex", "/backend-api/codex/responses"),
        (
            "POST",
            "/v1beta/models/gemini-pro:generateContent",
            [],
            "gemini",
            "/v1beta/models/gemini-pro:generateContent",
        ),
        ("POST", "/v1/models/g:streamGenerateContent?alt=sse", [], "gemini", "/v1/models/g:streamGenerateContent"),
        ("POST", "/messages?beta=true", [b"anthropic-version"], "anthropic", "/v1/messages"),
        ("POST", "/messages/count_tokens", [b"anthropic-version"], "anthropic", "/v1/messages/count_tokens"),
        ("GET", "/backend-api/wham/accounts/check", [], "codex", "/backend-api/wham/accounts/check"),
        ("POST", "/v1internal:countTokens", [b"authorization"], "gemini-code-assist", "/v1internal:countTokens"),
        ("GET", "/v1internal/operations/x", [], "gemini-code-assist", "/v1internal/operations/x"),
        ("POST", "/p/openai/v1/messages", [], "openai", "/v1/messages"),
        ("POST", "/p/anthropic/v1/messages", [b"authorization"], "anthropic", "/v1/messages"),
        ("GET", "/p/openai", [], "openai", "/"),
    ],
)
def test_path_and_headers_tell_the_provider(
    known: Providers, method: str, target: str, names: list[bytes], provider: str, path: str
) -> None:
    found = by_base_url(known, method, target, names)
    assert isinstance(found, Call)
    assert (found.provider.name, found.path) == (provider, path)


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 200), ("HEAD", "/", 200), ("POST", "/", 404), ("GET", "/favicon.ico", 404), ("POST", "/p/nobody/v1/x", 404),
        ("POST", "/V1/messages", 404), ("POST", "/messages", 404), ("POST", "/v2/messages", 404), ("GET", "/p/", 404),
    ],
)  # fmt: skip
def test_what_is_no_providers_is_answered_here(known: Providers, method: str, target: str, status: int) -> None:
    found = by_base_url(known, method, target, [])
    assert isinstance(found, Local)
    assert found.status == status
    assert "mitmproxy" not in found.text


def provider(base_path: str, native_path: str = "") -> Provider:
    return Provider("p", None, "https", "api.example", 443, base_path, native_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base", "native", "path", "target"),
    [
        ("", "", "/v1/messages", "/v1/messages"),
        ("/v1", "", "/v1/messages", "/v1/messages"),
        ("/v1", "", "/chat/completions", "/v1/chat/completions"),
        ("/openai/v1", "", "/v1/chat/completions", "/openai/v1/chat/completions"),
        ("/openai/v1", "", "/openai/v1/chat/completions", "/openai/v1/chat/completions"),
        ("/api", "", "/v1/messages", "/api/v1/messages"),
        ("/backend-api/codex", "/backend-api/codex", "/v1/responses", "/backend-api/codex/responses"),
        ("/backend-api/codex", "/backend-api/codex", "/backend-api/codex/responses", "/backend-api/codex/responses"),
        ("/fake", "/backend-api/codex", "/backend-api/codex/responses", "/fake/responses"),
        ("/backend-api/codex", "/backend-api/codex", "/backend-api/me", "/backend-api/me"),
    ],
)
def test_a_base_urls_path_is_never_doubled(base: str, native: str, path: str, target: str) -> None:
    assert provider(base, native).target(path) == target


def test_well_known_hosts_are_governed_whatever_the_base_url_is() -> None:
    ours = {"base_url": "https://llm.corp.example/v1", "dialect": "openai"}
    given = {"providers": {"anthropic": {"base_url": "http://127.0.0.1:9999"}, "mine": ours}}
    known = of_settings(Settings.model_validate(given))
    assert known.governs("api.anthropic.com", 443)
    assert known.governs("API.Anthropic.com.", 8443)
    assert known.governs("llm.corp.example", 443)
    assert known.governs("127.0.0.1", 9999)
    assert not known.governs("127.0.0.1", 9998)
    assert not known.governs("anthropic.com", 443)
    assert not known.governs("xapi.anthropic.com", 443)
    assert not known.governs(None)
    found = known.of_host("api.anthropic.com", 443)
    assert found is not None
    assert (found.name, found.host) == ("anthropic", "127.0.0.1")
    assert ("127.0.0.1", 9999) in known.origins


@pytest.mark.parametrize(
    ("target", "mark", "rest"),
    [
        ("/r/0123456789ab/v1/messages?beta=true", "0123456789ab", "/v1/messages?beta=true"),
        ("/r/0123456789ab/p/openai/v1/x", "0123456789ab", "/p/openai/v1/x"),
        ("/r/0123456789ab", "0123456789ab", "/"),
        ("/r/0123456789ab/", "0123456789ab", "/"),
        ("/r/0123456789ab?x=1", "0123456789ab", "/?x=1"),
        ("/v1/messages", "", "/v1/messages"),
        ("/r/0123456789AB/v1/messages", "", "/r/0123456789AB/v1/messages"),
        ("/r/0123456789abc/v1/messages", "", "/r/0123456789abc/v1/messages"),
        ("/r/0123456789a/v1/messages", "", "/r/0123456789a/v1/messages"),
        ("/x/r/0123456789ab/v1", "", "/x/r/0123456789ab/v1"),
        ("/r/0123456789ab/r/0123456789ab/v1", "0123456789ab", "/r/0123456789ab/v1"),
    ],
)
def test_the_mark_of_a_run_stands_before_the_path(target: str, mark: str, rest: str) -> None:
    assert unmarked(target) == (mark, "", rest)


KEY = "tkm_" + "k" * 43


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (f"/r/0123456789ab.{KEY}/v1/messages", ("0123456789ab", KEY, "/v1/messages")),
        (f"/r/0123456789ab.{KEY}", ("0123456789ab", KEY, "/")),
        (f"/r/0123456789ab.{KEY}k/v1", ("", "", f"/r/0123456789ab.{KEY}k/v1")),
        (f"/r/0123456789ab.{KEY[:-1]}/v1", ("", "", f"/r/0123456789ab.{KEY[:-1]}/v1")),
        (f"/r/.{KEY}/v1", ("", "", f"/r/.{KEY}/v1")),
    ],
)
def test_so_does_its_virtual_key(target: str, found: tuple[str, str, str]) -> None:
    assert unmarked(target) == found
