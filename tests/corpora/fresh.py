"""Texts that nobody tuned detection on: mails, tickets, chats, logs, tables, JSON, code and shells in a dozen languages, with values drawn
in valid forms from a seed, and what only looks like one. Nothing in them is anybody's.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from random import Random

import phonenumbers
from stdnum import numdb

from tests.corpora.digits import draw, luhn, mod97_iban
from tests.corpora.fresh_texts import BARE, LISTED, MISSES, SAID, TOLD_BY
from tests.corpora.keys import VENDORS

Draw = Callable[[Random], str]
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LOWER, HEX = UPPER.lower(), "0123456789abcdef"
MIXED = UPPER + LOWER + "0123456789"
WORDS = [
    "kite",
    "harbor",
    "velvet",
    "copper",
    "meadow",
    "winter",
    "pepper",
    "cobalt",
    "jungle",
    "falcon",
    "marble",
    "silver",
    "hammer",
    "walnut",
    "orchid",
    "saffron",
    "tundra",
]
NAMES = [
    "Ilse",
    "Tobias",
    "Marisol",
    "Pekka",
    "Yusuf",
    "Agnieszka",
    "Chiara",
    "Bram",
    "Solveig",
    "Radek",
    "Noor",
    "Thiago",
    "Eilidh",
    "Kenji",
    "Beata",
    "Omar",
]
SURNAMES = [
    "Brandt",
    "Kowalczyk",
    "Moreau",
    "Salinas",
    "Virtanen",
    "Okafor",
    "Haddad",
    "Lindqvist",
    "Novak",
    "Ferrari",
    "Tanaka",
    "Silva",
    "Murray",
    "Petrov",
]
ASCII_HOSTS = [
    "acme-works",
    "northwind-air",
    "blauwdruk",
    "kestrel",
    "pinecraft",
    "stellen",
    "lumiere",
    "rapidpost",
    "cloudnine",
    "vantaa",
]


# -- values --

_IBANS = {country: of["bban"] for _, country, _, of, _ in numdb.get("iban").prefixes}


def iban(rng: Random) -> str:
    country = rng.choice([*_IBANS])
    kinds = {"n": "0123456789", "a": UPPER, "c": UPPER + "0123456789"}
    rest = "".join(draw(rng, int(count), kinds[kind]) for count, kind in re.findall(r"(\d+)!?([nac])", _IBANS[country]))
    number = country + mod97_iban(country, rest) + rest
    return (
        number
        if rng.random() < 0.5
        else rng.choice("  \u00a0-").join(number[at : at + 4] for at in range(0, len(number), 4))
    )


def _phone(rng: Random) -> phonenumbers.PhoneNumber:
    while True:
        region = rng.choice(sorted(phonenumbers.SUPPORTED_REGIONS))
        kind = rng.choice((phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE))
        example = phonenumbers.example_number_for_type(region, kind)
        if example is None:
            continue
        plain = str(example.national_number)
        drawn = plain[: len(plain) // 2] + draw(rng, len(plain) - len(plain) // 2)
        number = phonenumbers.PhoneNumber(
            example.country_code, int(drawn), italian_leading_zero=example.italian_leading_zero
        )
        if phonenumbers.is_valid_number(number):
            return number


def e164(rng: Random) -> str:
    how = phonenumbers.PhoneNumberFormat.E164 if rng.random() < 0.6 else phonenumbers.PhoneNumberFormat.INTERNATIONAL
    return phonenumbers.format_number(_phone(rng), how)


def national(rng: Random) -> str:
    while (
        len(re.sub(r"\D", "", text := phonenumbers.format_number(_phone(rng), phonenumbers.PhoneNumberFormat.NATIONAL)))
        < 9
    ):
        pass
    return text


def _card(begins: str, length: int) -> Draw:
    def drawn(rng: Random) -> str:
        body = rng.choice(begins.split()) + draw(rng, length)
        body = body[: length - 1]
        number = body + luhn(body)
        if rng.random() < 0.5:
            return number
        groups = (4, 6, 5) if length in (14, 15) else (4, 4, 4, 4, 4)
        parts = [number[sum(groups[:at]) : sum(groups[: at + 1])] for at in range(len(groups))]
        return rng.choice(" -").join(filter(None, parts))

    return drawn


def ipv4(rng: Random) -> str:
    return f"{rng.choice([23, 45, 62, 81, 94, 103, 145, 178, 185, 203])}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"


def private(rng: Random) -> str:
    return (
        rng.choice(
            (
                f"10.{rng.randrange(256)}.{rng.randrange(256)}",
                f"192.168.{rng.randrange(256)}",
                f"172.{rng.randrange(16, 32)}.{rng.randrange(256)}",
            )
        )
        + f".{rng.randrange(2, 255)}"
    )


def ipv6(rng: Random) -> str:
    def group() -> str:
        return f"{rng.randrange(0x100, 0x10000):x}"

    return rng.choice(
        (
            f"2a02:{group()}:{group()}:{group()}:{group()}:{group()}:{group()}:{group()}", f"2001:{group()}::{group()}",
            f"fe80::{group()}:{group()}:{group()}:{group()}%{rng.choice(['eth0', 'en1', 'wlan0', '3'])}", f"::ffff:{private(rng)}",
            f"::ffff:{ipv4(rng)}", f"fd{draw(rng, 2, HEX)}:{group()}:{group()}::{rng.randrange(1, 99)}", f"2600:{group()}:{group()}::1",
        )
    )  # fmt: skip


def email(rng: Random) -> str:
    name, surname = rng.choice(NAMES).lower(), rng.choice(SURNAMES).lower()
    local = rng.choice(
        (
            f"{name}.{surname}",
            f"{name[0]}{surname}",
            f"{name}+{rng.choice(WORDS)}",
            f"{name}_{rng.randrange(99)}",
            f"{surname}-{name}",
            name,
        )
    )
    host = rng.choice(ASCII_HOSTS)
    return f"{local}@" + rng.choice(
        (f"{host}.com", f"{host}.co.uk", f"mail.{host}.de", f"{host}.io", f"{host}.fr", f"xn--{host}-9ya.xn--p1ai", f"{host}.xn--fiqs8s",
         f"{host}.travel", f"bücher-{host}.de", f"{host}.com.br", f"{host}.internal")
    )  # fmt: skip


def ssn(rng: Random) -> str:
    return f"{rng.choice([212, 318, 457, 530, 601, 718])}-{rng.randrange(10, 99)}-{rng.randrange(1000, 9999)}"


def mac(rng: Random) -> str:
    return rng.choice(":-").join(f"{byte:02x}" for byte in (rng.choice([0x3C, 0xA4, 0xF0]), *rng.randbytes(4), 0xB7))


def password(rng: Random) -> str:
    word, other = rng.choice(WORDS), rng.choice(WORDS)
    return rng.choice(
        (
            draw(rng, rng.randrange(9, 20), MIXED) + str(rng.randrange(10)), f"{word.title()}{rng.randrange(10, 2030)}!", f"{word}{rng.randrange(10, 999)}",
            f"{word}-{other}-{rng.randrange(9, 99)}", f"{word[0].upper()}{word[1:]}@{draw(rng, 3)}", draw(rng, 6, LOWER) + draw(rng, 3) + rng.choice("#*+!_"),
            f"{word}{rng.choice('_.')}{other.title()}{rng.randrange(99)}", draw(rng, 12, MIXED + "#%*+!^~") + "7a",
        )
    )  # fmt: skip


def spaced(rng: Random) -> str:
    word, other = rng.choice(WORDS), rng.choice(WORDS)
    return rng.choice(
        (f"{word} {other} {rng.randrange(10, 999)}", f"{word.title()} {draw(rng, 4, MIXED)}9!", f"{word}{{{rng.randrange(99)}}}{other}", f"{draw(rng, 4, LOWER)}{{7{draw(rng, 3, MIXED)}}}x",
         f"{word} {other} {rng.choice([each for each in WORDS if each not in (word, other)])}")
    )  # fmt: skip


def short(rng: Random) -> str:
    return draw(rng, rng.randrange(2, 5), LOWER) + str(rng.randrange(10, 99))


def token(rng: Random) -> str:
    return rng.choice(
        (
            draw(rng, 32, HEX),
            draw(rng, 40, HEX),
            draw(rng, rng.randrange(20, 48), MIXED),
            base64.b64encode(rng.randbytes(30)).decode(),
            draw(rng, 24, MIXED + "-_") + "x7",
        )
    )


def vendor(rng: Random) -> str:
    return rng.choice([each for each in VENDORS if each.bare]).draw(rng)


def basic(rng: Random) -> str:
    return base64.b64encode(f"{rng.choice(WORDS)}:{password(rng)}".encode()).decode()


def dockercfg(rng: Random) -> str:
    host = f"registry.{rng.choice(ASCII_HOSTS)}.com"
    return base64.b64encode(json.dumps({"auths": {host: {"auth": basic(rng)}}}).encode()).decode()


def connection(rng: Random) -> str:
    scheme = rng.choice(["postgresql", "mysql", "mongodb+srv", "amqps", "redis", "mariadb", "clickhouse"])
    secret = re.sub(r"[^A-Za-z0-9!*_.~-]", "x", password(rng))
    return f"{scheme}://{rng.choice(WORDS)}:{secret}@{rng.choice(ASCII_HOSTS)}.{rng.choice(['internal', 'com', 'svc'])}:{rng.randrange(2000, 9999)}/{rng.choice(WORDS)}"


CORE: dict[str, Draw] = {
    "iban": iban, "e164": e164, "visa": _card("4", 16), "mastercard": _card("51 52 55 2221 2720", 16), "amex": _card("34 37", 15), "diners": _card("36 300", 14),
    "discover": _card("6011 65", 16), "jcb16": _card("3528 3589", 16), "unionpay": _card("62", 16), "ipv4": ipv4, "ipv6": ipv6, "email": email, "ssn": ssn, "mac": mac,
}  # fmt: skip
TOLD: dict[str, Draw] = {
    "maestro12": _card("5018 5038 6304 6759", 12), "maestro": _card("5018 6304 6762", 18), "jcb15": _card("2131 1800", 15), "national": national,
    "ssn9": lambda rng: ssn(rng).replace("-", rng.choice(["", " "])),
}  # fmt: skip
SECRETS: dict[str, Draw] = {
    "password": password, "spaced": spaced, "short": short, "token": token, "vendor": vendor, "basic": basic, "dockercfg": dockercfg, "connection": connection,
}  # fmt: skip
_LABELS = {
    "card": "card|Card no.|credit card|Kreditkarte|carte bancaire|tarjeta|betaalkaart|numero carta|cartão|karta|карта|カード|信用卡",
    "national": "phone|Tel.|mobile|Telefon|Handy|téléphone|teléfono|telefoon|cellulare|telefone|telefon|телефон|電話|手机|phone_number|fax",
    "ssn9": "SSN|social security number|ssn|Social Security No",
}
_CARD_KINDS = ("maestro12", "maestro", "jcb15")
LABELS = {kind: _LABELS["card" if kind in _CARD_KINDS else kind].split("|") for kind in TOLD}


def _noise(rng: Random) -> dict[str, str]:
    def bad_iban() -> str:
        number = iban(rng)
        return number[:2] + f"{(int(number[2:4]) + rng.randrange(1, 90)) % 97 + 2:02d}" + number[4:]

    def bad_card() -> str:
        number = _card("4", 16)(rng)
        return number[:-1] + str((int(number[-1]) + rng.randrange(1, 10)) % 10)

    return {
        "n": str(rng.randrange(2, 30)), "big": str(rng.randrange(1, 9)) + draw(rng, rng.randrange(5, 9)), "hex": draw(rng, 32, HEX), "word": rng.choice(WORDS),
        "name": rng.choice(NAMES), "order": f"{draw(rng, 2, UPPER)}-{draw(rng, 6)}", "amount": f"{rng.randrange(1, 9999)}.{draw(rng, 2)}",
        "date": f"2026-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}", "when": f"2026-05-{rng.randrange(10, 29)}T{rng.randrange(10, 24)}:{rng.randrange(10, 60)}:07Z",
        "uuid": f"{draw(rng, 8, HEX)}-{draw(rng, 4, HEX)}-4{draw(rng, 3, HEX)}-9{draw(rng, 3, HEX)}-{draw(rng, 12, HEX)}", "epoch": f"17{draw(rng, 8)}",
        "badiban": bad_iban(), "badcard": bad_card(), "badbtc": "1" + draw(rng, 32, "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"), "b64": base64.b64encode(rng.randbytes(60)).decode(),
    }  # fmt: skip


Planted = list[tuple[int, int, str]]


def _fill(
    template: str, rng: Random, values: dict[str, tuple[str, Draw] | Callable[[], tuple[str, Draw]]], label: str = ""
) -> tuple[str, Planted]:
    text, planted = "", []
    for piece in re.split(r"([«‹]\w+[»›])", template.replace("\\n", "\n").replace("\\t", "\t").replace("⏎", "\\n")):
        if piece[:1] == "‹":
            text += label if piece == "‹label›" else _noise(rng)[piece[1:-1]]
        elif piece[:1] == "«":
            of = values[piece[1:-1]]
            kind, drawn = of() if callable(of) else of
            value = drawn(rng)
            planted.append((len(text), len(text) + len(value), kind))
            text += value
        else:
            text += piece
    return text, planted


def _lines(templates: str) -> list[str]:
    return templates.strip("\n").split("\n")


def texts(seed: int, rounds: int) -> Iterator[tuple[str, str, Planted]]:
    """(group, text, what is planted in it)."""
    rng = Random(f"unseen {seed}")

    def any_core() -> tuple[str, Draw]:
        return rng.choice([*CORE.items()])

    def tight() -> tuple[str, Draw]:
        kind, drawn = any_core()
        return kind, lambda rng: re.sub(r"\s", "", drawn(rng))

    each = {kind: (kind, drawn) for kind, drawn in CORE.items()}
    for _ in range(rounds):
        for template in _lines(BARE):
            for _ in range(6):
                yield "core", *_fill(template, rng, {"core": any_core, "tight": tight, **each})
            yield (
                "apart",
                *_fill(template, rng, dict.fromkeys(("core", "tight", *CORE), ("national, no word", national))),
            )
        for kind, drawn in TOLD.items():
            for template in _lines(TOLD_BY):
                yield "core", *_fill(template, rng, {"v": (kind, drawn)}, rng.choice(LABELS[kind]))
        for template in _lines(LISTED):
            yield "core", *_fill(template, rng, {"p": ("private", private)})
        for kind, templates in SAID.items():
            for template in _lines(templates):
                for _ in range(4 if kind == "vendor" else 2):
                    yield "secrets", *_fill(template, rng, {"v": (kind, SECRETS[kind])})
        for template in _lines(MISSES):
            for _ in range(3):
                yield "misses", *_fill(template, rng, {})
