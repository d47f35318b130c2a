"""What a check finds, and what it is given to look at."""

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from addons.cli.instance_client import Client
from tokenman_core import trust
from tokenman_core.config.load import Loaded
from tokenman_core.config.models import Settings

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One line. `remedy` says what to do where it is not ok."""

    state: State
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Patient:
    """This machine and this installation. `client` is the running instance, None if none runs. `until`: a moment of the monotonic
    clock by which a check has put away what it started.
    """

    found: Loaded
    client: Client | None = None
    machine: trust.Machine = field(default_factory=trust.here)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    until: float = math.inf

    def within(self, seconds: float) -> float:
        """So many seconds, or those that are left if these are fewer; never 0, which would mean no bound to a socket."""
        return max(0.01, min(seconds, self.until - time.monotonic()))

    @property
    def settings(self) -> Settings:
        return self.found.settings


Check = Callable[[Patient], Iterable[Finding]]


def ok(text: str) -> Finding:
    return Finding("ok", text)


def warn(text: str, remedy: str) -> Finding:
    return Finding("warn", text, remedy)


def fail(text: str, remedy: str) -> Finding:
    return Finding("fail", text, remedy)
