"""Which program a command line runs, and what is changed in its environment."""

import os
from pathlib import Path
from typing import Any

import pytest

from addons.cli.programs.environment import Place, child, parent_proxy, prepare
from addons.cli.programs.find import find
from addons.cli.programs.table import PROGRAMS, Program
from tokenman_core.ca import Authority, ensure
from tokenman_core.config.models import Settings
from tokenman_core.config.values import Address

MARK = "0123456789ab"
PLACE = Place(Address("127.0.0.1", 7777), MARK)
BASE = f"http://127.0.0.1:7777/r/{MARK}"
PX = f"http://{MARK}:run@127.0.0.1:7777"
TABLE = {program.name: program for program in PROGRAMS}
OTHER = Program("other")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return ensure(tmp_path_factory.mktemp("programs") / "ca", ["api.anthropic.com"])


def settings(**given: Any) -> Settings:
    return Settings.model_validate(given)


# -- which program --


@pytest.mark.parametrize(
    ("command", "name", "at"),
    [
        ("claude -p hi", "claude", 0),
        ("/opt/homebrew/bin/claude", "claude", 0),
        ("Claude.cmd", "claude", 0),
        (r"C:\npm\codex.cmd exec", "codex", 0),
        ("codex.exe", "codex", 0),
        ("npx claude", "claude", 1),
        ("npx -y @anthropic-ai/claude-code -p hi", "claude", 2),
        ("npx --yes @openai/codex@latest exec x", "codex", 2),
        ("npx -p @google/gemini-cli gemini -p x", "gemini", 3),
        ("npx codex@0.50 exec", "codex", 1),
        ("npm exec -- @openai/codex exec", "codex", 3),
        ("npm x codex", "codex", 2),
        ("pnpm dlx @google/gemini-cli", "gemini", 2),
        ("bunx claude", "claude", 1),
        ("bun x claude", "claude", 2),
        ("uvx --from x llm chat", "llm", 3),
        ("uv run --with httpx bot.py", "bot.py", 4),
        ("uv tool run aider", "aider", 3),
        ("pipx run --spec x aider", "aider", 4),
        ("env -u A B=1 C=2 claude", "claude", 5),
        ("env FOO=1 npx -y codex exec", "codex", 4),
        ("nice -n 5 nohup claude", "claude", 4),
        ("node /usr/lib/node_modules/@openai/codex/bin/codex.js exec", "codex", 1),
        ("node --import x /usr/lib/node_modules/@google/gemini-cli/dist/index.js", "gemini", 3),
        ("npm install claude", "npm", 0),
        ("npx", "npx", 0),
        ("uv sync", "uv", 0),
        ("python bot.py", "python", 0),
        ("bash -c claude", "bash", 0),
        ("./my bot!.sh", "my-bot-.sh", 0),
        ("claudette", "claudette", 0),
        ("...", "...", 0),
        ("!!!", "program", 0),
    ],
)
def test_the_program_is_found_in_its_command_line(command: str, name: str, at: int) -> None:
    words = [command] if " bot!" in command else command.split()
    found = find(words, which=lambda _: None)
    assert (found.program.name, found.at) == (name, at)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("claude", "claude"),
        ("lib/node_modules/@anthropic-ai/claude-code/cli.js", "claude"),
        ("lib/node_modules/@openai/codex/bin/start.js", "codex"),
        ("lib/node_modules/other/cli.js", "cc"),
    ],
)
def test_an_alias_is_followed_to_what_it_leads_to(tmp_path: Path, target: str, name: str) -> None:
    real, link = tmp_path / "there" / target, tmp_path / "cc"
    real.parent.mkdir(parents=True)
    real.touch(mode=0o755)
    link.symlink_to(real)
    assert find(["cc"], which=lambda word: str(tmp_path / word)).program.name == name
    assert find([str(link)], which=lambda word: word).program.name == name


def test_every_row_is_found_by_each_of_its_names() -> None:
    for program in PROGRAMS:
        for word in (*program.names, *program.packages):
            assert find([word], which=lambda _: None).program is program


# -- base URLs and proxies --


