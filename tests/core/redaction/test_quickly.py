"""Checks that are made by hand for speed say what the library or the longer way says that they stand in for."""

import ipaddress
import random
import re

import phonenumbers
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from presidio_analyzer import predefined_recognizers

from tokenman_core.redaction.detectors import seams
from tokenman_core.redaction.detectors.personal import emails, plans
from tokenman_core.redaction.detectors.personal.addresses import EVERYBODYS, Addresses
from tokenman_core.redaction.detectors.personal.text import Recognizer
from tokenman_core.redaction.detectors.words import Spotted, fold
from tokenman_core.redaction.entities import Finding

PARTS = st.one_of(
    st.integers(0, 260).map(str), st.sampled_from(["00", "01", "012", "0", "127", "224", "239", "255", "999"])
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PARTS, min_size=4, max_size=4).map(".".join))
def test_an_address_of_the_net_is_one_for_ipaddress_too(value: str) -> None:
    text = f"IP address: {value}"
    found = [text[each.start : each.end] for each in Addresses().ipv4(text, Spotted(text))]
    try:
        address = ipaddress.IPv4Address(value)
    except ValueError:
        assert found == []
        return
    nobodys = address.is_loopback or address.is_unspecified or address.is_multicast or address.packed[0] in (0, 255)
    assert found == ([] if nobodys or value in EVERYBODYS else [value])


@pytest.mark.parametrize(
    "text", ["ip: 8.8.8.8", "the network 10.0.0.0/8", "address 192.168.0.0/16", "http://169.254.169.254/latest"]
)
def test_what_is_the_same_for_everybody_is_nobodys(text: str) -> None:
    assert not list(Addresses().ipv4(text, Spotted(text)))


@example("write to o'neil")
@given(st.text(alphabet="ab0.'-_+é !#%\"\\/=n", max_size=70))
def test_the_local_part_of_an_address_is_the_same_wherever_the_search_for_it_begins(before: str) -> None:
    whole = emails._LOCAL.search(before)
    quick = emails._LOCAL.search(before, len(before.rstrip(emails._IN_LOCAL)))
    assert (whole and whole.span()) == (quick and quick.span())


@pytest.mark.parametrize("address", ["jane@host.invalid", "jane@corp.example", "jane@1und1.de", "jane@example.co.uk"])
def test_an_address_is_known_by_its_shape_or_by_its_domain(address: str) -> None:
    assert [(each.start, each.end) for each in emails.Emails().find(f"to {address} now")] == [(3, 3 + len(address))]


