"""What is kept of a provider's answer, so that it can be given again."""

from dataclasses import dataclass, field
from decimal import Decimal

from tokenman_core.headers import CREDENTIALS, to_client
from tokenman_core.usage import Usage
from tokenman_core.verdicts import Headers


@dataclass(frozen=True)
class Entry:
    """What a provider said to a redacted request.

    `pieces` of a stream: seconds since its head, and bytes, of each piece as it came; () of a plain body. `seconds`: from the head
    of the original to its end. `stored`: seconds since the epoch. `model` and `project` are labels for purging, as they may be
    shown: one that is a value is masked; "" for none. `cost`: USD that it cost then, None if no price was known.
    """

    status: int
    headers: Headers  # only those that may be given again (see `kept_headers`), no coding, no length
    stream: bool  # the body is a whole event stream, else a whole plain body
    body: bytes = field(repr=False)  # decoded, with placeholders
    pieces: tuple[tuple[float, int], ...]
    seconds: float
    provider: str
    model: str  # of the candidate that gave it
    project: str
    stored: float
    usage: Usage  # as the provider gave it
    cost: Decimal | None


class Damaged(Exception):
    """What was kept cannot be read as what it was. Says nothing of it."""


# They speak of one message, one hop or one moment, which the answer given again is not (RFC 9110 §6.6, §8.4, §8.8, §10.2.3;
# RFC 9530; RFC 9211; the W3C's Server-Timing, Reporting and NEL).
_OF_ONE_MESSAGE = frozenset({
    b"content-encoding", b"date", b"age", b"expires", b"retry-after", b"retry-after-ms", b"x-should-retry", b"etag",
    b"last-modified", b"digest", b"content-digest", b"repr-digest", b"content-md5", b"want-digest", b"server-timing", b"via",
    b"x-envoy-upstream-service-time", b"cache-status", b"x-cache", b"nel", b"report-to", b"reporting-endpoints",
    b"set-cookie2", b"accept-ranges", b"content-range",
})  # fmt: skip
_RATE_LIMIT = b"ratelimit"  # x-ratelimit-…, anthropic-ratelimit-…, and the IETF's own
_EDGE = b"cf-"  # Cloudflare's, of one connection


# Whose account it was (OpenAI, Anthropic), which is nobody else's business.
_OF_AN_ACCOUNT = frozenset({
    b"openai-organization", b"openai-project", b"anthropic-organization-id", b"anthropic-workspace-id",
})  # fmt: skip


def kept_headers(headers: Headers, *, shared: bool = False) -> Headers:
    """Those of a provider's answer that are as true when it is given again, in their order and case.

    The type of the content, the ids of the request and what names organisation and version stay. Limits, moments, validators,
    cookies, and what belongs to one connection or one message go. `shared`: other callers get it, so organisations go, too.
    """
    dropped = _OF_ONE_MESSAGE | CREDENTIALS | (_OF_AN_ACCOUNT if shared else frozenset())
    return tuple(
        (name, value)
        for name, value in to_client(headers, None, dropped=dropped)
        if _RATE_LIMIT not in (low := name.lower()) and not low.startswith(_EDGE)
    )
