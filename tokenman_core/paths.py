"""Reads a request's path as the server behind a gateway does, and names spellings that servers read in different ways.

A gateway decodes a path, merges its slashes and resolves its dots before it routes. So what a call asks for is decided on the
path read that way, and a spelling that one server takes for another path than the next one does is refused. What is sent on is
the path as it came.
"""

import re
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

QUIET: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""Methods that ask no model anything. The SDKs encode the slash of a model's name in these: `GET /v1/models/openai%2Fgpt-4o`."""

MODELS: Final = re.compile(r"/models/+", re.IGNORECASE)
_USUAL = re.compile(r"(?:/(?!\.)[!\"$&-.0-:<-\[\]-~]++)++")
_SLASHES = re.compile("//+")
_DOTS = re.compile(r"(?:^|/)[. ]+(?:/|$)")  # Windows drops dots and blanks at the end of a name
_ODD = re.compile(
    r"(?P<backslash>\\|%5c)|(?P<parameter>;|%3b)|(?P<mark>#|%23|%3f)|(?P<control>[^!-~]|%[01][0-9a-f]|%7f)"
    r"|(?P<twice>%25)|(?P<needless>%(?:3[0-9]|[46][1-9a-f]|[57][0-9a]|2d|2e|5f|7e))|(?P<slash>%2f)"
    r"|(?P<broken>%(?![0-9a-f]{2}))",
    re.IGNORECASE,
)
_SAID: Final = {
    "start": "no slash at its beginning: write one",
    "backslash": r"a backslash (\ or %5C): write /",
    "parameter": "a semicolon (; or %3B): leave out what begins with it",
    "mark": "a # or an encoded ? or # (%3F, %23): put what is no path behind a plain ?",
    "control": "a control character, or a character that has to be encoded: leave out the one, percent-encode the other",
    "twice": "an encoded percent sign (%25): encode a path only once",
    "needless": "an encoded letter, digit, dot or one of - _ ~ (as %2E): write it as it is",
    "slash": "an encoded slash (%2F): write /",
    "broken": "a percent sign without two hexadecimal digits behind it: leave it out",
    "dots": "a segment of dots (. or ..): write the path that it leads to",
    "bytes": "encoded bytes that are no UTF-8: encode the path's text in UTF-8",
}


def usual(path: str) -> bool:
    """Whether there is nothing to decode, merge or refuse, as in all but a few calls."""
    return _USUAL.fullmatch(path) is not None


def plain(path: str) -> str:
    """The path decoded, without empty segments and a slash at its end."""
    return _SLASHES.sub("/", unquote(path)).rstrip("/") or "/"


def trouble(method: str, path: str) -> str:
    """What is wrong with the path of a client's request and what to write instead; "" where all servers read it alike."""
    found = {match.lastgroup or "" for match in _ODD.finditer(path)}
    if method in QUIET:
        found.discard("slash")
    if _DOTS.search(plain(path)):
        found.add("dots")
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        found.add("bytes")
    if path and not path.startswith("/"):
        found.add("start")
    what = next((said for name, said in _SAID.items() if name in found), "")
    return f"The request's path holds {what}. Servers read such a path in different ways." if what else ""


def model_in(path: str) -> str:
    """What stands behind `/models/` and before the verb; "" if nothing does. `path` as `plain` gives it."""
    found = MODELS.search(path)
    if found is None:
        return ""
    behind = path[found.end() :]
    name, _, verb = behind.rpartition(":")
    return name if name and verb.isalpha() else behind
