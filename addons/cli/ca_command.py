"""`tokenman ca`: what the authority is and who trusts it; putting it into trust stores, and taking it out again."""

import shlex
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from addons.cli.settings import complain, loaded
from tokenman_core import ca
from tokenman_core import trust as stores
from tokenman_core.ca import Authority
from tokenman_core.config.hosts import KNOWN
from tokenman_core.config.load import Loaded
from tokenman_core.errors import ConfigError

FAILED, WRONG_USE = 1, 2
_DAY = 86400


def show(file: Path | None, machine: stores.Machine | None = None) -> int:
    """The exit code: 0 shown, 1 there is none yet, 2 the configuration or the authority's files are wrong."""
    found, authority = _authority(file, make=False)
    if found is None:
        return WRONG_USE
    if authority is None:
        typer.echo(f"There is no certificate authority in {found.settings.data_dir / 'ca'} yet.")
        typer.echo("It is made at the first start: tokenman up")
        return FAILED
    certificate = authority.certificate
    since, until = certificate.not_valid_before_utc.date(), certificate.not_valid_after_utc.date()
    left = int((authority.expires - time.time()) // _DAY)
    own = [host for host in authority.hosts if host not in KNOWN]
    _row("subject", certificate.subject.rfc4514_string())
    _row("SHA-256", authority.fingerprint)
    _row(
        "valid",
        f"{since} to {until} " + (f"({left} days left)" if left >= 0 else "(EXPIRED: start anew to have a new one)"),
    )
    _row("vouches for", f"{len(authority.hosts)} hosts of LLM providers and names below them, and nothing else:")
    for line in textwrap.wrap(", ".join([*own, *(host for host in authority.hosts if host in KNOWN)][:8]) + ", …", 90):
        _row("", line)
    _row("certificate", f"{authority.pem_path}  (what programs and trust stores want)")
    _row("bundle", f"{authority.bundle_path}  (with the system's roots, for SSL_CERT_FILE)")
    _row("key", f"{authority.folder / 'authority.pem'}  (private; never copy it anywhere)")
    _trusted_by(authority, machine or stores.here())
    return 0


def _trusted_by(authority: Authority, machine: stores.Machine) -> None:
    certificate = _certificate(authority)
    lines = []
    for store in stores.stores(machine):
        if store.holds(certificate):
            lines.append(f"{store.name}: yes")
        else:
            lines.append(f"{store.name}: " + ("an OLDER one: tokenman ca trust" if store.left(certificate) else "no"))
    for title, line in zip(["trusted by", *[""] * len(lines)], lines or ["no trust store is known here"], strict=False):
        _row(title, line)
    if not any(line.endswith("yes") for line in lines):
        typer.echo("\nPrograms under `tokenman run` need no trust store. For all others: tokenman ca trust")


def trust(file: Path | None, yes: bool, machine: stores.Machine | None = None) -> int:
    """The exit code: 0 all stores hold it, 1 some do not, 2 wrong use or configuration, or it was declined."""
    found, authority = _authority(file, make=True)
    if found is None or authority is None:
        return WRONG_USE
    machine = machine or stores.here()
    certificate = _certificate(authority)
    wanted = [store for store in stores.stores(machine) if not store.holds(certificate)]
    if not stores.stores(machine):
        typer.echo(f"No trust store is known here. Programs can be given the file: {authority.bundle_path}")
        typer.echo("`tokenman env` prints the variables for that, `tokenman run -- PROGRAM` sets them.")
        return FAILED
    if not wanted:
        typer.echo("All trust stores hold it already. To take it back: tokenman ca untrust")
        return 0
    typer.echo(f"The certificate {authority.fingerprint}")
    typer.echo("can vouch for hosts of LLM providers and for nothing else. It is put into:")
    plan = [(store, store.add(certificate)) for store in wanted]
    return _carry_out(plan, yes, machine, lambda store: store.holds(certificate), "trusts it now")


def untrust(file: Path | None, yes: bool, machine: stores.Machine | None = None) -> int:
    """The exit code: 0 nothing is left, 1 something is, 2 wrong use or configuration, or it was declined."""
    found, authority = _authority(file, make=False)
    if found is None:
        return WRONG_USE
    machine = machine or stores.here()
    certificate = _certificate(authority) if authority else stores.Certificate.lost()
    plan = [(store, store.remove(certificate)) for store in stores.stores(machine) if store.left(certificate)]
    if not plan:
        typer.echo("No trust store holds it. There is nothing to take back.")
        return 0
    typer.echo("It is taken out of:")
    return _carry_out(plan, yes, machine, lambda store: not store.left(certificate), "has nothing of it any more")


Plan = Sequence[tuple[stores.Store, list[stores.Command]]]


def _carry_out(plan: Plan, yes: bool, machine: stores.Machine, right: Callable[[stores.Store], bool], told: str) -> int:
    """Says the commands, asks, runs them, and looks whether the stores are as they should be."""
    foreign = [one for one in plan if one[0].privileged and not machine.privileged]
    ours = [one for one in plan if one not in foreign]
    for store, commands in ours:
        typer.echo(f"  {store.name}")
        for command in commands:
            typer.echo(f"    {shlex.join(command)}")
    if ours and not yes:
        if not sys.stdin.isatty():
            typer.echo("Nothing was changed. To go on without a question: --yes", err=True)
            return WRONG_USE
        if not typer.confirm("Go on?"):
            typer.echo("Nothing was changed.")
            return WRONG_USE
    failed = bool(foreign)
    for store, commands in ours:
        if why := _run(machine, commands) or (
            "" if right(store) else "its commands ran, and it is not as it should be"
        ):
            failed = True
            typer.echo(f"failed: {store.name}: {why}", err=True)
        else:
            typer.echo(f"done: {store.name} {told}")
    if foreign:
        typer.echo("These need root, so they are yours to run; `tokenman ca show` says whether they worked:")
    for store, commands in foreign:
        typer.echo(f"  {store.name}")
        typer.echo("    " + " && ".join(shlex.join(("sudo", *command)) for command in commands))
    return FAILED if failed else 0


def _run(machine: stores.Machine, commands: Sequence[stores.Command]) -> str:
    """Why one of them failed; "" if all went well."""
    for command in commands:
        done = machine.run(command)
        if done.code != 0:
            said = (done.error or done.out).strip().splitlines()
            return f"{command[0]} ended with {done.code}" + (f": {said[-1][:200]}" if said else "")
    return ""


def _authority(file: Path | None, make: bool) -> tuple[Loaded | None, Authority | None]:
    """The configuration and the authority; no configuration after what is wrong was told."""
    found = loaded(file)
    if found is None:
        return None, None
    folder = found.settings.data_dir / "ca"
    try:
        return found, ca.ensure(folder, found.settings.authority_hosts()) if make else ca.existing(folder)
    except ConfigError as error:
        complain(error)
        return None, None


def _certificate(authority: Authority) -> stores.Certificate:
    return stores.Certificate.of(authority.pem_path, authority.certificate)


def _row(title: str, text: str) -> None:
    typer.echo(f"{title:<12}  {text}")
