"""The order of the stages, written once, with one reason a link."""

import logging
from collections.abc import Iterable, Sequence

from addons.redaction import Redaction
from tokenman_core import secret
from tokenman_core.clock import Clock
from tokenman_core.config.models import Settings
from tokenman_core.redaction import Allowed, Detection, Held, Memo
from tokenman_core.redaction.policy import options_of
from tokenman_core.stages import HOOKS, Link, Stages

log = logging.getLogger("tokenman.chain")

ORDER = (
    ("access", "who calls must be known before anything is counted for him"),
    ("ratelimit", "cheap, and what is over the limit must not cost detection"),
    ("injection", "has to see the text as the model would, before values are replaced"),
    ("redaction", "nothing behind it may see a value in clear: not the cache, not a script, not the provider"),
    ("guard", "what goes round in circles is told by now as somebody's session, and must not cost anything behind it"),
    ("compaction", "rewrites what is already masked, so that what the cache keys on is what is sent"),
    ("users", "scripts of the user's own; what they put into a slot is masked again"),
    ("pace", "has a call wait for its provider's own limit before any money is held for it"),
    ("budget", "by the call as it will be sent; a cheaper model that it leads to is the one that answers are kept for"),
    ("caching", "answers in the provider's place, so it stands where the provider would"),
    (
        "failover",
        "its breaker has the last word on an attempt: what another stage refuses must not take a probe's place",
    ),
)
"""Stages of ours by the `name` of their add-on. On the way back the order is the reverse."""

USERS = "users"


def allowed(settings: Settings, root: bytes) -> Allowed:
    """What `tokenman allow` took out of redaction. `root` is the installation's secret."""
    return Allowed(settings.data_dir, secret.derive(root, "allow"))


def redaction(
    settings: Settings,
    root: bytes,
    detection: Detection,
    memo: Memo | None = None,
    taken_out: Allowed | None = None,
    held: Held | None = None,
) -> Redaction:
    """The stage as the settings and `tokenman allow` want it. What it remembers may be that of a stage that it replaces."""
    taken_out = allowed(settings, root) if taken_out is None else taken_out
    finder = detection.under(options_of(settings.redaction))
    return Redaction(settings.redaction, secret.derive(root, "placeholder"), finder, memo, taken_out, held)


class ChainError(Exception):
    """A stage asks for a place that does not exist. Calls are refused until it is mended: its protection was wanted."""


def is_stage(addon: object) -> bool:
    return any(callable(getattr(addon, hook, None)) for hook in HOOKS)


def arrange(addons: Iterable[object], ours: Sequence[object], clock: Clock) -> Stages:
    """The chain made of our own stages and of every other add-on that has an `llm_*` method. Raises ChainError."""
    places = [name for name, _ in ORDER]
    named: dict[str, list[Link]] = {place: [] for place in places}
    for stage in ours:
        name = str(getattr(stage, "name", ""))
        named[name].append(_link(stage, name))
    for addon in addons:
        if is_stage(addon) and not any(addon is stage for stage in ours):
            named.setdefault(_place(addon, places), []).append(_link(addon, _name(addon)))
    return Stages([link for place in _with_edges(places) for link in named.get(place, ())], clock)


def _with_edges(places: Sequence[str]) -> list[str]:
    return [edge for place in places for edge in (f"before {place}", place, f"after {place}")]


def _place(addon: object, places: Sequence[str]) -> str:
    for side in ("after", "before"):
        wanted = getattr(addon, side, None)
        if isinstance(wanted, str):
            if wanted not in places:
                raise ChainError(
                    f'stage {_name(addon)}: {side} = "{wanted}" names no stage; there are {", ".join(places)}'
                )
            return f"{side} {wanted}"
    return USERS


def _link(addon: object, name: str) -> Link:
    try:
        return Link.of(addon, name)
    except ValueError as e:
        raise ChainError(str(e)) from e


def _name(addon: object) -> str:
    """As metrics and the log call it: the class's name, or the module's."""
    module = getattr(addon, "__file__", None)
    if isinstance(module, str):
        return module.rpartition("/")[2].removesuffix(".py")
    return type(addon).__name__
