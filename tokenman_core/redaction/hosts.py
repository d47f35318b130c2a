"""Which hosts a text names: in URLs, as bare names, and in the commands of a script that reaches the network."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tokenman_core.redaction import commands
from tokenman_core.redaction import egress_tables as tables
from tokenman_core.redaction.entities import PLACEHOLDER
from tokenman_core.redaction.json_source import unescaped

MOST_HOSTS = 64  # a call that names more is not judged

_AUTHORITY_END = re.compile(r"[/?#\\\s\"'<>`]")
_LABEL = re.compile(r"\0[a-z0-9-]*\.[a-z]", re.IGNORECASE)
_PORT = re.compile(r":[0-9]*$")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:(?=//)", re.IGNORECASE)
_QUOTES = frozenset("\"'`")
# What a shell drops from a word: an empty pair of quotes, and a backslash before a letter.
_DROPPED = re.compile(r"(?<=\w)(?:\"\"|'')|(?:\"\"|'')(?=\w)|\\(?=\w)")


@dataclass(frozen=True)
class Authority:
    """The host part of a URL, with its user info and port. `done` is False while more of it may come."""

    text: str
    done: bool

    @property
    def host(self) -> str:
        return _PORT.sub("", self.text.rpartition("@")[2]).strip(".").lower()


@dataclass
class Hosts:
    """`names` in lower case; `placeholders` are those that are a whole host."""

    names: set[str] = field(default_factory=set)
    placeholders: set[str] = field(default_factory=set)

    def add(self, authority: str) -> bool:
        """Take up the host of an authority. False if the host is put together from a placeholder and something else."""
        host = _PORT.sub("", authority.rpartition("@")[2])
        if PLACEHOLDER.search(host):
            if not PLACEHOLDER.fullmatch(host):
                return False
            self.placeholders.add(host)
        elif host := host.strip(".").lower():
            self.names.add(host)
        return True


def urls_in(text: str) -> Iterator[tuple[int, int]]:
    """Of each URL in a text the place where it begins and the place where its host does."""
    for match in tables.URL_START.finditer(text):
        start, end = match.span()
        if match[0][-1] == ".":
            yield start, start
        else:
            scheme = (
                tables.SCHEME.match(text[max(0, start - 33) : start][::-1]) if text[start - 1 : start] == ":" else None
            )
            yield start - len(scheme[0]) if scheme else start, end


def bare_urls(text: str) -> Iterator[tuple[int, int]]:
    """The same of each URL without a scheme."""
    for match in tables.BARE_URL.finditer(text):
        yield match.start(), match.start()


def reaches_network(script: str) -> bool:
    """Whether a script is known to reach the network."""
    return any(
        tables.NETWORK_COMMAND.search(reading) is not None for reading in _readings(PLACEHOLDER.sub("\0", script))
    )


def _readings(text: str) -> tuple[str, ...]:
    """A text as it is, as a JSON or script string that holds it is read, and as a shell joins its words."""
    return tuple(dict.fromkeys((text, unescaped(text, 1), _joined(text))))


def _joined(text: str) -> str:
    return _DROPPED.sub("", text) if "\\" in text or '""' in text or "''" in text else text


def hosts_of(text: str, reaches: bool, scripts: bool = False) -> Hosts | None:
    """All hosts that a text names; None if it hides one: what is put together from a placeholder, or by the shell.

    `reaches`: the text is known to reach the network, so everything that can be a host is one. `scripts`: it may be a script
    of a shell.
    """
    hosts = Hosts()
    if reaches and scripts:
        if tables.EXPANSION.search(PLACEHOLDER.sub(" ", text)):
            return None
        for reading in {text, _joined(text)}:
            words = commands.destinations(reading)
            if words is None or not all(hosts.add(_authority(each)) for each in words):
                return None
    return hosts if all(_read(each, reaches, hosts) for each in _readings(text)) else None


def _authority(word: str) -> str:
    """The host of a word of a command, with what may stand around it."""
    rest = _SCHEME.sub("", word).lstrip("/")
    stop = _AUTHORITY_END.search(rest)
    return rest[: stop.start()] if stop else rest


def _read(text: str, reaches: bool, hosts: Hosts) -> bool:
    for start, begin in (*urls_in(text), *bare_urls(text)):
        stop = _AUTHORITY_END.search(text, begin)
        authority = text[begin : stop.start() if stop else len(text)].rstrip(").,;:}|&")
        scheme = text[start:begin].rstrip("/\\").endswith(":")
        if stop is not None and stop[0] == "\\" and (reaches or scheme):
            return False
        if not authority or not (scheme or "." in authority or PLACEHOLDER.search(authority)):
            continue
        if not hosts.add(authority):
            return False
    plain = PLACEHOLDER.sub("\0", text)
    if _LABEL.search(plain):
        return False  # a placeholder is a part of a name
    for match in (tables.HOST_IN_COMMAND if reaches else tables.HOST_ANYWHERE).finditer(plain):
        name = match[0]
        attribute = name.count(".") == 1 and plain[match.start() - 1 : match.start()] not in _QUOTES
        if not (attribute and tables.NOT_HOSTS.match(name)) or (reaches and tables.HOST_ANYWHERE.fullmatch(name)):
            hosts.names.add(name.lower())
    return all(hosts.add(_authority(match[1])) for match in tables.HOST_OPTION.finditer(text))
