"""Values of personal data, drawn at random in the forms that their standards and authorities publish.

A `Kind` says what a value is called in prose, in several languages, and how to draw one. `bare`: whether its form alone tells
what it is, so that it must be found without a word of context too. Sources stand beside each.
"""

import datetime
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.corpora.digits import (
    base58check,
    bech32,
    draw,
    eip55,
    iso7064_11_10,
    luhn,
    mod97_iban,
    verhoeff,
    weighted,
)

UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
Draw = Callable[[Random], str]


@dataclass(frozen=True)
class Kind:
    """`labels`: by language, the words for it; `bare`: needs none. `group`: under which aim of the accuracy it counts."""

    entity: str
    draw: Draw
    labels: dict[str, tuple[str, ...]]
    group: str
    bare: bool = False
    name: str = ""
    also: tuple[str, ...] = field(default=())


def birthday(rng: Random, first: int = 1940, last: int = 2005) -> datetime.date:
    return datetime.date(first, 1, 1) + datetime.timedelta(days=rng.randrange(365 * (last - first)))


# -- e-mail: RFC 5321, 5322; domains reserved by RFC 2606 among others --

FIRST = [
    "anna",
    "ben",
    "carla",
    "david",
    "elif",
    "farid",
    "grace",
    "hugo",
    "ines",
    "jonas",
    "kenji",
    "lucia",
    "marek",
    "nadia",
    "olga",
    "pedro",
    "quinn",
    "rosa",
    "sami",
    "tara",
]
LAST = [
    "archer",
    "bauer",
    "conti",
    "dubois",
    "eriksen",
    "fischer",
    "garcia",
    "hansen",
    "ivanova",
    "jensen",
    "kowalski",
    "lopez",
    "moreau",
    "novak",
    "okafor",
    "petit",
]
_HOSTS = [
    "example-mail",
    "fastpost",
    "northwind",
    "bluepeak",
    "kite-labs",
    "uni-hafen",
    "meadowbank",
    "orchard-it",
    "studio-neun",
    "lakeview",
]
_ENDINGS = [
    "com",
    "org",
    "net",
    "de",
    "fr",
    "co.uk",
    "io",
    "eu",
    "com.br",
    "co.jp",
    "es",
    "it",
    "nl",
    "ch",
    "se",
    "pl",
    "edu",
    "gov.uk",
    "info",
    "dev",
    "app",
    "com.au",
    "ca",
]


def email(rng: Random) -> str:
    first, last = rng.choice(FIRST), rng.choice(LAST)
    local = rng.choice(
        [f"{first}.{last}", f"{first[0]}{last}", f"{first}_{last}{rng.randrange(100)}", f"{first}+{last}", first,
         f"{last}.{first}-{rng.randrange(10, 99)}", f"{first.title()}.{last.title()}", f"{first}{rng.randrange(1960, 2010)}"]
    )  # fmt: skip
    host = rng.choice(_HOSTS)
    if rng.random() < 0.2:
        host = rng.choice(["mail", "eu", "dept7", "lists"]) + "." + host
    return f"{local}@{host}.{rng.choice(_ENDINGS)}"


# -- telephone: ITU-T E.164; national forms as the numbering plans and their authorities write them --

_INTERNATIONAL: tuple[tuple[str, str], ...] = (
    ("1", "2{d}{d} {n}{d}{d} {d}{d}{d}{d}"), ("1", "(41{d}) {n}{d}{d}-{d}{d}{d}{d}"), ("1", "6{d}{d}-{n}{d}{d}-{d}{d}{d}{d}"),
    ("44", "20 7946 0{d}{d}{d}"), ("44", "7700 900{d}{d}{d}"), ("44", "7{n}{d}{d} {d}{d}{d}{d}{d}{d}"), ("49", "30 23125 {d}{d}{d}"),
    ("49", "171 39200{d}{d}"), ("49", "89 {n}{d}{d}{d} {d}{d}{d}{d}"), ("33", "6 {d}{d} {d}{d} {d}{d} {d}{d}"), ("33", "1 4{d} {d}{d} {d}{d} {d}{d}"),
    ("34", "6{d}{d} {d}{d}{d} {d}{d}{d}"), ("39", "3{n}{d} {d}{d}{d} {d}{d}{d}{d}"), ("31", "6 {n}{d}{d}{d}{d}{d}{d}{d}"),
    ("41", "79 {n}{d}{d} {d}{d} {d}{d}"), ("43", "664 {n}{d}{d}{d}{d}{d}{d}"), ("46", "70 {n}{d}{d} {d}{d} {d}{d}"), ("47", "9{n}{d} {d}{d} {d}{d}{d}"),
    ("45", "{n}{d} {d}{d} {d}{d} {d}{d}"), ("48", "60{d} {d}{d}{d} {d}{d}{d}"), ("351", "91{d} {d}{d}{d} {d}{d}{d}"), ("353", "87 {n}{d}{d} {d}{d}{d}{d}"),
    ("91", "98{d}{d}{d} {d}{d}{d}{d}{d}"), ("81", "90 {n}{d}{d}{d} {d}{d}{d}{d}"), ("86", "138 {d}{d}{d}{d} {d}{d}{d}{d}"), ("82", "10 {n}{d}{d}{d} {d}{d}{d}{d}"),
    ("55", "11 9{n}{d}{d}{d} {d}{d}{d}{d}"), ("52", "55 {n}{d}{d}{d} {d}{d}{d}{d}"), ("61", "4{n}{d} {d}{d}{d} {d}{d}{d}"), ("64", "21 {n}{d}{d} {d}{d}{d}{d}"),
    ("27", "82 {n}{d}{d} {d}{d}{d}{d}"), ("972", "50-{n}{d}{d}-{d}{d}{d}{d}"), ("90", "532 {n}{d}{d} {d}{d} {d}{d}"), ("7", "916 {n}{d}{d}-{d}{d}-{d}{d}"),
    ("380", "50 {n}{d}{d} {d}{d} {d}{d}"), ("234", "803 {n}{d}{d} {d}{d}{d}{d}"), ("65", "9{d}{d}{d} {d}{d}{d}{d}"), ("66", "81 {n}{d}{d} {d}{d}{d}{d}"),
)  # fmt: skip


