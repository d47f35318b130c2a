"""Remembers which provider made what in an answer, and which answered a session: what is bound to one goes there again.

Only keyed hashes are kept, of ids and signatures under the caller that they were given to, and of models' names. They may be kept
on disk, too (`tokenman_core.bound_store`).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tokenman_core.verdicts import Candidate

MOST_SERVED = 10_000  # sessions whose provider is remembered; callers can make them grow, the oldest are forgotten
MOST_MADE = 50_000  # ids and signatures whose maker is remembered
MARK = 16  # bytes of a hash


@dataclass(frozen=True)
class Maker:
    """A provider by its name, and a hash of the model's."""

    provider: str
    model: bytes


class Makers:
    """Of all callers; outlives a change of the configuration. `key` is derived from the installation's secret."""

    def __init__(self, key: bytes = b"") -> None:
        self._key = key
        self._made: OrderedDict[bytes, Maker] = OrderedDict()
        self._served: OrderedDict[bytes, Maker] = OrderedDict()
        self.keep: Callable[[Mapping[bytes, Maker]], None] = lambda made: None
        """Is told what was made; it must not wait."""

    def answered(self, credential: str, session: str, gave: Iterable[str], by: Candidate) -> None:
        """`by` gave these ids and signatures to a caller, in a session ("" for none)."""
        maker = Maker(by.provider, self._hash("model", by.model))
        if session:
            _put(self._served, self._hash("session", credential, session), maker, MOST_SERVED)
        made = {self._hash("made", credential, one): maker for one in gave}
        self.take(made)
        if made:
            self.keep(made)

    def take(self, made: Mapping[bytes, Maker]) -> None:
        """What was made before, or is told of by others."""
        for mark, maker in made.items():
            _put(self._made, mark, maker, MOST_MADE)

    def maker(self, credential: str, ids: Iterable[str]) -> Maker | None:
        """Of the first of them whose maker is known."""
        if not self._made:
            return None
        return next((found for one in ids if (found := self._made.get(self._hash("made", credential, one)))), None)

    def server(self, credential: str, session: str) -> Maker | None:
        """Who answered the session last."""
        return self._served.get(self._hash("session", credential, session))

    def among(self, maker: Maker, plan: Sequence[Candidate]) -> Candidate | None:
        """The place in a plan that is the maker's."""
        return next(
            (one for one in plan if one.provider == maker.provider and self._hash("model", one.model) == maker.model),
            None,
        )

    def _hash(self, *parts: str) -> bytes:
        digest = hashlib.blake2b(digest_size=MARK, key=self._key)
        for part in parts:
            data = part.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(data) + data)
        return digest.digest()


def _put(remembered: OrderedDict[bytes, Maker], mark: bytes, maker: Maker, most: int) -> None:
    remembered[mark] = maker
    remembered.move_to_end(mark)
    while len(remembered) > most:
        remembered.popitem(last=False)
