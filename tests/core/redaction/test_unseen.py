"""What unseen texts taught: each spelling that was missed there, its sisters, and what is like them but no value."""

import base64
import json
import re
from random import Random

from stdnum import numdb

from tests.corpora.digits import draw, mod97_iban
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.merge import settle
from tokenman_core.redaction.detectors.personal import banking

DIGITS = "0123456789"
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
USER_AND_PASSWORD = base64.b64encode(b"bob:hunter22").decode()
DOCKERCFG = base64.b64encode(json.dumps({"https://r.example/v1/": {"auth": USER_AND_PASSWORD}}).encode()).decode()
DOCKERCONFIG = base64.b64encode(json.dumps({"auths": {"r.example": {"auth": USER_AND_PASSWORD}}}).encode()).decode()
INNER = "lltOWlPbWgxYm5SbGNqSXk"  # of that the user and the password, in base64 twice

# «…»: what must be masked, whole; nothing else may be.
TABLE = f"""
# E.164 without a word near it, whatever it touches
«+31612377137»
x = a «+31612377137»
tel:«+31612377137», «+33612345678»;«+8613800138000»
Rufnummer«+31612377137»
"«+4915112345678»" passes Luhn
(«+31 6 1237 7137»)
a=«+12025550143»&b=2
from=«%2B31612377137»
Hoi, bel «+290 8982» of «+64 21 120 8502» (8eeedf01-4087-4965)
+0031612377137 +99912345678901
i+1234567890123

# cards beside a word
card: «213112345678904», JCB «1800 1234 5678 905»
card «352812345678900»
Maestro «501800000009», Karte «5018 0000 0009», carte «676770000005»
card 501800000008 and card 213112345678905
id 501800000009, IBAN: DJ23 2239 2898 1150 5336 7049 366
_«3589325650088168»_, «5181551624690998»/«341315208341313», 3658.71 EUR «5206603989008547»
{{"rows":[["«6011596742222491»",22],["«718-67-1404»",3]]}}, karta «5018 1157 0448 3622 75»
<ref>«4111-1111-1111-1111»</ref><ref>4111111111111111</ref> x_4111111111111111_

# addresses of IPv6 with one of IPv4 in them, with a zone, and of a link or a site
«::ffff:10.0.0.1» and [«::ffff:192.0.2.128»]:8080
«0:0:0:0:0:FFFF:203.0.113.9» «64:ff9b::203.0.113.5» «::ffff:0a00:0001»
«fe80::1%eth0» [«fe80::1%25en0»]:80 «fe80::a00:27ff:fe4e:66a1%12»/64 «fd00::7»
saffron:«::ffff:192.168.102.29»;tundra:«fe80::c76f:37dc:3036:d1ab%en1»;mac:«a4:62:ac:72:a2:b7»;_«3c-18-d6-d4-ec-b7»_
a:«3c:37:fd:9a:a8:b7» and «2600:83c:f51::1»: RFF+ACE:«f0-17-97-f4-e6-b7»' 1:02:03:04:05:06:0a
::ffff:127.0.0.1 ::1 a::b std::1 fe80::%eth0

# private addresses in lists and ranges
«10.0.0.5», «10.0.0.6» and «10.0.0.7»
hosts: [«10.1.2.3», «10.1.2.4»]
["«10.0.0.5»", "«10.0.0.6»"]
«10.0.0.5»-«10.0.0.9»
«192.168.1.10» - «192.168.1.20», «172.16.3.4»~«172.16.3.5»
pip install a==10.0.0.5, b-10.0.0.6

# e-mail addresses of all scripts
«joe@xn--80ak6aa92e.xn--p1ai», «jürgen@müller.de»
Пишите на «иван.петров@почта.рф» сегодня
«δημήτρης@παράδειγμα.ελ» «أحمد@مثال.مصر»
icon@2x.png and foo@2x

# the password behind curl's option, and its like
curl -u admin:«abc» https://x.example
curl -ualice:«s3» https://x.example
curl -sSLu bob:«pass1» https://x.example
curl --user=alice:«hunter2» --proxy-user p:«q1» x
curl -X POST -u "bob:«a{{b}}c»" x
curl -H 'A: b' -u 'bob:«it is 4 me!»' x
http -a bob:«pw1» https://x.example
curl -u $USER:$PASS -u "${{U}}:${{P}}" -u bob: x
tar -u a:b c

{{:password, "«cobalt185»"}} {{password, "«cobalt185»"}}
ssh-keygen -t ed25519 -N "«sijeyk970*»" -f key
login falcon / «Harbor@225»
login page / oauth2, Das Passwort ist falsch. Hasło jest nieprawidłowe. The passphrase is Unicode.
const key = crypto.default.pbkdf2Sync(secret, salt);

# in addresses
https://u:«p1»@host/ https://bob:«abc»@git.example.com/x.git https://:«tok»@x.example
«amqp://guest:guest@localhost»
https://user:password@example.com http://host:8080/@x

# assignments
PASSWORD :::= «hunter2x»
PASSWORD ::= «hunter2x»
$password .= '«hunter2x»';
if (password !== "«hunter2x»")
if password != '«hunter2x»'
const string Password = "«hunter2x»";
var password string = "«hunter2x»"
password string = "«hunter2x»"
Dim password As String = "«hunter2x»"
char password[] = "«hunter2x»";
api_key :::= «9f8e7d6c5b4a39281706»
if (apiKey !== "«9f8e7d6c5b4a39281706»")
data.password = "«Harbor@721»"; o = {{password: {{value: "«Meadow1134!»"}}}}
API-Schlüssel: «056d4ffd3631e6c28ab52f04d344c8860c77dad0»
klucz API: «056d4ffd3631e6c28ab52f04d344c8860c77dad0»
messages.password = "Password needs 8 characters"
password ::= 1*CHAR
if (password !== confirmPassword)
if (password !== "password" && string == "")
string password = "Enter your password";
string password = GetPassword("x");

# values with blanks or braces in quotes
password: "«correct horse battery 9»"
password = '«p{{x}}q w1»'
{{"password": "«a{{b}}c7d»"}}
password = "{{user}} and {{x}}"
password = "{{0}}"

# files of Docker
{{"auths":{{"https://r.example/v1/":{{"auth":"«{USER_AND_PASSWORD}»"}}}}}}
.dockercfg: «{DOCKERCFG}»
".dockerconfigjson": "«{DOCKERCONFIG}»"
content: {DOCKERCONFIG.replace(INNER, f"«{INNER}»")}

# a word that a value touches is no part of it; what only looks like a wallet's address is none
IP«192.168.1.1»text
wallet 1BoatSLRHtKNngkdXEeobR76b53LETtpyU and 0xDe0B295669a9FD93d5F28D9Ec85E40f4cb697BAe
"""


