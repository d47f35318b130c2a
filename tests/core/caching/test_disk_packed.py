"""An answer as bytes and back: what comes back is what went in, or nothing."""

from dataclasses import fields
from decimal import Decimal

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.core.caching.entries import KEY, NOW, STREAMED, entry, key_of, noise
from tokenman_core.caching import packed
from tokenman_core.caching.cipher import Checksum, Cipher
from tokenman_core.caching.entry import Damaged, Entry
from tokenman_core.caching.packed import Packing, Row, pack, unpack
from tokenman_core.usage import Usage

numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
counts = st.integers(0, 10**9)
entries = st.builds(
    Entry,
    st.integers(100, 599),
    st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=4).map(tuple),
    st.booleans(),
    st.binary(max_size=300),
    st.lists(st.tuples(numbers, counts), max_size=4).map(tuple),
    numbers,
    texts,
    texts,
    texts,
    numbers,
    st.builds(Usage, counts, counts, counts, counts, counts, counts, st.dictionaries(texts, counts, max_size=3)),
    st.none() | st.decimals(allow_nan=False, allow_infinity=False),
)


@given(entries)
def test_an_answer_comes_back_as_it_was(kept):
    found = unpack(pack(kept))
    assert found == kept
    assert str(found.cost) == str(kept.cost)
    assert [type(getattr(found, each.name)) for each in fields(found)] == [
        type(getattr(kept, each.name)) for each in fields(kept)
    ]


def test_whole_numbers_of_seconds_may_be_integers():
    assert unpack(pack(entry(seconds=2, stored=3, pieces=((1, 2),)))).pieces == ((1.0, 2),)


def test_each_count_of_a_usage_is_kept():
    """A field that is added to `Usage` needs its place here, and another FORM."""
    assert [each.name for each in fields(Usage)] == [*packed._COUNTS, "parts"]


@pytest.mark.parametrize(
    "changes",
    [
        {"seconds": float("nan")},
        {"stored": float("inf")},
        {"pieces": ((float("-inf"), 1),)},
        {"cost": Decimal("NaN")},
        {"cost": Decimal("Infinity")},
        {"model": "\ud800"},
        {"body": bytes(packed.MOST_BYTES)},
    ],
    ids=["no number", "endless", "piece", "no money", "endless money", "half a character", "too large"],
)
def test_what_could_not_be_read_is_not_written(changes):
    with pytest.raises((ValueError, TypeError)):
        pack(entry(**changes))


def written(change=lambda header: None, body=b"{}", length=None) -> bytes:
    header = orjson.loads(zstandard.decompress(pack(entry()))[4:-2])
    change(header)
    raw = header if isinstance(header, bytes) else orjson.dumps(header)
    return zstandard.compress((len(raw) if length is None else length).to_bytes(4, "big") + raw + body)


def test_what_is_written_by_hand_is_read_if_it_is_right():
    assert unpack(written()) == entry()


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(more=1),
        lambda it: it.pop("cost"),
        lambda it: it.update(status="200"),
        lambda it: it.update(status=200.0),
        lambda it: it.update(status=None),
        lambda it: it.update(stream=1),
        lambda it: it.update(stream=None),
        lambda it: it.update(headers={}),
        lambda it: it.update(headers=[["a"]]),
        lambda it: it.update(headers=[["a", "\u0100"]]),
        lambda it: it.update(headers=[["a", 1]]),
        lambda it: it.update(pieces=[[1, 2]]),
        lambda it: it.update(pieces=[[1.0, 2.0]]),
        lambda it: it.update(pieces="ab"),
        lambda it: it.update(seconds=1),
        lambda it: it.update(stored="1.0"),
        lambda it: it.update(stored=None),
        lambda it: it.update(provider=1),
        lambda it: it.update(model=None),
        lambda it: it.update(project=["x"]),
        lambda it: it.update(cost=1),
        lambda it: it.update(cost="1,0"),
        lambda it: it.update(cost="NaN"),
        lambda it: it.update(cost=" 1"),
        lambda it: it["usage"].update(input=True),
        lambda it: it["usage"].update(more=1),
        lambda it: it["usage"].pop("output"),
        lambda it: it["usage"].update(parts=[]),
        lambda it: it["usage"].update(parts={"a": "1"}),
    ],
    ids=lambda _: "",
)
def test_an_odd_header_is_damage(change):
    with pytest.raises(Damaged):
        unpack(written(change))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        pack(entry()) + b"x",
        pack(entry()) + pack(entry()),
        pack(entry())[:-1],
        zstandard.compress(b""),
        zstandard.compress(b"\0\0\0"),
        written(length=2**32 - 1),
        written(length=1),
        zstandard.ZstdCompressor(write_content_size=False).compress(zstandard.decompress(pack(entry()))),
    ],
    ids=["nothing", "nonsense", "more", "twice", "less", "empty", "short", "long header", "short header", "no size"],
)
def test_odd_bytes_are_damage(data):
    with pytest.raises(Damaged):
        unpack(data)


