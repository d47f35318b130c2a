"""Each check of the doctor, at a machine where what it looks at is right, and at ones where it is not."""

import datetime
import http.client
import http.server
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from addons.cli.doctor import budgets, cache, calls, certificates, clients, command, installation, reach, running, shell
from addons.cli.doctor.finding import Patient, fail, ok, warn
from addons.demo.provider.tls import Authority as FakeAuthority
from addons.proxy import internals
from tests.core.trust.fakes import Commands, debian, machine
from tokenman_core import __version__, ca
from tokenman_core.admin.readiness import RESTS
from tokenman_core.clients import Client, Clients
from tokenman_core.clock import ManualClock
from tokenman_core.config.load import load
from tokenman_core.config.values import Address
from tokenman_core.state import Hold, Sqlite, path_of

DAY = 86400


@pytest.fixture
def patient(tmp_path):
    """`patient(text, **environment)`: this installation with a configuration; nothing else of this machine."""

    def make(text: str = "", client=None, **environ) -> Patient:
        path = tmp_path / "t.yaml"
        path.write_text(text)
        path.chmod(0o600)
        found = load(path, {"HOME": str(tmp_path), **environ})
        return Patient(found, client, machine(tmp_path, Commands()), {"HOME": str(tmp_path), **environ})

    return make


def states(findings) -> list[str]:
    return [each.state for each in findings]


def texts(findings) -> str:
    return "\n".join(f"{each.state} {each.text} -> {each.remedy}" for each in findings)


def client(port: int = 7677, admin: int = 7678, version: str = __version__):
    return SimpleNamespace(
        running=SimpleNamespace(version=version, proxy=Address("127.0.0.1", port), admin=Address("127.0.0.1", admin))
    )


# --- budgets


def holding(patient: Patient, *holds: tuple[str, str, int]) -> Sqlite:
    patient.settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    store, now = Sqlite(path_of(patient.settings)), time.time()
    for lease, counter, amount in holds:
        store.counts.reserve(lease, [Hold(counter, amount, None, now + DAY)], until=now + 100, now=now - 20)
    return store


