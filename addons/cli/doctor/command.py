"""Runs the checks side by side, prints a line for each finding in the order of a table, and sums up in an exit code."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import typer

from addons.cli import STARTED
from addons.cli.doctor import budgets, cache, calls, certificates, clients, installation, reach, running, shell
from addons.cli.doctor.bounded import Job, side_by_side
from addons.cli.doctor.finding import Check, Finding, Patient, State, fail, warn
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


MOST_S = 4.0
"""What the command has together: less than five seconds, of which the start of Python takes some."""

_HUNG = "see the network and its name server; on a busy machine: tokenman doctor --patience 60"
_LEAST_S = 2.0  # for the checks, on a machine that was slow to come so far
_CONNECT_S = 1.5  # of these
_TIDY_S = 0.5  # for checks to put away what they started


def run(file: Path | None, patience: float | None = None) -> int:
    """The exit code: 0 fine, 1 warnings, 2 broken. `patience`: seconds for all checks, instead of the usual."""
    try:
        found = load(file, os.environ)
    except ConfigError as error:
        for line in str(error).splitlines():
            _print("configuration", fail(line, "mend it, then `tokenman config check`"))
        typer.echo("\nThe other checks need a configuration that can be read.")
        return _CODES["fail"]
    now = time.monotonic()
    until = max(STARTED + MOST_S, now + _LEAST_S) if patience is None else now + patience
    share = _CONNECT_S / MOST_S * (until - now)
    (asked,) = side_by_side([partial(_client, found.settings)], now + share)
    client, trouble = asked or (None, fail("the tokenman that runs does not answer", "end it and start it anew"))
    return examine(Patient(found, client), CHECKS, trouble, until - time.monotonic())


def examine(
    patient: Patient, checks: tuple[tuple[str, Check], ...], trouble: Finding | None = None, seconds: float = MOST_S
) -> int:
    """Runs the checks, all within so many seconds, and prints what they find; the exit code."""
    states: list[State] = []
    until = time.monotonic() + seconds
    patient = replace(patient, until=until - _TIDY_S)
    jobs = [(name, Job(partial(_findings, check, patient))) for name, check in checks]
    if trouble:
        states.append(_print("instance", trouble))
    for name, job in jobs:
        found, ended = job.so_far(until)
        states += [_print(name, finding) for finding in found]
        if not ended:
            states.append(_print(name, warn(f"was not over within {seconds:.0f} s", _HUNG)))
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
