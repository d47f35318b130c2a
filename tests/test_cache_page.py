"""docs/cache.md says what the code does: its tables, lists, figures and cases are held to it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from addons.cli import why
from tests.test_readme import environment, fenced
from tokenman_core import headers as h
from tokenman_core.admin import openapi
from tokenman_core.caching import behind, cipher, eligible, flights, keepable, key, memory, packed, shapes
from tokenman_core.config.models import Cache

PAGE = Path(__file__).parent.parent / "docs" / "cache.md"
TEXT = PAGE.read_text()
WORDS = " ".join(TEXT.split())

APIS = {
    "Anthropic Messages": ("anthropic", "messages"),
    "Anthropic Text Completions": ("anthropic", "complete"),
    "Chat Completions": ("openai", "chat"),
    "Completions": ("openai", "completions"),
    "Embeddings": ("openai", "embeddings"),
    "Responses": ("openai", "responses"),
    "Gemini": ("gemini", "generate"),
}


def table(head: str) -> list[list[str]]:
    """The rows of the table with this head."""
    rest = TEXT.partition(f"\n| {head}\n")[2]
    assert rest, head
    lines = rest.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def spans(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


# -- which calls --


def test_the_fields_that_bypass_are_those_of_the_page() -> None:
    said = {APIS[api]: spans(fields) for api, fields in table("API | if it has |")}
    inner = {"continuation_id", "prewarm", "comparison_response_id"}  # of what such a field holds
    assert {kind: {span.removesuffix(": true") for span in given} - inner for kind, given in said.items()} == {
        kind: {row.name for row in rows} for kind, rows in eligible._HELD.items()
    }


@pytest.mark.parametrize(
    ("api", "field", "bypasses", "does_not"),
    [
        ("Chat Completions", "store", True, False),
        ("Anthropic Messages", "max_tokens", 0, 1),
        ("Responses", "prompt", {"id": "x"}, {"id": "x", "version": "2"}),
        ("Responses", "background_options", {"continuation_id": "x"}, {}),
        ("Responses", "prompt_cache_options", {"prewarm": True}, {}),
        ("Responses", "prompt_cache_options", {"comparison_response_id": "x"}, {}),
    ],
)
def test_a_field_that_bypasses_with_some_values_does_with_those(
    api: str, field: str, bypasses: Any, does_not: Any
) -> None:
    rows = [row for row in eligible._HELD[APIS[api]] if row.name == field]
    assert any(row.when(bypasses) for row in rows)
    assert not any(row.when(does_not) for row in rows)


def test_who_has_a_seed_is_said() -> None:
    assert "a `seed` where the API has one (Chat Completions, Completions, Gemini)" in WORDS
    assert {APIS[name] for name in ("Chat Completions", "Completions", "Gemini")} == eligible._SEEDED


def test_the_cases_of_the_page_hold(tmp_path: Path) -> None:
    file = tmp_path / "tokenman.yaml"
    file.write_text(next(block for block in fenced(PAGE, "yaml") if "tests:" in block))
    done = subprocess.run(
        [sys.executable, "-m", "addons.cli.main", "config", "test", "--config", str(file)],
        env=environment(tmp_path), cwd=PAGE.parent.parent, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    file.write_text(file.read_text().replace("mode: deterministic", "mode: off"))
    done = subprocess.run(
        [sys.executable, "-m", "addons.cli.main", "config", "test", "--config", str(file)],
        env=environment(tmp_path), cwd=PAGE.parent.parent, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "the cache is off" in done.stdout


# -- the same question --


def test_the_fields_that_are_not_in_the_key_are_those_of_the_page() -> None:
    said = {APIS[api]: fields for api, fields in table("API | not in the key |")}
    assert set(said) == set(key.ASIDE)
    inner = {"user_id", "include_usage", "include_obfuscation"}
    for kind, aside in key.ASIDE.items():
        assert spans(said[kind]) - inner == set(aside), kind
    only: Any = {"metadata": {"user_id": "x"}, "stream_options": {"include_usage": True, "include_obfuscation": False}}
    for aside in key.ASIDE.values():
        for name, fits in aside.items():
            assert name not in only or (fits(only[name]) and not fits({**only[name], "more": 1}))


def test_the_headers_that_are_not_in_the_key_are_those_of_the_page() -> None:
    paragraph = next(part for part in TEXT.split("\n\n") if part.startswith("Headers that are not in it"))
    aside, _, kept = paragraph.partition("`x-tokenman-`")
    of_others = key.HEADERS_ASIDE - h.HOP_BY_HOP - h.FRAMING - h.CREDENTIALS
    prefixes = {prefix.decode() for prefix in key._HEADERS_ASIDE_OF}
    assert spans(aside) | {"x-tokenman-"} == {name.decode() for name in of_others} | prefixes
    assert not {name.encode() for name in spans(kept)} & key.HEADERS_ASIDE


# -- what is kept --


def test_all_that_is_never_kept_is_told() -> None:
    """By the reasons there are."""
    told = {
        "errors": {keepable.ERROR},
        "what is cut": {keepable.CUT, keepable.LIMIT},
        "what was refused": {keepable.REFUSED, keepable.FILTERED},
        "a turn that goes on": {keepable.PAUSED},
        "what names what expires": {keepable.EXPIRES},
        "an answer that calls a tool": {keepable.CALLS},
        "an empty answer": {keepable.EMPTY},
        "what the API is not known to say": {keepable.ODD},
        "what is too large": set(),
    }
    _, _, rest = TEXT.partition("Never kept, and never given again:\n\n")
    rows = [line.strip("|").split("|") for line in rest.partition("\n\n")[0].splitlines()[2:]]
    assert [row[0].strip() for row in rows] == list(told)
    reasons = {
        value
        for name, value in vars(keepable).items()
        if name.isupper() and type(value) is str and value != keepable.OK
    }
    assert set().union(*told.values()) == reasons
    assert f"more than {packed.MOST_BYTES >> 20} MiB" in rows[-1][1]


def test_the_shapes_are_those_of_the_page() -> None:
    names = {name.removeprefix("Anthropic ") for name, kind in APIS.items() if kind in shapes._CHANGES}
    said = re.search(r"full sequence of events of that API: ([^.]+)\.", WORDS)
    assert said
    assert set(said[1].split(", ")) == names


# -- figures --


def test_the_figures_are_those_of_the_page() -> None:
    usual = Cache()
    assert {row[0]: row[1] for row in table("setting | default | |")} == {
        "`cache.ttl`": f"{usual.ttl / 60:g}m",
        "`cache.entries`": str(usual.entries),
        "`cache.size`": f"{usual.size >> 30}GiB",
    }
    assert f"{memory.MOST_HOT >> 20} MiB at most" in WORDS
    assert behind.ROUND_S == 60
    assert behind.IDLE_S == 1
    assert "Another process on the same data folder hears of it within a second." in WORDS
    assert "Once a minute what is too old or too much is removed" in WORDS
    assert f"its lease ends after {flights.LEASE_S:g}." in WORDS
    assert f"a stream is waited for {flights.STREAM_WAITS_S:g} seconds" in WORDS
    assert cipher._NONCE == 12
    assert "AES-256-GCM" in WORDS


def test_the_fields_of_the_api_that_it_names_are_there() -> None:
    fields = openapi.document()["components"]["schemas"]["Cache"]["properties"]
    sentence = next(part for part in TEXT.split("\n\n") if part.startswith("`GET /api/cache` tells"))
    assert {"entries", "bytes", "under_way", "trouble"} <= spans(sentence) & set(fields)


def test_what_the_header_of_an_answer_says_is_told() -> None:
    _, _, rest = TEXT.partition("The header of the answer says")
    rows = re.findall(r"^\| `(\w+)` \|", rest.partition("\n\nIn either mode")[0], re.MULTILINE)
    assert set(rows) == set(why._CACHE)