def test_what_running_calls_hold_of_budgets_is_listed_and_since_when(patient):
    here = patient(client=client())
    assert "nothing has been counted" in texts(budgets.held(here))
    whole = 10**12
    holding(
        here, ("a:1", "budget/daily/2026-11-28/", whole // 4), ("b:1", "budget/daily/2026-11-28/", whole // 2),
        ("c:1", "budget/per client/2026-11/ada/b\x1b[2J", whole), ("c:1:x", "rate/few/concurrent/00", 1),
    ).close()  # fmt: skip
    lines = texts(budgets.held(here)).splitlines()
    assert [each.state for each in budgets.held(here)] == ["ok", "ok"]
    assert lines[0].startswith("ok per client, 2026-11 of ada/b[2J: 1 USD held by 1 call, the oldest for 2")
    assert lines[1].startswith("ok daily, 2026-11-28: 0.75 USD held by 2 calls")
    gone = patient()
    assert states(budgets.held(gone)) == ["warn", "warn"]
    assert "free again within 100 s" in texts(budgets.held(gone)) or "free again within 99 s" in texts(
        budgets.held(gone)
    )


def test_of_very_many_counters_the_largest_are_listed(patient):
    here = patient(client=client())
    holding(here, *[(f"{n}:1", f"budget/s/total/{n}", n + 1) for n in range(30)]).close()
    found = list(budgets.held(here))
    assert len(found) == 21
    assert "10 more counters" in found[-1].text


def test_counts_that_cannot_be_read_and_those_of_an_older_version(patient):
    here = patient()
    store = holding(here)
    now = time.time()
    store.counts.reserve("gone:1", [Hold("budget/daily/x/", 5, None, now + DAY)], until=now - 1, now=now - 99)
    assert "nothing is held" in texts(budgets.held(here))
    store._connection.execute("alter table holds drop column since")
    store.close()
    assert "nothing is held" in texts(budgets.held(here))
    path_of(here.settings).write_bytes(b"no database at all, but a text" * 100)
    assert "calls under a budget that blocks are refused" in texts(budgets.held(here))


# --- the cache


def asked(told: dict) -> SimpleNamespace:
    """A running instance that tells this of its cache."""
    return SimpleNamespace(get=lambda path: told if path == "/api/cache" else None)


CACHE = "cache: {mode: all}"
FINE = {"trouble": None, "entries": 1204, "bytes": 3 << 20, "encrypted": True}


def test_the_cache_is_told_as_it_stands(patient):
    assert texts(cache.kept(patient(client=asked(FINE)))) == "ok off -> "
    assert "no tokenman runs here" in texts(cache.kept(patient(CACHE)))
    assert texts(cache.kept(patient(CACHE, asked(FINE)))) == "ok 1,204 answers, 3.0 MiB, encrypted -> "
    one = patient("routes: [{match: {model: 'gpt-*'}, cache: all}]", asked(FINE | {"entries": 1, "encrypted": False}))
    assert texts(cache.kept(one)) == "ok 1 answer, 3.0 MiB, not encrypted (see cache.encrypt) -> "


def test_a_cache_whose_file_cannot_be_had_is_a_warning_and_no_more(patient):
    trouble = "cache.db cannot be used (the disk is full: make room, or lower cache.size)\x1b[2J"
    here = patient(CACHE, asked(FINE | {"trouble": trouble}))
    assert states(cache.kept(here)) == ["warn"]
    assert "the disk is full: make room" in texts(cache.kept(here))
    assert "\x1b" not in texts(cache.kept(here))


# --- the installation


# --- clients

KEYED = "providers: {anthropic: {key: sk-ant-of-the-house}}\nbudgets: [{name: team, limit_usd: 5}]\n"


def given(here: Patient, name: str, **terms: object) -> str:
    key = Clients(here.settings.data_dir, b"k").add(Client(name, "0" * 64, 1.0, **terms))  # type: ignore[arg-type]
    return key


def test_clients_whose_keys_are_good_are_counted(patient):
    assert texts(clients.keys(patient())) == "ok none has a virtual key, and none is needed -> "
    here = patient(KEYED)
    keys = [
        given(here, "web", models=("claude-*", "claude-haiku-4-5"), budget="5/day"),
        given(here, "team", providers=("anth*",), budget="team"),
    ]
    found = texts(clients.keys(here))
    assert found == "ok 2 virtual keys -> "
    assert not any(key in found for key in keys)


def test_keys_that_are_needed_and_that_nobody_has_are_told(patient):
    here = patient(KEYED)
    assert "warn every call needs a virtual key, and nobody has one that is good" in texts(clients.keys(here))
    given(here, "old", expires=2.0)
    assert states(clients.keys(here)) == ["warn", "warn"]


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ({"expires": 86_400.0}, "warn the key of web has expired (1970-01-02) -> tokenman clients revoke 'web'"),
        ({"models": ("cluade-*",)}, "warn web may use model cluade-*, which is on no list of prices"),
        ({"models": ("claude-sonet-4-5-house",)}, "warn web may use model claude-sonet-4-5-house"),
        ({"providers": ("anthropic", "attic")}, "warn web may use provider attic, which is not configured"),
        ({"providers": ("openai",)}, "fail of the providers that web may use none has a configured key"),
        ({"budget": "gone"}, "fail the budget gone of web is not configured, so its calls are refused"),
        ({"budget": "99999999999/day"}, "fail the budget 99999999999/day of web is not configured"),
    ],
    ids=["expired", "pattern", "model", "provider", "no key", "budget", "no amount"],
)
def test_what_a_key_names_and_is_not_there_is_told(patient, terms, told):
    here = patient(KEYED)
    given(here, "good")
    given(here, "web", **terms)
    found = texts(clients.keys(here))
    assert found.startswith(told)
    assert len(found.splitlines()) == 1


