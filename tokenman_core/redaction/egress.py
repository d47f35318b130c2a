"""Where a value may be put back: not into a URL, a fetch or a network command, unless it stood with that host in the request.

A model that was talked into it would send out what a placeholder stands for by writing the placeholder into an address: the
program fetches it, or shows an image, and the value is gone. What the request itself already had together, it may have again.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from tokenman_core.redaction import egress_tables as tables
from tokenman_core.redaction.calls import Argument
from tokenman_core.redaction.entities import PLACEHOLDER
from tokenman_core.redaction.hosts import MOST_HOSTS, Authority, Hosts, bare_urls, hosts_of, reaches_network, urls_in
from tokenman_core.redaction.placeholders import Mapping, Value

Egress = Literal["same_host", "always", "never"]
ToolClass = Literal["write", "shell", "network", "mail", "publish", "other"]
JUDGED: Final = frozenset({"shell", "network", "mail", "publish"})
"""Tools whose input is judged as a whole, because one part of it says where another goes."""

_CLOSERS = {
    '"': re.compile(r'"'), "'": re.compile(r"'"), "<": re.compile(r"[>\n]"), "`": re.compile("`"), "]": re.compile(r"\)|\n\s*\n"),
}  # fmt: skip
_URL_END = re.compile(r"[\s\"'<>`]")
_OPENINGS = ('"', "'", "<", "`", "](")
_FORM_END = re.compile(r"</form", re.IGNORECASE)
_ADDRESSES = frozenset({"EMAIL_ADDRESS", "PHONE_NUMBER"})
_AUTHORITY_END = re.compile(r"[/?#\\\s\"'<>`]")
# Names of the machine itself, as RFC 6761 and RFC 6890 keep them: exactly these, for what resembles them may be anybody's.
_LONGEST_NAME = 256  # characters
_TARGET = re.compile(r"[^\s,;/]+")  # a word of what says to whom something goes
_THIS_MACHINE = re.compile(r"localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\]|::1")


def tool_class(name: str) -> ToolClass:
    """What a tool does with what it is given, told by its name; "other" for one that is not known."""
    return _class_of(name[-_LONGEST_NAME:]) if name else "other"


@functools.lru_cache(maxsize=1024)
def _class_of(name: str) -> ToolClass:
    server, _, last = name.lower().rpartition("__")
    plain = tables.SEPARATORS.sub("", last)
    if plain in tables.WRITE_TOOLS and tables.PUBLISHING_SERVICE.search(server) is not None:
        return "publish"  # what it calls a file lies there
    if plain in tables.WRITE_TOOLS:
        return "other" if server and plain in tables.BARE_VERBS else "write"
    if plain in tables.SHELL_TOOLS:
        return "shell"
    if tables.MAIL_TOOL.search(plain):
        return "mail"
    if tables.NETWORK_TOOL.search(plain):
        return "network"
    if tables.READS.match(plain):
        return "other"
    if tables.PUBLISHING_TOOL.search(plain):
        return "publish"
    written = tables.PUBLISHING_SERVICE.search(f"{server}{plain}") is not None and tables.WRITES.search(plain)
    return "publish" if written else "other"


def allowed(tool: str, arguments: Sequence[Argument], mapping: Mapping, egress: Egress) -> set[str] | None:
    """Of the placeholders in the whole input of one call those that may be restored; None: where each stands decides.

    A tool whose name tells nothing may run a script, or send all its arguments to an address that is one of them.
    """
    kind = tool_class(tool)
    if kind == "write" or egress == "always":
        return None
    texts = "\n".join(text for _, text in arguments)
    if kind == "other":
        if any(map(reaches_network, scripts(kind, arguments))):
            return call_allows("shell", texts, mapping, egress)
        return _addressed(tool, arguments, mapping, egress)
    return _published(arguments, mapping, egress) if kind == "publish" else call_allows(kind, texts, mapping, egress)


def is_script(kind: ToolClass, key: str) -> bool:
    """Whether some shell or interpreter runs what stands under this name in a call of such a tool."""
    return kind == "shell" or (kind in ("network", "other") and _plain(key) in tables.SCRIPT_KEYS)


def scripts(kind: ToolClass, arguments: Sequence[Argument]) -> list[str]:
    """Those texts of a call that some shell or interpreter runs."""
    return [text for key, text in arguments if is_script(kind, key)]


def _plain(name: str) -> str:
    return tables.SEPARATORS.sub("", name.lower())


def _is_url(argument: str) -> bool:
    """Whether an argument is an address and nothing else."""
    if tables.WHOLE_URL.fullmatch(argument):
        return True
    bare = tables.WHOLE_BARE_URL.fullmatch(argument)
    return bare is not None and (
        bare[1].lower().startswith("www.") or tables.HOST_ANYWHERE.fullmatch(bare[1]) is not None
    )


def _is_host(key: str, argument: str) -> bool:
    """Whether an argument is a host, or an address of mail, where one is expected."""
    bare = tables.BARE_HOST.fullmatch(argument)
    return (
        bare is not None
        and tables.HOST_KEYS.fullmatch(_plain(key)) is not None
        and tables.HOST_ANYWHERE.fullmatch(bare[1]) is not None
    )


def _hosts(urls: Iterable[str]) -> Hosts | None:
    """Where addresses point; None if that cannot be told."""
    hosts = hosts_of("\n".join(urls), reaches=False)
    return hosts if hosts is not None and hosts.names and len(hosts.names) <= MOST_HOSTS else None


def _present(arguments: Iterable[Argument], mapping: Mapping) -> dict[str, Value]:
    found = {each: mapping.value(each) for _, text in arguments for each in PLACEHOLDER.findall(text)}
    return {each: value for each, value in found.items() if value is not None}


def _addressed(tool: str, arguments: Sequence[Argument], mapping: Mapping, egress: Egress) -> set[str] | None:
    """The placeholders that may go where the addresses among a call's arguments point; None if there is none."""
    local = tables.LOCAL_TOOL.search(_plain(tool.rpartition("__")[2])) is not None
    urls = [
        text
        for key, text in arguments
        if _is_url(text) or _is_host(key, text) or (not local and tables.NAMED_URL.fullmatch(text))
    ]
    if not urls:
        return None
    hosts = _hosts(urls)
    if hosts is not None and not hosts.placeholders and all(map(_THIS_MACHINE.fullmatch, hosts.names)):
        return None
    if hosts is None or egress == "never":
        return set()
    return {
        each
        for each, value in _present(arguments, mapping).items()
        if not hosts.placeholders - {each} and all(_may_go(value, host, mapping) for host in hosts.names)
    }


