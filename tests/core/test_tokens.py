"""Counts of tokens: right where tiktoken is, bounded in time, and from the file that is shipped, never from the network."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tokenman_core import tokens


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("tiktoken is great!", 6),  # the example of OpenAI's cookbook, for o200k_base
        ("antidisestablishmentarianism", 6),
        ("2 + 2 = 4", 7),
        ("お誕生日おめでとう", 8),
        ("hello \ud800 half a pair", 6),  # lone surrogates are counted like any character
    ],
)
def test_a_text_is_counted_as_tiktoken_counts_it(text: str, count: int) -> None:
    assert abs(tokens.estimate([text]) - count) <= (1 if "\ud800" in text else 0)


def test_texts_are_counted_together_and_the_cuts_cost_next_to_nothing() -> None:
    prose = "All work and no play makes Jack a dull boy, said the model to the proxy. " * 2000
    alone = tokens.estimate([prose])
    assert tokens.estimate([prose, prose]) == 2 * alone
    whole = len(tokens._encoding().encode_ordinary(prose))
    assert whole <= alone <= whole * 1.01


@pytest.mark.parametrize("character", ["a", " ", "^", "\n", "漢", "1"])
def test_a_run_of_one_character_is_counted_however_long_it_is(character: str) -> None:
    """Without the cuts a million spaces are more than the stack of tiktoken's regular expression holds."""
    per_piece = len(tokens._encoding().encode_ordinary(character * tokens.PIECE))
    assert tokens.estimate([character * tokens.PIECE * 250]) == per_piece * 250


def test_of_a_huge_text_a_part_is_counted_and_the_rest_is_like_it(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = "xq9 " * 100_000
    text = dense + " " * len(dense)  # whoever looked at its beginning or its end alone would be far off
    exact = 4 * len(tokens._encoding().encode_ordinary(dense[: len(dense) // 4]))  # and the spaces next to nothing
    monkeypatch.setattr(tokens, "COUNTED", 50_000)
    assert tokens.estimate([text]) == pytest.approx(exact, rel=0.1)


def test_a_rough_count_needs_no_ranks() -> None:
    assert (tokens.rough(["12345"]), tokens.rough([]), tokens.rough(["é" * 4])) == (2, 0, 2)


def test_nothing_is_fetched_or_kept_elsewhere(tmp_path: Path) -> None:
    program = (
        "import socket, sys\n"
        "def no(*a, **k): raise SystemExit('the network was asked')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = no\n"
        "from tokenman_core import tokens\n"
        "assert 'tiktoken' not in sys.modules, 'imported before it is needed'\n"
        "print(tokens.estimate(['hello world']))\n"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TIKTOKEN", "DATA_GYM"))}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60,
        env=environment | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "2"), done.stderr
    assert not list(tmp_path.iterdir())


def test_damaged_ranks_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "ranks"
    damaged.write_bytes(tokens.RANKS.read_bytes()[:-1] + b"0")
    monkeypatch.setattr(tokens, "RANKS", damaged)
    monkeypatch.setattr(tokens, "_built", None)
    with pytest.raises(ValueError, match="install TokenMan anew"):
        tokens.estimate(["hello"])


def test_a_panic_of_the_library_is_an_ordinary_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        pass

    def panics(_: str) -> list[int]:
        raise Panic

    monkeypatch.setattr(tokens, "_built", SimpleNamespace(encode_ordinary=panics))
    with pytest.raises(RuntimeError):
        tokens.estimate(["hello"])