def _fill(rng: Random, form: str) -> str:
    while "{" in form:
        at = form.index("{")
        form = form[:at] + (draw(rng, 1) if form[at + 1] == "d" else draw(rng, 1, "23456789")) + form[at + 3 :]
    return form


def phone_international(rng: Random) -> str:
    code, form = rng.choice(_INTERNATIONAL)
    number = _fill(rng, form)
    style = rng.randrange(5)
    if style == 0:
        return f"+{code}" + "".join(char for char in number if char.isdigit())
    if style == 1 and "(" not in number:
        return f"+{code}-" + number.replace(" ", "-")
    if style == 2 and code != "1" and "(" not in number:
        return f"+{code} (0){number}" if code in ("44", "49", "41", "43", "31") else f"+{code} {number}"
    return f"+{code} {number}"


_AMERICAN = (
    "(2{d}{n}) {n}{d}{n}-{d}{d}{d}{d}", "41{n}-{n}{d}{n}-{d}{d}{d}{d}", "(646) 555-01{d}{d}", "303.{n}{d}{n}.{d}{d}{d}{d}", "1-80{d}-{n}{d}{n}-{d}{d}{d}{d}",
    "51{n} {n}{d}{n} {d}{d}{d}{d}",
)  # fmt: skip
_NATIONAL = {
    "en": (*_AMERICAN, "020 7946 0{d}{d}{d}", "07700 900{d}{d}{d}", "0161 496 0{d}{d}{d}", "(02) 5550 {d}{d}{d}{d}", "0491 57{d} {d}{d}{d}", "415{n}{d}{n}{d}{d}{d}{d}"),
    "de": ("030 23125 {d}{d}{d}", "0171 39200{d}{d}", "089/{n}{d}{d}{d}{d}{d}{d}", "0151-{n}{d}{d}{d}{d}{d}{d}{d}", "(040) 66969 {d}{d}{d}", "079 {n}{d}{d} {d}{d} {d}{d}"),
    "fr": ("01 99 00 {d}{d} {d}{d}", "06 39 98 {d}{d} {d}{d}", "06.{d}{d}.{d}{d}.{d}{d}.{d}{d}", "04{d}{d}{d}{d}{d}{d}{d}{d}"),
    "es": ("6{d}{d} {d}{d}{d} {d}{d}{d}", "91 {n}{d}{d} {d}{d} {d}{d}", "93{n}{d}{d}{d}{d}{d}{d}"),
    "it": ("3{n}{d} {d}{d}{d} {d}{d}{d}{d}", "06 {n}{d}{d}{d} {d}{d}{d}{d}", "02 {n}{d}{d}{d}{d}{d}{d}{d}"),
    "pt": ("(11) 9{n}{d}{d}{d}-{d}{d}{d}{d}", "(21) {n}{d}{d}{d}-{d}{d}{d}{d}", "91{d} {d}{d}{d} {d}{d}{d}"),
    "nl": ("06-{n}{d}{d}{d}{d}{d}{d}{d}", "020 {n}{d}{d} {d}{d}{d}{d}"),
    "pl": ("60{d} {d}{d}{d} {d}{d}{d}", "22 {n}{d}{d} {d}{d} {d}{d}"),
    "ja": ("090-{n}{d}{d}{d}-{d}{d}{d}{d}", "03-{n}{d}{d}{d}-{d}{d}{d}{d}"),
    "zh": ("138{d}{d}{d}{d}{d}{d}{d}{d}", "159-{d}{d}{d}{d}-{d}{d}{d}{d}", "010-{n}{d}{d}{d}{d}{d}{d}{d}"),
    "ko": ("010-{n}{d}{d}{d}-{d}{d}{d}{d}", "02-{n}{d}{d}-{d}{d}{d}{d}"),
    "ru": ("8 (916) {n}{d}{d}-{d}{d}-{d}{d}", "8 495 {n}{d}{d} {d}{d} {d}{d}"),
}  # fmt: skip


def phone_american(rng: Random) -> str:
    return _fill(rng, rng.choice(_AMERICAN[:5]))


def phone_national(language: str) -> Draw:
    return lambda rng: _fill(rng, rng.choice(_NATIONAL[language]))


# -- cards: ISO/IEC 7812; prefixes and lengths as the networks publish them --

_ISSUERS = (
    ("4", 16), ("4", 16), ("4", 16), ("51", 16), ("52", 16), ("53", 16), ("54", 16), ("55", 16), ("2221", 16), ("2720", 16), ("34", 15), ("37", 15),
    ("6011", 16), ("65", 16), ("3528", 16), ("3589", 16), ("36", 14), ("305", 14), ("62", 16), ("4", 13),
)  # fmt: skip


def card_digits(rng: Random) -> str:
    prefix, length = rng.choice(_ISSUERS)
    body = prefix + draw(rng, length - 1 - len(prefix))
    return body + luhn(body)


