"""Addresses that hold a secret: user info of URLs, connection strings of databases and of clouds, JDBC, DSN."""

import re
from collections.abc import Iterator
from typing import Final

from tokenman_core.redaction.detectors.context import verdicts
from tokenman_core.redaction.detectors.likely import is_placeholder
from tokenman_core.redaction.detectors.rules.rule import Rule
from tokenman_core.redaction.entities import Finding

_DATABASES: Final = re.compile(
    r"(?i)(?:jdbc:)?(?:postgres(?:ql)?|pgsql|mysql|mysqlx|mariadb|mongodb|redis|rediss|valkey|amqps?|mssql"
    r"|sqlserver|oracle|cockroach(?:db)?|clickhouse|"
    r"cassandra|scylla|neo4j|neo4js|bolt|ldaps?|smtps?|imaps?|pop3s?|couchdb|couchbases?|nats|mqtts?|kafka"
    r"|snowflake|db2|trino|presto|hive|impala|vertica|"
    r"redshift|bigquery|databricks|influxdb|memcached?|rabbitmq|stomp|libsql|sqlite|firebird|sybase|teradata"
    r"|exasol|rqlite|arangodb|surrealdb|tds|jtds|"
    r"elasticsearch|opensearch|es|http\+unix|ftps?|sftp|ssh|cql|ch|dremio|duckdb|motherduck|edgedb|gel|crate"
    r"|tidb|vitess|yugabyte|ydb|druid|pinot|singlestore)"
    r"(?:\+[a-z0-9_]+)*$"
)

USER_INFO: Final = Rule(
    "user-info",
    "CONNECTION_STRING",
    ("://",),
    r"[a-z][a-z0-9+.]{1,24}://[^\s/@\"'<>]{0,128}:[^\s@\"'<>]{1,256}@",
    re.compile(
        r"(?P<scheme>[a-z][a-z0-9+.]{1,24})://(?P<user>[^\s/@:\"'<>`]{0,128}):(?P<bare>[^\s@\"'<>`]{1,256})@(?:(?P<more>[^\s@/\"'<>`]{0,64})@(?=[\w.-]+[:/]))?"
        r"(?P<rest>[^\s\"'<>`\\)\],;]{0,512}(?:,[A-Za-z0-9.-]{1,128}:\d{2,5}[^\s\"'<>`\\)\],;]{0,256}){0,8})",
        re.IGNORECASE,
    ),
    lambda rule, match: _judge_user_info(rule, match),
    caseless=True,
    source="RFC 3986 §3.2.1",
)
TOKEN_USER: Final = Rule(
    "user-info-token",
    "API_KEY",
    ("://",),
    r"https?://[A-Za-z0-9_-]{20,128}@",
    re.compile(r"https?://(?P<bare>[A-Za-z0-9_-]{20,128})@", re.IGNORECASE),
    lambda rule, match: _judge_token_user(rule, match),
    caseless=True,
    source="a token as the user of an address, as git and Sentry write it",
)

_KEY_WORD: Final = (
    r"server|data source|datasource|addr(?:ess)?|host(?:name)?|endpoint|accountendpoint|defaultendpointsprotocol"
    r"|driver|dsn|provider|initial catalog"
    r"|database|uid|user id|userid|username|user|accountname|blobendpoint|instrumentationkey|network address"
    r"|trusted_connection|jdbc url|port"
)
PAIRS: Final = Rule(
    "connection-pairs",
    "CONNECTION_STRING",
    ("server", "source", "addr", "host", "endpoint", "driver", "dsn", "provider", "catalog", "database", "uid", "user",
        "accountname", "port",
     "instrumentationkey"),
    rf"(?:{_KEY_WORD})[ ]?=[ ]?[^;\r\n\"'<>]{{1,200}};",
    re.compile(
        r"(?P<all>(?:[A-Za-z][A-Za-z0-9 ._-]{0,40}=(?:\{[^{}\r\n]{0,128}\}|'[^'\r\n]{0,128}'"
        r"|\\?\"[^\"\r\n]{0,128}\"|[^;\r\n\"'<>`]{0,512})(?:;[ ]?|(?=[\"'`\s<]|\Z))){2,24}+)"
    ),
    lambda rule, match: _judge_pairs(rule, match),
    caseless=True,
    source="ADO.NET, ODBC, Azure connection strings",
)  # fmt: skip
KEYWORDS: Final = Rule(
    "connection-keywords",
    "CONNECTION_STRING",
    ("host=", "hostaddr=", "dbname=", "user=", "port="),
    r"(?:host|hostaddr|dbname|user|port)=[^\s\"'=]{1,128} [a-z_]{2,24}=",
    re.compile(
        r"(?:[a-z_]{2,24} ?= ?(?:'(?:[^'\\\r\n]|\\.){0,128}'|[^\s\"'`=]{1,256})(?: (?=[a-z_]{2,24} ?=)"
        r"|(?=[\"'`\s,;)]|\Z))){3,16}+"
    ),
    lambda rule, match: _judge_keywords(rule, match),
    source="libpq §34.1.1.1",
)
JDBC: Final = Rule(
    "jdbc",
    "CONNECTION_STRING",
    ("jdbc:",),
    r"jdbc:[a-z0-9]{2,20}:",
    re.compile(r"jdbc:[a-z0-9]{2,20}:[^\s\"'<>`]{6,1024}"),
    lambda rule, match: _judge_jdbc(rule, match),
    source="JDBC",
)
DSN: Final = Rule(
    "dsn",
    "CONNECTION_STRING",
    ("@tcp(", "@unix(", "@(", "@//"),
    r"[A-Za-z0-9_.-]{1,64}[:/][^\s\"'`@]{1,128}@(?:tcp\(|unix\(|\(|//)[A-Za-z0-9/]",
    re.compile(
        r"(?<![A-Za-z0-9_.-])(?P<user>[A-Za-z0-9_.-]{1,64})[:/](?P<bare>[^\s\"'`@]{1,128})@(?:(?:tcp"
        r"|unix)?\([^\s()\"'`]{1,128}\)/[^\s\"'`;,<>]{0,256}"
        r"|//[A-Za-z0-9.-]{1,128}(?::\d{2,5})?/[A-Za-z0-9_.-]{1,64})"
    ),
    lambda rule, match: _judge_dsn(rule, match),
    source="go-sql-driver, Oracle EZConnect",
)

