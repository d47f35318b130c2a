"""The words of network commands that say where they connect to, so that a host without a dot is seen too."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Command:
    """How a command reads its words.

    `flags`: one-letter options without a value; `valued` and `long`: options whose value is no destination. The value of any
    other option is taken for one. `most`: so many of the other words are destinations; the rest is something else.
    """

    flags: frozenset[str]
    valued: frozenset[str]
    long: frozenset[str] = frozenset()
    most: int = 1024
    remote: bool = False  # only words with a colon are destinations, the others files


_CURL: Final = Command(
    frozenset("0123456#afgiIjklLMnNOpqRsSvVZ"),
    frozenset("AbcCdDeEFHmoQrtTuUwXyYz"),
    frozenset({
        "data", "data-raw", "data-binary", "data-urlencode", "data-ascii", "json", "header", "request", "output", "user", "form",
        "form-string", "user-agent", "referer", "cookie", "cookie-jar", "upload-file", "write-out", "max-time", "connect-timeout",
        "retry", "retry-delay", "retry-max-time", "cacert", "capath", "cert", "key", "cert-type", "key-type", "oauth2-bearer",
        "limit-rate", "range", "max-redirs", "continue-at", "dump-header", "max-filesize", "speed-limit", "speed-time", "time-cond",
        "aws-sigv4", "url-query", "output-dir", "ciphers", "tls-max", "pass",
    }),
)  # fmt: skip
_WGET: Final = Command(
    frozenset("qvcNSrkKpmHndbFxLE46"),
    frozenset("OotTUaPADRlwQ"),
    frozenset({
        "output-document", "output-file", "post-data", "post-file", "body-data", "body-file", "method", "header", "user",
        "password", "user-agent", "timeout", "tries", "append-output", "directory-prefix", "accept", "reject", "level", "wait",
        "quota", "certificate", "private-key", "ca-certificate", "referer", "load-cookies", "save-cookies",
    }),
)  # fmt: skip
_SSH: Final = Command(frozenset("46AaCfGgKkMNnqsTtVvXxYy"), frozenset("bcEeIilmpQ"), most=1)
_COPY: Final = Command(frozenset("346ABCpqrTvazhPnu"), frozenset("ciPl"), remote=True)
_NETCAT: Final = Command(frozenset("46bCDdFhklNnrStUuvZz"), frozenset("IiOpPqsTVwM"), most=1)

COMMANDS: Final = {
    "curl": _CURL, "wget": _WGET, "ssh": _SSH, "sftp": _SSH, "scp": _COPY, "rsync": _COPY,
    "nc": _NETCAT, "ncat": _NETCAT, "netcat": _NETCAT, "telnet": _NETCAT,
}  # fmt: skip

_START: Final = re.compile(
    r"(?<![\w.-])(curl|wget|ssh|sftp|scp|rsync|nc|ncat|netcat|telnet)(?:\.exe)?(?:(?=[\s;|&)]|\Z)|(?P<odd>[\"'\\,`]))",
    re.IGNORECASE,
)
# A word with its quoted parts, a redirection, or what ends a command.
_TOKEN: Final = re.compile(
    r"(?P<blank>(?:[ \t\r]|\\\n)+)|(?P<redirect>[0-9&]?(?:<<<|<<-?|>>|<|>&?)[ \t]*)|(?P<end>[\n;|&()])|"
    r"(?P<word>(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|\$'(?:[^'\\]|\\.)*'|\\[^\n]|[^\s;|&()<>\"'\\])+)",
    re.DOTALL,
)
_QUOTED: Final = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'([^']*)'|\\(.)", re.DOTALL)
_CLOSED: Final = re.compile(r"[\"'](?=[\s;|&),\]}]|\Z)|[\"']{2,3}(?=[\n;|)]|\Z)")


_MOST: Final = (
    256 * 1024
)  # characters read in sum: a script whose commands stand in one another is read again and again


def destinations(script: str) -> list[str] | None:
    """The words that say where the commands of a script connect to; None if that cannot be told.

    It cannot if they are too many, or if the name of one stands in a list of arguments (`["curl", …`).
    """
    found: list[str] = []
    left = _MOST
    for match in _START.finditer(script):
        if match["odd"]:
            return None
        words, end = _words(script, match.end())
        left -= end - match.start()
        if words is None or left < 0:
            return None
        found += _destinations(COMMANDS[match[1].lower()], words)
    return found


def _words(script: str, at: int) -> tuple[list[str] | None, int]:
    """The words up to the end of a command, without quotes, and that end; redirections are left out."""
    words: list[str] = []
    redirected = False
    while at < len(script):
        match = _TOKEN.match(script, at)
        if match is None:  # a quote that stood open before the command closes here, or one stays open
            return (words if _CLOSED.match(script, at) else None), at
        if match.lastgroup == "end":
            break
        if match.lastgroup == "redirect":
            redirected = True
        elif match.lastgroup == "word":
            if not redirected:
                words.append(_QUOTED.sub(lambda part: part[1] or part[2] or part[3] or "", match[0]))
            redirected = False
        at = match.end()
    return words, at


def _destinations(command: Command, words: list[str]) -> Iterator[str]:
    left = command.most
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("--") and len(word) > 2:
            name, _, value = word[2:].partition("=")
            if name in command.long:
                skip = not value
            elif value:
                yield value
        elif word.startswith("-") and len(word) > 1:
            for place, letter in enumerate(word[1:], 2):
                if letter in command.valued:
                    skip = place == len(word)
                    break
                if letter not in command.flags:
                    if word[place:]:
                        yield word[place:]
                    break
        elif left and word != "-":
            if not command.remote:
                left -= 1
                yield word
            elif ":" in word:
                yield word if "://" in word else word.partition(":")[0]