def card(rng: Random) -> str:
    digits = card_digits(rng)
    separator = rng.choice(["", "", " ", " ", "-"])
    if not separator or len(digits) == 13:
        return digits
    groups = {16: (4, 4, 4, 4), 15: (4, 6, 5), 14: (4, 6, 4)}[len(digits)]
    parts, at = [], 0
    for size in groups:
        parts.append(digits[at : at + size])
        at += size
    return separator.join(parts)


# -- IBAN: ISO 13616, structures of SWIFT's registry (n digits, a letters, c either), with the check digits that some have inside --

_IBANS = {
    "DE": "n18", "GB": "a4n14", "FR": "n10c11n2", "ES": "n20", "IT": "a1n10c12", "NL": "a4n10", "CH": "n5c12", "AT": "n16", "BE": "n12", "PL": "n24",
    "SE": "n20", "NO": "n11", "DK": "n14", "FI": "n14", "PT": "n21", "IE": "a4n14", "CZ": "n20", "LU": "n3c13", "GR": "n7c16", "TR": "n5c17",
    "SA": "n2c18", "AE": "n19", "IL": "n19", "HU": "n24", "RO": "a4c16", "HR": "n17", "SK": "n20", "LT": "n16", "EE": "n16",
}  # fmt: skip


def _bban(rng: Random, form: str) -> str:
    out, at = "", 0
    while at < len(form):
        end = at + 1
        while end < len(form) and form[end].isdigit():
            end += 1
        count = int(form[at + 1 : end])
        out += draw(rng, count, {"n": "0123456789", "a": UPPER, "c": "0123456789" + UPPER}[form[at]])
        at = end
    return out