_SECRET_PAIR: Final = re.compile(
    r"(?i)(?:^|[;?&, ])\s{0,2}(?:\w{0,24}(?:password|pwd|passwd)|accountkey|sharedaccesskey"
    r"|sharedaccesssignature|secret|sas|access ?key|auth ?token|token|key)"
    r"[ ]?=[ ]?(?P<value>'[^']*'|\\?\"[^\"]*\"|\{[^{}]*\}|[^;&\s]+)"
)


def _end(text: str, start: int, end: int) -> int:
    """Without what ends the sentence that a connection string stands in."""
    return start + len(text[start:end].rstrip(".,:!?"))


def _real(value: str) -> bool:
    value = value.strip("'\"\\")
    if value.startswith("{") and value.endswith("}") and any(char.isdigit() or char in "!@#$%^&*;" for char in value):
        value = value[1:-1]
    if value.startswith(("(", "[")) or ("\\" in value[:-1] and value.rstrip("+*?)")[-1:] in ("]", "}")):
        return False  # a regular expression
    return bool(value) and not is_placeholder(value) and not value.startswith(("<", "${", "$(", "%(", "#{", "{{"))


def _judge_user_info(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    value = match["bare"]
    if "/" in value and not _is_password_with_slash(match):
        return
    if is_placeholder(value) or not _real(value) or (value.isdigit() and "/" in match["user"]):
        return
    if _DATABASES.match(match["scheme"]):
        yield Finding(match.start(), _end(match.string, match.start(), match.end("rest")), rule.entity)
    else:
        yield Finding(
            match.start("bare"),
            match.end("more") if match["more"] is not None else match.end("bare"),
            "PASSWORD",
            verdicts.SURE,
        )


def _is_password_with_slash(match: re.Match[str]) -> bool:
    """Whether what looks like a path before an @ is a password after all: no port stands before its first slash."""
    return (
        not match["bare"].split("/")[0].isdigit()
        and bool(_DATABASES.match(match["scheme"]))
        and "//" not in match["bare"]
    )


def _judge_token_user(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    if score := verdicts.token(match["bare"], quoted=True):
        yield Finding(*match.span("bare"), rule.entity, min(score, verdicts.LIKELY))


def _judge_pairs(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    if any(_real(pair["value"]) for pair in _SECRET_PAIR.finditer(match["all"])):
        yield Finding(
            match.start(), match.start() + len(match["all"].rstrip(" ").rstrip(".,")), rule.entity, verdicts.SURE
        )


def _judge_keywords(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    pairs = dict(re.findall(r"([a-z_]{2,24}) ?= ?('(?:[^'\\]|\\.)*'|\S+)", match[0]))
    if _real(pairs.get("password", "")) and pairs.keys() & {"host", "hostaddr", "dbname", "user"}:
        yield Finding(match.start(), _end(match.string, match.start(), match.end()), rule.entity, verdicts.SURE)


def _judge_jdbc(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    value = match[0].rstrip(".,:!?)]}")
    inside = re.search(r"(?::|//)[^/:@\s]{1,64}[/:](?P<value>[^/@\s]{1,64})@", value)
    if any(_real(pair["value"]) for pair in _SECRET_PAIR.finditer(value)) or (
        inside is not None and _real(inside["value"])
    ):
        yield Finding(match.start(), match.start() + len(value), rule.entity, verdicts.SURE)


def _judge_dsn(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    if _real(match["bare"]):
        yield Finding(match.start(), _end(match.string, match.start(), match.end()), rule.entity, verdicts.LIKELY)


ADDRESSES: Final = (USER_INFO, TOKEN_USER, PAIRS, KEYWORDS, JDBC, DSN)
