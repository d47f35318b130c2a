"""Every error of a configuration repeats what was given and says what to do; none repeats a secret."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from tests.core.config.test_load import WRONG
from tokenman_core.config import explain
from tokenman_core.config.load import load
from tokenman_core.config.models import Provider, Settings
from tokenman_core.errors import ConfigError

# Text, and what the error repeats of it.
REPEATED = [
    ("routes: [{try: [opnai]}]", "opnai"),
    ("routes: [{try: [{provider: opnai, model: m}]}]", "opnai"),
    ("routes: [{match: {provider: opn*}}]", "opn*"),
    ("routes: [{try: [openai, openai]}]", "openai"),
    ("budgets: [{name: a, limit_usd: 1}, {name: a, limit_usd: 1}]", "(given: a)"),
    ("budgets: [{name: a/b, limit_usd: 1}]", "a/b"),
    ("budgets: [{name: a, limit_usd: 1, match: {provider: nobody}}]", "nobody"),
    ("rate_limits: [{name: a, requests: fast}]", "fast"),
    ("listen: {port: 5}", "{port: 5}"),
    ("listen:", "null"),
    ("tls: {cert: /a/b.pem}", "/a/b.pem"),
    ("compaction: {minify_json: on}", "given: on"),
    ("redaction: {mode: block\u202e}", "\\u202e"),
    ("redaction: {recognizers: [{name: lower, pattern: x}]}", "lower"),
    ("redaction: {allow: ['*']}", '"*"'),
    ("redaction: {entities: {EMIAL_ADDRESS: redact}}", "EMIAL_ADDRESS"),
    ("pricing: {discounts: {opnai: 0.1}}", "opnai"),
    ("pricing: {discounts: {openai: 5}}", "(given: 5)"),
    ("tests: [{name: a, request: {dialect: openai, text: x}, expect: {provider: nobody}}]", "nobody"),
    ("tests: [{name: a, request: {dialect: openai, text: x}, expect: {masked: [NO_SUCH]}}]", "NO_SUCH"),
    ("timezone: " + "Mars/" * 40, "Mars/Mars/"),
    ("providers: {openai: {models: 5}}", "(given: 5)"),
    ("limits: [a]", "[a]"),
    ("redaction: {entities: [a]}", "[a]"),
]
# What somebody can do, in the words in which he is told.
REMEDY = re.compile(
    r"good values?|did you mean|known here|must be (?:one of|true or false)|for example|such as|as in|leave it out"
    r"|give |name each|put |set "
)


def errors(path: Path, text: str) -> str:
    """ "" where nothing is wrong."""
    path.write_text(text)
    try:
        load(path, {"HOME": str(path.parent)})
    except ConfigError as error:
        return str(error)
    return ""


def told(path: Path, text: str, **environ: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, {"HOME": str(path.parent), **environ})
    return str(caught.value).replace(str(path), "").splitlines()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t.yaml"


def test_what_is_wrong_is_repeated_with_what_to_do(path: Path) -> None:
    for text, repeated in REPEATED:
        lines = told(path, text)
        assert repeated in lines[0], lines
        assert all(len(line) < 400 or "known here" in line for line in lines)
        assert all(map(REMEDY.search, lines)), lines


def test_every_other_wrong_value_is_repeated_too(path: Path) -> None:
    for text, *_ in WRONG:
        for line in told(path, text):
            assert REMEDY.search(line), line
            named = re.search("there is no such setting|is missing|not an entity|not? (?:a )?name", line)
            assert named or "(given: " in line or line.startswith((":1: secret", ":2: admin.token", ":1: data_dir")), (
                line
            )


def secrets(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner, _ = explain._inner(field.annotation)
        if "SecretStr" in repr(field.annotation):
            yield f"{prefix}{name}"
        elif inner is not None and inner is not Provider:
            yield from secrets(inner, f"{prefix}{name}.")


def test_no_secret_is_repeated_wherever_it_is_put(path: Path) -> None:
    names = [*secrets(Settings, ""), *secrets(Provider, "providers.openai.")]
    assert {"secret", "admin.token", "alerts.webhook", "alerts.secret", "state.url", "providers.openai.key"} <= {*names}
    mark, ended = "hunter2-of-ada", 0
    for name in names:
        for value in (f"[{mark}]", f"{{a: {mark}}}", f"vault:{mark}", mark[:11], f"'file:{mark}'", f"'ftp://{mark}'"):
            text = value
            for step in reversed(name.split(".")):
                text = f"{{{step}: {text}}}"
            said = errors(path, text)
            assert "hunter2" not in said, (name, value)
            ended += bool(said)
    assert ended > 3 * len(names)
    for group in (
        "providers: {openai: %s}",
        "providers: %s",
        "admin: %s",
        "alerts: [%s]",
        "state: %s",
        "telemetry: %s",
    ):
        assert "hunter2" not in "".join(told(path, group % mark)), group
    assert "hunter2" not in "".join(told(path, "redaction: {deny: [hunter2, ab]}"))
    assert "hunter2" not in "".join(told(path, "listn: hunter2"))


def test_nor_is_what_may_be_a_secret_in_a_wrong_place(path: Path) -> None:
    for value in (
        "sk-ant-api03-hunter2hunter2hunter2", "AKIAHUNTER2HUNTER2X0", "a5" * 20, "Xk29dQz7LmPq4RsTuVw8yB", "https://me:hunter2@h.example",
        "https://h.example/?key=hunter2hunter2", "ghp_hunter2hunter2hunter2",
    ):  # fmt: skip
        for setting in ("listen", "timezone", "retry.attempts", "providers.openai.base_url", "redaction.mode"):
            text = f'"{value}"'
            for step in reversed(setting.split(".")):
                text = f"{{{step}: {text}}}"
            if (
                setting == "providers.openai.base_url"
                and "key=" not in value
                and value.startswith("https")
                and "@" not in value
            ):
                continue
            (line, *_) = told(path, text)
            assert "hunter2" not in line.lower(), line
            assert "a5a5a5" not in line
            assert "Xk29dQz7" not in line


def test_a_variable_that_is_no_yaml_is_repeated(path: Path) -> None:
    (line,) = told(path, "", TOKENMAN_REDACTION__ALLOW="[opnai")
    where = "environment TOKENMAN_REDACTION__ALLOW: redaction.allow"
    assert line == f'{where} is not a YAML value; put it into quotes (given: "[opnai")'