def _inner_checks(country: str, bban: str) -> str:
    if country == "BE":  # the last two digits: modulo 97
        bban = ("001", "068", "363", "734")[int(bban[0]) % 4] + bban[3:]  # banks that there are
        return bban[:10] + f"{int(bban[:10]) % 97 or 97:02d}"
    if country == "ES":  # digits 9 and 10 check the bank and the account
        checks = ""
        for part in ("00" + bban[:8], bban[10:]):
            check = 11 - weighted(part, (1, 2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11
            checks += {10: "1", 11: "0"}.get(check, str(check))
        return bban[:8] + checks + bban[10:]
    if country == "NO":  # the last digit: modulo 11; numbers for which it would be 10 are not given out
        while (check := -weighted(bban[:10], (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11) == 10:
            bban = f"{(int(bban) + 10) % 10**11:011d}"
        return bban[:10] + str(check)
    return bban[:5] + "0" + bban[6:] if country == "TR" else bban  # a digit is reserved


def iban(rng: Random) -> str:
    country = rng.choice(sorted(_IBANS))
    bban = _inner_checks(country, _bban(rng, _IBANS[country]))
    number = country + mod97_iban(country, bban) + bban
    if rng.random() < 0.5:
        return number
    return " ".join(number[at : at + 4] for at in range(0, len(number), 4))


# -- United States: SSA (randomised since 2011: no 000, 666, 9xx; no group 00, no serial 0000), IRS (ITIN), ABA, CMS (NPI, MBI), State Department --


def ssn(rng: Random) -> str:
    area = rng.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03d}-{rng.randrange(1, 100):02d}-{rng.randrange(1, 10000):04d}"


def ssn_other(rng: Random) -> str:
    return ssn(rng).replace("-", rng.choice(["", " "]))


def itin(rng: Random) -> str:
    group = rng.choice([*range(50, 66), *range(70, 89), *range(90, 93), *range(94, 100)])
    return f"9{draw(rng, 2)}-{group}-{draw(rng, 4)}"


def aba(rng: Random) -> str:
    body = f"{rng.choice([*range(1, 13), *range(21, 33)]):02d}" + draw(rng, 6)
    return body + str(-weighted(body, (3, 7, 1, 3, 7, 1, 3, 7)) % 10)


def npi(rng: Random) -> str:
    body = rng.choice("12") + draw(rng, 8)
    return body + luhn("80840" + body)


def mbi(rng: Random) -> str:
    letters, digit = "ACDEFGHJKMNPQRTUVWXY", "0123456789"
    either = letters + digit
    return "".join(
        rng.choice(each)
        for each in ("123456789", letters, either, digit, letters, either, digit, letters, letters, digit, digit)
    )


def dea(rng: Random) -> str:
    body = draw(rng, 6)
    check = weighted(body, (1, 2, 1, 2, 1, 2)) % 10
    return rng.choice("ABFM") + rng.choice(UPPER) + body + str(check)


# -- United Kingdom: NHS Data Dictionary; HMRC's NIM39110 --


def nhs(rng: Random) -> str:
    while True:
        body = rng.choice("4679") + draw(rng, 8)
        check = 11 - weighted(body, range(10, 1, -1)) % 11
        if check != 10:
            number = body + str(check % 11)
            return number if rng.random() < 0.4 else f"{number[:3]} {number[3:6]} {number[6:]}"


def nino(rng: Random) -> str:
    while True:
        prefix = rng.choice("ABCEGHJKLMNOPRSTWXYZ") + rng.choice("ABCEGHJKLMNPRSTWXYZ")
        if prefix not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ"):
            break
    digits, suffix = draw(rng, 6), rng.choice("ABCD")
    return rng.choice([f"{prefix}{digits}{suffix}", f"{prefix} {digits[:2]} {digits[2:4]} {digits[4:]} {suffix}"])


# -- networks: RFC 791, 4291, 5952; IEEE 802 --


def ipv4(rng: Random) -> str:
    while True:
        address = ipaddress.IPv4Address(rng.getrandbits(32))
        if address.is_global and 20 < address.packed[0] < 224 and max(address.packed) > 30:
            return str(address)


def ipv4_private(rng: Random) -> str:
    return rng.choice(
        [f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}", f"192.168.{rng.randrange(256)}.{rng.randrange(1, 255)}",
         f"172.{rng.randrange(16, 32)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"]
    )  # fmt: skip


def ipv6(rng: Random) -> str:
    address = ipaddress.IPv6Address((0x2A << 120) | rng.getrandbits(116) | (rng.getrandbits(4) << 116))
    if rng.random() < 0.5:
        address = ipaddress.IPv6Address(int(address) & ~(((1 << 64) - 1) << 16))
    return address.exploded if rng.random() < 0.2 else str(address)


def mac(rng: Random) -> str:
    digits = draw(rng, 12, "0123456789abcdef")
    pairs = [digits[at : at + 2] for at in range(0, 12, 2)]
    style = rng.randrange(3)
    if style == 2:
        return f"{digits[:4]}.{digits[4:8]}.{digits[8:]}"
    text = (":" if style == 0 else "-").join(pairs)
    return text.upper() if rng.random() < 0.5 else text


# -- crypto currencies: Bitcoin's base58check, BIP 173 and 350; EIP-55 --


def bitcoin(rng: Random) -> str:
    style = rng.randrange(4)
    if style < 2:
        return base58check(bytes([(0, 5)[style]]) + rng.randbytes(20))
    return bech32("bc", 0, rng.randbytes(20)) if style == 2 else bech32("bc", 1, rng.randbytes(32))


def ethereum(rng: Random) -> str:
    address = draw(rng, 40, "0123456789abcdef")
    return "0x" + (address if rng.random() < 0.3 else eip55(address))


# -- national numbers, each by its authority's published rule --


def es_nif(rng: Random) -> str:
    number = draw(rng, 8)
    return number + rng.choice(["", "", "-"]) + "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def es_nie(rng: Random) -> str:
    letter, number = rng.choice("XYZ"), draw(rng, 7)
    return letter + number + "TRWAGMYFPDXBNJZSQVHLCKE"[int("XYZ".index(letter).__str__() + number) % 23]


_ODD = dict(zip("0123456789" + UPPER, (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23), strict=True))  # fmt: skip


def it_fiscal_code(rng: Random) -> str:
    def consonants() -> str:
        return draw(rng, 3, "BCDFGLMNPRSTVZ")

    day = birthday(rng)
    born = day.day + (40 if rng.random() < 0.5 else 0)
    body = f"{consonants()}{consonants()}{day.year % 100:02d}{'ABCDEHLMPRST'[day.month - 1]}{born:02d}{rng.choice('ABCDEFGHIL')}{rng.randrange(1, 900):03d}"
    total = sum(_ODD[c] if i % 2 == 0 else (int(c) if c.isdigit() else ord(c) - 65) for i, c in enumerate(body))
    return body + chr(65 + total % 26)


def pl_pesel(rng: Random) -> str:
    day = birthday(rng)
    month = day.month + (20 if day.year >= 2000 else 0)
    body = f"{day.year % 100:02d}{month:02d}{day.day:02d}" + draw(rng, 4)
    return body + str(-weighted(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10)


def fi_hetu(rng: Random) -> str:
    day = birthday(rng)
    number = f"{rng.randrange(2, 900):03d}"
    date = f"{day.day:02d}{day.month:02d}{day.year % 100:02d}"
    return (
        date + ("A" if day.year >= 2000 else "-") + number + "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(date + number) % 31]
    )


def se_personnummer(rng: Random) -> str:
    day = birthday(rng)
    body = f"{day:%y%m%d}" + draw(rng, 3)
    check = luhn(body)
    century = str(day.year // 100) if rng.random() < 0.5 else ""
    return f"{century}{body[:6]}-{body[6:]}{check}"


def no_fodselsnummer(rng: Random) -> str:
    while True:
        day = birthday(rng, 1940, 1999)
        body = f"{day:%d%m%y}{rng.randrange(0, 500):03d}"
        first = -weighted(body, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
        if first == 10:
            continue
        second = -weighted(body + str(first), (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
        if second != 10:
            return f"{body}{first}{second}"


def dk_cpr(rng: Random) -> str:
    day = birthday(rng, 1940, 1999)
    return f"{day:%d%m%y}-{rng.randrange(1, 4000):04d}"


def de_tax_id(rng: Random) -> str:
    while True:  # of its first ten digits one stands two or three times (Abgabenordnung § 139b)
        digits = rng.sample("0123456789", 9)
        place = rng.randrange(9)
        digits.insert(rng.randrange(10), digits[place])
        body = "".join(digits)
        if body[0] != "0" and not any(body[i] * 3 == body[i : i + 3] for i in range(8)):
            number = body + iso7064_11_10(body)
            return number if rng.random() < 0.5 else f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}"


def fr_nir(rng: Random) -> str:
    day = birthday(rng)
    place = rng.choice([*range(1, 20), *range(21, 96)])
    body = f"{rng.choice('12')}{day.year % 100:02d}{day.month:02d}{place:02d}{rng.randrange(1, 990):03d}{rng.randrange(1, 999):03d}"
    key = f"{97 - int(body) % 97:02d}"
    if rng.random() < 0.4:
        return body + key
    return f"{body[0]} {body[1:3]} {body[3:5]} {body[5:7]} {body[7:10]} {body[10:13]} {key}"


def nl_bsn(rng: Random) -> str:
    while True:
        body = draw(rng, 8)
        check = weighted(body, range(9, 1, -1)) % 11
        if check < 10 and body[0] != "0":
            return body + str(check)


def be_national(rng: Random) -> str:
    day = birthday(rng)
    body = f"{day:%y%m%d}{rng.randrange(1, 998):03d}"
    check = 97 - int(("2" if day.year >= 2000 else "") + body) % 97
    number = f"{body}{check:02d}"
    return number if rng.random() < 0.3 else f"{number[:2]}.{number[2:4]}.{number[4:6]}-{number[6:9]}.{number[9:]}"


def pt_nif(rng: Random) -> str:
    body = rng.choice("123") + draw(rng, 7)
    check = 11 - weighted(body, range(9, 1, -1)) % 11
    return body + str(check if check < 10 else 0)


def ch_ahv(rng: Random) -> str:
    body = "756" + draw(rng, 9)
    check = str(-weighted(body, (1, 3) * 6) % 10)
    number = body + check
    return f"{number[:3]}.{number[3:7]}.{number[7:11]}.{number[11:]}"


def at_svnr(rng: Random) -> str:
    while True:
        serial, day = f"{rng.randrange(100, 1000)}", birthday(rng)
        date = f"{day:%d%m%y}"
        check = weighted(serial + date, (3, 7, 9, 5, 8, 4, 2, 1, 6)) % 11
        if check < 10:
            return f"{serial}{check}" + rng.choice(["", " "]) + date


def cz_rodne_cislo(rng: Random) -> str:
    while True:
        day = birthday(rng, 1954, 2003)
        body = f"{day.year % 100:02d}{day.month + rng.choice((0, 50)):02d}{day.day:02d}{draw(rng, 3)}"
        if int(body) % 11 != 10:
            return f"{body[:6]}/{body[6:]}{int(body) % 11}"


def ro_cnp(rng: Random) -> str:
    day = birthday(rng, 1940, 1999)
    body = f"{rng.choice('12')}{day:%y%m%d}{rng.randrange(1, 47):02d}{rng.randrange(1, 1000):03d}"
    check = weighted(body, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return body + str(1 if check == 10 else check)


def bg_egn(rng: Random) -> str:
    day = birthday(rng, 1940, 1999)
    body = f"{day:%y%m%d}{draw(rng, 3)}"
    return body + str(weighted(body, (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10)


def ie_pps(rng: Random) -> str:
    body = draw(rng, 7)
    second = rng.choice(["", "A"])
    total = weighted(body, range(8, 1, -1)) + (9 if second else 0)
    return body + "WABCDEFGHIJKLMNOPQRSTUV"[total % 23] + second


def gr_amka(rng: Random) -> str:
    body = f"{birthday(rng):%d%m%y}" + draw(rng, 4)
    return body + luhn(body)


def hr_oib(rng: Random) -> str:
    body = draw(rng, 10)
    return body + iso7064_11_10(body)


def ee_isikukood(rng: Random) -> str:
    day = birthday(rng, 1940, 1999)
    body = f"{rng.choice('34')}{day:%y%m%d}{draw(rng, 3)}"
    check = weighted(body, (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if check == 10:
        check = weighted(body, (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return body + str(check)


def tr_tckn(rng: Random) -> str:
    body = rng.choice("123456789") + draw(rng, 8)
    odd, even = sum(map(int, body[::2])), sum(map(int, body[1::2]))
    tenth = (7 * odd - even) % 10
    return body + str(tenth) + str((odd + even + tenth) % 10)


def il_id(rng: Random) -> str:
    body = draw(rng, 8)
    return body + luhn(body)


def za_id(rng: Random) -> str:
    body = f"{birthday(rng):%y%m%d}{draw(rng, 4)}0{rng.choice('89')}"
    return body + luhn(body)


def br_cpf(rng: Random) -> str:
    body = draw(rng, 9)
    first = weighted(body, range(10, 1, -1)) * 10 % 11 % 10
    second = weighted(f"{body}{first}", range(11, 1, -1)) * 10 % 11 % 10
    number = f"{body}{first}{second}"
    return number if rng.random() < 0.3 else f"{number[:3]}.{number[3:6]}.{number[6:9]}-{number[9:]}"


def cl_rut(rng: Random) -> str:
    body = str(rng.randrange(5_000_000, 25_000_000))
    check = 11 - weighted(body[::-1], [2 + i % 6 for i in range(len(body))]) % 11
    mark = {11: "0", 10: "K"}.get(check, str(check))
    return f"{int(body):,}".replace(",", ".") + "-" + mark if rng.random() < 0.6 else f"{body}-{mark}"


def ar_cuit(rng: Random) -> str:
    while True:
        body = rng.choice(["20", "23", "27"]) + draw(rng, 8)
        check = 11 - weighted(body, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
        if check != 10:
            return f"{body[:2]}-{body[2:]}-{check % 11}"


def mx_curp(rng: Random) -> str:
    day = birthday(rng, 1940, 1999)
    vowels, letters = "AEIOU", "BCDFGHJKLMNPQRSTVWXYZ"
    body = (
        f"{rng.choice(letters)}{rng.choice(vowels)}{rng.choice(letters)}{rng.choice(letters)}{day:%y%m%d}{rng.choice('HM')}"
        f"{rng.choice(['DF', 'JC', 'NL', 'PL', 'VZ', 'MC'])}{draw(rng, 3, letters)}0"
    )
    alphabet = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
    total = sum(alphabet.index(char) * (18 - place) for place, char in enumerate(body))
    return body + str(-total % 10)


def in_aadhaar(rng: Random) -> str:
    body = rng.choice("23456789") + draw(rng, 10)
    number = body + verhoeff(body)
    return number if rng.random() < 0.4 else f"{number[:4]} {number[4:8]} {number[8:]}"


def in_pan(rng: Random) -> str:
    return (
        draw(rng, 3, UPPER)
        + rng.choice("PCHFATG")
        + rng.choice(UPPER)
        + f"{rng.randrange(1, 10000):04d}"
        + rng.choice(UPPER)
    )


def cn_resident(rng: Random) -> str:
    day = birthday(rng)
    body = rng.choice(["110105", "110108", "310104", "310110"]) + f"{day:%Y%m%d}{draw(rng, 3)}"
    return body + "10X98765432"[weighted(body, (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)) % 11]


def kr_rrn(rng: Random) -> str:
    day = birthday(rng, 1940, 1999)
    body = f"{day:%y%m%d}{rng.choice('12')}{rng.randrange(0, 96):02d}{draw(rng, 3)}"
    return f"{body[:6]}-{body[6:]}{(11 - weighted(body, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10}"


def jp_my_number(rng: Random) -> str:
    body = draw(rng, 11)
    rest = weighted(body, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return body + str(0 if rest <= 1 else 11 - rest)


def tw_id(rng: Random) -> str:
    letter = rng.choice("ABCDEFGHJKLMNPQRSTUVXYWZIO")
    value = 10 + "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(letter)
    body = rng.choice("12") + draw(rng, 7)
    total = value // 10 + value % 10 * 9 + weighted(body, range(8, 0, -1))
    return letter + body + str(-total % 10)


def sg_nric(rng: Random) -> str:
    first, body = rng.choice("STFG"), draw(rng, 7)
    total = weighted(body, (2, 7, 6, 5, 4, 3, 2)) + (4 if first in "TG" else 0)
    return first + body + ("JZIHGFEDCBA" if first in "ST" else "XWUTRQPNMLK")[total % 11]


def th_id(rng: Random) -> str:
    body = rng.choice("12345678") + draw(rng, 11)
    number = body + str((11 - weighted(body, range(13, 1, -1)) % 11) % 10)
    return number if rng.random() < 0.4 else f"{number[0]}-{number[1:5]}-{number[5:10]}-{number[10:12]}-{number[12]}"


def au_tfn(rng: Random) -> str:
    while True:
        body = rng.choice("123456789") + draw(rng, 7)
        for check in "0123456789":
            if weighted(body + check, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0:
                number = body + check
                return number if rng.random() < 0.4 else f"{number[:3]} {number[3:6]} {number[6:]}"


def au_medicare(rng: Random) -> str:
    body = rng.choice("23456") + draw(rng, 7)
    number = f"{body}{weighted(body, (1, 3, 7, 9, 1, 3, 7, 9)) % 10}{rng.randrange(1, 10)}"
    return number if rng.random() < 0.4 else f"{number[:4]} {number[4:9]} {number[9]}"


def au_abn(rng: Random) -> str:
    while True:
        number = rng.choice("23456789") + draw(rng, 10)
        if weighted(str(int(number[0]) - 1) + number[1:], (10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)) % 89 == 0:
            return number if rng.random() < 0.4 else f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}"


def au_acn(rng: Random) -> str:
    body = draw(rng, 8)
    number = body + str(-weighted(body, range(8, 0, -1)) % 10)
    return number if rng.random() < 0.4 else f"{number[:3]} {number[3:6]} {number[6:]}"


def ca_sin(rng: Random) -> str:
    body = rng.choice("1234567") + draw(rng, 7)
    number = body + luhn(body)
    return f"{number[:3]}{(s := rng.choice([' ', '-', '']))}{number[3:6]}{s}{number[6:]}"


def passport(form: str) -> Draw:
    """ICAO 9303 leaves numbers to the countries: `L` a letter, `N` a digit."""
    return lambda rng: "".join(rng.choice(UPPER) if c == "L" else draw(rng, 1) for c in form)


def birth_date(rng: Random) -> str:
    day = birthday(rng)
    month = day.strftime("%B")
    return rng.choice(
        [day.isoformat(), f"{day:%d/%m/%Y}", f"{day:%m/%d/%Y}", f"{day:%d.%m.%Y}", f"{day.day} {month} {day.year}", f"{month} {day.day}, {day.year}", f"{day:%d-%m-%Y}"]
    )  # fmt: skip


def _en(*words: str) -> dict[str, tuple[str, ...]]:
    return {"en": words}


_PHONE = {
    "en": ("phone number", "mobile", "telephone", "phone"), "de": ("Telefonnummer", "Handynummer", "Rufnummer"), "fr": ("numéro de téléphone", "téléphone portable"),
    "es": ("teléfono", "número de móvil"), "it": ("numero di telefono", "telefono"), "pt": ("telefone", "número de telefone"), "nl": ("telefoonnummer", "mobiel nummer"),
    "pl": ("numer telefonu", "telefon"), "ja": ("電話番号", "携帯電話"), "zh": ("电话号码", "手机号"), "ko": ("전화번호", "휴대전화"), "ru": ("номер телефона", "телефон"),
}  # fmt: skip
_CARD = {
    "en": ("credit card number", "card number", "credit card", "Visa card"), "de": ("Kreditkartennummer", "Kartennummer"), "fr": ("numéro de carte bancaire", "numéro de carte"),
    "es": ("número de tarjeta", "tarjeta de crédito"), "it": ("numero della carta di credito", "carta di credito"), "pt": ("número do cartão", "cartão de crédito"),
    "nl": ("creditcardnummer", "kaartnummer"), "pl": ("numer karty", "karta kredytowa"), "ja": ("カード番号", "クレジットカード"), "zh": ("信用卡号", "卡号"),
}  # fmt: skip
_MAIL = {
    "en": ("e-mail", "email address", "email"), "de": ("E-Mail-Adresse", "E-Mail"), "fr": ("adresse e-mail", "courriel"), "es": ("correo electrónico",), "it": ("indirizzo e-mail",),
    "pt": ("e-mail",), "nl": ("e-mailadres",), "pl": ("adres e-mail",), "ja": ("メールアドレス",), "zh": ("电子邮箱", "邮箱"), "ko": ("이메일",), "ru": ("электронная почта",),
}  # fmt: skip
_IBAN = dict.fromkeys(("en", "de", "fr", "es", "it", "pt", "nl", "pl", "ja", "zh"), ("IBAN",))
_IP = {"en": ("IP address", "client IP", "source address"), "de": ("IP-Adresse",), "fr": ("adresse IP",), "es": ("dirección IP",), "ja": ("IPアドレス",), "zh": ("IP地址",)}  # fmt: skip
_BORN = {
    "en": ("date of birth", "birth date", "DOB"), "de": ("Geburtsdatum",), "fr": ("date de naissance",), "es": ("fecha de nacimiento",), "it": ("data di nascita",), "pt": ("data de nascimento",),
    "nl": ("geboortedatum",), "pl": ("data urodzenia",),
}  # fmt: skip

KINDS: tuple[Kind, ...] = (
    Kind("EMAIL_ADDRESS", email, _MAIL, "checkable", bare=True),
    Kind("PHONE_NUMBER", phone_international, _PHONE, "checkable", bare=True, name="international"),
    Kind("PHONE_NUMBER", phone_american, _en(*_PHONE["en"]), "checkable", bare=True, name="american"),
    *(Kind("PHONE_NUMBER", phone_national(each), {each: _PHONE[each]}, "checkable", name=f"national-{each}") for each in _NATIONAL),
    Kind("CREDIT_CARD", card, _CARD, "checkable", bare=True),
    Kind("IBAN_CODE", iban, _IBAN, "checkable", bare=True),
    Kind("US_SSN", ssn, _en("SSN", "social security number", "Social Security No."), "checkable", bare=True),
    Kind("US_SSN", ssn_other, _en("SSN", "social security number"), "checkable", name="undashed"),
    Kind("IP_ADDRESS", ipv4, _IP, "checkable", bare=True, name="v4"),
    Kind("IP_ADDRESS", ipv4_private, _IP, "checkable", name="private"),
    Kind("IP_ADDRESS", ipv6, _IP, "checkable", bare=True, name="v6"),
    Kind("MAC_ADDRESS", mac, _en("MAC address", "hardware address", "ethernet address"), "checkable", bare=True),
    Kind("CRYPTO", bitcoin, _en("Bitcoin address", "BTC wallet", "wallet address"), "checkable", bare=True, name="bitcoin"),
    Kind("CRYPTO", ethereum, _en("Ethereum address", "ETH wallet", "wallet address"), "checkable", bare=True, name="ethereum"),
    Kind("US_ITIN", itin, _en("ITIN", "individual taxpayer identification number", "tax ID"), "checkable", also=("US_SSN",)),
    Kind("UK_NHS", nhs, _en("NHS number", "NHS no."), "checkable"),
    Kind("UK_NINO", nino, _en("National Insurance number", "NI number", "NINO"), "checkable"),
    Kind("DATE_OF_BIRTH", birth_date, _BORN, "context", also=("DATE_TIME",)),
    Kind("US_PASSPORT", passport("LNNNNNNNN"), _en("passport number", "US passport", "passport no."), "context", also=("PASSPORT",)),
    Kind("US_PASSPORT", passport("NNNNNNNNN"), _en("passport number", "US passport", "passport no."), "context", name="digits", also=("PASSPORT",)),
    Kind("US_DRIVER_LICENSE", passport("LNNNNNNN"), _en("driver's license", "driver license number", "driving license"), "context", name="california"),
    Kind("US_DRIVER_LICENSE", passport("LNNNNNNNNNNNN"), _en("driver's license", "driver license number", "DL number"), "context", name="florida"),
    Kind("US_BANK_NUMBER", passport("NNNNNNNNNN"), _en("bank account number", "checking account", "account number"), "context"),
    Kind("ABA_ROUTING_NUMBER", aba, _en("routing number", "ABA routing number"), "context"),
    Kind("US_NPI", npi, _en("NPI", "national provider identifier"), "context"),
    Kind("US_MBI", mbi, _en("Medicare beneficiary identifier", "MBI", "Medicare number"), "context"),
    Kind("MEDICAL_LICENSE", dea, _en("DEA number", "medical license"), "context"),
    Kind("UK_PASSPORT", passport("NNNNNNNNN"), _en("UK passport number", "British passport"), "context", also=("US_PASSPORT", "PASSPORT")),
    Kind("ES_NIF", es_nif, {"es": ("DNI", "NIF"), "en": ("Spanish NIF",)}, "national"),
    Kind("ES_NIE", es_nie, {"es": ("NIE",), "en": ("NIE number",)}, "national"),
    Kind("IT_FISCAL_CODE", it_fiscal_code, {"it": ("codice fiscale",), "en": ("Italian fiscal code", "codice fiscale")}, "national", bare=True),
    Kind("PL_PESEL", pl_pesel, {"pl": ("PESEL", "numer PESEL"), "en": ("PESEL",)}, "national"),
    Kind("FI_PERSONAL_IDENTITY_CODE", fi_hetu, {"en": ("Finnish personal identity code", "henkilötunnus", "hetu")}, "national", bare=True),
    Kind("SE_PERSONNUMMER", se_personnummer, {"en": ("personnummer", "Swedish personal number")}, "national"),
    Kind("NO_FODSELSNUMMER", no_fodselsnummer, {"en": ("fødselsnummer", "Norwegian national identity number")}, "national"),
    Kind("DK_CPR", dk_cpr, {"en": ("CPR number", "CPR-nummer")}, "national"),
    Kind("DE_TAX_ID", de_tax_id, {"de": ("Steuer-ID", "Steueridentifikationsnummer", "Steuerliche Identifikationsnummer"), "en": ("German tax ID",)}, "national"),
    Kind("FR_NIR", fr_nir, {"fr": ("numéro de sécurité sociale", "NIR"), "en": ("French social security number",)}, "national"),
    Kind("NL_BSN", nl_bsn, {"nl": ("BSN", "burgerservicenummer"), "en": ("BSN",)}, "national"),
    Kind("BE_NATIONAL_NUMBER", be_national, {"fr": ("numéro de registre national",), "nl": ("rijksregisternummer",), "en": ("Belgian national number",)}, "national"),
    Kind("PT_NIF", pt_nif, {"pt": ("NIF", "contribuinte"), "en": ("Portuguese NIF",)}, "national"),
    Kind("CH_AHV", ch_ahv, {"de": ("AHV-Nummer", "Sozialversicherungsnummer"), "fr": ("numéro AVS",), "en": ("AHV number",)}, "national", bare=True),
    Kind("AT_SVNR", at_svnr, {"de": ("Sozialversicherungsnummer", "SV-Nummer")}, "national"),
    Kind("CZ_RODNE_CISLO", cz_rodne_cislo, {"en": ("rodné číslo", "Czech birth number")}, "national"),
    Kind("RO_CNP", ro_cnp, {"en": ("CNP", "cod numeric personal")}, "national"),
    Kind("BG_EGN", bg_egn, {"en": ("EGN", "ЕГН")}, "national"),
    Kind("IE_PPS", ie_pps, {"en": ("PPS number", "PPSN")}, "national"),
    Kind("GR_AMKA", gr_amka, {"en": ("AMKA", "ΑΜΚΑ")}, "national"),
    Kind("HR_OIB", hr_oib, {"en": ("OIB",)}, "national"),
    Kind("EE_ISIKUKOOD", ee_isikukood, {"en": ("isikukood", "Estonian personal code")}, "national"),
    Kind("TR_NATIONAL_ID", tr_tckn, {"en": ("TC Kimlik No", "T.C. kimlik numarası")}, "national"),
    Kind("IL_ID_NUMBER", il_id, {"en": ("Teudat Zehut", "Israeli ID number", "תעודת זהות")}, "national"),
    Kind("ZA_ID_NUMBER", za_id, {"en": ("South African ID number", "SA ID number")}, "national"),
    Kind("BR_CPF", br_cpf, {"pt": ("CPF",), "en": ("CPF",)}, "national"),
    Kind("CL_RUT", cl_rut, {"es": ("RUT", "RUN")}, "national"),
    Kind("AR_CUIT", ar_cuit, {"es": ("CUIT", "CUIL")}, "national"),
    Kind("MX_CURP", mx_curp, {"es": ("CURP",)}, "national", bare=True),
    Kind("IN_AADHAAR", in_aadhaar, {"en": ("Aadhaar", "Aadhaar number", "UIDAI number")}, "national"),
    Kind("IN_PAN", in_pan, {"en": ("PAN card", "Permanent Account Number", "PAN number")}, "national"),
    Kind("CN_RIC", cn_resident, {"zh": ("身份证号", "居民身份证")}, "national", bare=True),
    Kind("KR_RRN", kr_rrn, {"ko": ("주민등록번호",), "en": ("Korean resident registration number", "RRN")}, "national"),
    Kind("JP_MY_NUMBER", jp_my_number, {"ja": ("マイナンバー", "個人番号")}, "national"),
    Kind("TW_NATIONAL_ID", tw_id, {"zh": ("身分證字號",), "en": ("Taiwan ID number",)}, "national"),
    Kind("SG_NRIC_FIN", sg_nric, {"en": ("NRIC", "FIN number", "NRIC number")}, "national"),
    Kind("TH_TNIN", th_id, {"en": ("Thai national ID", "เลขประจำตัวประชาชน")}, "national"),
    Kind("AU_TFN", au_tfn, {"en": ("tax file number", "TFN")}, "national"),
    Kind("AU_MEDICARE", au_medicare, {"en": ("Medicare card number", "Australian Medicare number")}, "national"),
    Kind("AU_ABN", au_abn, {"en": ("ABN", "Australian Business Number")}, "national"),
    Kind("AU_ACN", au_acn, {"en": ("ACN", "Australian Company Number")}, "national"),
    Kind("CA_SIN", ca_sin, {"en": ("SIN", "social insurance number")}, "national"),
)  # fmt: skip