def drawn(form: str, rng: Random) -> str:
    """Characters as SWIFT's registry writes what a country's numbers hold (`4!a6!n`)."""
    kinds = {"n": DIGITS, "a": CAPITALS, "c": DIGITS + CAPITALS}
    return "".join(draw(rng, int(count), kinds[kind]) for count, kind in re.findall(r"(\d+)!?([nac])", form))


def test_an_iban_of_any_country_needs_no_word(detectors: list[Detector]) -> None:
    rng, missed = Random(15), []
    forms = {country: of["bban"] for _, country, _, of, _ in numdb.get("iban").prefixes}
    assert forms.keys() <= banking.COUNTRIES.keys()
    for country, form in forms.items():
        rest = drawn(form, rng)
        number = country + mod97_iban(country, rest) + rest
        wrong = country + f"{(int(number[2:4]) + 1) % 100:02d}" + rest
        grouped = " ".join(number[at : at + 4] for at in range(0, len(number), 4))
        for value in (number, grouped, number.lower(), grouped.replace(" ", "-")):
            for text in (value, f"Overmaken naar {value} aub", f"x,{value};y", f'["{value}"]', f"iban{value}"):
                (found,) = settle(text, detectors[0].find(text)) or [None]
                if found is None or text[found.start : found.end] != value:
                    missed.append((text, found))
        assert all(each.entity != "IBAN_CODE" for each in detectors[0].find(wrong)), wrong
    assert missed == []


def marked(line: str) -> tuple[str, list[str]]:
    """A line of the table without its marks, and what they hold."""
    values = [piece.partition("»")[0] for piece in line.split("«")[1:]]
    return line.replace("«", "").replace("»", ""), values


def test_each_spelling_and_its_sisters_are_found_and_nothing_else(detectors: list[Detector]) -> None:
    wrong = []
    for line in TABLE.split("\n"):
        text, values = marked(line)
        for detector in detectors:
            found = [text[each.start : each.end] for each in settle(text, detector.find(text))]
            if found != values and not line.startswith("#"):
                wrong.append((text, found, values))
    assert not wrong, "\n".join(map(str, wrong))