def test_a_file_of_clients_that_cannot_be_read_is_broken(patient):
    here = patient(KEYED)
    (here.settings.data_dir / "clients").mkdir(parents=True)
    assert states(clients.keys(here)) == ["fail"]


def test_the_version_of_mitmproxy_is_the_one_that_was_tried(patient, monkeypatch):
    assert installation.MITMPROXY == internals.TRIED
    assert states(installation.version(patient())) == ["ok"]
    monkeypatch.setattr(installation.metadata, "version", lambda _: "11.0.0")
    assert "fail mitmproxy 12.2.3 is needed, 11.0.0 is there" in texts(installation.version(patient()))


def test_the_configuration_is_told_with_what_is_odd_about_it(patient, tmp_path):
    fine = patient("")
    assert states(installation.configuration(fine)) == ["ok"]
    odd = patient("providers: {openai: {base_url: 'http://127.0.0.1:1', key: sk-plain}}")
    (tmp_path / "t.yaml").chmod(0o666)
    said = texts(installation.configuration(odd))
    assert "can be changed by others than you -> chmod go-w" in said
    assert "holds the secret itself" in said
    assert "sk-plain" not in said
    assert "calls to openai go to http://127.0.0.1:1" in said


def test_keys_are_named_by_their_provider_and_never_shown(patient):
    said = texts(installation.keys(patient("providers: {openai: {key: env:K}}", K="sk-planted")))
    assert "found for openai" in said
    assert "sk-planted" not in said
    assert "none is configured" in texts(installation.keys(patient()))


