"""Whether a number of a known form is one that was given out: check digits and dates, ours and those of two libraries.

Each check gets the value as it is written and answers yes or no. Weights and alphabets are from the issuing bodies'
descriptions. presidio and python-stdnum are imported by `resolve` only: call it in a worker.
"""

import datetime
import importlib
import re
from collections.abc import Callable, Iterable
from typing import Final

from tokenman_core.redaction.detectors import presidio
from tokenman_core.redaction.detectors.personal.text import Recognizer

Check = Callable[[str], bool]

_NOT_DIGIT = re.compile(r"[^0-9]")
_NOT_WORD = re.compile(r"[^0-9A-Za-z]")


def digits(value: str) -> str:
    return _NOT_DIGIT.sub("", value)


def compact(value: str) -> str:
    """The letters and digits of a value, in capitals."""
    return _NOT_WORD.sub("", value).upper()


def luhn(number: str) -> bool:
    """The check digit of ISO/IEC 7812-1, over digits only."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        double = int(digit) * (1 + place % 2)
        total += double - 9 if double > 9 else double
    return total % 10 == 0


def is_date(year: int, month: int, day: int) -> bool:
    try:
        datetime.date(year, month, day)
    except ValueError:
        return False
    return True


def _day_month(number: str) -> bool:
    """DDMM at the beginning of digits."""
    return is_date(2000, int(number[2:4]), int(number[:2]))


def _weighed(number: str, weights: Iterable[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=False))


def _sum_of_digits(number: str, weights: Iterable[int]) -> int:
    return sum(sum(divmod(int(digit) * weight, 10)) for digit, weight in zip(number, weights, strict=False))


def _letter(char: str) -> str:
    """A letter as its place in the alphabet, two digits."""
    return f"{ord(char) - 64:02d}"


def _icao(value: str) -> int:
    """ICAO 9303's check digit."""
    return _weighed_any(value, (7, 3, 1) * 12) % 10


def _weighed_any(value: str, weights: Iterable[int]) -> int:
    return sum(int(char, 36) * weight for char, weight in zip(value, weights, strict=False))


def _bank(value: str) -> bool:
    number = digits(value)
    return 8 <= len(number) <= 17 and len(set(number)) > 2


def _npi(value: str) -> bool:
    return luhn("80840" + digits(value))


def _dea(value: str) -> bool:
    number = value[2:]
    return (_weighed(number, (1, 2, 1, 2, 1, 2))) % 10 == int(number[6])


def _uruguay(value: str) -> bool:
    number = digits(value).zfill(8)
    return -_weighed(number, (2, 9, 8, 7, 6, 3, 4)) % 10 == int(number[7])


def _nino(value: str) -> bool:
    return compact(value)[:2] not in {"BG", "GB", "NK", "KN", "NT", "TN", "ZZ"}


def _driver_uk(value: str) -> bool:
    number = compact(value)
    if len(number) != 16 or not (number[:5].rstrip("9").isalpha() and number[5:11].isdigit()):
        return False
    return 1 <= int(number[6:8]) % 50 <= 12 and 1 <= int(number[8:10]) <= 31


def _pension_de(value: str) -> bool:
    number = compact(value)
    number = number[:8] + _letter(number[8]) + number[9:]
    return _sum_of_digits(number, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)) % 10 == int(number[12])


def _document_de(value: str) -> bool:
    number = compact(value)
    if sum(map(str.isdigit, number)) < 3:
        return False
    return len(number) == 9 or _icao(number[:9]) == int(number[9], 36)


def _health_de(value: str) -> bool:
    number = compact(value)
    return _sum_of_digits(_letter(number[0]) + number[1:9], (1, 2) * 5) % 10 == int(number[9])


def _sweden(value: str) -> bool:
    number = digits(value)[-10:]
    day = int(number[4:6])
    return is_date(2000, int(number[2:4]), day - 60 if day > 60 else day) and luhn(number)


def _latvia(value: str) -> bool:
    number = digits(value)
    return 32 <= int(number[:2]) <= 39 or _day_month(number)