def _published(arguments: Sequence[Argument], mapping: Mapping, egress: Egress) -> set[str]:
    """Of the placeholders in what a tool publishes those that may be restored: all that says where must have stood with them.

    An address may be a recipient, where an argument is that and nothing else.
    """
    texts = "\n".join(text for _, text in arguments)
    hosts = hosts_of(texts, reaches=False)
    if egress == "never" or hosts is None or len(hosts.names) > MOST_HOSTS or hosts.placeholders:
        return set()
    names = {host for host in hosts.names if _THIS_MACHINE.fullmatch(host) is None}
    told = any(_is_url(text) for _, text in arguments)
    recipients: list[Value] = []
    for key, text in arguments:
        if tables.TARGET_KEYS.fullmatch(_plain(key)) is None or _is_url(text):
            continue
        for word in _TARGET.findall(text):
            told = True
            value = mapping.value(word) if PLACEHOLDER.fullmatch(word) else None
            if value is not None:
                recipients.append(value)
            else:
                names.add(word.lower().strip("#@<>."))
    if not told or len(names) > MOST_HOSTS:
        return set()
    return {
        each
        for each, value in _present(arguments, mapping).items()
        if (value.entity in _ADDRESSES and value in recipients)
        or (
            all(mapping.stood_with(value, name) for name in names)
            and all(mapping.stood_beside(value, other) for other in recipients)
        )
    }


def open_urls(text: str) -> list[Authority]:
    """The URLs that reach to the end of `text`: one that holds another, or several ways to read it, are all given."""
    found: list[Authority] = []
    # Only what stands in the last word, or began behind a quote or an angle bracket, can still be open.
    word = _last_word(text)
    last = text[word:]
    places = (
        [(_ends(text, word + start), word + host) for read in (urls_in, bare_urls) for start, host in read(last)]
        if last
        else []
    )
    if any(opening in text for opening in _OPENINGS) and ("/" in text or "\\" in text or "www." in text.lower()):
        places += [(_CLOSERS[match[0][0]], match.end()) for match in tables.QUOTED_URL.finditer(text)]
        places += [(_FORM_END, match.end()) for match in tables.PAGE_TARGET.finditer(text)]
    for end, host in places:
        if end.search(text, host):
            continue
        stop = _AUTHORITY_END.search(text, host)
        if stop is not None and stop[0] == "\\":
            found.append(Authority("", True))  # browsers and libraries disagree about where the host ends
        else:
            found.append(Authority(text[host : stop.start()] if stop else text[host:], stop is not None))
    return found