def test_a_program_that_is_not_known_gets_all_by_its_environment(authority: Authority) -> None:
    made = prepare(OTHER, None, PLACE, settings(), authority, {"HOME": "/home/u"})
    bundle, pem = str(authority.bundle_path), str(authority.pem_path)
    assert made.variables == {
        "ANTHROPIC_BASE_URL": BASE,
        "OPENAI_BASE_URL": f"{BASE}/v1",
        "OPENAI_API_BASE": f"{BASE}/v1",
        "GOOGLE_GEMINI_BASE_URL": BASE,
        "HTTPS_PROXY": PX,
        "https_proxy": PX,
        "NO_PROXY": "localhost,127.0.0.1,::1",
        "no_proxy": "localhost,127.0.0.1,::1",
        "NODE_USE_ENV_PROXY": "1",
        "SSL_CERT_FILE": bundle,
        "REQUESTS_CA_BUNDLE": bundle,
        "CURL_CA_BUNDLE": bundle,
        "NODE_EXTRA_CA_CERTS": pem,
        "DENO_CERT": pem,
    }
    assert (made.words, made.notes, made.removed) == ((), [], set())
    assert child({"HOME": "/home/u", "HTTPS_PROXY": "x"}, made) == {"HOME": "/home/u", **made.variables}


def test_each_way_sets_only_its_own(authority: Authority) -> None:
    by_url = prepare(OTHER, "base-url", PLACE, settings(), authority, {}).variables
    by_proxy = prepare(OTHER, "proxy", PLACE, settings(), authority, {}).variables
    assert {name for name in by_url if "BASE" not in name} == {"NO_PROXY", "no_proxy"}
    assert not [name for name in by_proxy if "BASE" in name]
    assert by_url | by_proxy == prepare(OTHER, None, PLACE, settings(), authority, {}).variables


def test_without_a_run_there_is_no_mark(authority: Authority) -> None:
    made = prepare(OTHER, None, Place(Address("::1", 7777)), settings(), authority, {}).variables
    assert made["OPENAI_BASE_URL"] == "http://[::1]:7777/v1"
    assert made["HTTPS_PROXY"] == "http://[::1]:7777"


def test_claude_gets_both_ways_and_is_told_what_it_loses(authority: Authority) -> None:
    claude = TABLE["claude"]
    made = prepare(claude, None, PLACE, settings(), authority, {})
    assert made.variables["ANTHROPIC_BASE_URL"] == BASE
    assert made.variables["HTTPS_PROXY"] == PX
    assert made.variables["ENABLE_TOOL_SEARCH"] == "true"
    assert "--via proxy" in made.notes[0]
    assert "ENABLE_TOOL_SEARCH" not in prepare(claude, "proxy", PLACE, settings(), authority, {}).variables
    assert not prepare(claude, "proxy", PLACE, settings(), authority, {}).notes
    kept = prepare(claude, None, PLACE, settings(), authority, {"ENABLE_TOOL_SEARCH": "auto:5"})
    assert "ENABLE_TOOL_SEARCH" not in kept.variables


def test_codex_gets_its_setting_on_the_command_line(authority: Authority) -> None:
    codex = TABLE["codex"]
    made = prepare(codex, None, PLACE, settings(), authority, {}, ["exec", "hi"])
    assert made.words == ("-c", f'openai_base_url="{BASE}/v1"')
    assert prepare(codex, "proxy", PLACE, settings(), authority, {}).words == ()


KEY = "tkm_" + "k" * 43
KEYED = Place(PLACE.proxy, MARK, KEY)


def test_where_calls_need_a_key_it_goes_with_the_mark_and_stands_on_no_command_line(authority: Authority) -> None:
    made = prepare(OTHER, None, KEYED, settings(), authority, {}).variables
    assert made["ANTHROPIC_BASE_URL"] == f"http://127.0.0.1:7777/r/{MARK}.{KEY}"
    assert made["OPENAI_BASE_URL"] == f"http://127.0.0.1:7777/r/{MARK}.{KEY}/v1"
    assert made["HTTPS_PROXY"] == f"http://{MARK}:{KEY}@127.0.0.1:7777"
    codex = prepare(TABLE["codex"], None, KEYED, settings(), authority, {}, ["exec", "hi"])
    assert codex.words == ()
    assert "it is led here by HTTPS_PROXY alone" in " ".join(codex.notes)
    only = prepare(TABLE["codex"], "base-url", KEYED, settings(), authority, {}, ["exec", "hi"])
    assert only.words == ()
    assert "leave out --via base-url" in " ".join(only.notes)
    assert KEY not in repr(KEYED) + " ".join([*codex.notes, *only.notes])


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", 'openai_base_url="x"'], ["-copenai_base_url=x"], ["exec", "--config", "openai_base_url=x"],
        ["--config=openai_base_url=x"],
    ],
)  # fmt: skip
def test_a_setting_that_the_user_gives_stays_and_is_said(authority: Authority, arguments: list[str]) -> None:
    made = prepare(TABLE["codex"], None, PLACE, settings(), authority, {}, arguments)
    assert made.words == ()
    assert "openai_base_url is given" in made.notes[0]


