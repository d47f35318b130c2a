"""What the settings say about each kind of value: whether it is masked, hashed, refused, logged or left alone."""

import fnmatch
import hashlib
import re
from typing import Final

from tokenman_core.config.models import Redaction as Settings
from tokenman_core.redaction.entities import SECRETS


class Policy:
    """What the settings say about each kind of value, decided once when they change.

    An entity's own entry wins. Secrets follow `secrets`, but they are at least blocked where `mode` blocks, hashed where it
    hashes, and off where it is off.
    """

    def __init__(self, settings: Settings) -> None:
        self._entities = dict(settings.entities)
        self._mode = settings.mode
        secrets = settings.secrets
        if settings.mode in ("off", "block") or (settings.mode == "hash" and secrets == "redact"):
            secrets = settings.mode
        self._secrets = secrets
        # One expression for all patterns; `*` and `?` as in file names.
        self._allow = (
            re.compile("|".join(fnmatch.translate(each.lower()) for each in settings.allow)) if settings.allow else None
        )
        said = repr((sorted(self._entities.items()), self._mode, secrets, settings.allow))
        self.digest: Final = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self.off: Final = self._mode == "off" and all(action == "off" for action in self._entities.values())

    def action(self, entity: str) -> str:
        """redact, hash, block, log or off."""
        return self._entities.get(entity) or (self._secrets if entity in SECRETS else self._mode)

    def setting(self, entity: str) -> str:
        """The name of the setting that decides about an entity."""
        if entity in self._entities:
            return f"redaction.entities.{entity}"
        return "redaction.secrets" if entity in SECRETS and self._mode != "block" else "redaction.mode"

    def allows(self, value: str) -> bool:
        return self._allow is not None and self._allow.match(value.lower()) is not None
