"""Takes what looks like a credential out of a text: the last line of defence, for text that should not have held one."""

import re
from collections.abc import Iterable

GONE = "***"

# Each keeps its first group, so that a reader of the log still sees what stood there. No class here crosses a quote or a
# backslash: a masked line of JSON is a line of JSON. And none looks twice at the same run of characters, however often it could
# begin in it: a hostile text takes as long as any other of its length.
_RULES: tuple[re.Pattern[str], ...] = (
    # scheme and token of an Authorization header
    re.compile(r"\b((?:bearer|basic|digest|negotiate)\s+)[^\s\"'\\,;]{4,}", re.IGNORECASE),
    # a header by its name, in a line, a dict or a list of pairs of bytes
    re.compile(
        r"\b((?:x-api-key|api-key|x-goog-api-key|x-tokenman-key|(?:proxy-)?authorization|(?:set-)?cookie)"
        r"(?:\\?[\"'])?\s*[:=,]\s*(?:b?\\?[\"'])?)(?!(?:bearer|basic|digest|negotiate)\s)[^\s\"'\\]+",
        re.IGNORECASE,
    ),
    # a parameter of a query
    re.compile(
        r"([?&](?:key|api[_-]?key|access_token|token|secret|password|sig|signature)=)[^&\s\"'\\]+", re.IGNORECASE
    ),
    # user and password in a URL, whatever its scheme
    re.compile(r"(://)[^/\s\"'\\@]+@"),
    # keys that tell their issuer: OpenAI, Anthropic and their like, Stripe, ours, GitHub, Google, Groq, xAI, …
    re.compile(r"\b((?:sk|rk|pk)-(?:ant-|proj-|or-|svcacct-)?)[A-Za-z0-9_-]{8,}"),
    re.compile(r"\b((?:sk|rk|pk)_(?:live|test)_)[A-Za-z0-9]{8,}"),
    re.compile(r"\b(tkm_|gh[opsur]_|github_pat_|glpat-|gsk_|xai-|hf_|r8_|pplx-|xox[abeprs]-)[A-Za-z0-9_-]{6,}"),
    re.compile(r"\b(AIza)[A-Za-z0-9_-]{20,}"),
    re.compile(r"\b(ya29\.)[A-Za-z0-9_.-]{10,}"),
    re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
    # JSON web tokens, and the head of one alone
    re.compile(r"\b(eyJ)[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,2}"),
)


# A line ends where it ends, and a tab is no more than a space.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {10: "\\n", 13: "\\r", 9: "\t"}
_CONTROLS |= {code: f"\\u{code:04x}" for code in (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def written_out(text: str) -> str:
    """The text with its control characters, and those that turn the direction of writing, written as escapes."""
    return text if text.isprintable() else text.translate(_CONTROLS)


class Mask:
    """Made with the secrets that are known by value, whatever they look like; these go first."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """These, too, from now on."""
        # Shorter ones would take common words out of every line.
        self._secrets |= {secret for secret in secrets if len(secret) >= 6}
        known = sorted(self._secrets, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(GONE, text)
        for rule in _RULES:
            text = rule.sub(lambda found: found[1] + GONE, text)
        return text
