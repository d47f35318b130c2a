"""Surroundings for values: prose in many languages, code in many, data, logs, shells, mail. No two parts share a template.

In a template `{v}` is the value, `{label}` what prose calls it, `{snake}`, `{camel}` and `{UPPER}` its name in programs and data,
`{n}`, `{id}`, `{hex}`, `{when}`, `{word}` noise drawn anew each time. `how`: how a value is written there.
"""

import html
import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote


def _plain(value: str) -> str:
    return value


def _json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _json_twice(value: str) -> str:
    return _json(_json(value))


def _url(value: str) -> str:
    return quote(value, safe="")


def _xml(value: str) -> str:
    return html.escape(value, quote=False)


def _at(code: str) -> Callable[[str], str]:
    return lambda value: value.replace("@", code).replace("-", "%2D" if code == "%40" else "-")


def _narrow(value: str) -> str:
    """A zero-width space in the middle."""
    return value[: len(value) // 2] + "\u200b" + value[len(value) // 2 :]


def _wide(value: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in value)


WRITTEN: dict[str, Callable[[str], str]] = {
    "plain": _plain, "json": _json, "json2": _json_twice, "url": _url, "xml": _xml, "escaped-at": _at("\\u0040"), "entity-at": _at("&#64;"),
    "narrow": _narrow, "wide": _wide,
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """`language`: of a prose template; "" where names of programs and data are used. `one_line`: no value of several lines."""

    id: str
    text: str
    language: str = ""
    how: str = "plain"
    one_line: bool = True


def _list(prefix: str, *texts: str, language: str = "", how: str = "plain", one_line: bool = True) -> tuple[Place, ...]:
    return tuple(Place(f"{prefix}-{number}", text, language, how, one_line) for number, text in enumerate(texts))


# -- what a value is called stands beside it --

LABELLED: dict[str, tuple[Place, ...]] = {
    "tune": (
        *_list(
            "prose-en",
            "Hi, my {label} is {v}. Can you update the account?",
            "{label}: {v}",
            "The {label} on file ({v}) looks wrong to me, please check it before Friday.",
            "Customer called at {when}. {label} {v}, wants a refund of {n} dollars for order {id}.",
            "- Name: {word}\n- {label}: {v}\n- Notes: prefers mornings\n",
            language="en",
        ),
        *_list("prose-de", "Meine {label} lautet {v}, bitte tragen Sie das ein.", "{label}: {v}\nVielen Dank und freundliche Grüße", language="de"),
        *_list("prose-fr", "Mon {label} est {v}, merci de le mettre à jour.", "{label} : {v}", language="fr"),
        *_list("prose-es", "Mi {label} es {v}, gracias.", "{label}: {v}", language="es"),
        *_list("prose-it", "Il mio {label} è {v}, grazie mille.", "{label}: {v}", language="it"),
        *_list("prose-pt", "Meu {label} é {v}, obrigado.", "{label}: {v}", language="pt"),
        *_list("prose-nl", "Mijn {label} is {v}, alvast bedankt.", "{label}: {v}", language="nl"),
        *_list("prose-pl", "Mój {label} to {v}, dziękuję.", "{label}: {v}", language="pl"),
        *_list("prose-ja", "私の{label}は{v}です。", "{label}:{v}", language="ja"),
        *_list("prose-zh", "我的{label}是{v}，谢谢。", "{label}：{v}", language="zh"),
        *_list("prose-ko", "제 {label}는 {v}입니다.", "{label}: {v}", language="ko"),
        *_list("prose-ru", "Мой {label}: {v}, спасибо.", "{label} {v}", language="ru"),
        *_list("json", '{{"id": {n}, "{snake}": "{v}", "active": true}}', '{{"{camel}":"{v}"}}', how="json"),
        *_list("json2", '{{"arguments": "{{\\"{snake}\\": \\"{v}\\", \\"limit\\": {n}}}"}}', how="json2"),
        *_list("data", "customer:\n  name: {word}\n  {snake}: {v}\n  since: 2021\n", "{UPPER}={v}\nDEBUG=1\n", "[user]\n{snake} = {v}\n"),
        *_list(
            "code",
            'const {camel} = "{v}"; // seen in {id}',
            '{snake} = "{v}"\nassert check({snake})\n',
            '    private static final String {UPPER} = "{v}";\n',
            '\t{camel} := "{v}"\n\tfmt.Println({camel})\n',
            "$user['{snake}'] = '{v}';",
        ),
        *_list("log", "{when} INFO  update user={n} {snake}={v} status=ok took=12ms", '{when} [worker-3] WARN bad {label} "{v}" (request {id})'),
        *_list("table", "| name | {label} |\n|---|---|\n| {word} | {v} |\n", "name,{snake},city\n{word},{v},Bern\n"),
        *_list("diff", '@@ -10,7 +10,7 @@ fixtures\n-  "{snake}": null,\n+  "{snake}": "{v}",\n   "x": {n}\n', "@@ -1,2 +1,3 @@\n name,{snake}\n+{word},{v}\n"),
        *_list("mail", "Subject: details\n\nDear support,\n\nas asked, here is my {label}: {v}.\n\nBest,\n{word}\n", language="en"),
    ),
    "report": (
        *_list(
            "prose-en",
            "We have your {label} as {v} - is that still right?",
            "please use {label} = {v} when you file the form",
            "Q: what was the {label} again?\nA: {v}",
            "For the record, {label} {v} belongs to {word} since last spring, and nobody else should use it.",
            "I typed {v} as my {label} and the page said it was invalid.",
            "**{label}**: `{v}`",
            language="en",
        ),
        *_list("prose-de", "Die {label} von Frau {word} ist {v}.", "Bitte notieren: {label} {v}; Rückfragen gern.", language="de"),
        *_list("prose-fr", "Voici le {label} de la cliente : {v}.", "Merci de vérifier le {label} ({v}).", language="fr"),
        *_list("prose-es", "El {label} del cliente: {v}.", "Anota por favor el {label} {v} en la ficha", language="es"),
        *_list("prose-it", "Ecco il {label} del cliente: {v}.", "Confermo {label} {v}, a presto", language="it"),
        *_list("prose-pt", "O {label} do cliente: {v}.", "Confirme o {label} {v}, por favor", language="pt"),
        *_list("prose-nl", "Het {label} van de klant: {v}.", "Graag {label} {v} controleren", language="nl"),
        *_list("prose-pl", "Oto {label} klienta: {v}.", "Proszę sprawdzić {label} {v}", language="pl"),
        *_list("prose-ja", "お客様の{label}：{v}（確認済み）", "{label}を{v}に変更してください", language="ja"),
        *_list("prose-zh", "客户的{label}：{v}，请核对。", "请把{label}改成{v}", language="zh"),
        *_list("prose-ko", "고객 {label}: {v} 확인 바랍니다", "{label}를 {v}(으)로 바꿔 주세요", language="ko"),
        *_list("prose-ru", "Укажите {label} {v} в заявке.", "{label} клиента: {v}", language="ru"),
        *_list("json", '[{{"type":"contact","{camel}":"{v}","n":{n}}}]', '{{\n  "form": {{\n    "{snake}": "{v}"\n  }}\n}}', how="json"),
        *_list("json2", '{{"output":"{{\\"rows\\":[{{\\"{camel}\\":\\"{v}\\"}}]}}"}}', how="json2"),
        *_list("data", "people:\n- {snake}: '{v}'\n  id: {n}\n", "export {UPPER}='{v}'\n", "{snake}: {v}\r\n", "<{camel}>{v}</{camel}>", how="xml"),
        *_list(
            "code",
            'let {camel}: String = "{v}".into();',
            'puts({{ {snake}: "{v}" }})\n',
            "INSERT INTO person (id, {snake}) VALUES ({n}, '{v}');",
            'var {camel} = @"{v}"; Assert.True(Check({camel}));',
            'val {camel} = "{v}"\nprintln(valid({camel}))\n',
            "expect(form.{camel}).toBe('{v}')",
        ),
        *_list("log", "[{when}] audit: {snake} changed to {v} by admin#{n}", "level=info ts={when} msg=\"profile saved\" {camel}=\"{v}\" trace={hex}"),
        *_list("table", "id\t{snake}\n{n}\t{v}\n", "<tr><th>{label}</th><td>{v}</td></tr>", "{word};{snake};{v};ok\n"),
        *_list("diff", "--- a/people.csv\n+++ b/people.csv\n@@ -1 +1,2 @@\n id,{snake}\n+{n},{v}\n"),
        *_list("mail", "> On Monday {word} wrote:\n> my {label} is now {v},\n> please change it\n\nDone.\n", language="en"),
        *_list("chat", "<user>: sure, {label} {v}\n<agent>: thanks, one moment", language="en"),
    ),
}  # fmt: skip

# -- nothing beside it says what it is --

BARE: dict[str, tuple[Place, ...]] = {
    "tune": (
        *_list(
            "bare",
            "{v}",
            "Please look at {v} and tell me what you think.",
            "{word} ({v}), {n} items",
            "ping {v}?",
            "{when} INFO handled {v} in 12 ms",
            "| {word} | {v} | yes |\n",
            "see <{v}>, and thanks",
            '["{v}", "{word}"]',
            "请联系{v}。",
            "+ {v}\n- none\n",
            "a={v}&b=1",
        ),
    ),
    "report": (
        *_list(
            "bare",
            "it is {v}.",
            "{word}, {v}, {word}",
            "try\n{v}\nor ask {word}",
            "\"{v}\"",
            "* {v} — confirmed\n* none\n",
            "return ('{v}', {n})",
            "把{v}加入名单",
            "{{'k': '{v}'}}",
            "I forwarded everything from {word} to {v} yesterday; no answer so far!",
            "{n}\t{v}\t{word}\n",
            "<p>{v}</p>",
            "{v}; {word}; {v2}",
        ),
    ),
}  # fmt: skip

DISGUISED: dict[str, tuple[Place, ...]] = {
    "tune": (
        *_list("url", "https://shop.example.net/find?q={v}&page=2", how="url"),
        *_list("escaped", '{{"to": "{v}"}}', how="escaped-at"),
        *_list("entity", "<a>{v}</a>", how="entity-at"),
        *_list("narrow", "write to {v} please", how="narrow"),
        *_list("wide", "写信给{v}", how="wide"),
    ),
    "report": (
        *_list("url", "GET /v1/users?mail={v} HTTP/1.1", how="url"),
        *_list("escaped", "data: {{\"text\":\"mail {v} now\"}}", how="escaped-at"),
        *_list("entity", "<td class='c'>{v}</td>", how="entity-at"),
        *_list("narrow", "({v}) is mine", how="narrow"),
        *_list("wide", "「{v}」まで", how="wide"),
    ),
}  # fmt: skip

# -- secrets under their names: `{NAME}` as it is kept, `{name}` in lower case, `{key}` in camel case --

NAMED: dict[str, tuple[Place, ...]] = {
    "tune": (
        *_list("env", "{NAME}={v}\n", 'export {NAME}="{v}"', "# keys\nPORT=8080\n{NAME}='{v}'\nLOG=debug\n"),
        *_list("yaml", "env:\n  {NAME}: {v}\n  MODE: prod\n", '  - name: {NAME}\n    value: "{v}"\n'),
        *_list("json", '{{"{name}": "{v}", "debug": false}}', '{{"{key}":"{v}"}}', how="json", one_line=False),
        *_list("json2", '{{"arguments":"{{\\"{name}\\":\\"{v}\\"}}"}}', how="json2"),
        *_list(
            "code",
            '{name} = "{v}"',
            'os.environ["{NAME}"] = "{v}"',
            "const {key} = '{v}';",
            'private String {key} = "{v}";',
            '{key} := "{v}"',
            "define('{NAME}', '{v}');",
            'client = Client({name}="{v}", timeout={n})',
        ),
        *_list("shell", "$ export {NAME}={v}\n$ ./deploy.sh\n", "docker run -e {NAME}={v} app:1.2", "heroku config:set {NAME}={v}"),
        *_list("prose", "my {say} is {v}, does it work for you?", "The {say}: {v}", "use {v} as the {say}", language="en"),
        *_list("log", "{when} DEBUG loaded {NAME}={v} from .env"),
        *_list("diff", "-{NAME}=\n+{NAME}={v}\n"),
        *_list("ini", "[prod]\n{name} = {v}\nregion = eu\n"),
    ),
    "report": (
        *_list("env", "{NAME}={v} # rotate me\n", "set {NAME}={v}\r\n", "A=1\n{NAME}=\"{v}\"\nB=2"),
        *_list("yaml", "secrets:\n  {name}: '{v}'\n", "{key}: {v}\nreplicas: 2\n", "      {NAME}: \"{v}\"\n"),
        *_list("json", '{{\n  "{key}": "{v}",\n  "n": {n}\n}}', '[{{"{NAME}":"{v}"}}]', how="json", one_line=False),
        *_list("json2", '{{"content":"wrote {{\\"{key}\\": \\"{v}\\"}} to disk"}}', how="json2"),
        *_list(
            "code",
            'let {key} = "{v}".to_string();',
            'ENV["{NAME}"] ||= "{v}"',
            'val {key} = "{v}"',
            'var {key} = "{v}";',
            "$config['{name}'] = '{v}';",
            'static let {key} = "{v}"',
            "  {key}: '{v}',\n  retries: {n},\n",
            'setenv("{NAME}", "{v}", 1);',
        ),
        *_list("shell", "{NAME}='{v}' npm run release", "kubectl create secret generic s --from-literal={NAME}='{v}'", "gh secret set {NAME} --body '{v}'", "ENV {NAME}={v}"),
        *_list("prose", "here is the {say} you asked for: {v}", "I put the {say} ({v}) into the vault", "new {say} -> {v} <- old one is gone", language="en"),
        *_list("log", "level=debug msg=env {NAME}={v} ok=true"),
        *_list("diff", "@@ -3 +3 @@\n-  {key}: process.env.{NAME},\n+  {key}: '{v}',\n"),
        *_list("xml", '<property name="{name}" value="{v}"/>', "<{key}>{v}</{key}>", how="xml"),
        *_list("terraform", '  {name} = "{v}"\n  region   = "eu-west-1"\n'),
        *_list("table", "| {NAME} | `{v}` |\n"),
    ),
}  # fmt: skip

BEARERS: dict[str, tuple[Place, ...]] = {
    "tune": _list("bearer", "Authorization: Bearer {v}", 'curl -H "Authorization: Bearer {v}" https://api.example.com/v1', '{{"Authorization": "Bearer {v}"}}'),
    "report": _list("bearer", "> authorization: bearer {v}\n> accept: */*", "headers = {{'Authorization': 'Bearer {v}'}}", "req.Header.Set(\"Authorization\", \"Bearer {v}\")", "http --auth-type bearer Authorization:'Bearer {v}' :8080"),
}  # fmt: skip
BASICS: dict[str, tuple[Place, ...]] = {
    "tune": _list("basic", "Authorization: Basic {v}"),
    "report": _list("basic", '"authorization": "Basic {v}"', "proxy-authorization: basic {v}\r\n"),
}
PASSWORDS: dict[str, tuple[Place, ...]] = {
    "tune": (
        *_list(
            "spoken",
            "the password is {v}",
            "Password: {v}",
            "log in as bob, password {v}, then reboot",
            "I changed the root password to {v}",
            "pw: {v}",
            language="en",
        ),
        *_list("spoken-de", "das Passwort lautet {v}", "Kennwort: {v}", language="de"),
        *_list("spoken-fr", "le mot de passe est {v}", language="fr"),
        *_list("spoken-es", "la contraseña es {v}", language="es"),
        *_list("spoken-zh", "密码是{v}", language="zh"),
        *_list("command", "curl -u 'admin:{v}' https://x.example", "mysql -u root --password='{v}' shop", "sshpass -p '{v}' ssh ann@10.2.3.4"),
        *_list("url", "https://deploy:{v}@git.example.net/x.git", how="url"),
        *_list("sql", "CREATE USER app WITH PASSWORD '{v}';"),
    ),
    "report": (
        *_list(
            "spoken",
            "its password was {v} last week",
            "username: ann / password: {v}",
            "creds -> ann : {v} (password)",
            "the new Wi-Fi password: {v}",
            "passphrase {v} unlocks it",
            "My password is '{v}'.",
            language="en",
        ),
        *_list("spoken-de", "Passwort ist {v}, bitte ändern", "mit dem Passwort {v} anmelden", language="de"),
        *_list("spoken-fr", "mot de passe : {v}", language="fr"),
        *_list("spoken-es", "contraseña: {v}", language="es"),
        *_list("spoken-it", "la password è {v}", language="it"),
        *_list("spoken-pt", "a senha é {v}", language="pt"),
        *_list("spoken-zh", "密码：{v}", language="zh"),
        *_list("spoken-ja", "パスワードは{v}です", language="ja"),
        *_list("spoken-ru", "пароль: {v}", language="ru"),
        *_list("command", "wget --user=ann --password='{v}' ftp://x.example/f", "PGPASSWORD='{v}' psql -h db shop", "redis-cli -h cache -a '{v}' ping", "mysqldump -uroot -p'{v}' shop"),
        *_list("url", "ftp://ann:{v}@files.example.org/in", how="url"),
        *_list("sql", "ALTER USER root IDENTIFIED BY '{v}';"),
        *_list("netrc", "machine git.example.net login ann password {v}\n"),
        *_list("pgpass", "db.internal:5432:shop:app:{v} # .pgpass password\n"),
        *_list("properties", "spring.datasource.password={v}\n", "Server=db;Database=shop;User Id=sa;Password={v};Encrypt=true"),
    ),
}  # fmt: skip
CONNECTIONS: dict[str, tuple[Place, ...]] = {
    "tune": _list("connect", "{NAME}={v}", 'create_engine("{v}")', "connect to {v} please"),
    "report": _list("connect", "url: {v}\npool: 5\n", "psql '{v}'", '{{"dsn": "{v}"}}', 'sql.Open("db", "{v}")'),
}
LONG: dict[str, tuple[Place, ...]] = {
    "tune": (*_list("pem", "{v}\n", "here is the key:\n{v}\nthanks", one_line=False), *_list("pem-json", '{{"private_key": "{v}\\n"}}', how="json", one_line=False)),
    "report": (*_list("pem", "cat > id_rsa <<EOF\n{v}\nEOF\n", "tls.key: |\n{v}\n", one_line=False), *_list("pem-json", '{{"content":[{{"type":"text","text":"{v}"}}]}}', how="json", one_line=False)),
}  # fmt: skip
