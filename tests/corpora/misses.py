"""Near misses: what looks like personal data or like a secret and is none. Masking it would break programs or puzzle a model.

Each is a text in which `{v}` is drawn by one of the forms; no finding may touch it. Forms and templates are split like the hits'.
"""

import base64
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.corpora.digits import draw, luhn
from tests.corpora.keys import ALPHABETS, fill
from tests.corpora.people import birthday, card_digits

HEX = ALPHABETS["h"]


@dataclass(frozen=True)
class Miss:
    """`group`: whether it looks like personal data (`pii`) or like a secret."""

    id: str
    group: str
    draw: Callable[[Random], str]
    tune: tuple[str, ...]
    report: tuple[str, ...]


def _broken_card(rng: Random) -> str:
    digits = card_digits(rng)
    return digits[:-1] + str((int(digits[-1]) + rng.randrange(1, 10)) % 10)


def _epoch(rng: Random) -> str:
    return str(rng.randrange(1_600_000_000, 1_830_000_000)) + rng.choice(["", draw(rng, 3)])


def _version(rng: Random) -> str:
    return ".".join(
        str(rng.randrange(0, limit)) for limit in rng.choice([(10, 30, 40), (4, 20, 20, 20), (130, 1, 7000, 200)])
    )


def _uuid(rng: Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _decimal(rng: Random) -> str:
    return f"{rng.randrange(0, 90)}.{draw(rng, rng.randrange(12, 17))}"


def _timestamp(rng: Random) -> str:
    day = birthday(rng, 2015, 2027)
    clock = f"{rng.randrange(24):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}"
    return f"{day.isoformat()}{rng.choice('T ')}{clock}{rng.choice(['', 'Z', '+00:00', '.123456', ',482'])}"


def _date(rng: Random) -> str:
    day = birthday(rng, 2015, 2027)
    return rng.choice([day.isoformat(), f"{day:%Y%m%d}", f"{day:%d.%m.%Y}", f"{day:%m/%d/%Y}"])


def _isbn(rng: Random) -> str:
    body = rng.choice(["978", "979"]) + draw(rng, 9)
    check = -sum(int(digit) * (1, 3)[place % 2] for place, digit in enumerate(body)) % 10
    return f"{body[:3]}-{body[3]}-{body[4:8]}-{body[8:]}-{check}" if rng.random() < 0.6 else body + str(check)


def _sri(rng: Random) -> str:
    name, size = rng.choice([("sha256", 32), ("sha384", 48), ("sha512", 64)])
    return f"{name}-{base64.b64encode(rng.randbytes(size)).decode()}"


def _coordinates(rng: Random) -> str:
    return f"{rng.uniform(-90, 90):.6f}, {rng.uniform(-180, 180):.6f}"


def _hexes(*lengths: int) -> Callable[[Random], str]:
    return lambda rng: draw(rng, rng.choice(lengths), HEX)


def _one_of(*forms: str) -> Callable[[Random], str]:
    return lambda rng: fill(rng.choice(forms))(rng)


def _imei(rng: Random) -> str:
    body = "35" + draw(rng, 12)
    return body + luhn(body)


MISSES: tuple[Miss, ...] = (
    # -- looks like personal data --
    Miss("broken-card", "pii", _broken_card, ("order {v} shipped", "row {n}: {v}"), ("invoice no. {v} is open", "id={v}\n", "SELECT * FROM t WHERE id = {v};")),
    Miss("epoch", "pii", _epoch, ("created_at: {v}", '{{"ts": {v}}}'), ("exp={v}", "{v},{n},0.25\n", "lastModified: {v},", "[{v}] boot")),
    Miss("version", "pii", _version, ("upgrade to version {v} today", "foo=={v}"), ("v{v} fixes it", '"left-pad": "^{v}"', "Chrome/{v} Safari/537.36", "release {v} notes")),
    Miss("uuid", "pii", _uuid, ("request {v} failed", '{{"id": "{v}"}}'), ("trace_id={v}", "/v1/items/{v}/tags", "DELETE FROM t WHERE id='{v}'", "urn:uuid:{v}")),
    Miss("sha", "pii", _hexes(7, 40, 64), ("commit {v}", "index {v}..{v} 100644"), ("git checkout {v}", "sha256:{v}", "Merge {v} into main", "{v}  file.tar.gz")),
    Miss("decimal", "pii", _decimal, ("loss: {v}", "x = {v}"), ("[{v}, {v}]", "mean {v} +- 0.1", "<path d=\"M{v} 2l3 4\"/>", "took {v}s")),
    Miss("timestamp", "pii", _timestamp, ("{v} INFO start", "at {v} we left"), ("[{v}] GET /", '"date": "{v}"', "Expires: {v}", "{v}\tok")),
    Miss("date", "pii", _date, ("released {v}", "due on {v}"), ("meeting moved to {v}", "backup-{v}.tar.gz", "since {v} we use it", "| {v} | done |")),
    Miss("isbn", "pii", _isbn, ("ISBN {v}",), ("the book (ISBN: {v}) is good", '"isbn": "{v}"', "isbn={v}")),
    Miss("coordinates", "pii", _coordinates, ("at {v}",), ("lat/lon {v}", '"center": [{v}]', "POINT({v})")),
    Miss("order", "pii", _one_of("{d9}", "{d10}", "{d12}", "PO-{d8}", "{d3}-{d7}-{d7}"), ("order {v}", "ticket #{v}"), ("order number {v} arrived", "invoice {v}", "size={v} bytes", "item SKU {v}", "offset {v}")),
    Miss("loopback", "pii", lambda rng: rng.choice(["127.0.0.1", "0.0.0.0", "255.255.255.0", "::1", "127.0.0.53"]), ("listening on {v}:8080", "ping {v}"), ("bind = {v}", "http://{v}:3000/x", "netmask {v}", "host: '{v}'")),
    Miss("not-mail", "pii", lambda rng: rng.choice(["git@github.com", "icon@2x.png", "@angular/core@17.1.0", "@pytest.fixture", "user@", "react@18.2.0", "@media", "foo@^1.2.3", "actions/checkout@v4", "logo@3x.webp"]), ("use {v}:x", "see {v} there"), ("- uses: {v}", "clone {v}:org/repo.git", "import x from '{v}'", "{v} again")),
    Miss("not-iban", "pii", lambda rng: f"DE00{draw(rng, 18)}", ("part {v}",), ("code {v} here", "SN: {v}")),
    Miss("not-ssn", "pii", lambda rng: f"{rng.choice(['000', '666'])}-{draw(rng, 2)}-{draw(rng, 4)}", ("part {v}",), ("model {v} in stock", "sku: {v}")),
    Miss("digest", "pii", _one_of("sha256:{h64}", "md5:{h32}"), ("FROM node@{v}",), ("image: app@{v}", "etag \"{v}\"")),
    Miss("clock", "pii", lambda rng: f"{rng.randrange(24):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}", ("at {v}",), ("{v} -> started", "00:00:01,000 --> {v},250", "uptime {v}")),
    Miss("scope", "pii", lambda rng: rng.choice(["std::vec::Vec", "a::b::c", "Foo::Bar::baz", "fe::de::ad", "::before", "abc::def::fed"]), ("use {v};",), ("{v} is a path", "call {v}()")),
    Miss("range", "pii", lambda rng: f"{rng.randrange(1000000, 5000000)}-{rng.randrange(5000000, 9999999)}", ("bytes={v}",), ("Content-Range: bytes {v}/99999999", "pages {v}")),
    Miss("color", "pii", _one_of("#{h6}", "#{h8}", "0x{h8}", "0x{h16}"), ("color: {v};",), ("fill=\"{v}\"", "at address {v}", "mask = {v}")),
    Miss("imei-like", "pii", _imei, ("device serial {v}",), ("tracking number {v}", "serial: {v}")),
    Miss("path", "pii", lambda rng: f"/home/user{rng.randrange(100)}/src/{rng.choice(['main', 'lib'])}_{draw(rng, 8)}.py", ("open {v}",), ('File "{v}", line {n}', "cat {v}")),
    Miss("id-in-url", "pii", _one_of("{d10}", "{d16}", "{d18}"), ("https://example.com/p/{v}",), ("https://example.com/status/{v}?s=20", "GET /v2/orders/{v}/items")),
    Miss("float-list", "pii", lambda rng: ", ".join(f"{rng.random():.8f}" for _ in range(6)), ("[{v}]",), ("embedding: [{v}]", "np.array([{v}])")),
    # -- looks like a secret --
    Miss("placeholder", "secret", lambda rng: rng.choice(["your-api-key", "<token>", "${API_KEY}", "xxxxxxxxxxxx", "$TOKEN", "{{ api_key }}", "YOUR_API_KEY_HERE", "changeme", "********", "..."]), ("API_KEY={v}", 'token: "{v}"'), ("api_key = '{v}'", 'Authorization: Bearer {v}', "export SECRET={v}", 'password: "{v}"')),
    Miss("look-up", "secret", lambda rng: rng.choice(["os.environ['API_KEY']", "process.env.TOKEN", "getenv('SECRET')", "config.get('password')", "vault.read(path)", "settings.SECRET_KEY", "req.body.password", "secrets.token_hex(16)", "ENV.fetch('KEY')", "${{ secrets.GH_TOKEN }}"]), ("api_key = {v}", "token: {v}"), ("password = {v}", "const secret = {v};", "  TOKEN: {v}", "client_secret={v},")),
    Miss("uuid", "secret", _uuid, ("session id {v}", '"uuid": "{v}"'), ("x-request-id: {v}", "correlationId={v}", "tenant: {v}", "deployment {v} ready")),
    Miss("sha", "secret", _hexes(32, 40, 64), ("commit {v}", "md5 {v}"), ("HEAD is now at {v}", "checksum = \"{v}\"", "--hash=sha256:{v}", "rev: {v}", "ETag: W/\"{v}\"")),
    Miss("sri", "secret", _sri, ('"integrity": "{v}"',), ("integrity: {v}", "<script integrity=\"{v}\">", "script-src '{v}'")),
    Miss("go-sum", "secret", lambda rng: f"h1:{base64.b64encode(rng.randbytes(32)).decode()}", ("golang.org/x/net v0.1.0 {v}",), ("github.com/pkg/errors v0.9.1/go.mod {v}",)),
    Miss("object-id", "secret", _one_of("msg_01{a22}", "toolu_01{a22}", "call_{a24}", "chatcmpl-{a29}", "req_{a24}", "cus_{a14}", "pi_{a24}", "evt_{a24}", "resp_{h48}", "run_{a24}", "asst_{a24}", "file-{a24}", "price_{a24}"), ("id {v}", '{{"id":"{v}"}}'), ('"tool_use_id": "{v}"', "see {v} in the dashboard", "object={v} livemode=true", "previous: {v}")),
    Miss("public-key", "secret", lambda rng: f"ssh-{rng.choice(['ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI', 'rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ'])}{draw(rng, 43, ALPHABETS['b'])} ann", ("{v}\n",), ("authorized_keys:\n  - {v}\n", "echo '{v}' >> keys")),
    Miss("certificate", "secret", lambda rng: "-----BEGIN CERTIFICATE-----\n" + "\n".join(draw(rng, 64, ALPHABETS["b"]) for _ in range(5)) + "\n-----END CERTIFICATE-----", ("{v}\n",), ("ca.crt: |\n{v}\n", "pem = \"\"\"{v}\"\"\"")),
    Miss("public-pem", "secret", lambda rng: "-----BEGIN PUBLIC KEY-----\n" + draw(rng, 64, ALPHABETS["b"]) + "\n-----END PUBLIC KEY-----", ("{v}\n",), ("key:\n{v}\n",)),
    Miss("annotation", "secret", lambda rng: rng.choice(["str | None = None", "Optional[str]", "string;", "SecretStr", "Option<String>,", "&str", "char *", "String?", "bytes"]), ("password: {v}", "token: {v}"), ("api_key: {v}", "secret: {v}", "private_key: {v}", "auth_token: {v}")),
    Miss("prose", "secret", lambda rng: rng.choice(["required", "incorrect", "stored hashed", "too short", "never logged", "rotated monthly", "sent by post", "case-sensitive", "not shared", "optional here"]), ("the password is {v}", "the token is {v}"), ("your password was {v}", "an API key is {v}.", "The secret must be {v}", "passwords are {v}")),
    Miss("trace", "secret", lambda rng: f"00-{draw(rng, 32, HEX)}-{draw(rng, 16, HEX)}-01", ("traceparent: {v}",), ("traceparent={v}", "span {v} ended")),
    Miss("image", "secret", lambda rng: "data:image/png;base64,iVBORw0KGgo" + draw(rng, 300, ALPHABETS["b"]), ("![x]({v})",), ("src=\"{v}\"", "url({v})")),
    Miss("name", "secret", lambda rng: rng.choice(["tokenizer", "max_tokens", "password_field", "SecretManager", "apiKeyName", "keyboard", "monkeypatch", "access_token_url", "passwordHash", "csrf_token_name"]), ("{v} = value", "def {v}(x):"), ("self.{v} = other.{v}", "{v}: 4096", "import {v}", "<{v}>text</{v}>")),
    Miss("comparison", "secret", lambda rng: rng.choice(["other.password", "''", "None", "hashed", "user.password", "null"]), ("if password == {v}:",), ("assert token != {v}", "while (secret === {v}) {{}}")),
    Miss("pod", "secret", _one_of("web-{l10}-{l5}", "api-7d9f{l6}-x{l4}", "job-{d8}-{l5}"), ("pod/{v} created",), ("kubectl logs {v}", "evicted {v} from node")),
    Miss("digest", "secret", lambda rng: f"sha256:{draw(rng, 64, HEX)}", ("pull app@{v}",), ("Digest: {v}", '"RepoDigests": ["x@{v}"]')),
    Miss("css", "secret", lambda rng: f"css-{draw(rng, 7, ALPHABETS['l'])}", ("class=\"{v}\"",), ("<div class='a {v}'>", ".{v} {{ margin: 0 }}")),
    Miss("chunk", "secret", lambda rng: f"main.{draw(rng, 20, HEX)}.js", ("GET /static/{v}",), ("<script src='/{v}'></script>", "emitted {v} (12 kB)")),
    Miss("s3", "secret", lambda rng: f"https://bucket.s3.amazonaws.com/{draw(rng, 32, HEX)}/photo.jpg", ("see {v}",), ("img: {v}", "download {v} first")),
    Miss("translation", "secret", lambda rng: rng.choice(["Enter your password", "Forgot password?", "Passwort vergessen", "Invalid token", "API key missing", "Please sign in"]), ('"password": "{v}"',), ('"token_error": "{v}"', 'passwordLabel: "{v}",', "<label for=password>{v}</label>")),
    Miss("policy", "secret", lambda rng: rng.choice(["min 12 characters", "8-64 chars", "at least one digit", "sha256", "bcrypt", "argon2id"]), ("password: {v}",), ("password_policy: {v}", "password hash: {v}", "Passwords use {v} now")),
    Miss("arn", "secret", lambda rng: f"arn:aws:secretsmanager:eu-west-1:{draw(rng, 12)}:secret:prod/db-{draw(rng, 6, ALPHABETS['a'])}", ("secret_arn = \"{v}\"",), ("SECRET_ARN={v}", "policy for {v}")),
    Miss("mongo-id", "secret", _hexes(24), ("_id: ObjectId('{v}')",), ("\"_id\": \"{v}\"", "/users/{v}")),
    Miss("client-id", "secret", _one_of("{d12}-{l32}.apps.googleusercontent.com", "{h20}"), ("client_id={v}",), ("\"client_id\": \"{v}\"", "GITHUB_CLIENT_ID={v}")),
    Miss("publishable", "secret", _one_of("pk_live_{a24}", "pk_test_{a24}"), ("stripe.js {v}",), ("Stripe('{v}')", "NEXT_PUBLIC_STRIPE={v}")),
    Miss("file-name", "secret", lambda rng: rng.choice(["./secrets/api_key.txt", "/run/secrets/db_password", "~/.ssh/id_rsa", "certs/token.json", "secret.yaml"]), ("password_file: {v}", "key={v}"), ("POSTGRES_PASSWORD_FILE={v}", "private_key: {v}", "--token-file {v}")),
)  # fmt: skip