def test_the_data_folder_must_be_ours_and_private_and_have_room(patient, tmp_path, monkeypatch):
    assert "is made at the first start" in texts(installation.data_dir(patient()))
    folder = tmp_path / ".local/share/tokenman"
    folder.mkdir(parents=True, mode=0o700)
    assert states(installation.data_dir(patient())) == ["ok"]
    folder.chmod(0o755)
    assert f"warn {folder} can be entered by other users -> chmod 700" in texts(installation.data_dir(patient()))
    folder.chmod(0o700)
    for free, state in ((500 << 20, "warn"), (1 << 20, "fail")):
        monkeypatch.setattr(installation.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        assert state in states(installation.data_dir(patient()))
    monkeypatch.setattr(installation.os, "getuid", lambda: 12345)
    assert "belongs to another user" in texts(installation.data_dir(patient()))
    (tmp_path / "file").write_text("")
    assert states(installation.data_dir(patient(f"data_dir: {tmp_path}/file/data"))) == ["fail"]


def test_the_secret_must_be_whole_and_private(patient, tmp_path):
    assert states(installation.secret(patient())) == ["ok"]
    folder = tmp_path / ".local/share/tokenman"
    folder.mkdir(parents=True)
    (folder / "secret").write_text("a" * 64)
    (folder / "secret").chmod(0o600)
    assert states(installation.secret(patient())) == ["ok"]
    (folder / "secret").chmod(0o644)
    assert states(installation.secret(patient())) == ["warn", "ok"]
    (folder / "secret").write_text("short")
    assert "is damaged -> put it back from a backup" in texts(installation.secret(patient()))


def test_the_ledger_must_be_sound(patient, tmp_path, monkeypatch):
    assert "no call has been recorded yet" in texts(installation.ledger(patient()))
    folder = tmp_path / ".local/share/tokenman"
    folder.mkdir(parents=True)
    connection = sqlite3.connect(folder / "ledger.db")
    connection.execute("create table calls (id text)")
    connection.executemany("insert into calls values (?)", [("x" * 1000,)] * 100)
    connection.commit()
    connection.close()
    assert "sound, 100 calls" in texts(installation.ledger(patient()))
    raw = bytearray((folder / "ledger.db").read_bytes())
    raw[4096 * 3 : 4096 * 6] = b"\xff" * 4096 * 3
    (folder / "ledger.db").write_bytes(raw)
    assert states(installation.ledger(patient())) == ["fail"]
    (folder / "ledger.db").write_bytes(b"no database at all, whatever it is called" * 100)
    assert "cannot be read: DatabaseError -> move" in texts(installation.ledger(patient()))
    monkeypatch.setattr(installation, "_look", lambda _: ("row 1 missing from index", 3))
    assert "is damaged -> move" in texts(installation.ledger(patient()))


def test_what_nobody_should_count_on_is_told(patient):
    said = texts(installation.limits(patient()))
    assert "images, audio and PDFs pass unread" in said
    assert "people's names are not recognised" in said
    assert "pass unread" not in texts(installation.limits(patient("redaction: {unreadable: block}")))
    assert "warn redaction is off" in texts(installation.limits(patient("redaction: {mode: off}")))


# --- what listens


class Answers(http.server.BaseHTTPRequestHandler):
    says: tuple[int, bytes] = (200, b"")

    def do_GET(self) -> None:
        status, body = type(self).says
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def listener():
    """`listener(status, body)`: a server that says that, and its port."""
    servers = []

    def start(status: int, body: bytes) -> int:
        handler = type("Says", (Answers,), {"says": (status, body)})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def test_ports_are_free_ours_or_a_strangers(patient, listener):
    text = "listen: 127.0.0.1:{}\nadmin: {{listen: '127.0.0.1:{}'}}"
    assert states(running.ports(patient(text.format(free(), free())))) == ["ok"]
    stranger, other = listener(404, b"hello"), listener(200, b"TokenMan is here.")
    said = texts(running.ports(patient(text.format(stranger, other))))
    assert f"fail listen 127.0.0.1:{stranger} cannot be had: another program holds it" in said
    assert f"fail admin.listen 127.0.0.1:{other} is held by a tokenman of another data folder" in said
    assert "held by your running tokenman" in texts(running.ports(patient(client=client())))


def test_the_running_instance_must_be_ready_and_of_this_version(patient, listener):
    assert "tokenman up" in texts(running.instance(patient()))
    fine = {"checks": {"ledger": {"status": "ok", "message": "fine"}}}
    port = listener(200, json.dumps(fine).encode())
    assert texts(running.instance(patient(client=client(admin=port)))) == "ok ready: ledger -> "
    bad = {"checks": {
        "ledger": {"status": "failed", "message": "the disk is full"},
        "provider:openai": {"status": "failed", "message": "no connection"},
        "provider:gemini": {"status": "failed", "message": RESTS.message},
    }}  # fmt: skip
    port = listener(503, json.dumps(bad).encode())
    said = texts(running.instance(patient(client=client(admin=port, version="0.0.1"))))
    assert "fail ledger: the disk is full" in said
    assert "provider:openai" not in said
    assert "warn provider:gemini: its breaker is open" in said
    assert "it is version 0.0.1" in said
    port = listener(500, b"nonsense")
    assert states(running.instance(patient(client=client(admin=port)))) == ["fail"]
    assert states(running.instance(patient(client=client(admin=free())))) == ["fail"]


def test_a_clock_that_is_behind_what_was_made_here_is_wrong(patient, tmp_path):
    assert states(running.clock(patient())) == ["ok"]
    ahead = datetime.datetime.now(datetime.UTC).timestamp() + 30 * DAY
    ca.ensure(tmp_path / ".local/share/tokenman/ca", [], ManualClock(ahead))
    assert states(running.clock(patient())) == ["fail"]


# --- certificates


@pytest.fixture
def folder(tmp_path):
    return tmp_path / ".local/share/tokenman/ca"


def test_the_authority_is_valid_covers_the_hosts_and_goes_with_the_systems_roots(patient, folder):
    assert texts(certificates.authority(patient())) == "ok made at the first start -> "
    ca.ensure(folder, [])
    said = texts(certificates.authority(patient()))
    assert "valid for 39" in said
    assert "of the system's roots besides" in said
    assert "in no trust store" in said
    assert "fail" not in said
    own = patient("providers: {mine: {base_url: 'https://mine.example', dialect: openai}}")
    assert "fail it may not vouch for mine.example" in texts(certificates.authority(own))


@pytest.mark.parametrize(("days", "told"), [(400, "warn it has expired"), (380, "warn it ends in 1")])
def test_an_authority_that_ends_is_told(patient, folder, days, told):
    past = datetime.datetime.now(datetime.UTC).timestamp() - days * DAY
    ca.ensure(folder, [], ManualClock(past))
    assert told in texts(certificates.authority(patient()))


def test_a_damaged_authority_or_a_bundle_without_roots_is_broken(patient, folder):
    made = ca.ensure(folder, [])
    made.bundle_path.write_bytes(made.pem_path.read_bytes())
    assert "fail" in states(certificates.authority(patient()))
    assert "holds 0 of the system's roots" in texts(certificates.authority(patient()))
    made.bundle_path.unlink()
    assert "cannot be read: No such file" in texts(certificates.authority(patient()))
    (folder / "authority.pem").write_text("nonsense")
    assert states(certificates.authority(patient())) == ["fail"]


def test_trust_stores_are_asked(patient, folder, tmp_path):
    from tokenman_core import trust

    made = ca.ensure(folder, [])
    system = debian(tmp_path / "debian")
    one = patient()
    one = Patient(one.found, None, system, one.environ)
    (store,) = trust.stores(system)
    for step in store.add(trust.Certificate.of(made.pem_path, made.certificate)):
        system.run(step)
    assert "trusted by the system (Debian" in texts(certificates.authority(one))
    (folder / "authority.pem").unlink()
    ca.ensure(folder, [])
    assert "warn an older one is trusted by the system" in texts(certificates.authority(one))


def test_roots_that_cannot_be_read_are_broken(patient):
    assert states(certificates.roots(patient())) == ["ok"]
    assert states(certificates.roots(patient(SSL_CERT_FILE="/nowhere.pem"))) == ["fail"]


# --- providers

ALL = ("anthropic", "openai", "codex", "gemini", "gemini-code-assist")


def all_at(url: str, **others: str) -> str:
    return json.dumps({"providers": {name: {"base_url": others.get(name, url)} for name in ALL}})


@pytest.fixture
def fake_tls(tmp_path):
    """A provider behind TLS: its port, and the file of its roots."""
    authority = FakeAuthority(tmp_path)
    context = authority.server("localhost")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, str(authority.certificate)
    server.shutdown()
    server.server_close()


def test_providers_are_reached_by_a_connection_and_tls(patient, fake_tls, listener):
    port, roots = fake_tls
    text = all_at(f"https://localhost:{port}", openai=f"http://127.0.0.1:{listener(200, b'')}")
    assert texts(reach.providers(patient(text, SSL_CERT_FILE=roots))) == f"ok reached: {', '.join(ALL)} -> "
    said = texts(reach.providers(patient(text)))
    assert "ok reached: openai" in said
    assert "warn anthropic at https://localhost" in said
    assert "its certificate is not trusted by this machine" in said


def test_with_no_provider_reached_it_is_broken(patient):
    found = list(reach.providers(patient(all_at(f"http://127.0.0.1:{free()}"))))
    assert states(found) == ["fail"] * len(ALL)
    assert "no connection can be opened" in texts(found)


def test_the_parent_proxy_of_the_machine_is_used(patient, listener):
    proxy = listener(200, b"")
    text = all_at("http://provider.example")
    assert states(reach.providers(patient(text, HTTP_PROXY=f"http://127.0.0.1:{proxy}"))) == ["ok"]
    said = texts(reach.providers(patient(all_at("https://provider.example"), HTTPS_PROXY=f"http://127.0.0.1:{proxy}")))
    assert f"through the proxy 127.0.0.1:{proxy}" in said  # it knows no CONNECT
    assert states(reach.providers(patient(text, HTTP_PROXY="http://[nonsense"))) == ["fail"]


# --- the shell


def test_a_clean_shell_is_fine(patient):
    assert states(shell.environment(patient())) == ["ok"]


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"ANTHROPIC_BASE_URL": "https://u:p@gateway.example/x?key=1"}, "leads to https://gateway.example/x, past TokenMan"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:7677/v1"}, "leads to TokenMan, which does not run -> tokenman up"),
        ({"CODE_ASSIST_ENDPOINT": "https://x.example"}, "past TokenMan"),
        ({"HTTPS_PROXY": "http://127.0.0.1:7677"}, "HTTPS_PROXY leads to TokenMan, which does not run"),
        ({"CLAUDE_CODE_USE_BEDROCK": "1"}, "the calls of claude go to another host, ungoverned -> unset CLAUDE_CODE"),
        ({"NODE_TLS_REJECT_UNAUTHORIZED": "0"}, "Node programs believe any host"),
    ],
)  # fmt: skip
def test_variables_that_lead_past_are_told(patient, environ, told):
    found = list(shell.environment(patient(**environ)))
    assert "warn" in states(found)
    assert told in texts(found)
    assert "u:p" not in texts(found)
    assert "key=1" not in texts(found)


