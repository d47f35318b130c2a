"""The programs that need more than an environment, or lose something behind a base URL: one row each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


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


@dataclass(frozen=True)
class Program:
    """`names` are its commands, `packages` what it is called where it is installed from.

    `variables` are set where the user has not, with a base URL only. `loses` is said before it starts behind a base URL.
    `idle`: first words of its own with which it makes no call, so that none is missed.
    """

    name: str
    names: frozenset[str] = frozenset()
    packages: tuple[str, ...] = ()
    base_urls: tuple[BaseUrl, ...] = SDKS
    settings: tuple[Setting, ...] = ()
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    loses: tuple[str, ...] = ()
    idle: frozenset[str] = frozenset()

    def expects_calls(self, arguments: tuple[str, ...]) -> bool:
        """Whether a run with these arguments that made no call is to be wondered at."""
        first = arguments[0] if arguments else ""
        return first not in _IDLE and first not in self.idle


_IDLE = frozenset({"--help", "-h", "help", "--version", "-V", "-v", "version"})

PROGRAMS = (
    Program(
        "claude",
        frozenset({"claude"}),
        ("@anthropic-ai/claude-code",),
        # Behind a base URL that is not Anthropic's it would load every tool's description at once instead of on demand.
        variables=MappingProxyType({"ENABLE_TOOL_SEARCH": "true"}),
        idle=frozenset({"mcp", "config", "doctor", "update", "install", "migrate-installer", "setup-token", "plugin"}),
    ),
    Program(
        "codex",
        frozenset({"codex"}),
        ("@openai/codex",),
        settings=(Setting("-c", "--config", "openai_base_url", "/v1"),),  # it no longer reads OPENAI_BASE_URL
        idle=frozenset({"login", "logout", "mcp", "completion", "features"}),
    ),
    Program(
        "gemini",
        frozenset({"gemini"}),
        ("@google/gemini-cli",),
        (*SDKS, BaseUrl("CODE_ASSIST_ENDPOINT", "code-assist")),  # where calls with a Google login go
        idle=frozenset({"mcp", "extensions"}),
    ),
)
