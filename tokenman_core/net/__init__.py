"""Calls to providers and webhooks, over connections that belong to no client."""

from tokenman_core.net.guard import Forbidden, Guard, embedded, is_fixed
from tokenman_core.net.pool import Answer, Upstream
from tokenman_core.net.proxies import Proxies
from tokenman_core.net.wire import Deadlines, Request, UpstreamError

__all__ = [
    "Answer",
    "Deadlines",
    "Forbidden",
    "Guard",
    "Proxies",
    "Request",
    "Upstream",
    "UpstreamError",
    "embedded",
    "is_fixed",
]
