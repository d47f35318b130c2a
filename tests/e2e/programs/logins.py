"""The programs with their keys and logins, as a person has them: variables and files in a home of its own."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NEVER = 4_102_444_800  # 2100-01-01 in seconds: a login that needs no renewal


def _jwt(claims: Mapping[str, Any]) -> str:
    """Well-formed and signed by nobody."""
    parts = (json.dumps({"alg": "RS256", "typ": "JWT"}).encode(), json.dumps(claims).encode(), b"signed by nobody" * 8)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


_ACCOUNT = {"chatgpt_plan_type": "pro", "chatgpt_user_id": "user-fake", "chatgpt_account_id": "acc-fake"}
CHATGPT_TOKEN = _jwt({"email": "fake.user@example.com", "exp": NEVER, "https://api.openai.com/auth": _ACCOUNT})
CLAUDE_TOKEN = "sk-ant-oat01-a-login-of-claude-code"
GOOGLE_TOKEN = "ya29.a-login-of-the-gemini-cli"


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(value))


def _claude_login(home: Path) -> None:
    scopes = ["user:inference", "user:profile", "user:sessions:claude_code"]
    login = {"accessToken": CLAUDE_TOKEN, "refreshToken": "sk-ant-ort01-fake", "expiresAt": NEVER * 1000}
    login |= {"scopes": scopes, "subscriptionType": "max"}
    _write(home / ".claude" / ".credentials.json", {"claudeAiOauth": login})


def _codex_login(home: Path) -> None:
    tokens = {
        "id_token": CHATGPT_TOKEN,
        "access_token": CHATGPT_TOKEN,
        "refresh_token": "rt-fake",
        "account_id": "acc-fake",
    }
    _write(
        home / ".codex" / "auth.json",
        {"OPENAI_API_KEY": None, "tokens": tokens, "last_refresh": "2026-11-20T00:00:00Z"},
    )


def _gemini_login(home: Path) -> None:
    _write(home / ".gemini" / "settings.json", {"security": {"auth": {"selectedType": "oauth-personal"}}})
    login = {
        "access_token": GOOGLE_TOKEN,
        "refresh_token": "1//fake",
        "token_type": "Bearer",
        "expiry_date": NEVER * 1000,
    }
    login["scope"] = "https://www.googleapis.com/auth/cloud-platform"
    _write(home / ".gemini" / "oauth_creds.json", login)


def _gemini_key(home: Path) -> None:
    _write(home / ".gemini" / "settings.json", {"security": {"auth": {"selectedType": "gemini-api-key"}}})


def _nothing(home: Path) -> None:
    """The key in the environment is all."""


def _claude(prompt: str) -> list[str]:
    return ["claude", "-p", prompt, "--permission-mode", "acceptEdits"]


def _codex(prompt: str) -> list[str]:
    # Its sandbox needs rights that a container often has not.
    return ["codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", prompt]


def _gemini(prompt: str) -> list[str]:
    return ["gemini", "--approval-mode", "yolo", "-p", prompt]


def _by_claude(path: str) -> str:
    return "[[tool Write " + json.dumps({"file_path": path, "content": "$VALUES"}) + "]]"


def _by_codex(path: str) -> str:
    script = "const done = await tools.exec_command({cmd: \"printf %s '$VALUES' > '" + path + "'\"}); text(done)"
    return "[[tool functions.exec " + json.dumps(script) + "]]"


def _by_gemini(path: str) -> str:
    return "[[tool write_file " + json.dumps({"file_path": path, "content": "$VALUES"}) + "]]"


@dataclass(frozen=True)
class Program:
    """`asks` are the paths, at the provider, of its calls of a model; `sent` is how its credentials must arrive there.

    `writes` is the directive that makes the fake provider have it write the values that it got to a file.
    """

    command: Callable[[str], list[str]]
    writes: Callable[[str], str]
    provider: str
    asks: str
    sent: tuple[str, str]
    environment: Mapping[str, str]
    home: Callable[[Path], None] = _nothing

    @property
    def by_login(self) -> bool:
        """A subscription pays: what it costs is only notional."""
        return self.sent[0] == "authorization" and self.provider != "openai"


_TRUSTED = {"GEMINI_CLI_TRUST_WORKSPACE": "true"}  # it asks before it works in a new folder
_CLAUDE_KEY, _CODEX_KEY, _GEMINI_KEY = (
    "sk-ant-api03-the-callers-own-key",
    "sk-the-callers-own-key",
    "AIza-the-callers-own",
)

PROGRAMS = {
    "claude by key": Program(
        _claude, _by_claude, "anthropic", r"/v1/messages\?beta=true", ("x-api-key", _CLAUDE_KEY),
        {"ANTHROPIC_API_KEY": _CLAUDE_KEY},
    ),
    "claude by login": Program(
        _claude, _by_claude, "anthropic", r"/v1/messages\?beta=true", ("authorization", f"Bearer {CLAUDE_TOKEN}"), {},
        _claude_login,
    ),
    "codex by key": Program(
        _codex, _by_codex, "openai", r"/v1/responses", ("authorization", f"Bearer {_CODEX_KEY}"),
        {"CODEX_API_KEY": _CODEX_KEY},
    ),
    "codex by login": Program(
        _codex, _by_codex, "codex", r"/backend-api/codex/responses", ("authorization", f"Bearer {CHATGPT_TOKEN}"), {},
        _codex_login,
    ),
    "gemini by key": Program(
        _gemini, _by_gemini, "gemini", r"/v1beta/models/[^:]+:(streamG|g)enerateContent.*", ("x-goog-api-key", _GEMINI_KEY),
        _TRUSTED | {"GEMINI_API_KEY": _GEMINI_KEY}, _gemini_key,
    ),
    "gemini by login": Program(
        _gemini, _by_gemini, "gemini-code-assist", r"/v1internal:(streamG|g)enerateContent.*",
        ("authorization", f"Bearer {GOOGLE_TOKEN}"), _TRUSTED, _gemini_login,
    ),
}  # fmt: skip
