"""Where a value may be put back: not into a URL, a fetch or a network command, unless it stood with that host in the request.

A model that was talked into it would send out what a placeholder stands for by writing the placeholder into an address: the
program fetches it, or shows an image, and the value is gone. What the request itself already had together, it may have again.
"""

import re
from typing import Literal

from tokenman_core.redaction import egress_tables as tables
from tokenman_core.redaction.entities import PLACEHOLDER
from tokenman_core.redaction.hosts import MOST_HOSTS, Authority, bare_urls, hosts_of, reaches_network, urls_in
from tokenman_core.redaction.placeholders import Mapping

Egress = Literal["same_host", "always", "never"]
ToolClass = Literal["write", "shell", "network", "other"]

_CLOSERS = {'"': re.compile(r'"'), "'": re.compile(r"'"), "<": re.compile(r"[>\n]"), "`": re.compile("`")}
_URL_END = re.compile(r"[\s\"'<>`]")
_AUTHORITY_END = re.compile(r"[/?#\\\s\"'<>`]")


def tool_class(name: str) -> ToolClass:
    """What a tool does with what it is given, told by its name; "other" for one that is not known."""
    if not name:
        return "other"
    server, _, last = name.lower().rpartition("__")
    plain = tables.SEPARATORS.sub("", last)
    if plain in tables.WRITE_TOOLS:
        return "other" if server and plain in tables.BARE_VERBS else "write"
    if plain in tables.SHELL_TOOLS:
        return "shell"
    return "network" if tables.NETWORK_TOOL.search(plain) else "other"


def open_urls(text: str) -> list[Authority]:
    """The URLs that reach to the end of `text`: one that holds another, or several ways to read it, are all given."""
    found: list[Authority] = []
    # Only what stands in the last word, or began behind a quote or an angle bracket, can still be open.
    ending = _URL_END.search(text[::-1])
    word = len(text) - ending.start() if ending else 0
    last = text[word:]
    places = (
        [(word + start, word + host) for read in (urls_in, bare_urls) for start, host in read(last)] if last else []
    )
    if any(quote in text for quote in _CLOSERS):
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


def in_url(before: str, placeholder: str, after: str, mapping: Mapping, egress: Egress) -> bool | None:
    """Whether the value may stand between `before` and `after` in running text; None: it depends on what comes next.

    `after` is what has come so far, with its end marked by the caller with a blank once no more comes.
    """
    value = mapping.value(placeholder)
    if value is None or egress == "always":
        return value is not None
    urls = open_urls(before)
    if not urls:
        return True
    if egress == "never":
        return False
    for url in urls:
        if url.done:
            if not mapping.stood_with(value, url.host):
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
        elif (
            PLACEHOLDER.search(whole.text.rpartition("@")[2])
            or stop[0] == "\\"
            or not mapping.stood_with(value, whole.host)
        ):
            return False
    return True


def call_allows(kind: ToolClass, texts: str, mapping: Mapping, egress: Egress) -> set[str]:
    """Of the placeholders in the whole input of one call of a shell or a network tool, those that may be restored.

    A text that reaches the network must show where to, and every host in it must have stood with the value. In a script that
    is not known to, what looks like a host is taken for one all the same.
    """
    present = {each: value for each in set(PLACEHOLDER.findall(texts)) if (value := mapping.value(each)) is not None}
    if egress == "always" or not present:
        return set(present)
    reaches = kind == "network" or reaches_network(texts)
    hosts = hosts_of(texts, reaches, scripts=kind == "shell")
    if egress == "never":
        return set() if reaches or hosts is None or hosts.names or hosts.placeholders else set(present)
    if hosts is None or len(hosts.names) > MOST_HOSTS:
        return set()
    allowed: set[str] = set()
    for each, value in present.items():
        if hosts.placeholders - ({each} if value.entity == "IP_ADDRESS" else set()):
            continue
        own = value.entity in ("CONNECTION_STRING", "IP_ADDRESS")  # the value is a place itself
        if (hosts.names or own or not reaches) and all(mapping.stood_with(value, host) for host in hosts.names):
            allowed.add(each)
    return allowed
