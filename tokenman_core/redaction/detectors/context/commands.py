"""Command lines: the options of programs that take a secret."""

import re
from collections.abc import Iterator
from typing import Final

from tokenman_core.redaction.detectors.context import phrases, verdicts
from tokenman_core.redaction.detectors.likely import is_placeholder, is_random, is_strong
from tokenman_core.redaction.detectors.rules.rule import Rule
from tokenman_core.redaction.entities import Finding

_LONG: Final = (
    r"(?:[a-z0-9]+-)*(?:password|passwd|pass|passphrase|token|api-?key|secret|secret-key|access-key|auth-?token"
    r"|apikey|auth|key|credentials|client-secret|bearer)"
)
_NEAR: Final = r"[^\r\n|;&]{0,160}?"
# Programs with a short option for a password: how a line with one begins, and the option, which ends where the value begins.
_OPTIONS: Final = (
    (r"mysql(?:dump|admin|import)?", r"-p"),
    (r"mongo(?:sh|dump|restore|export)?", r"-p ?"),
    (r"redis-cli", r"-a ?"),
    (r"(?:docker|podman|az|oc|helm|buildah|skopeo|crane|nerdctl)\b[^\r\n|;&]{0,60}? login", r"-p ?"),
    (r"ldap(?:search|modify|add|whoami|delete|passwd)", r"-w ?"),
    (r"(?:sqlcmd|bcp|unzip|zip|ipmitool)", r"-P ?"),
    (r"smbclient", r"-U ?[A-Za-z0-9_.\\/-]{1,64}%"),
    (r"(?:psexec|cqlsh|rcon-cli)", r"-p ?"),
    (r"7z[azr]?", r"-p"),
    (r"xfreerdp", r"/p:"),
    (r"net use", r"/user:[A-Za-z0-9_.\\/-]{1,64} "),
    (r"keytool", r"-(?:store|key)pass ?"),
    (r"openssl", r"-k ?"),
    (r"ssh-keygen", r"-[NP] ?"),
    (r"(?:lftp|ncftp[a-z]*)", r"-u ?[^\s,\"']{1,64},"),
    (r"htpasswd", r"-[A-Za-z]{0,4}b[A-Za-z]{0,4} [^\s]{1,128} [^\s]{1,64} "),
)
_SHORT: Final = "|".join(
    (
        *(rf"{program}\b{_NEAR} {option}" for program, option in _OPTIONS),
        r"sshpass -p ?",
        r"pass(?:in|out)? pass:",
        r"aws configure set aws_secret_access_key ",
        r"npm config set [^\s]{0,80}_authToken[= ]",
        r"vault login (?:token=)?",
        r"echo [\"']?[^\s|\"':]{1,64}:(?=[^\s|\"']{4,64}[\"']? ?\| ?(?:sudo )?chpasswd)",
        r"echo [\"']?(?=[^\s|\"']{4,64}[\"']? ?\| ?(?:sudo -S|docker login|passwd))",
    )
)
COMMAND_LINE: Final = Rule(
    "command-line",
    "PASSWORD",
    ("-u", "--", "sshpass", "mysql", "mongo", "redis-cli", "login", "ldap", "sqlcmd", "bcp", "smbclient", "psexec",
        "7z", "zip", "cqlsh", "ipmitool", "rcon",
     "freerdp", "net use", "pass:", "keytool", "openssl", "ssh-keygen", "configure", "_authtoken", "sudo -s", "passwd",
     "docker login", "lftp ", "ncftp", "htpasswd "),
    r"(?:(?:-u|--user|--proxy-user|-U)[ =]?[\"']?[^\s\"':=]{1,64}:[^\s\"']{3}|--[a-z0-9-]{0,40}(?:pass|token|key"
    r"|secret|auth|credentials|bearer)[a-z-]{0,12}[ =][\"']?[^\s\"']{4}"
    r"|sshpass -p|mysql[a-z]{0,8} |mongo[a-z]{0,8} |redis-cli |(?:docker|podman|az|oc|helm|buildah|skopeo|crane"
    r"|nerdctl) [^\r\n|;&]{0,40}login|ldap[a-z]{3,8} |sqlcmd |bcp |smbclient |psexec"
    r"|7z[azr]? |zip |cqlsh |ipmitool |rcon-cli |xfreerdp |net use |pass:|keytool |openssl |ssh-keygen |vault login"
    r"|aws configure set|npm config set|lftp |ncftp|htpasswd |echo [^\r\n|]{4,140}\| ?(?:sudo|docker|passwd|chpasswd))",
    re.compile(
        rf"(?:(?P<user>(?<![A-Za-z0-9_-])(?:-u|--user|--proxy-user|-U)[ =]?(?P<open>[\"'])?[^\s\"':=]{{1,64}}:)"
        rf"|--{_LONG}(?:[ =])[\"']?|(?P<short>{_SHORT})[\"']?)"
        r"(?P<bare>(?(open)[^\s\"']{4,256}(?=(?P=open))"
        r"|(?:(?<=\")[^\"\r\n]{4,256}(?=\")|(?<=')[^'\r\n]{4,256}(?=')|[^\s\"'`;|&()<>\\]{4,256})))"
    ),
    lambda rule, match: _judge(rule, match),
    source="the manuals of those programs",
)  # fmt: skip


