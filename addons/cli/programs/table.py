"""The programs that need more than an environment, or lose something behind a base URL: one row each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True)
class BaseUrl:
    """A variable that leads calls to `provider` elsewhere; `path` is what stands behind our own address in it."""

    variable: str
    provider: str
    path: str = ""


@dataclass(frozen=True)
class Setting:
    """A setting on the program's command line that leads its calls elsewhere: `-c key="http://…/v1"`, in TOML."""

    flag: str
    long: str
    key: str
    path: str = ""

    def given(self, arguments: tuple[str, ...]) -> bool:
        """Whether the user has said it already."""
        return any(
            word.removeprefix(f"{self.long}=").removeprefix(self.flag).lstrip().startswith(f"{self.key}=")
            for word in arguments
        )

    def words(self, url: str) -> tuple[str, str]:
        return (self.flag, f'{self.key}="{url}"')


SDKS = (
    BaseUrl("ANTHROPIC_BASE_URL", "anthropic"),
    BaseUrl("OPENAI_BASE_URL", "openai", "/v1"),
    BaseUrl("OPENAI_API_BASE", "openai", "/v1"),  # LangChain, LiteLLM, aider
    BaseUrl("GOOGLE_GEMINI_BASE_URL", "gemini"),
)
"""What the providers' own packages for Python and Node read, and programs that are built on them."""


Via = Literal["base-url", "proxy"]


@dataclass(frozen=True)
class Files:
    """A program's own settings: JSON with an `env` table, or TOML with `model_provider`; they win over the environment.

    `own` lie in the folder that `variable` names, else in `folder` of the home; `here` where the program starts, `machine`
    anywhere on it.
    """

    variable: str
    folder: str
    own: tuple[str, ...]
    here: tuple[str, ...] = ()
    machine: tuple[str, ...] = ()


@dataclass(frozen=True)
class Program:
    """`names` are its commands, `packages` what it is called where it is installed from.

    `via` is the way that works for it where not both do. `variables` are set where the user has not, with a base URL only;
    `loses` is said before it starts behind one. `elsewhere`: variables and words of the user's with which its calls go to
    another host, `files` its settings, which can do the same. `idle`: first words of its own with which it makes no call, so
    that none is missed.
    """

    name: str
    names: frozenset[str] = frozenset()
    packages: tuple[str, ...] = ()
    via: Via | None = None
    base_urls: tuple[BaseUrl, ...] = SDKS
    settings: tuple[Setting, ...] = ()
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    loses: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    files: Files | None = None
    idle: frozenset[str] = frozenset()

    def expects_calls(self, arguments: tuple[str, ...]) -> bool:
        """Whether a run with these arguments that made no call is to be wondered at."""
        first = arguments[0] if arguments else ""
        return first not in _IDLE and first not in self.idle


_IDLE = frozenset({"--help", "-h", "help", "--version", "-V", "-v", "version"})

# What stands here was seen with the programs themselves: Claude Code 2.1.331, Codex 0.169.0, Gemini CLI 0.61.0.
PROGRAMS = (
    Program(
        "claude",
        frozenset({"claude"}),
        ("@anthropic-ai/claude-code",),
        # Older ones load every tool's description at once where the base URL is not Anthropic's own.
        variables=MappingProxyType({"ENABLE_TOOL_SEARCH": "true"}),
        loses=(
            "claude reads no settings that an organisation manages and leaves out three betas; --via proxy keeps them",
        ),
        elsewhere=(
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CODE_USE_VERTEX",
            "CLAUDE_CODE_USE_FOUNDRY",
            "CLAUDE_CODE_USE_ANTHROPIC_AWS",
            "CLAUDE_CODE_USE_MANTLE",
        ),
        files=Files(
            "CLAUDE_CONFIG_DIR",
            ".claude",
            ("settings.json",),
            (".claude/settings.json", ".claude/settings.local.json"),
            (
                "/etc/claude-code/managed-settings.json",
                "/Library/Application Support/ClaudeCode/managed-settings.json",
            ),
        ),
        idle=frozenset({"mcp", "config", "doctor", "update", "install", "plugin", "auth", "setup-token"}),
    ),
    Program(
        "codex",
        frozenset({"codex"}),
        ("@openai/codex",),
        # It reads no OPENAI_BASE_URL. The setting serves its ChatGPT login too; `chatgpt_base_url` would break that.
        settings=(Setting("-c", "--config", "openai_base_url", "/v1"),),
        loses=("codex tries a WebSocket first, which is refused: it says so in one ERROR line and goes on by HTTP",),
        elsewhere=("--oss",),
        files=Files("CODEX_HOME", ".codex", ("config.toml",)),
        idle=frozenset({"login", "logout", "mcp", "completion", "features", "update"}),
    ),
    Program(
        "gemini",
        frozenset({"gemini"}),
        ("@google/gemini-cli",),
        # With a base URL it takes us for a gateway and refuses its own logins.
        via="proxy",
        base_urls=(*SDKS, BaseUrl("CODE_ASSIST_ENDPOINT", "gemini-code-assist")),
        loses=(
            "gemini accepts a base URL only if ~/.gemini/settings.json has security.auth.selectedType: gemini-api-key, or "
            "with a Google login; without --via it needs nothing",
        ),
        elsewhere=("GOOGLE_GENAI_USE_VERTEXAI",),
        idle=frozenset({"mcp", "extensions"}),
    ),
)
