"""The secret that a whole text is because of what it stands under: the key of an object, the heading of a column."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from tokenman_core.redaction.detectors import tables
from tokenman_core.redaction.detectors.context import names, phrases, verdicts
from tokenman_core.redaction.detectors.context.assignments import PASS
from tokenman_core.redaction.detectors.likely import is_placeholder
from tokenman_core.redaction.detectors.rules.rule import Rule
from tokenman_core.redaction.entities import Finding

_TELLING_KEY: Final = re.compile(
    rf"(?i)^(?:.*[-_.])?(?:(?P<pass>pass|pw|{'|'.join(map(re.escape, names.PASSWORDS))})|{names.KEYS}|secret[-_.]?key|sessionid"
    rf"|session_id|cookie)(?P<many>s?)$"
)
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BESIDE_NAMES: Final = re.compile(r"[ /]|\([^()]*\)")  # of a heading: what stands in no name of a program

COLUMN: Final = Rule(
    "column",
    "PASSWORD",
    (*dict.fromkeys(names.ascii_part(word) for word in names.PASSWORDS), "pass", "pw", "secret", "token", "key",
     "credential", "creds", "access", "bearer", "jwt", "otp", "connection", "mnemonic", "seed", "session", "cookie"),
    rf"(?:{names.gate_of(names.PASSWORDS)}|pass|pw|{names.KEYS}|secret[-_.]?key|session_?id|cookie)"
    r"s?(?:[ \t]?\([^()\r\n]{0,40}\))?(?:[\\\"'`*]{1,8}\s?[\]}]|[\"`\]]?\s{0,4}\)\s{0,4}(?:VALUES|FROM )"
    r"|[\\\"'`*]{0,8}[ \t]{0,40}(?:[,;|\t<]|\r?\n|\\[\\nrt])| {2,40}[A-Za-z_])",
    re.compile(rf"(?i:{PASS}|{names.KEYS}|secret[-_.]?key|session_?id|cookie)"),
    lambda rule, match: (),  # what is found under it, `in_columns` tells
    caseless=True,
    source="the heading of a column, over its values",
)  # fmt: skip


def judge_key(key: str, text: str, *, firm: bool = True) -> Finding | None:
    """The secret that a whole text is because of the object key it stands under (`{"password": "…"}`); None if it is none.

    `firm`: a mere word, or some of them, may be one too.
    """
    if not 4 <= len(text) <= 4096 or (match := _telling(key)) is None:
        return None
    value = text.strip()
    start = len(text) - len(text.lstrip())
    if len(value) < 4 or is_placeholder(value):
        return None
    plain = verdicts.GUESS if firm and not match["many"] else 0.0
    if match["pass"] is not None:
        if " " in value:
            score = verdicts.GUESS if phrases.is_spaced(value) or (firm and phrases.is_one(value)) else 0.0
        else:
            score = verdicts.password(value, quoted=True, plain=plain)
    else:
        score = verdicts.token(value, quoted=firm) if " " not in value else 0.0
        if not score and "secret" in key.lower() and " " not in value and any(map(str.isdigit, value)):
            score = min(
                verdicts.password(value, quoted=True, plain=plain), verdicts.LIKELY
            )  # one that a person made up
    entity = "PASSWORD" if match["pass"] is not None else "API_KEY"
    return Finding(start, start + len(value), entity, score) if score else None


def _telling(key: str) -> re.Match[str] | None:
    name = _CAMEL.sub("_", key) if len(key) <= 128 else ""
    match = _TELLING_KEY.match(name)
    return match if match is not None and not names.is_harmless(name, len(name) - len(name.split("_")[-1])) else None


def tells(key: str) -> bool:
    """Whether a text under this key has to be looked at even if nothing in it trips the gate."""
    return bool(key) and _telling(key) is not None


def in_columns(text: str, places: Iterable[int]) -> Iterator[Finding]:
    """The secrets under the headings of tables. `places`: where COLUMN's words stand, in rising order."""
    for start, end, heading, firm in tables.cells(text, places, lambda heading: tells(_name(heading))):
        if (found := judge_key(_name(heading), text[start:end], firm=firm)) is not None:
            yield Finding(start + found.start, start + found.end, found.entity, found.score)


def _name(heading: str) -> str:
    """A heading as a program would call it: `Root password (initial)` is `Root_password`."""
    return _BESIDE_NAMES.sub("_", heading).strip("_#")