def test_a_bomb_is_told_before_room_is_made_for_it(monkeypatch):
    bomb = zstandard.compress(bytes(packed.MOST_BYTES + 5))
    assert len(bomb) < 10_000
    asked = []
    monkeypatch.setattr(zstandard, "ZstdDecompressor", lambda: asked.append(1))
    with pytest.raises(Damaged):
        unpack(bomb)
    assert not asked


def test_an_answer_as_large_as_may_be_is_kept():
    body = bytes(packed.MOST_BYTES - 10_000)
    assert unpack(pack(entry(body))).body == body


SEALS = {"sealed": lambda: Cipher(KEY), "summed": lambda: Checksum(KEY)}


@pytest.fixture(params=SEALS)
def packing(request):
    return Packing(SEALS[request.param](), KEY)


def test_a_row_comes_back(packing):
    row = packing.row(key_of(1), STREAMED)
    assert packing.entry(row) == STREAMED
    assert (row.key, row.stored) == (key_of(1), NOW)


def test_a_row_tells_neither_model_nor_project(packing):
    row = packing.row(key_of(1), STREAMED)
    for planted in (b"gpt-4.1", b"jane", b"example.com", b"PERSON_1"):
        assert planted not in row.model + row.project + row.sealed
    assert row.model == packing.model("gpt-4.1")
    assert row.project == packing.project("jane.doe@example.com")
    assert packing.model("x") != packing.project("x")
    assert packing.model("x") != Packing(Checksum(KEY), bytes(32)).model("x")
    assert packing.model("\ud800")


@pytest.mark.parametrize("moved", ["key", "model", "project"])
def test_a_row_cannot_be_moved(packing, moved):
    row = packing.row(key_of(1), STREAMED)
    parts = {"key": row.key, "model": row.model, "project": row.project, moved: bytes(len(getattr(row, moved)))}
    with pytest.raises(Damaged):
        packing.entry(Row(**parts, stored=row.stored, sealed=row.sealed))


def test_bytes_of_another_form_are_not_read(packing, monkeypatch):
    row = packing.row(key_of(1), STREAMED)
    monkeypatch.setattr(packed, "FORM", packed.FORM + 1)
    with pytest.raises(Damaged):
        packing.entry(row)


def test_each_flipped_bit_is_noticed(packing):
    row = packing.row(key_of(1), entry(noise(1, 40)))
    for bit in range(len(row.sealed) * 8):
        flipped = bytearray(row.sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Damaged):
            packing.entry(Row(row.key, row.model, row.project, row.stored, bytes(flipped)))


def test_each_cut_is_noticed(packing):
    row = packing.row(key_of(1), entry())
    for end in range(len(row.sealed)):
        with pytest.raises(Damaged):
            packing.entry(Row(row.key, row.model, row.project, row.stored, row.sealed[:end]))


def test_a_repr_does_not_show_what_is_sealed(packing):
    assert "sealed" not in repr(packing.row(key_of(1), STREAMED))
