"""Reads the files, asks the proxy's own engine about each, and prints in the order of the files."""

import asyncio
import contextlib
import os
import secrets
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import typer

from addons.cli.scan import files
from addons.cli.scan.files import Read, Skipped
from addons.cli.scan.found import Form, Found, Hit, Lines, as_json, as_sarif, line, summary
from addons.cli.settings import complain, loaded
from tokenman_core import secret
from tokenman_core.config.load import Loaded
from tokenman_core.errors import ConfigError
from tokenman_core.redaction import Allowed, Detection, Redactor, TextRefused, WorkerUnavailable
from tokenman_core.redaction.gate_file import gate_file
from tokenman_core.redaction.policy import Policy, options_of
from tokenman_core.redaction.scan import redacting, spots

STDIN: Final = "-"
_A_WORKER_FOR: Final = 512 * 1024  # bytes: starting another takes as long as judging so much
_MOST_WORKERS: Final = 8

Job = tuple[str, Callable[[], Read | Skipped], int]  # a name, what reads it, its size in bytes


def run(file: Path | None, paths: Sequence[str], form: Form, exclude: Sequence[str], everything: bool) -> int:
    """The exit code: 0 nothing found, 1 something found or a file that could not be judged, 2 a wrong use or configuration."""
    configured = loaded(file)
    if configured is None:
        return 2
    if missing := [each for each in paths if each != STDIN and not os.path.lexists(each)]:
        complain(ValueError(f"{missing[0]} does not exist; - stands for standard input"))
        return 2
    jobs = list(_jobs(paths, exclude, everything))
    try:
        found = asyncio.run(_scan(configured, jobs, form))
    except ConfigError as error:
        complain(error)
        return 2
    if form == "json":
        typer.echo(as_json(found))
    elif form == "sarif":
        typer.echo(as_sarif(found))
    else:
        for said in summary(found):
            typer.echo(said, err=True)
    for each in found.troubles:
        complain(ValueError(f"{each.path}: {each.reason}"))
    return 1 if found.hits or found.troubles else 0


def _jobs(paths: Sequence[str], exclude: Sequence[str], everything: bool) -> Iterator[Job]:
    if STDIN in paths:
        data = sys.stdin.buffer.read(files.LARGEST + 1)
        read = files.decoded(STDIN, data) if len(data) <= files.LARGEST else Skipped(STDIN, "too large", trouble=True)
        yield STDIN, lambda: read, len(data)
    for path in files.found([Path(each) for each in paths if each != STDIN], exclude, everything):
        yield str(path), lambda path=path: files.read(path), _size(path)  # type: ignore[misc]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


async def _scan(configured: Loaded, jobs: Sequence[Job], form: Form) -> Found:
    """Nothing is made in a data folder that is not there yet; then the placeholders are of this scan alone."""
    settings = configured.settings
    there = settings.data_dir.exists()
    root = secret.installation_secret(settings) if there else secrets.token_bytes(32)
    size = sum(job[2] for job in jobs)
    detection = Detection(
        workers=max(1, min(os.cpu_count() or 1, _MOST_WORKERS, size // _A_WORKER_FOR)),
        kept=gate_file(settings) if there else None,
    )
    scanner = _Scanner(configured, root, detection)
    found = Found()
    await detection.start()
    try:
        with _progress(size) as advance:
            async for result in _in_order(scanner, jobs, advance):
                if isinstance(result, Skipped):
                    found.skipped.append(result)
                    continue
                found.read += 1
                found.hits += result
                if form == "text":
                    for hit in result:
                        typer.echo(line(hit))
    finally:
        await detection.close()
    return found


class _Scanner:
    """The engine, set to redact whatever the settings have it do something about: where that stood is what is asked."""

    def __init__(self, configured: Loaded, root: bytes, detection: Detection) -> None:
        settings = configured.settings
        self._policy = Policy(settings.redaction)
        allowed = Allowed(settings.data_dir, secret.derive(root, "allow"))
        key = secret.derive(root, "placeholder")
        options = options_of(settings.redaction)
        detection.configure(options)
        self._redactor = Redactor(redacting(settings.redaction), key, detection, allowed=allowed, options=options)

    async def scan(self, job: Job, advance: Callable[[int], None]) -> list[Hit] | Skipped:
        name, read, size = job
        given = await asyncio.to_thread(read)
        if isinstance(given, Skipped):
            advance(size)
            return given
        lines, hits, done = Lines(given.text), list[Hit](), 0
        try:
            async for until, found in spots(self._redactor, given.text):
                for spot in found:
                    action, setting = self._policy.action(spot.entity), self._policy.setting(spot.entity)
                    hits.append(Hit.of(name, lines, spot, action, setting))
                judged = size * until // max(1, len(given.text))
                advance(judged - done)
                done = judged
        except TextRefused:
            return Skipped(name, "detection fails on this text; please report it", trouble=True)
        except WorkerUnavailable:
            return Skipped(name, "detection took too long; try again with fewer files at once", trouble=True)
        finally:
            advance(size - done)
        return hits


async def _in_order(
    scanner: _Scanner, jobs: Sequence[Job], advance: Callable[[int], None]
) -> AsyncIterator[list[Hit] | Skipped]:
    """The results in the order of the jobs, of which some are under way at a time."""
    running: deque[asyncio.Task[list[Hit] | Skipped]] = deque()
    try:
        for job in jobs:
            running.append(asyncio.create_task(scanner.scan(job, advance)))
            if len(running) >= 2 * _MOST_WORKERS:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()


@contextlib.contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, for work that takes a while."""
    if size < _A_WORKER_FOR or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("scanning"), BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn()
    # What is printed on the same terminal goes above the bar; into a file or a pipe it goes as it is.
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task("scanning", total=size)
        yield lambda done: bar.advance(task, done)
