"""What is sent: requests as programs send them, the same for every contender of a round, and what their cost is held to."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

WORDS = (Path(__file__).parent / "words.txt").read_text().split()

Make = Callable[[int, str], Iterator[bytes]]
"""So many bodies. What is new in a round comes from its seed, so that every contender is sent the same."""


def prose(rng: random.Random, size: int) -> str:
    """Text of about `size` bytes with the odd value in it: one every 4 KB, as in an agent's conversation."""
    parts: list[str] = []
    length = 0
    while length < size:
        word = rng.choice(WORDS)
        if rng.random() < 0.0015:
            word = f"{rng.choice(WORDS)}.{rng.randrange(10**6)}@example-mail.com"
        parts.append(word)
        length += len(word) + 1
    return " ".join(parts)


def body(messages: list[dict[str, str]], stream: bool = False, tokens: int = 100) -> bytes:
    start = {"stream": True} if stream else {}
    whole = {**start, "model": "m", "max_tokens": tokens, "messages": messages}
    return json.dumps(whole, separators=(",", ":")).encode()


def new(size: int, stream: bool = False, tokens: int = 100) -> Make:
    """A new text in every call."""

    def make(count: int, seed: str) -> Iterator[bytes]:
        rng = random.Random(seed)
        for _ in range(count):
            yield body([{"role": "user", "content": prose(rng, size)}], stream, tokens)

    return make


def known(size: int, stream: bool = False, tokens: int = 100) -> Make:
    """The same text in every call of a run."""

    def make(count: int, seed: str) -> Iterator[bytes]:
        same = next(new(size, stream, tokens)(1, "known"))
        for _ in range(count):
            yield same

    return make


def repeated(size: int, *, stream: bool = False) -> Make:
    """The same question again and again, which says that its answer is to be the same."""

    def make(count: int, seed: str) -> Iterator[bytes]:
        for each in known(size, stream)(count, seed):
            yield each.replace(b"{", b'{"temperature":0,', 1)

    return make


def conversation(count: int, seed: str) -> Iterator[bytes]:
    """Turns of conversations that grow from 19 to 83 KB by 2.2 KB a turn."""
    rng = random.Random(seed)
    while count > 0:
        messages = [{"role": "user", "content": prose(rng, 19_000)}]
        for _ in range(min(30, count)):
            yield body(messages)
            count -= 1
            messages.append({"role": "assistant", "content": prose(rng, 700)})
            messages.append({"role": "user", "content": prose(rng, 1500)})


@dataclass(frozen=True)
class Load:
    name: str
    make: Make
    count: int  # in one round
    most: float | None = None  # what it is to be held to, in calls through bare mitmdump; of a first token: ms over it
    setup: str = "default"  # TokenMan's, see carriers.py
    at_once: int = 1
    first_token: bool = False  # the time to it is measured, not CPU


SHORT = 20
"""Events of a stream that is only sent for its first one; the provider tells it by its limit of tokens."""

LOADS = (
    Load("conversation", conversation, 30, 1.3),
    Load("2 KB new", new(2_000), 150, 1.5),
    Load("2 KB known", known(2_000), 150, 1.0),
    Load("policies off, 2 KB new", new(2_000), 150, 0.9, "off"),
    Load("policies off, conversation", conversation, 30, 0.9, "off"),
    Load("stream of 200 events", new(2_000, stream=True), 12, 1.1, at_once=4),
    Load("40 KB new", new(40_000), 20),
    Load("40 KB known", known(40_000), 60),
    Load("200 KB new", new(200_000), 4, 25),
    Load("200 KB known", known(200_000), 30, 1.5),
    Load("1 MB new", new(1_000_000), 1, 25),
    Load("1 MB known", known(1_000_000), 10, 1.5),
    Load("cache hit, 2 KB", repeated(2_000), 150, 0.5, "cache"),
    Load("cache hit, 40 KB", repeated(40_000), 60, 0.5, "cache"),
    Load("cache hit, stream", repeated(2_000, stream=True), 12, 0.5, "cache", at_once=4),
    Load("first token, 2 KB new", new(2_000, True, SHORT), 10, 1.0, first_token=True),
    Load("first token, 2 KB known", known(2_000, True, SHORT), 10, 1.0, first_token=True),
)