def example_numbers(regions: list[str]) -> list[str]:
    """The library's examples of every kind of number, both as a region writes them and as others do, without the `+`."""
    made = [
        phonenumbers.format_number(number, form)
        for region in regions
        for kind in phonenumbers.PhoneNumberType.values()
        if (number := phonenumbers.example_number_for_type(region, kind)) is not None
        for form in (phonenumbers.PhoneNumberFormat.NATIONAL, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    ]
    return [re.sub(r"[^0-9 ().\-/]", "", each) for each in made]


def numbers(examples: list[str], rng: random.Random, count: int) -> list[str]:
    """Examples with other digits, with more or fewer of them, with prefixes; and digits in any groups."""
    made: list[str] = []
    while len(made) < count:
        if rng.random() < 0.7:
            share = rng.choice([0, 0.1, 0.3, 0.7])
            given_ = rng.choice(examples)
            text = "".join(rng.choice("0123456789") if c.isdigit() and rng.random() < share else c for c in given_)
            if rng.random() < 0.3:
                place = rng.randrange(len(text))
                text = text[:place] + rng.choice([" ", "-", ".", "", "0", "1"]) + text[place + rng.randrange(2) :]
            if rng.random() < 0.2:
                text = rng.choice(["0", "1", "00", "011", "49 ", "44", "91 ", "39", "+1 ", "(+1) "]) + text
        else:
            groups = ("".join(rng.choices("0123456789", k=rng.randint(1, 5))) for _ in range(rng.randint(1, 5)))
            text = rng.choice(["", "0", "00", "(0"]) + rng.choice(" -.").join(groups)
        if 7 <= sum(map(str.isdigit, text)) <= 15:
            made.append(text)
    return made


def parsed(number: str, region: str | None = None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None


def is_national(candidate: str) -> bool:
    """By the library itself."""
    groups = re.findall("[0-9]+", candidate)
    for region in plans.REGIONS:
        number = parsed(candidate, region)
        if number is None or not phonenumbers.is_valid_number_for_region(number, region):
            continue
        written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
        american = region == "US" and [len(group) for group in groups] in ([3, 3, 4], [1, 3, 3, 4])
        if american or groups == re.findall("[0-9]+", written):
            return True
    return False


@pytest.mark.parametrize("seed", range(4))
def test_a_number_is_written_as_its_region_does_if_the_library_says_so(seed: int) -> None:
    candidates = [
        each
        for each in numbers(example_numbers(list(plans.REGIONS)), random.Random(seed), 1500)
        if "+" not in each or "(+" in each
    ]
    said = {each: plans.is_national(each) for each in candidates}
    assert said == {each: is_national(each) for each in candidates}
    assert 50 < sum(said.values()) < len(said) - 50


@pytest.mark.parametrize("seed", range(4))
def test_a_number_with_the_code_of_its_country_is_one_if_the_library_says_so(seed: int) -> None:
    examples = example_numbers(sorted(phonenumbers.SUPPORTED_REGIONS))
    candidates = ["+" + each for each in numbers(examples, random.Random(seed), 3000) if "+" not in each]
    said = {each: (plans.is_possible(each), plans.is_valid(each)) for each in candidates}
    library = {each: parsed(each) for each in candidates}
    assert said == {
        each: (
            number is not None and phonenumbers.is_possible_number(number),
            number is not None and phonenumbers.is_valid_number(number),
        )
        for each, number in library.items()
    }
    assert 100 < sum(valid for _, valid in said.values()) < len(said) - 100


RECOGNIZERS = (
    "AbaRoutingRecognizer", "AuAbnRecognizer", "CreditCardRecognizer", "InAadhaarRecognizer", "InPanRecognizer",
    "ItFiscalCodeRecognizer", "ItIdentityCardRecognizer",
    "ItPassportRecognizer", "UsItinRecognizer", "UsPassportRecognizer", "UsSsnRecognizer",
)  # fmt: skip


@pytest.mark.parametrize("name", RECOGNIZERS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_recogniser_that_is_asked_without_its_explanations_sees_the_same(name: str, data: st.DataObject) -> None:
    recognizer = getattr(predefined_recognizers, name)()
    pattern = data.draw(st.sampled_from(recognizer.patterns))
    value = data.draw(
        st.from_regex(re.compile(pattern.regex, re.IGNORECASE | re.ASCII), fullmatch=data.draw(st.booleans()))
    )
    assume(value.isascii())
    text = data.draw(st.sampled_from([value, value.upper(), f"{value} {value}", f"x {value}"]))
    seen = {
        (result.start, result.end): result.score
        for result in recognizer.analyze(text, recognizer.supported_entities, None)
    }
    quick = list(Recognizer(recognizer).results(text))
    assert seen.keys() <= {(start, end) for start, end, _ in quick}  # presidio leaves out what stands in another one
    assert all(
        any(low <= start and end <= high and score <= seen[low, high] for low, high in seen)
        for start, end, score in quick
    )


@given(st.text(alphabet=st.characters(max_codepoint=0x24F), max_size=20))
def test_a_text_is_folded_as_each_of_its_characters_is(text: str) -> None:
    assert fold(text) == "".join(fold(char + "é")[0] for char in text)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 200)), max_size=20), st.integers(0, 300), st.integers(0, 100)
)
def test_the_findings_near_a_place_are_those_that_stand_there(
    spans: list[tuple[int, int]], low: int, size: int
) -> None:
    findings = [Finding(start, start + length, "X") for start, length in spans]
    near = [each for each in findings if each.start < low + size and each.end > low]
    assert seams._Near(findings).between(low, low + size) == near
