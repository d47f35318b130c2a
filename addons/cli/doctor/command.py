"""Runs the checks one after the other, prints a line for each finding, and sums up in an exit code."""

import os
from collections.abc import Iterator
from pathlib import Path

import typer

from addons.cli.doctor import budgets, cache, calls, certificates, clients, installation, reach, running, shell
from addons.cli.doctor.finding import Check, Finding, Patient, State, fail
from addons.cli.instance_client import Client, InstanceError, connect
from tokenman_core.config.load import load
from tokenman_core.config.models import Settings
from tokenman_core.errors import ConfigError, trace

CHECKS: tuple[tuple[str, Check], ...] = (
    ("version", installation.version),
    ("command", shell.on_path),
    ("configuration", installation.configuration),
    ("keys", installation.keys),
    ("data folder", installation.data_dir),
    ("secret", installation.secret),
    ("ledger", installation.ledger),
    ("budgets", budgets.held),
    ("clients", clients.keys),
    ("cache", cache.kept),
    ("clock", running.clock),
    ("ports", running.ports),
    ("instance", running.instance),
    ("CA", certificates.authority),
    ("roots", certificates.roots),
    ("providers", reach.providers),
    ("shell", shell.environment),
    ("programs", shell.programs),
    ("limits", installation.limits),
    ("calls", calls.ways_in),
)
"""In this order: what others depend on comes first."""

_CODES: dict[State, int] = {"ok": 0, "warn": 1, "fail": 2}
_COLOURS: dict[State, str] = {"ok": "green", "warn": "yellow", "fail": "red"}
_WIDTH = max(len(name) for name, _ in CHECKS)


def run(file: Path | None) -> int:
    """The exit code: 0 fine, 1 warnings, 2 broken."""
    try:
        found = load(file, os.environ)
    except ConfigError as error:
        for line in str(error).splitlines():
            _print("configuration", fail(line, "mend it, then `tokenman config check`"))
        typer.echo("\nThe other checks need a configuration that can be read.")
        return _CODES["fail"]
    client, trouble = _client(found.settings)
    return examine(Patient(found, client), CHECKS, trouble)


def examine(patient: Patient, checks: tuple[tuple[str, Check], ...], trouble: Finding | None = None) -> int:
    """Runs the checks and prints what they find, as it is found; the exit code."""
    states: list[State] = []
    if trouble:
        states.append(_print("instance", trouble))
    for name, check in checks:
        for finding in _findings(check, patient):
            states.append(_print(name, finding))
    counts = {state: states.count(state) for state in _CODES}
    typer.echo(f"\n{counts['ok']} ok, {counts['warn']} warnings, {counts['fail']} broken")
    return max((_CODES[state] for state in states), default=0)


def _findings(check: Check, patient: Patient) -> Iterator[Finding]:
    try:
        yield from check(patient)
    except Exception as error:  # a check that breaks is a finding, and the others go on
        yield fail(f"could not be checked: {trace(error)}", "please report this line")


def _client(settings: Settings) -> tuple[Client | None, Finding | None]:
    try:
        return connect(settings), None
    except InstanceError as error:
        return None, fail(str(error), "end it and start it anew")


def _print(name: str, finding: Finding) -> State:
    state = typer.style(f"{finding.state:<4}", fg=_COLOURS[finding.state])
    remedy = f" -> {finding.remedy}" if finding.remedy else ""
    typer.echo(f"{state}  {name:<{_WIDTH}}  {finding.text}{remedy}")
    return finding.state
