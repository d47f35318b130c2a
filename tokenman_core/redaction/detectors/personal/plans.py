"""Whether a number is one, or is written as its region writes them, by the tables of `phonenumbers` but without its parser.

That one takes 40 µs a region, or seconds for a megabyte of numbers. Here the library's rules are followed step by step for what
consists of digits and separators only, and tests hold both to the same answers.
"""

import functools
import re
from collections.abc import Sequence
from typing import Any, Final

import phonenumbers
from phonenumbers import PhoneMetadata

REGIONS: Final = ("US", "GB", "DE", "FR", "IN", "ES", "IT", "BR", "AU", "JP", "CN", "NL", "CH", "IL")
"""Where a number without a country code may be from. The first that fits decides."""

_TYPES: Final = (
    "premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail", "fixed_line", "mobile",
)  # fmt: skip
_GROUPS: Final = re.compile(r"[0-9]+")
_FIRST_GROUP: Final = re.compile(r"\\\d")
_SHORTEST, _LONGEST = 2, 17  # digits of a national number, as the library has it
_WITH_CODE: Final = [1, 3, 3, 4]
_AMERICAN_GROUPS: Final = ([3, 3, 4], _WITH_CODE)


class _Format:
    """How numbers that begin so, and are so long, are written in groups."""

    def __init__(self, row: Any) -> None:
        self._begins = re.compile(row.leading_digits_pattern[-1]) if row.leading_digits_pattern else None
        self._pattern = re.compile(row.pattern)
        rule = row.national_prefix_formatting_rule
        self._template = _FIRST_GROUP.sub(lambda _: rule, row.format, count=1) if rule else row.format

    @property
    def size(self) -> int:
        """How many groups it has."""
        return len(_GROUPS.findall(self._template.replace("\\", "")))

    def groups(self, number: str) -> list[str] | None:
        """None if this is not the format of the number."""
        if self._begins is not None and self._begins.match(number) is None:
            return None
        match = self._pattern.fullmatch(number)
        return _GROUPS.findall(match.expand(self._template)) if match is not None else None


class _Plan:
    """The numbers of a region. `data`: the library's row of it."""

    def __init__(self, data: Any) -> None:
        general = data.general_desc
        self.begins = re.compile(data.leading_digits) if data.leading_digits else None
        self._american = data.id == "US"
        self._code = str(data.country_code)
        self._abroad = re.compile(data.international_prefix or r"(?!)")
        self._prefix = re.compile(data.national_prefix_for_parsing) if data.national_prefix_for_parsing else None
        self._transform = data.national_prefix_transform_rule
        self._general = re.compile(general.national_number_pattern)
        self._lengths = frozenset(general.possible_length)
        self._local = frozenset(general.possible_length_local_only)
        self._data = data
        self._inside = data.national_prefix or ""
        self._may_be = re.compile(f"(?:{self._inside})?(?:{general.national_number_pattern})")

    @functools.cached_property
    def _types(self) -> list[tuple[frozenset[int], re.Pattern[str]]]:
        """How long the numbers of each kind are, and what they are like."""
        return [
            (frozenset(each.possible_length), re.compile(each.national_number_pattern))
            for each in (getattr(self._data, kind) for kind in _TYPES)
            if each is not None and each.national_number_pattern
        ]

    @functools.cached_property
    def _formats(self) -> list[_Format]:
        return [_Format(row) for row in self._data.number_format]

    @functools.cached_property
    def _sizes(self) -> set[int]:
        """In how many groups its numbers are written."""
        return {1, *(each.size for each in self._formats), *(map(len, _AMERICAN_GROUPS) if self._american else ())}

    def has(self, digits: int, groups: int) -> bool:
        """Whether a number of so many digits in so many groups may be national."""
        return groups in self._sizes and (digits in self._lengths or digits - len(self._inside) in self._lengths)

    def _without_prefix(self, digits: str) -> str:
        """Without the prefix of calls within the region, unless only the number with it can be one."""
        match = self._prefix.match(digits) if self._prefix is not None and digits else None
        if match is None:
            return digits
        rest = digits[match.end() :]
        if self._transform and match[match.re.groups] is not None:
            rest = match.expand(self._transform) + rest
        if self._general.fullmatch(digits) is not None and self._general.fullmatch(rest) is None:
            return digits
        return rest

    def significant(self, digits: str) -> str:
        """A number as it is dialled from within the region, without the prefix, unless that leaves too little."""
        rest = self._without_prefix(digits)
        size = len(rest)
        return rest if size not in self._local and (size in self._lengths or size > max(self._lengths)) else digits

    def _national(self, digits: str) -> str | None:
        """The same of a number that may begin with the code of its country; None then, for nobody writes such a number in the
        groups of its national form (but in North America)."""
        abroad = self._abroad.match(digits)
        if abroad is not None and digits[abroad.end() : abroad.end() + 1] != "0":
            return None
        if digits.startswith(self._code):
            rest = self._without_prefix(digits[len(self._code) :])
            fits = self._general.fullmatch(digits) is None and self._general.fullmatch(rest) is not None
            if fits or (len(digits) > max(self._lengths) and len(digits) not in self._local):
                if not self._american:
                    return None
                digits = rest
        return self.significant(digits)

    def is_possible(self, number: str) -> bool:
        """By its length."""
        return len(number) in self._lengths or len(number) in self._local

    def is_valid(self, number: str) -> bool:
        """Whether numbers of some kind are like that."""
        if len(number) not in self._lengths or self._general.fullmatch(number) is None:
            return False
        for lengths, pattern in self._types:
            if (not lengths or len(number) in lengths) and pattern.fullmatch(number) is not None:
                return True
        return False

    def writes(self, groups: list[str], digits: str) -> bool:
        """Whether these groups of digits are a valid number in its national form; `digits`: all of them."""
        if self._may_be.fullmatch(digits) is None:  # as most of them end
            return False
        number = self._national(digits)
        if number is None or not _SHORTEST <= len(number) <= _LONGEST:
            return False
        if not (self._american and list(map(len, groups)) in _AMERICAN_GROUPS):
            written = next((its for each in self._formats if (its := each.groups(number)) is not None), [number])
            if groups != written:
                return False
        return self.is_valid(number)