def _finland(value: str) -> bool:
    number = value.upper()
    return _day_month(number) and "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(number[:6] + number[7:10]) % 31] == number[10]


def _snils(value: str) -> bool:
    number = digits(value)
    return _weighed(number[:9], range(9, 0, -1)) % 101 % 100 == int(number[9:])


def _china(value: str) -> bool:
    number = value.upper()
    if not is_date(int(number[6:10]), int(number[10:12]), int(number[12:14])):
        return False
    return (
        "10X98765432"[_weighed(number[:17], (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)) % 11] == number[17]
    )


def _hong_kong(value: str) -> bool:
    number = compact(value)
    prefix = 36 * 9 if len(number) == 8 else 0
    total = prefix + _weighed_any(number[:-1], range(len(number), 1, -1)) + int(number[-1], 16)
    return total % 11 == 0


_TAIWAN: Final = "ABCDEFGHJKLMNPQRSTUVXYWZIO"


def _taiwan(value: str) -> bool:
    number = compact(value)
    region = _TAIWAN.index(number[0]) + 10
    return (region // 10 + region % 10 * 9 + _weighed(number[1:9], range(8, 0, -1)) + int(number[9])) % 10 == 0


def _korea(value: str) -> bool:
    number = digits(value)
    century = 1900 if number[6] in "12" else 2000
    year = century + int(number[:2])
    if not is_date(year, int(number[2:4]), int(number[4:6])):
        return False
    if year >= 2020:  # no check digit since October 2020
        return True
    return (11 - _weighed(number, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10 == int(number[12])


_SINGAPORE: Final = {
    "S": (0, "JZIHGFEDCBA"),
    "T": (4, "JZIHGFEDCBA"),
    "F": (0, "XWUTRQPNMLK"),
    "G": (4, "XWUTRQPNMLK"),
    "M": (3, "XWUTRQPNJLK"),
}


def _singapore(value: str) -> bool:
    number = value.upper()
    offset, letters = _SINGAPORE[number[0]]
    return letters[(offset + _weighed(number[1:8], (2, 7, 6, 5, 4, 3, 2))) % 11] == number[8]


def _medicare_au(value: str) -> bool:
    number = digits(value)
    return _weighed(number, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(number[8])


OWN: Final[dict[str, Check]] = {
    "bank": _bank,
    "capitals": lambda value: value == value.upper(),
    "china": _china,
    "day_first": lambda value: _day_month(digits(value)),
    "dea": _dea,
    "digits4": lambda value: value == value.upper() and len(digits(value)) >= 4,
    "document_de": _document_de,
    "driver_uk": _driver_uk,
    "finland": _finland,
    "health_de": _health_de,
    "hong_kong": _hong_kong,
    "korea": _korea,
    "latvia": _latvia,
    "luhn": lambda value: luhn(digits(value)),
    "medicare_au": _medicare_au,
    "nino": _nino,
    "npi": _npi,
    "pension_de": _pension_de,
    "singapore": _singapore,
    "snils": _snils,
    "sweden": _sweden,
    "taiwan": _taiwan,
    "uruguay": _uruguay,
}


def _by_recognizer(recognizer: Recognizer) -> Check:
    """What one of presidio's recognisers says of a value that stands alone."""

    def check(value: str) -> bool:
        return any(end - start == len(value) and score > 0 for start, end, score in recognizer.results(value.upper()))

    return check


def _by_number(name: str) -> Check:
    is_valid: Check = importlib.import_module(f"stdnum.{name}").is_valid
    return is_valid


def resolve(names: tuple[str, ...]) -> Check:
    """The check that a row of the table names: one of presidio's if this version has it, else any of the others.

    Raises LookupError if there is none of them.
    """
    if not names:
        return lambda value: True
    checks: list[Check] = []
    for name in names:
        source, _, which = name.partition(":")
        if source == "own":
            checks.append(OWN[which])
        elif source == "stdnum":
            checks.append(_by_number(which))
        else:
            recognizer = presidio.recognizer(which)
            if recognizer is not None:
                return _by_recognizer(Recognizer(recognizer()))
    if not checks:
        raise LookupError(names)
    return lambda value: any(check(value) for check in checks)