def test_gemini_gets_a_proxy_alone_unless_a_base_url_is_asked_for(authority: Authority) -> None:
    gemini = TABLE["gemini"]
    made = prepare(gemini, None, PLACE, settings(), authority, {})
    assert made.variables["HTTPS_PROXY"] == PX
    assert "GOOGLE_GEMINI_BASE_URL" not in made.variables
    asked = prepare(gemini, "base-url", PLACE, settings(), authority, {})
    assert asked.variables["GOOGLE_GEMINI_BASE_URL"] == BASE
    assert "selectedType" in asked.notes[0]


@pytest.mark.parametrize(
    ("name", "environ", "arguments"),
    [
        ("claude", {"CLAUDE_CODE_USE_BEDROCK": "1"}, []),
        ("gemini", {"GOOGLE_GENAI_USE_VERTEXAI": "true"}, []),
        ("codex", {}, ["exec", "--oss"]),
    ],
)
def test_what_leads_a_programs_calls_elsewhere_is_warned_of(
    authority: Authority, name: str, environ: dict[str, str], arguments: list[str]
) -> None:
    made = prepare(TABLE[name], "proxy", PLACE, settings(), authority, environ, arguments)
    assert "calls go to another host" in made.notes[0]
    off = prepare(TABLE[name], "proxy", PLACE, settings(), authority, dict.fromkeys(environ, "0"))
    assert not off.notes


@pytest.mark.parametrize(
    ("name", "arguments", "expects"),
    [
        ("claude", (), True), ("claude", ("-p", "hi"), True), ("claude", ("--version",), False), ("claude", ("mcp", "list"), False),
        ("codex", ("login",), False), ("codex", ("exec", "login"), True),
    ],
)  # fmt: skip
def test_no_calls_are_missed_where_none_are_made(name: str, arguments: tuple[str, ...], expects: bool) -> None:
    assert TABLE[name].expects_calls(arguments) is expects


# -- what the user had set --


def test_a_base_url_of_the_users_is_replaced_and_said_with_the_setting_that_keeps_it(authority: Authority) -> None:
    environ = {"OPENAI_BASE_URL": "https://user:secret@llm.corp.example/v1?key=k"}
    made = prepare(OTHER, "base-url", PLACE, settings(), authority, environ)
    assert made.variables["OPENAI_BASE_URL"] == f"{BASE}/v1"
    (note,) = made.notes
    assert "providers.openai.base_url: https://llm.corp.example/v1" in note
    assert "https://api.openai.com" in note
    assert "secret" not in note
    assert "key=k" not in note


@pytest.mark.parametrize(
    "before",
    [
        "https://llm.corp.example/v1", "https://LLM.corp.example:443", "https://api.openai.com/v1", "http://127.0.0.1:7777/v1",
        "http://localhost:7677/v1", f"http://127.0.0.1:7777/r/{MARK}/v1",
    ],
)  # fmt: skip
def test_a_base_url_that_leads_to_the_same_place_is_not_spoken_of(authority: Authority, before: str) -> None:
    given = settings(providers={"openai": {"base_url": "https://llm.corp.example/v1"}})
    assert not prepare(OTHER, "base-url", PLACE, given, authority, {"OPENAI_BASE_URL": before}).notes


def test_by_proxy_alone_old_base_urls_of_ours_are_taken_out_and_foreign_ones_said(authority: Authority) -> None:
    environ = {"GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:7677", "OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"}
    made = prepare(OTHER, "proxy", PLACE, settings(), authority, environ)
    assert made.removed == {"GOOGLE_GEMINI_BASE_URL"}
    assert "OPENAI_BASE_URL is http://127.0.0.1:11434/v1" in made.notes[0]
    assert "GOOGLE_GEMINI_BASE_URL" not in child(environ, made)
    assert child(environ, made)["OPENAI_BASE_URL"] == "http://127.0.0.1:11434/v1"


@pytest.mark.parametrize(
    ("before", "after", "taken"),
    [
        ("", "localhost,127.0.0.1,::1", ""),
        ("corp.example, 10.0.0.0/8", "corp.example,10.0.0.0/8,localhost,127.0.0.1,::1", ""),
        ("localhost,x", "localhost,x,127.0.0.1,::1", ""),
        ("api.anthropic.com,x", "x,localhost,127.0.0.1,::1", "api.anthropic.com"),
        (".OpenAI.com x", "x,localhost,127.0.0.1,::1", ".OpenAI.com"),
        ("*.googleapis.com:443", "localhost,127.0.0.1,::1", "*.googleapis.com:443"),
        ("*", "localhost,127.0.0.1,::1", "*"),
        ("notanthropic.com,com.example", "notanthropic.com,com.example,localhost,127.0.0.1,::1", ""),
    ],
)
def test_no_proxy_keeps_the_users_names_but_for_providers(
    authority: Authority, before: str, after: str, taken: str
) -> None:
    made = prepare(OTHER, "proxy", PLACE, settings(), authority, {"NO_PROXY": before})
    assert made.variables["NO_PROXY"] == made.variables["no_proxy"] == after
    assert [note for note in made.notes if "NO_PROXY" in note] == (
        [f"NO_PROXY has {taken}, which would lead calls past TokenMan: left out here"] if taken else []
    )
    twin = prepare(OTHER, "proxy", PLACE, settings(), authority, {"no_proxy": before})
    assert twin.variables["NO_PROXY"] == after