# Programs whose option for a user takes the password with it, behind a colon. The rest of a command goes as far as its line, and
# over ends of lines that a backslash takes back; it ends before the next command.
_GIVEN: Final = (
    r"(?:[ \t=]{0,8}|\\{0,3}[\"'],\s{0,8})(?P<open>\\{0,3}[\"'])?(?P<user>[^\s\"':=/\\|;-][^\s\"':/|;]{0,63})?:"
    r"(?P<bare>(?(open)(?:(?!(?P=open))[^\r\n]){0,256}(?=(?P=open))|[^\s\"'`|;&()<>\\]{0,256}))"
)
_OF_CURL: Final = re.compile(rf"(?<=[\s\"',\[(])(?:-[A-Za-z]{{0,6}}[uU]|--user|--proxy-user){_GIVEN}")
_OF_OTHERS: Final = re.compile(rf"(?<=[\s\"',\[(])(?:-[aAP]|--auth){_GIVEN}")
_NO_PASSWORD: Final = frozenset({"", "x", "X", "api_token", "x-oauth-basic"})
"""What stands where the user is a token."""
BASIC_USER: Final = Rule(
    "basic-user",
    "PASSWORD",
    ("curl", "http ", "https ", "xh ", "xhs ", "ab -", "hey -"),
    r"(?:curl[ \t\"'\\]|(?:https?|xhs?) [^\r\n]{0,160}?(?:-a|--auth)[ =]|(?:ab|hey) -)",
    re.compile(
        r"(?<![A-Za-z0-9_.-])(?P<program>curl|https?|xhs?|ab|hey)(?=[ \t\"'\\])"
        r"(?P<rest>(?:[^\r\n|;&\\]|\\(?:\r?\n|.)|[|;&](?![|&\s])){4,800}+)"
    ),
    lambda rule, match: _judge_user(rule, match),
    source="the manuals of curl, HTTPie, ApacheBench",
)


_PASSWORD: Final = re.compile(r"pass(?:word|wd|phrase)?=[\"']?$")
_MOUNT: Final = re.compile(
    r"(?:id|type|src|source|env|target)=[^,\s]{1,64}(?:,|$)"
)  # of a secret that a build is to see


def _judge(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    start = match.start("bare")
    value = match["bare"].rstrip(".,:")
    if match["user"] is not None and (value.startswith("//") or value.replace(":", "").isdigit()):
        return
    if is_placeholder(value) or value.startswith(("-", "$", "/", "./", "@", "~/", "http")):
        return
    if _MOUNT.match(value):
        return
    if " " in value:
        if phrases.is_one(value) or phrases.is_spaced(value):
            yield Finding(start, start + len(value), rule.entity, verdicts.GUESS)
        return
    if match["short"] is not None or match["user"] is not None:
        good = is_strong(value) or is_random(value) or verdicts.password(value, quoted=True) > 0
    else:
        chosen = _PASSWORD.search(match[0], 0, start - match.start()) is not None and phrases.is_word(value)
        good = chosen or (is_strong(value) and any(map(str.isalpha, value)))
    if good:
        key = re.search(r"(?i)token|key|secret|bearer|auth", match[0][: start - match.start()]) is not None
        score = (
            verdicts.token(value, quoted=True)
            if key and match["user"] is None and match["short"] is None
            else verdicts.LIKELY
        )
        if score:
            yield Finding(start, start + len(value), "API_KEY" if key else rule.entity, min(score, verdicts.LIKELY))


def _judge_user(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    options = _OF_CURL if match["program"] == "curl" else _OF_OTHERS
    for given in options.finditer(match.string, *match.span("rest")):
        value = given["bare"]
        if value.startswith(("$", "//", "%", "<", "{{")):
            continue
        if value in _NO_PASSWORD:
            if given["user"] and (score := verdicts.token(given["user"], quoted=True)):
                yield Finding(*given.span("user"), "API_KEY", min(score, verdicts.LIKELY))
        elif not is_placeholder(value):
            yield Finding(*given.span("bare"), rule.entity, verdicts.LIKELY)
