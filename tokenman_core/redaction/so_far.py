"""The values of a request as they are found, text after text: what is done about a text depends on those before it."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

from tokenman_core.redaction.allowed import Permitted
from tokenman_core.redaction.choose import Say
from tokenman_core.redaction.entities import Finding
from tokenman_core.redaction.known import Known
from tokenman_core.redaction.policy import Policy

_AT_ONCE: Final = 256  # values that are taken up between two pauses


class Behind:
    """A digest of values, made of the one of those before them."""

    def __init__(self, digest: bytes) -> None:
        self._before, self._hash = digest, hashlib.blake2b(digest, digest_size=16)
        self._more = False

    def add(self, entity: str, value: str) -> None:
        self._more = True
        self._hash.update(f"{entity} {len(value)} {value}".encode("utf-8", "surrogatepass"))

    @property
    def digest(self) -> bytes:
        return self._hash.digest() if self._more else self._before


class SoFar:
    """The values found so far, and a digest of them: part of the name under which it is remembered what is done about a text.

    What may pass is fixed with it, for one masking as a whole. `tag`: of the key that makes the placeholders.
    """

    def __init__(self, policy: Policy, permitted: Permitted, tag: bytes) -> None:
        self.policy, self._permitted = policy, permitted
        self.digest = hashlib.blake2b(policy.digest + permitted.version + tag, digest_size=16).digest()
        self.known = Known()
        self.values: set[tuple[str, str]] = set()
        self._added: list[
            tuple[str, str]
        ] = []  # not yet among those: a request that is all remembered asks for none of them

    def say(self, text: str, finding: Finding) -> Say:
        """What becomes of a finding. A value passes by a pattern of the settings or by `tokenman allow`."""
        start, end, entity, _ = finding
        value = text[start:end]
        return self.policy.say(finding, self.policy.allows(value, entity) or self._permitted.permits(value, entity))

    def behind(self) -> Behind:
        """The digest that will be, once more values are added."""
        return Behind(self.digest)

    def add(self, values: Iterable[tuple[str, str]]) -> None:
        """Values that were not found before, by entity and text; one of several parts is added once."""
        self._added += values

    @property
    def searches(self) -> bool:
        """Whether a text is searched for anything but what detection finds in it."""
        return bool(self._added or self.values or self.policy.denied)

    def settle(self) -> Iterator[None]:
        """To be done to the end after adding, before `values` or `known` are asked for."""
        added, self._added = self._added, []
        for low in range(0, len(added), _AT_ONCE):
            some = added[low : low + _AT_ONCE]
            self.values.update(some)
            self.known.extend(some)
            yield

    def forget(self) -> None:
        """Drop what texts are searched for; for a step of its own, after long work."""
        self.known = Known()