def test_a_provider_that_is_reached_by_plain_http_elsewhere_is_proxied_too(authority: Authority) -> None:
    far = settings(providers={"mine": {"base_url": "http://llm.corp.example", "dialect": "openai"}})
    near = settings(providers={"mine": {"base_url": "http://127.0.0.1:11434", "dialect": "openai"}})
    assert prepare(OTHER, "proxy", PLACE, far, authority, {}).variables["HTTP_PROXY"] == PX
    assert "HTTP_PROXY" not in prepare(OTHER, "proxy", PLACE, near, authority, {}).variables


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, ""), ({"HTTPS_PROXY": "http://127.0.0.1:7677"}, ""), ({"https_proxy": PX}, ""),
        ({"HTTPS_PROXY": "http://u:p@proxy.corp:3128"}, "http://proxy.corp:3128"), ({"https_proxy": "proxy.corp:3128"}, "http://proxy.corp:3128"),
    ],
)  # fmt: skip
def test_a_parent_proxy_is_told_from_ours(environ: dict[str, str], named: str) -> None:
    assert parent_proxy(environ, PLACE, settings()) == named


# -- certificates --


def test_the_bundle_has_the_systems_roots_and_ours(authority: Authority) -> None:
    bundle = Path(prepare(OTHER, "proxy", PLACE, settings(), authority, {}).variables["SSL_CERT_FILE"]).read_bytes()
    assert bundle.endswith(authority.pem_path.read_bytes())
    assert bundle.count(b"BEGIN CERTIFICATE") > 50


def test_roots_of_a_company_stay_trusted(authority: Authority, tmp_path: Path) -> None:
    corp = tmp_path / "corp.pem"
    corp.write_bytes(b"-----BEGIN CERTIFICATE-----\ncorp\n-----END CERTIFICATE-----")
    environ = dict.fromkeys(("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"), str(corp))
    made = prepare(OTHER, "proxy", PLACE, settings(), authority, environ)
    merged = Path(made.variables["SSL_CERT_FILE"])
    assert made.variables["NODE_EXTRA_CA_CERTS"] == str(merged)
    assert merged.read_bytes() == corp.read_bytes() + b"\n" + authority.pem_path.read_bytes()
    assert made.variables["REQUESTS_CA_BUNDLE"] == str(authority.bundle_path)
    again = prepare(OTHER, "proxy", PLACE, settings(), authority, {**os.environ, **made.variables})
    assert again.variables["SSL_CERT_FILE"] == str(merged)
    assert not again.notes


def test_of_a_file_of_roots_the_certificates_alone_are_taken(authority: Authority, tmp_path: Path) -> None:
    block = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    company = tmp_path / "corp.pem"
    company.write_text(
        f"# words\n-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n{block}password = x\n{block}"
    )
    made = prepare(OTHER, "proxy", PLACE, settings(), authority, {"SSL_CERT_FILE": str(company)})
    both = Path(made.variables["SSL_CERT_FILE"])
    assert both.read_bytes() == (block * 2).encode() + authority.pem_path.read_bytes()


@pytest.mark.parametrize("kind", ["pipe", "folder", "huge", "words"])
def test_what_is_no_file_of_certificates_is_said_and_left_out(authority: Authority, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_text("words")
        os.truncate(path, (8 << 20) + 1 if kind == "huge" else 5)
    made = prepare(OTHER, "proxy", PLACE, settings(), authority, {"SSL_CERT_FILE": str(path)})
    assert made.variables["SSL_CERT_FILE"] == str(authority.bundle_path)
    assert [note for note in made.notes if note.startswith(f"SSL_CERT_FILE names {path}, which ")]


def test_roots_that_cannot_be_read_are_said_and_left_out(authority: Authority, tmp_path: Path) -> None:
    environ = {"SSL_CERT_FILE": str(tmp_path / "none.pem")}
    made = prepare(OTHER, "proxy", PLACE, settings(), authority, environ)
    assert made.variables["SSL_CERT_FILE"] == str(authority.bundle_path)
    assert f"SSL_CERT_FILE names {tmp_path}/none.pem, which cannot be read" in made.notes[0]
