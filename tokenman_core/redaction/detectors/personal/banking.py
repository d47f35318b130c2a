"""International bank account numbers: the country's form, and the check of ISO 13616 over all of it. No word need stand near.

Where a number ends its country says, not what follows: the next word may be as long as one of its groups.
"""

import re
from collections.abc import Iterator
from typing import Final

from tokenman_core.redaction.entities import Finding

# Behind the country and its check digits: `n` digits, `a` capital letters, `c` either; as the registry of SWIFT has it, and of
# countries that are not in it what their banks use.
_FORMS: Final = (
    "AD8n12c AE19n AL8n16c AO21n AT16n AZ4a20c BA16n BE12n BF2c22n BG4a6n8c BH4a14c BI23n BJ2c22n BR23n1a1c BY4c4n16c "
    "CF23n CG23n CH5n12c CI2c22n CM23n CR18n CV21n CY8n16c CZ20n DE18n DJ23n DK14n DO4c20n DZ22n EE16n EG25n ES20n FI14n "
    "FK2a12n FO14n FR10n11c2n GA23n GB4a14n GE2a16n GI4a15c GL14n GQ23n GR7n16c GT24c GW2c19n HN4a20n HR17n HU24n IE4a14n "
    "IL19n IQ4a15n IR22n IS22n IT1a10n12c JO4a4n18c KM23n KW4a22c KZ3n13c LB4n20c LC4a24c LI5n12c LT16n LU3n13c LV4a13c "
    "LY21n MA24n MC10n11c2n MD20c ME18n MG23n MK3n10c2n ML2c22n MN16n MR23n MT4a5n18c MU4a19n3a MZ21n NE2a22n NI4a20n "
    "NL4a10n NO11n OM3n16c PK4a16c PL24n PS4a21c PT21n QA4a21c RO4a16c RS18n RU14n15c SA2n18c SC4a20n3a SD14n SE20n SI15n "
    "SK20n SM1a10n12c SN2a22n SO19n ST21n SV4a20n TD23n TG2a22n TL19n TN20n TR6n16c UA6n19c VA18n VG4a16n XK16n YE4a4n18c"
)
_PART: Final = re.compile(r"([0-9]+)([nac])")
_LETTERS: Final = {"n": "[0-9]", "a": "[A-Z]", "c": "[0-9A-Z]"}
_HEAD: Final = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=[Ii][Bb][Aa][Nn]))(?P<country>[A-Za-z]{2})[0-9]{2}(?=[ -]?[A-Za-z0-9]{4}[ -]?[A-Za-z0-9]{4})"
)
_SEPARATOR: Final = re.compile(r"[ -]")


def _read() -> dict[str, re.Pattern[str]]:
    """By country, the whole number in capitals; a blank or a hyphen may stand before any character behind the check digits."""
    forms: dict[str, re.Pattern[str]] = {}
    for form in _FORMS.split(" "):
        parts = "".join(f"(?:[ -]?{_LETTERS[kind]}){{{count}}}" for count, kind in _PART.findall(form[2:]))
        forms[form[:2]] = re.compile(f"{form[:2]}[0-9]{{2}}{parts}(?![A-Z0-9])", re.IGNORECASE)
    return forms


COUNTRIES: Final = _read()


def is_checked(number: str) -> bool:
    """Whether the check digits of a number without separators are those of its other characters."""
    return int("".join(str(int(char, 36)) for char in number[4:] + number[:4])) % 97 == 1


class Ibans:
    def find(self, plain: str) -> Iterator[Finding]:
        for head in _HEAD.finditer(plain):
            form = COUNTRIES.get(head["country"].upper())
            match = form.match(plain, head.start()) if form is not None else None
            if match is not None and is_checked(_SEPARATOR.sub("", match[0])):
                yield Finding(*match.span(), "IBAN_CODE")
