"""The memory of judged texts: bounded, without texts, and blind to nothing that the detector was given."""

from dataclasses import replace

import pytest

from tokenman_core.redaction import Finding, Mapping, Memo
from tokenman_core.redaction import memo as memory
from tokenman_core.redaction.detectors.options import Custom, Options
from tokenman_core.redaction.memo import Act, Acts


def test_it_forgets_the_least_recently_used_when_it_is_full() -> None:
    memo = Memo(max_bytes=1000)
    names = [memo.name(str(number), "") for number in range(10)]
    for name in names:
        memo.put(name, ())
        memo.get(names[0])
    assert memo.get(names[0]) == ()
    assert memo.get(names[1]) is None
    assert memo.get(names[9]) == ()
    assert 0 < memo.size <= 1000


def test_many_findings_weigh_more_than_few() -> None:
    memo = Memo()
    memo.put(b"a", ())
    small = memo.size
    memo.put(b"a", tuple(Finding(place, place + 1, "PASSWORD") for place in range(100)))
    assert memo.size > 10 * small
    assert len(memo) == 1


def test_what_was_done_is_forgotten_too_and_weighs_what_it_holds() -> None:
    memo = Memo(max_bytes=10_000)
    acts = Acts(
        tuple(Act(place, place + 1, "PASSWORD", "redact", "[PASSWORD_0123456789ab]") for place in range(10)), b"", []
    )
    for number in range(50):
        memo.put(b"%d" % number, ())
        memo.put_acts(b"%d" % number, acts)
        assert memo.size <= 10_000
    assert memo.acts(b"49") == acts
    assert memo.acts(b"0") is None
    assert 0 < len(memo) < 30
    memo.put_acts(b"49", Acts((), b"", []))
    assert memo.acts(b"49") == Acts((), b"", [])


def test_a_text_under_another_key_has_another_name() -> None:
    memo = Memo()
    assert memo.name("x", "password") != memo.name("x", "")
    assert memo.name("x", "ab") != memo.name("bx", "a")
    assert memo.name("x", "") == memo.name("x", "")
    assert Memo().name("x", "") != memo.name("x", "")  # keyed by a secret of its own


def test_long_texts_have_names_of_their_own_and_are_copied_in_pieces_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_LONG", 32)
    memo = Memo()
    one, other = "a" * 32, "b" * 32
    texts = [
        one, other, one + other, other + one, one + one, one + one + one, one + other + "a", one + other + "b",
        one + other + "\ud800", one[:-1] + "ä" + other, one[:-1] + other,
    ]  # fmt: skip
    names = [
        memo.name(text, key, options) for text in texts for key in ("", "k", "k" * 70) for options in (b"", b"o" * 16)
    ]
    assert len({*names}) == len(names)
    assert memo.name(texts[2], "") == names[texts.index(texts[2]) * 6]
    assert Memo().name(texts[2], "") != memo.name(texts[2], "")


def test_no_two_texts_are_made_of_pieces_whose_codes_make_up_for_each_other() -> None:
    """GMAC is a sum: summed again, a difference in one piece and the same in the next, a block earlier, would be none."""
    memo = Memo()
    size = memory._LONG
    for key_length in range(16):
        zeros = "\0" * size * 3
        for back in (1, 2):
            first, second = 64 * 16, size + (64 - back) * 16
            text = zeros[:first] + "\1" + zeros[first + 1 : second] + "\1" + zeros[second + 1 :]
            assert memo.name(zeros, "k" * key_length) != memo.name(text, "k" * key_length)


def test_a_text_judged_by_other_detectors_has_another_name() -> None:
    memo = Memo()
    assert memo.name("x", "k", Options().digest) != memo.name("x", "k", Options(ner="some_model").digest)
    assert memo.name("x", "k", Options().digest) == memo.name("x", "k", Options().digest)


def test_any_change_of_options_changes_their_digest() -> None:
    custom = Custom("X", "a")
    made = [
        Options(),
        Options(ner="m"),
        Options((custom,)),
        Options((replace(custom, pattern="b"),)),
        Options((replace(custom, name="Y"),)),
        Options((replace(custom, context=("c",)),)),
        Options((replace(custom, score=0.5),)),
        Options((custom, custom)),
    ]
    assert len({options.digest for options in made}) == len(made)
    assert Options((custom,)) == Options((Custom("X", "a"),))


def test_what_was_done_again_weighs_no_more() -> None:
    memo = Memo()
    acts = Acts((Act(0, 1, "PASSWORD", "redact", "[PASSWORD_0123456789ab]"),) * 9, b"", [])
    memo.put_acts(b"a", acts)
    size = memo.size
    memo.put_acts(b"a", acts)
    assert memo.size == size


def test_a_remembered_placeholder_that_another_value_has_is_not_used_for_two() -> None:
    mapping = Mapping(b"k")
    placeholder, _ = mapping.placeholder("PASSWORD", "Zebra-77")
    act = Act(0, 8, "PASSWORD", "redact", placeholder)
    assert mapping.again("Zebra-77", 0, [act], [""], None) == (["", placeholder], [])
    (_, other), _ = mapping.again("Kite-888", 0, [act], [""], None)
    assert other != placeholder
    assert [each.text for each in mapping.values()] == ["Zebra-77", "Kite-888"]