def test_variables_that_lead_here_are_fine_while_it_runs(patient):
    environ = {"ANTHROPIC_BASE_URL": "http://localhost:9000", "https_proxy": "127.0.0.1:9000"}
    found = list(shell.environment(patient(client=client(port=9000), **environ)))
    assert states(found) == ["ok", "ok"]
    past = shell.environment(patient(client=client(port=9000), NO_PROXY="localhost,.anthropic.com", **environ))
    assert "warn NO_PROXY leads calls to api.anthropic.com past TokenMan" in texts(past)


def test_another_proxy_is_the_way_out_and_no_fault(patient):
    assert states(shell.environment(patient(HTTPS_PROXY="http://proxy.example:3128"))) == ["ok"]
    assert states(shell.environment(patient(CLAUDE_CODE_USE_BEDROCK="0"))) == ["ok"]


def test_installed_programs_are_told_with_their_version_and_how_they_are_led_here(patient, tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in (
        ("claude", "echo '2.1.3 (Claude Code)'"),
        ("codex", "echo codex-cli 0.9"),
        ("gemini", "exit 1"),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    said = texts(shell.programs(patient(PATH=str(folder))))
    assert f"claude 2.1.3 ({folder}/claude): tokenman run -- claude; led here by ANTHROPIC_BASE_URL" in said
    assert "codex 0.9" in said
    assert "-c openai_base_url" in said
    assert "gemini (does not say its version)" in said
    assert "led here as its HTTPS proxy" in said
    assert "none of claude, codex, gemini is installed" in texts(shell.programs(patient(PATH=str(tmp_path))))


def test_the_command_is_looked_for_on_the_path(patient, tmp_path):
    (tmp_path / "tokenman").write_text("#!/bin/sh\n")
    (tmp_path / "tokenman").chmod(0o755)
    assert texts(shell.on_path(patient(PATH=str(tmp_path)))) == f"ok {tmp_path}/tokenman -> "
    assert "is not on PATH" in texts(shell.on_path(patient(PATH=os.devnull)))


# --- calls


def test_a_call_that_leaks_or_loses_a_value_or_is_refused_is_broken(listener):
    def judged(status: int, body: bytes, arrived: bytes) -> str:
        one = SimpleNamespace(received=[SimpleNamespace(decoded=arrived)] if arrived else [], clear=lambda: None)
        connection = http.client.HTTPConnection("127.0.0.1", listener(status, body), timeout=20)
        return texts([calls._judged("way", one, connection)])

    value = calls._VALUE.encode()
    assert judged(200, value, b"write to [X]").startswith("ok way")
    assert "reached the provider" in judged(200, value, b"write to " + value)
    assert "did not come back" in judged(200, b"[X]", b"write to [X]")
    assert "answered with 502" in judged(502, b"", b"")


# --- the whole


@pytest.mark.parametrize(
    ("found", "code"),
    [([ok("a")], 0), ([ok("a"), warn("b", "do it")], 1), ([warn("b", "do it"), fail("c", "mend it"), ok("a")], 2)],
)
def test_the_exit_code_is_that_of_the_worst_finding(patient, capsys, found, code):
    assert command.examine(patient(), (("one", lambda _: found),)) == code
    said = capsys.readouterr().out
    assert f"{sum(each.state == 'ok' for each in found)} ok, " in said
    for each in found:
        assert each.text + (f" -> {each.remedy}" if each.remedy else "") in said


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(patient, capsys):
    def broken(_):
        yield ok("first")
        raise ValueError("sk-planted")

    assert command.examine(patient(), (("one", broken), ("two", lambda _: [ok("second")]))) == 2
    said = capsys.readouterr().out
    assert "first" in said
    assert "second" in said
    assert "could not be checked: ValueError" in said
    assert "sk-planted" not in said


def test_a_configuration_that_cannot_be_read_is_told_and_ends_it(tmp_path, monkeypatch, capsys):
    path = tmp_path / "t.yaml"
    path.write_text("listn: x")
    assert command.run(path) == 2
    said = capsys.readouterr().out
    assert f"fail  configuration  {path}:1: listn: there is no such setting; did you mean listen?" in said
    assert "need a configuration that can be read" in said


def test_a_check_that_hangs_is_told_with_what_it_found_and_holds_up_no_other(patient, capsys):
    never, both = threading.Event(), threading.Barrier(2)

    def hangs(_):
        yield ok("one thing")
        never.wait()

    def beside(_):
        both.wait(60)  # each waits for the other: they run side by side
        yield ok("beside")

    checks = (("one", hangs), ("two", beside), ("three", beside), ("four", lambda _: [ok("last")]))
    try:
        assert command.examine(patient(), checks, seconds=2.0) == 1
    finally:
        never.set()
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == [
        "ok one one thing",
        "warn one was not over within 2 s -> see the network and its name server; on a busy machine: tokenman doctor --patience 60",
    ]
    assert lines[2:5] == ["ok two beside", "ok three beside", "ok four last"]


HANGING = """
import socket, sys, threading
def never(*args, **more):
    threading.Event().wait()
socket.getaddrinfo = never
from addons.cli.doctor import command
sys.exit(command.run(None))
"""


def test_names_that_are_never_resolved_hold_up_neither_the_checks_nor_the_end_of_the_process(tmp_path):
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, env=environ, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (2, "")
    assert "no answer within" in done.stdout
    assert " calls " in done.stdout
    assert " broken" in done.stdout.splitlines()[-1]


LEFT = """
import pathlib, sys, threading
from addons.demo import tour
there = threading.Event()
def for_ever(process, *rest):
    print(process.pid, flush=True)
    there.set()
    threading.Event().wait()
tour._await = for_ever
threading.Thread(target=tour.running(pathlib.Path(sys.argv[1]), "http://127.0.0.1:9").__enter__, daemon=True).start()
there.wait()
"""


def test_a_tokenman_of_its_own_ends_with_a_doctor_that_did_not_wait_for_it(tmp_path):
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", LEFT, str(tmp_path)], capture_output=True, text=True, env=environ, timeout=60, check=True
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)
