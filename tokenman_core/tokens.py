"""About how many tokens a text has, for what no provider has counted.

Counted as OpenAI's newer models do (tiktoken's o200k_base), with the ranks that lie beside this file: nothing is fetched. The
models of others cut texts in other ways; the figure is an estimate, and is marked as one wherever it is kept.
"""

import base64
import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiktoken import Encoding

RANKS = Path(__file__).parent / "data" / "o200k_base.tiktoken"
SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"  # as tiktoken has it
PIECE = 4096
"""Characters that are encoded at once. What a piece costs is then bounded, whatever it holds: a run of one character takes
longer for each the longer it is, and a million spaces overflow the stack of tiktoken's regular expression, which ends in a
panic (tried with 0.14). The cuts make less than 1% more of an ordinary text."""

COUNTED = 2_000_000
"""Characters that are counted at most, which takes 0.1 to 0.4 s; of longer texts every n-th piece, and the rest is like them."""

# How o200k_base cuts a text into words, from tiktoken_ext/openai_public.py (MIT licence).
_PATTERN = "|".join(
    [
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ]
)
_building = threading.Lock()
_built: "Encoding | None" = None


def estimate(texts: Sequence[str]) -> int:
    """The tokens of all texts together. For a thread: 0.05 to 0.2 ms for 1000 characters.

    The first time the encoding is built: 0.3 s, and 85 MB that stay.

    Raises OSError and ValueError if the file of ranks is missing or damaged, RuntimeError if tiktoken fails.
    """
    length = sum(map(len, texts))
    if not length:
        return 0
    encode = _encoding().encode_ordinary
    step = -(-length // COUNTED)
    tokens = seen = number = 0
    for text in texts:
        for at in range(0, len(text), PIECE):
            if number % step == 0:
                piece = text[at : at + PIECE]
                try:
                    tokens += len(encode(piece))
                except BaseException:  # a panic in Rust is no Exception, and would end the call instead of its estimate
                    raise RuntimeError("tiktoken failed") from None
                seen += len(piece)
            number += 1
    return -(-tokens * length // seen)


def rough(texts: Sequence[str]) -> int:
    """The same without the ranks, at once: four bytes of UTF-8 a token, as most texts have them (rounded up)."""
    return -(-sum(len(text.encode("utf-8", "replace")) for text in texts) // 4)


def _encoding() -> "Encoding":
    global _built
    with _building:
        if _built is None:
            from tiktoken import Encoding  # only where something is estimated

            data = RANKS.read_bytes()
            if hashlib.sha256(data).hexdigest() != SHA256:
                raise ValueError(f"{RANKS.name} is damaged: install TokenMan anew")
            ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, data.splitlines())}
            _built = Encoding("o200k_base", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={})
        return _built
