"""Where a value may be put back: not into a URL, a fetch or a network command, unless it stood with that host in the request.

A model that was talked into it would send out what a placeholder stands for by writing the placeholder into an address: the
program fetches it, or shows an image, and the value is gone. What the request itself already had together, it may have again.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tokenman_core.redaction import egress_tables as tables
from tokenman_core.redaction.entities import PLACEHOLDER
from tokenman_core.redaction.placeholders import Mapping, Value

Egress = Literal["same_host", "always", "never"]
ToolClass = Literal["write", "shell", "network", "other"]

_CLOSERS = {'"': re.compile(r'"'), "'": re.compile(r"'"), "<": re.compile(r"[>\n]"), "`": re.compile("`")}
_URL_END = re.compile(r"[\s\"'<>`]")
_AUTHORITY_END = re.compile(r"[/?#\\\s\"'<>`]")
_LABEL = re.compile(r"\0[a-z0-9-]*\.[a-z]", re.IGNORECASE)
_PORT = re.compile(r":[0-9]*$")


def tool_class(name: str) -> ToolClass:
    """What a tool does with what it is given, told by its name; "other" for one that is not known."""
    if not name:
        return "other"
    plain = tables.SEPARATORS.sub("", name.rpartition("__")[2].lower())
    if plain in tables.WRITE_TOOLS:
        return "write"
    if plain in tables.SHELL_TOOLS:
        return "shell"
    return "network" if tables.NETWORK_TOOL.search(plain) else "other"


@dataclass(frozen=True)
class Authority:
    """The host part of a URL that is open at the end of a text. `host` is None while more of it may come."""

    text: str
    done: bool

    @property
    def host(self) -> str:
        return _PORT.sub("", self.text.rpartition("@")[2]).strip(".").lower()


def _urls(text: str) -> Iterator[tuple[int, int]]:
    """Of each URL in a text the place where it begins and the place where its host does."""
    for match in tables.URL_START.finditer(text):
        start, end = match.span()
        if match[0][-1] == ".":
            yield start, start
        else:
            scheme = tables.SCHEME.search(text[max(0, start - 33) : start])
            yield start - len(scheme[0]) if scheme else start, end


def open_urls(text: str) -> list[Authority]:
    """The URLs that reach to the end of `text`: one that holds another, or several ways to read it, are all given."""
    found: list[Authority] = []
    # Only what stands in the last word, or began behind a quote or an angle bracket, can still be open.
    ending = _URL_END.search(text[::-1])
    word = len(text) - ending.start() if ending else 0
    places = [(word + start, word + host) for start, host in _urls(text[word:])]
    places += [(word + match.start(), word + match.start()) for match in tables.BARE_URL.finditer(text[word:])]
    places += [(match.start() + 1, match.end()) for match in tables.QUOTED_URL.finditer(text, 0, word)]
    for start, host in places:
        end = _CLOSERS.get(text[start - 1], _URL_END) if start else _URL_END
        if end.search(text, host):
            continue
        stop = _AUTHORITY_END.search(text, host)
        if stop is not None and stop[0] == "\\":
            found.append(Authority("", True))  # browsers and libraries disagree about where the host ends
        else:
            found.append(Authority(text[host : stop.start()] if stop else text[host:], stop is not None))
    return found


def stood_with(value: Value, host: str) -> bool:
    """Whether some text of the request held the value and this very host."""
    if not host:
        return False
    border = re.compile(rf"(?<![a-z0-9.-]){re.escape(host)}(?![a-z0-9-]|\.[a-z0-9])")
    for text in value.stood:
        if border.search((text.replace(value.text, " ") if value.entity == "EMAIL_ADDRESS" else text).lower()):
            return True
    return False


def in_url(before: str, placeholder: str, after: str, value: Value, egress: Egress) -> bool | None:
    """Whether the value may stand between `before` and `after` in running text; None: it depends on what comes next.

    `after` is what has come so far, with its end marked by the caller with a blank once no more comes.
    """
    if egress == "always":
        return True
    urls = open_urls(before)
    if not urls:
        return True
    if egress == "never":
        return False
    for url in urls:
        if url.done:
            if not stood_with(value, url.host):
                return False
            continue
        # The placeholder stands in the user info or in the host itself: the rest of the host decides.
        stop = _AUTHORITY_END.search(after)
        if stop is None:
            return None
        whole = Authority(url.text + placeholder + after[: stop.start()], True)
        if whole.host == placeholder.lower():
            if value.entity != "IP_ADDRESS":
                return False  # an address goes to itself; anything else would be asked of a name server
        elif PLACEHOLDER.search(whole.text.rpartition("@")[2]) or stop[0] == "\\" or not stood_with(value, whole.host):
            return False
    return True


def hosts_of(text: str, command: bool) -> set[str] | None:
    """All hosts that a text names; None if it hides one (a placeholder in it, a backslash). `command`: bare names count too."""
    hosts: set[str] = set()
    bare = [(match.start(), match.start()) for match in tables.BARE_URL.finditer(text)]
    for start, begin in (*_urls(text), *bare):
        stop = _AUTHORITY_END.search(text, begin)
        authority = text[begin : stop.start() if stop else len(text)]
        if (stop is not None and stop[0] == "\\") or PLACEHOLDER.search(authority.rpartition("@")[2]):
            return None
        host = Authority(authority.rstrip(").,;:]}|&"), True).host
        if host and ("." in host or text[start:begin].rstrip("/\\").endswith(":")):
            hosts.add(host)
    if command:
        plain = PLACEHOLDER.sub("\0", text)
        if _LABEL.search(plain):
            return None  # a placeholder is a part of a name
        for match in tables.HOST_IN_COMMAND.finditer(plain):
            if not tables.NOT_HOSTS.match(match[0]):
                hosts.add(match[0].lower())
    return hosts


def call_allows(kind: ToolClass, texts: str, mapping: Mapping, egress: Egress) -> set[str]:
    """Of the placeholders in the whole input of one call of a shell or a network tool, those that may be restored."""
    present = {each for each in PLACEHOLDER.findall(texts) if mapping.value(each) is not None}
    if egress == "always" or not present:
        return present
    if kind == "shell" and tables.NETWORK_COMMAND.search(texts) is None:
        return {each for each in present if _urls_allow(texts, each, mapping, egress)}
    if egress == "never":
        return set()
    if kind == "shell" and tables.EXPANSION.search(PLACEHOLDER.sub(" ", texts)):
        return set()
    allowed: set[str] = set()
    for each in present:
        value = mapping.value(each)
        hosts = hosts_of(_without_self(texts, each, value), command=True) if value is not None else None
        if value is None or hosts is None:
            continue
        own = value.entity in ("CONNECTION_STRING", "IP_ADDRESS")  # the value is a place itself
        if all(stood_with(value, host) for host in hosts) and (hosts or own):
            allowed.add(each)
    return allowed


def _without_self(texts: str, placeholder: str, value: Value | None) -> str:
    """The input without the placeholder where it is a whole destination: an address reaches itself."""
    if value is None or value.entity != "IP_ADDRESS":
        return texts
    return re.sub(rf"(?<![\w.@-]){re.escape(placeholder)}(?![\w.-])", "127.0.0.1", texts).replace("127.0.0.1", " ")


def _urls_allow(texts: str, placeholder: str, mapping: Mapping, egress: Egress) -> bool:
    value = mapping.value(placeholder)
    return value is not None and all(
        in_url(texts[max(0, at.start() - 4096) : at.start()], placeholder, texts[at.end() :] + " ", value, egress)
        for at in re.finditer(re.escape(placeholder), texts)
    )
