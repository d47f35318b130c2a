"""What is found in a text, and what is not: one table for both gates."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.redaction.keys import KEYS
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Gate, Re2Gate, gates, trips
from tokenman_core.redaction.detectors.merge import settle

E = "EMAIL_ADDRESS"
P = "PHONE_NUMBER"
C = "CREDIT_CARD"
S = "US_SSN"
B = "IBAN_CODE"
I = "IP_ADDRESS"  # noqa: E741 one letter a kind
K = "API_KEY"
W = "PASSWORD"
D = "CONNECTION_STRING"

HITS: list[tuple[str, list[tuple[str, str]]]] = [
    ("Mail alice@example.com, please.", [("alice@example.com", E)]),
    ("<bob.o'neil+tag@mail.example.co.uk>", [("bob.o'neil+tag@mail.example.co.uk", E)]),
    ("?email=alice@example.com&x=1", [("alice@example.com", E)]),
    ("name='bob@example.com' [x](mailto:carol@example.com)", [("bob@example.com", E), ("carol@example.com", E)]),
    ("ask root@db.internal about it", [("root@db.internal", E)]),
    ("邮箱zhang.wei@example.cn谢谢", [("zhang.wei@example.cn", E)]),
    ("alice%40example.com", [("alice%40example.com", E)]),
    ("ａｌｉｃｅ＠ｅｘａｍｐｌｅ．ｃｏｍ", [("ａｌｉｃｅ＠ｅｘａｍｐｌｅ．ｃｏｍ", E)]),
    ("ali\u200bce@example.com is split", [("ali\u200bce@example.com", E)]),
    ('{\\"to\\":\\"carol\\u0040example.org\\"}', [("carol\\u0040example.org", E)]),
    ("Call me at (415) 555-2671.", [("(415) 555-2671", P)]),
    ("415-555-2671", [("415-555-2671", P)]),
    ("Partner: 415-555-2671, Timothy 212-555-0187", [("415-555-2671", P), ("212-555-0187", P)]),
    ("+1 415 555 2671", [("+1 415 555 2671", P)]),
    ("reach +442079460958 today", [("+442079460958", P)]),
    ("Tel: 030 901820", [("030 901820", P)]),
    ("手机号13800138000。", [("13800138000", P)]),
    ("phone=4155552671", [("4155552671", P)]),
    ("card 4111 1111 1111 1111 exp 12/27", [("4111 1111 1111 1111", C)]),
    ("row Zebra-77 4111 1111 1111 1111 4242 4242 4242 4242", [("4111 1111 1111 1111", C), ("4242 4242 4242 4242", C)]),
    ("(415) 555-2671 (212) 555-0187", [("(415) 555-2671", P), ("(212) 555-0187", P)]),
    ("4111 1111 1111 1111 415-555-2671", [("4111 1111 1111 1111", C), ("415-555-2671", P)]),
    (
        "a\\n415-555-2671\\nbob@example.com\\n" + KEYS["npm"],
        [("415-555-2671", P), ("bob@example.com", E), (KEYS["npm"], K)],
    ),
    ("5555-5555-5555-4444", [("5555-5555-5555-4444", C)]),
    ("Amex 378282246310005 ok", [("378282246310005", C)]),
    ("卡号4242424242424242到期", [("4242424242424242", C)]),
    ("SSN 123-45-6789", [("123-45-6789", S)]),
    ("her number is 219-09-9998", [("219-09-9998", S)]),
    ("social security: 219 09 9998", [("219 09 9998", S)]),
    ("IBAN DE89 3704 0044 0532 0130 00 thanks", [("DE89 3704 0044 0532 0130 00", B)]),
    ("GB82WEST12345698765432", [("GB82WEST12345698765432", B)]),
    ("from 203.0.113.57 at noon", [("203.0.113.57", I)]),
    ("host 2001:db8:85a3::8a2e:370:7334 up", [("2001:db8:85a3::8a2e:370:7334", I)]),
    ("203.0.113.7 203.0.113.8,203.0.113.9", [("203.0.113.7", I), ("203.0.113.8", I), ("203.0.113.9", I)]),
    ("login from 10.1.2.3", [("10.1.2.3", I)]),
    ("the password is hunter2.", [("hunter2", W)]),
    ("The password for the router is: Tr0ub4dor&3", [("Tr0ub4dor&3", W)]),
    ('My password is "correct horse battery"', [("correct horse battery", W)]),
    ("le mot de passe est « soleil d'hiver »", [(" soleil d'hiver ", W)]),
    ("the password is 'p\"w9x'.", [('p"w9x', W)]),
    ("pass: Qw3rty!!", [("Qw3rty!!", W)]),
    ("the root password was changed to Zx9!kLmn", [("Zx9!kLmn", W)]),
    ("machine api.example login bob password t3cr3tpw", [("t3cr3tpw", W)]),
    ("<password>s3cretV4lue</password>", [("s3cretV4lue", W)]),
    ("555-123-4567 or (555) 123-4567", [("555-123-4567", P), ("(555) 123-4567", P)]),
    ("4111.1111.1111.1111", [("4111.1111.1111.1111", C)]),
    ("connect to 10.0.0.5:8080 or 10.8.0.0/16", [("10.0.0.5", I), ("10.8.0.0", I)]),
    ('password = "my-Dog-2019!" # important', [("my-Dog-2019!", W)]),
    ("password=important99", [("important99", W)]),
    ("the password is $tr0ng!er", [("$tr0ng!er", W)]),
    ("das Passwort ist geheim99", [("geheim99", W)]),
    ("the password is swordfish", [("swordfish", W)]),
    ('password = "hunter2"', [("hunter2", W)]),
    ("DB_PASSWORD=swordfish\n", [("swordfish", W)]),
    ("password: hunter2\n", [("hunter2", W)]),
    ('{"password": "s3cr3t!pass"}', [("s3cr3t!pass", W)]),
    ('{\\"db_password\\": \\"s3cr3tpass\\"}', [("s3cr3tpass", W)]),
    ("api_key = 'a8f5f167f44f4964e6c998dee827110c'", [("a8f5f167f44f4964e6c998dee827110c", K)]),
    (
        "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYzq3kQ9x1Zp",
        [("wJalrXUtnFEMI/K7MDENG/bPxRfiCYzq3kQ9x1Zp", K)],
    ),
    ("secret: q7w8e9r0t1y2u3", [("q7w8e9r0t1y2u3", K)]),
    ("client_secret: 9f8e7d6c5b4a39281706", [("9f8e7d6c5b4a39281706", K)]),
    ("Authorization: Bearer abcdEF123456ghij7890", [("abcdEF123456ghij7890", K)]),
    ("authorization: Basic YWxpY2U6aHVudGVyMg==", [("YWxpY2U6aHVudGVyMg==", K)]),
    ("curl -u alice:hunter22 https://example.com", [("hunter22", W)]),
    ("deploy --password hunter22 --verbose", [("hunter22", W)]),
    (
        "postgres://app:s3cr3t@db.example.com:5432/prod?x=1 is it",
        [("postgres://app:s3cr3t@db.example.com:5432/prod?x=1", D)],
    ),
    ("redis://:p4ssw0rd@cache:6379/0", [("redis://:p4ssw0rd@cache:6379/0", D)]),
    ("git clone https://bob:gh7tok3n@git.example.com/x.git", [("gh7tok3n", W)]),
]

NEAR_MISSES = [
    "git@github.com:org/repo.git",
    "icon@2x.png and logo@3x.jpg",
    "@pytest.fixture",
    "npm install left-pad@1.3.0",
    "epoch 1732441234 and 1732441234567",
    "created_at: 1732441234",
    "row 4155552671",
    "2024-11-24 10:22:33.123456",
    "2024-11-24T10:22:33+00:00",
    "3.14159265358979 and 0.4111111111111111",
    "uuid 123e4567-e89b-12d3-a456-426614174000",
    "commit 4111111111111111abcdef1234567890abcdef12",
    "0x4111111111111111",
    "order 4111111111111112",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "version 1.2.3.4 and v10.20.30.40",
    "listening on 127.0.0.1 and 0.0.0.0, mask 255.255.255.0",
    "at 12:34:56 we left",
    "std::vector<int> a::b::c",
    "/home/alice/project/src/main.py and C:\\Users\\bob\\file.txt",
    "password: ${DB_PASSWORD}",
    "password = os.environ['DB_PASSWORD']",
    "password: your-password-here",
    "PASSWORD=<password>",
    "password: str = Field(...)",
    "def login(password: str, token: str | None = None) -> bool:",
    "token = get_token()",
    "token: your-key",
    "api_key=YOUR_API_KEY",
    "api_key: xxxxxxxxxxxxxxxx",
    "max_tokens: 4096, token_count = 12345678",
    "the password is required",
    "The password is incorrect.",
    "a password is stored hashed",
    "if password == other_password:",
    '( 2.5.4.45 NAME "x" )',
    "c1.52-.87 2.83-2.12 3.51.98.32 2.03.5 3.1",
    "password sha256 and password field",
    "to pass to the handler, a pass is 12345678 long",
    '<input type="password">Enter</input>',
    "https://user:password@example.com",
    "postgres://user:${PASS}@localhost/db",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBg\n-----END PUBLIC KEY-----",
    'if "-----BEGIN PRIVATE KEY-----" in text: and "-----BEGIN RSA PRIVATE KEY-----"',
    "-----BEGIN CERTIFICATE-----\nMIIBIjANBg\n-----END CERTIFICATE-----",
    "sk-learn and sk-ant-",
    "[EMAIL_ADDRESS_0123456789ab] and password=[PASSWORD_0123456789ab]",
    "toolu_01A09q90qw90lq917835lq9 msg_01XFDUDYJgAACzvnptvVoYEL",
    "ISBN 978-3-16-148410-0",
    "DE00 3704 0044 0532 0130 00",
    "pip install foo==1.10.21.33",
    "Bearer authentication is used",
    "RFC 2616, 1996-2024, pages 1234567-1234599",
    "width=1920 height=1080 size=12345678",
]


@pytest.fixture(params=range(len(gates())), ids=[type(each).__name__ for each in gates()])
def detector(request: pytest.FixtureRequest, detectors: list[Detector]) -> Detector:
    return detectors[request.param]


def found(detector: Detector, text: str, key: str = "") -> list[tuple[str, str]]:
    return [(text[start:end], entity) for start, end, entity, _ in settle(text, detector.find(text, key))]


@pytest.mark.parametrize(("text", "values"), HITS, ids=[text[:40] for text, _ in HITS])
def test_a_value_is_found_whole_and_nothing_else(detector: Detector, text: str, values: list[tuple[str, str]]) -> None:
    assert found(detector, text) == values


@pytest.mark.parametrize("text", NEAR_MISSES, ids=[text[:40] for text in NEAR_MISSES])
def test_a_near_miss_is_left_alone(detector: Detector, text: str) -> None:
    assert found(detector, text) == []


@pytest.mark.parametrize(
    ("key", "text", "entity"),
    [
        ("password", "hunter2", "PASSWORD"),
        ("dbPassword", "swordfish", "PASSWORD"),
        ("api_key", "a8f5f167f44f4964", "API_KEY"),
        ("clientSecret", "9f8e7d6c5b4a39281706", "API_KEY"),
        ("password", "${PASSWORD}", None),
        ("password", "Enter your password", None),
        ("token", "string", None),
        ("content", "hunter2", None),
        ("max_tokens", "12345678", None),
        ("path", "/home/alice/x", None),
    ],
)
def test_the_key_of_an_object_tells_of_its_value(detector: Detector, key: str, text: str, entity: str | None) -> None:
    assert found(detector, text, key) == ([(text, entity)] if entity else [])


def test_a_card_is_never_half_masked_as_a_phone(detector: Detector) -> None:
    assert found(detector, "Call about my card: 4111 1111 1111 1111") == [("4111 1111 1111 1111", C)]
    assert found(detector, "phone 4111 1111 1111 1112") == []  # no card, and not a phone either


def test_a_secret_covers_what_stands_in_it(detector: Detector) -> None:
    text = "postgres://alice:s3cr3t@203.0.113.7/alice@example.com"
    assert found(detector, text) == [(text, D)]


def test_places_are_characters_whatever_stands_before(detector: Detector) -> None:
    text = "naïve 🙂 値 \ud800 " + KEYS["anthropic"] + " 🙂 alice@example.com"
    assert found(detector, text) == [(KEYS["anthropic"], K), ("alice@example.com", E)]


def test_a_private_key_without_its_end_is_masked_too(detector: Detector) -> None:
    text = "-----BEGIN EC PRIVATE KEY-----\\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY/PuoAoG"
    assert found(detector, text + "\\n... and so on") == [(text + "\\n", "PRIVATE_KEY")]


_GATES: list[Gate] = gates()


@settings(max_examples=60, deadline=None)
@given(
    text=st.one_of(
        st.text(max_size=60),
        st.lists(st.sampled_from([*NEAR_MISSES, *(text for text, _ in HITS)]), max_size=3).map(" ".join),
    )
)
def test_what_trips_nothing_holds_nothing(text: str) -> None:
    if not trips(_GATES[0], text):
        assert _DETECTOR.find(text) == ()


_DETECTOR = Detector(Re2Gate())

HOSTILE = [
    "a", "1", "@", "a@", "a.", "1.1.", "sk-ant-", "password", "password=",
    "password is ", "://a:", "-----BEGIN RSA PRIVATE KEY-----", "eyJhbGciOi.",
    "%41", "1-", ":", "DE89", "[EMAIL_ADDRESS_0123456789ab]", "\\u0041",
    "Bearer aaaaaaaa ", "a:b@", "415-555-2671 ", "4111 1111 ", '"\\', "é",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_costs_time_in_proportion_to_its_length(piece: str) -> None:
    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        before = time.process_time()
        _DETECTOR.find(text)
        return time.process_time() - before

    seconds(1_000)
    small, large = max(seconds(20_000), 0.002), min(seconds(160_000), seconds(160_000))  # others use this machine too
    assert large < 1.5
    assert large < 8 * small * 4, (small, large)  # eight times the text; four times for noise