def opens(text: str) -> bool:
    """Whether a URL, or an address that is written to, reaches to the end of a text, so that what follows may belong to it."""
    return _written_to(text) is not None or bool(open_urls(text)) or bool(open_urls(text + "/"))


def _last_word(text: str) -> int:
    """Where the last word of a text begins: what no blank, quote or angle bracket ends."""
    ending = _URL_END.search(text[::-1])
    return len(text) - ending.start() if ending else 0


def _ends(text: str, start: int) -> re.Pattern[str]:
    """What ends a URL that begins at `start`."""
    return _CLOSERS.get(text[start - 1], _URL_END) if start else _URL_END


def _written_to(before: str) -> str | None:
    """Of a `mailto:` or the like that reaches to the end of `before` what stands behind its scheme; None if there is none."""
    last = before[_last_word(before) :]
    matches = list(tables.WRITE_TO.finditer(last)) if ":" in last else []
    return last[matches[-1].end() :] if matches else None


def _may_be_written_to(value: Value, address: str, mapping: Mapping) -> bool:
    """Whether a value may stand behind `address`, what a `mailto:` holds before it.

    As a recipient an address may. What is filled in goes to the recipients, so it must have stood with each of them.
    """
    recipients, _, filled = address.partition("?")
    if not all(mapping.stood_with(value, match[1].lower()) for match in tables.ADDRESS.finditer(address)):
        return False
    known = [mapping.value(each) for each in PLACEHOLDER.findall(address)]
    if not filled and "?" not in address:
        return value.entity in _ADDRESSES and not PLACEHOLDER.sub("", recipients).strip(",;+")
    others = tables.ADDRESS.sub("", PLACEHOLDER.sub("", recipients)).strip(",;+")
    return (
        bool(recipients)
        and not others
        and all(each is not None and mapping.stood_beside(value, each) for each in known)
    )


def _may_go(value: Value, host: str, mapping: Mapping) -> bool:
    """Whether a value may be sent to a host: it stood with it, or nothing leaves the machine that the program runs on."""
    return _THIS_MACHINE.fullmatch(host) is not None or mapping.stood_with(value, host)


def in_url(before: str, placeholder: str, after: str, mapping: Mapping, egress: Egress) -> bool | None:
    """Whether the value may stand between `before` and `after` in running text; None: it depends on what comes next.

    `after` is what has come so far, with its end marked by the caller with a blank once no more comes.
    """
    value = mapping.value(placeholder)
    if value is None or egress == "always":
        return value is not None
    address = _written_to(before)
    urls = open_urls(before)
    if address is None and not urls:
        return True
    if egress == "never" or (address is not None and not _may_be_written_to(value, address, mapping)):
        return False
    for url in urls:
        if url.done:
            if not _may_go(value, url.host, mapping):
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
            or not _may_go(value, whole.host, mapping)
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
    if kind == "mail":
        return _mailed(present, texts, mapping, egress)
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
        if (hosts.names or own or not reaches) and all(_may_go(value, host, mapping) for host in hosts.names):
            allowed.add(each)
    return allowed


def _mailed(present: dict[str, Value], texts: str, mapping: Mapping, egress: Egress) -> set[str]:
    """Of the placeholders in a mail, those that may be restored.

    An address may, as it may be a recipient; any other value must have stood with all addresses of the mail.
    """
    hosts = hosts_of(texts, reaches=False)
    if egress == "never" or hosts is None or len(hosts.names) > MOST_HOSTS or hosts.placeholders:
        return set()
    recipients = [value for value in present.values() if value.entity == "EMAIL_ADDRESS"][:MOST_HOSTS]
    return {
        each
        for each, value in present.items()
        if all(mapping.stood_with(value, host) for host in hosts.names)
        and (
            value.entity == "EMAIL_ADDRESS"
            or ((hosts.names or recipients) and all(mapping.stood_beside(value, other) for other in recipients))
        )
    }