@functools.cache
def _plan(code: int, region: str) -> _Plan:
    return _Plan(PhoneMetadata.metadata_for_region_or_calling_code(code, region))


@functools.cache
def _plans(digits: int, groups: int) -> tuple[_Plan, ...]:
    """Of the regions those that have numbers of so many digits, with the prefix or without, in so many groups."""
    plans = (_plan(phonenumbers.country_code_for_region(region), region) for region in REGIONS)
    return tuple(plan for plan in plans if plan.has(digits, groups))


def is_national(candidate: str) -> bool:
    """Whether a chain of digits and separators is written the way some region writes its valid numbers: in the same groups."""
    groups = _GROUPS.findall(candidate)
    digits = "".join(groups)
    if "+" in candidate:  # `(+1) 415 555 2671`: others do not write the code of the country in their national form
        america = _plan(1, "US")
        return (
            list(map(len, groups)) == _WITH_CODE
            and digits[0] == "1"
            and america.is_valid(america.significant(digits[1:]))
        )
    return any(plan.writes(groups, digits) for plan in _plans(len(digits), len(groups)))


def _abroad(candidate: str) -> tuple[int, Sequence[str], str] | None:
    """The code that a number begins with, the regions that have it, and the number behind it; None if no country has it."""
    digits = "".join(_GROUPS.findall(candidate))
    for size in (1, 2, 3):
        code = int(digits[:size] or 0)
        if (regions := phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code)) is not None and digits[0] != "0":
            rest = digits[size:]
            number = _plan(code, regions[0]).significant(rest)
            return (code, regions, number) if len(rest) >= _SHORTEST and _SHORTEST <= len(number) <= _LONGEST else None
    return None


def is_possible(candidate: str) -> bool:
    """Whether digits and separators behind a `+` are as long as the numbers of their country."""
    found = _abroad(candidate)
    if found is None:
        return False
    code, regions, number = found
    return _plan(code, regions[0]).is_possible(number)


def is_valid(candidate: str) -> bool:
    """Whether digits and separators behind a `+` are like some numbers of their country."""
    found = _abroad(candidate)
    if found is None:
        return False
    code, regions, number = found
    for region in regions:  # some share a code
        plan = _plan(code, region)
        if len(regions) > 1 and plan.begins is not None:
            if plan.begins.match(number) is not None:
                return plan.is_valid(number)
        elif plan.is_valid(number):
            return True
    return False
