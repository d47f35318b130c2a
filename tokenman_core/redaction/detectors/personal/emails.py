"""E-mail addresses: by their shape, and where that leaves doubts, if presidio's recogniser knows the domain."""

import re
from collections.abc import Iterator

import tldextract

from tokenman_core.redaction.detectors.personal.text import Recognizer, says
from tokenman_core.redaction.detectors.presidio import EmailRecognizer
from tokenman_core.redaction.entities import Finding

_LATIN = "À-ɏ"
_OTHER = (
    "\u0370-\u052f\u0590-\u06ff"  # Greek, Cyrillic, Hebrew, Arabic: of scripts without blanks a sentence would join on
)
# A local part as people have it: RFC 5322 allows more (`=`, `/`, `&`), but there it is a key or a path that stands before it.
_LOCAL = re.compile(
    rf"(?:[A-Za-z0-9{_LATIN}_](?:(?:[A-Za-z0-9{_LATIN}!#%*+_~^.-]|(?:(?<=[^A-Za-z0-9'][A-Za-z])|(?<=^[A-Za-z]))'(?=[A-Za-z])){{0,62}}"
    rf"[A-Za-z0-9{_LATIN}_+-])?|[{_OTHER}](?:[{_OTHER}0-9_.+-]{{0,62}}[{_OTHER}0-9])?)$"
)
_IN_LOCAL = "".join(
    map(chr, (*range(ord("0"), ord("9") + 1), *range(0xC0, 0x250), *range(0x370, 0x530), *range(0x590, 0x700)))
) + ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#%*+_~^.-'")
_LABEL = (
    rf"(?:[A-Za-z0-9{_LATIN}](?:[A-Za-z0-9{_LATIN}-]{{0,62}}[A-Za-z0-9{_LATIN}])?"
    rf"|[{_OTHER}](?:[{_OTHER}0-9-]{{0,62}}[{_OTHER}0-9])?)"
)
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL}){{1,8}}")
_USER_INFO = re.compile(r"[a-z0-9]://[^\s/@]*:[^\s/@]*$", re.IGNORECASE)
_FILE_ENDINGS = frozenset(
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "js", "ts", "css", "json", "html", "yml", "yaml", "service"]
)
_PUNYCODE = re.compile(r"xn--[a-z0-9-]{1,59}")  # how a top-level domain beyond ASCII is written (RFC 3492)
_SHARE = re.compile(r"[0-9]{1,3}%(?=[A-Za-z0-9])(?![0-9A-Fa-f]{2})")  # `100%`, which stands before the address
_LONGEST_LOCAL = 64  # RFC 5321, 4.5.3.1.1


class _OfflineEmail(EmailRecognizer):
    """presidio's e-mail recogniser with the public-suffix list that the package brings: nothing is fetched."""

    _extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    def validate_result(self, pattern_text: str) -> bool:
        return self._extract(pattern_text.rpartition("@")[2]).top_domain_under_public_suffix != ""


class Emails:
    def __init__(self) -> None:
        self._recognizer = Recognizer(_OfflineEmail())

    def find(self, text: str) -> Iterator[Finding]:
        at = text.find("@")
        while at >= 0:
            domain = _DOMAIN.match(text, at + 1)
            before = text[max(0, at - _LONGEST_LOCAL) : at]
            local = _LOCAL.search(before, len(before.rstrip(_IN_LOCAL))) if domain else None
            if domain is not None and local is not None:
                start, end = at - len(local[0]), domain.end()
                if text[start - 1 : start] == "\\" and text[start] in "nrt" and at - start > 1:
                    start += 1  # a line's end as JSON writes it
                if "%" in local[0] and (share := _SHARE.match(local[0])):
                    start += share.end()
                if self._is_email(text, start, at, end):
                    yield Finding(start, end, "EMAIL_ADDRESS")
            at = text.find("@", at + 1)

    def _is_email(self, text: str, start: int, at: int, end: int) -> bool:
        local, domain = text[start:at], text[at + 1 : end]
        if local == "git" and text[end : end + 1] == ":":
            return False
        before = text[max(0, at - 128) : at]
        if "://" in before and _USER_INFO.search(before):
            return False  # https://name:password@host is judged as a secret
        # presidio's list does not know every domain (internal, reserved, new): its shape is enough if nothing speaks against
        # it. Asking presidio takes long.
        ending = domain.rpartition(".")[2].lower()
        is_one = ending not in _FILE_ENDINGS if ending.isalpha() else _PUNYCODE.fullmatch(ending) is not None
        if is_one and len(ending) >= 2 and not domain[0].isdigit():
            return True
        return says(self._recognizer, f"{local}@{domain}", 0, len(local) + 1 + len(domain), 1.0)
