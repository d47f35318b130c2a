"""What the settings say about each kind of value, and for which project: masked, hashed, refused, logged or left alone."""

import fnmatch
import hashlib
import re
from collections.abc import Mapping
from typing import Final

from tokenman_core.config.models import Redaction as Settings
from tokenman_core.config.redacting import OWN, Action, Override, Rule, action_of
from tokenman_core.redaction.choose import PROVEN, Say
from tokenman_core.redaction.detectors.merge import GUESSED, RANK
from tokenman_core.redaction.detectors.options import Custom, Options
from tokenman_core.redaction.entities import SECRETS, Finding
from tokenman_core.redaction.known import Known
from tokenman_core.redaction.patterns import Denied, Passing

_BELIEVED = 0.5
"""What a finding of the user's own recognisers must score: with words of context given, one of them must stand near."""

_STRICTER = ("redact", "hash", "block")


def options_of(settings: Settings) -> Options:
    """What the settings add to the detectors."""
    own = tuple(Custom(each.name, each.pattern, each.context, each.score) for each in settings.recognizers)
    return Options(own, settings.ner)


class Policy:
    """What the settings say about each kind of value, decided once when they change. `name`: the override that holds, if any.

    An entity's own entry wins. Secrets follow `secrets`, but they are at least blocked where `mode` blocks, hashed where it
    hashes, off where it is off, and only logged where it logs, which is how a policy is tried out. What `deny` names is always
    masked, but for `mode: log`.
    """

    def __init__(self, settings: Settings, name: str = "", override: Override | None = None) -> None:
        override = override or Override()
        self._over = override
        self._place = f"redaction.projects.{name}" if name else "redaction"
        self._base: Mapping[str, Action | Rule] = settings.entities
        self.mode: Final = override.mode or settings.mode
        secrets = override.secrets or settings.secrets
        if self.mode in ("off", "block", "log") or (self.mode == "hash" and secrets == "redact"):
            secrets = self.mode
        self.secrets: Final = secrets
        self.restore: Final = settings.restore if override.restore is None else override.restore
        self.restore_egress: Final = override.restore_egress or settings.restore_egress
        self.unreadable: Final = override.unreadable or settings.unreadable
        self.note: Final = (override.note or settings.note) == "on"

        self._actions: dict[str, Action] = {}  # as they were decided: there are as many as kinds
        listed = (*settings.deny, *override.deny)
        self.denied: Final = Denied(listed)
        self._own = frozenset(each.name for each in settings.recognizers)
        self._passing = Passing((*settings.allow, *override.allow))
        self.exact: Final = _known([(each.entity or OWN, each.value) for each in listed if each.value is not None])
        said = repr(
            (
                *(sorted((entity, repr(it)) for entity, it in each.items()) for each in (self._base, override.entities)),
                self.mode, secrets, settings.allow, override.allow, listed, sorted(self._own),
            )
        )  # fmt: skip
        self.digest: Final = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        actions = [action_of(it) for each in (self._base, override.entities) for it in each.values()]
        self.off: Final = self.mode == "off" and not listed and all(action in ("off", None) for action in actions)

    def action(self, entity: str) -> Action:
        action = self._actions.get(entity)
        if action is None:
            action = self._actions[entity] = self._action(entity)
        return action

    def _action(self, entity: str) -> Action:
        said = action_of(self._over.entities.get(entity)) or action_of(self._base.get(entity))
        if said is not None:
            return said
        if entity in self.denied.entities and self.mode == "off":
            return "redact"
        return self.secrets if entity in SECRETS else self.mode

    def threshold(self, entity: str) -> float:
        """Which score a finding must have to be believed."""
        for each in (self._over.entities.get(entity), self._base.get(entity)):
            if isinstance(each, Rule) and each.threshold is not None:
                return each.threshold
        return _BELIEVED if entity in self._own else 0.0

    def setting(self, entity: str) -> str:
        """The name of the setting that decides about an entity."""
        if action_of(self._over.entities.get(entity)) is not None:
            return f"{self._place}.entities.{entity}"
        if action_of(self._base.get(entity)) is not None:
            return f"redaction.entities.{entity}"
        if entity in self.denied.entities and self.mode == "off":
            return f"{self._place}.deny" if self._over.deny else "redaction.deny"
        if entity in SECRETS and self.mode not in ("block", "log", "off"):
            return f"{self._place if self._over.secrets else 'redaction'}.secrets"
        return f"{self._place if self._over.mode else 'redaction'}.mode"

    def allows(self, value: str, entity: str = "") -> bool:
        return (entity, value) in self._passing

    def rank(self, entity: str) -> int:
        """How certain a kind is: see `choose`."""
        if entity in self.denied.entities:
            return 0
        return RANK.get(entity, PROVEN if entity in self._own else GUESSED)

    def say(self, finding: Finding, passes: bool) -> Say:
        """What becomes of a finding; `passes`: its value is let through by somebody."""
        action = self.action(finding.entity)
        if finding.entity not in self.denied.entities:
            if passes:
                return "allow"
            if finding.score < 1 and finding.score < self.threshold(finding.entity):
                return "doubt"
        match action:
            case "redact" | "hash":
                return "mask"
            case _:
                return action


class Policies:
    """Of all projects: the first override whose name matches holds, laid over what is said for all."""

    def __init__(self, settings: Settings) -> None:
        self.base: Final = Policy(settings)
        self._overrides = [
            (re.compile(_glob(name)), Policy(settings, name, override)) for name, override in settings.projects.items()
        ]

    def of(self, project: str) -> Policy:
        """Of a project by its name; "" for none."""
        for pattern, policy in self._overrides:
            if pattern.match(project) is not None:
                return policy
        return self.base


def _glob(name: str) -> str:
    return fnmatch.translate(name.replace("[", "[[]"))


def _known(values: list[tuple[str, str]]) -> Known:
    """Values to look for in every form that they may be written in; they are taken up at once, for many calls share them."""
    known = Known()
    for entity, value in values:
        known.add(entity, value)
    for _ in known.find(""):
        pass
    return known
