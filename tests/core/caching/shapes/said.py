"""Bytes as a provider says them, or as they are shown again."""

from dataclasses import dataclass

from addons.demo.provider.wire import Reply
from tokenman_core.caching.shapes import Shown


@dataclass(frozen=True)
class Said:
    """Bytes as a provider sends them, or as they are shown again."""

    body: bytes
    content_type: bytes

    @classmethod
    def shown(cls, shown: Shown | None) -> "Said":
        assert shown is not None
        return cls(shown.body, shown.content_type)

    @classmethod
    def reply(cls, reply: Reply) -> "Said":
        body = b"".join(step for step in reply.steps if isinstance(step, bytes))
        return cls(body, dict(reply.headers)["content-type"].encode())
