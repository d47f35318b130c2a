"""Masking a request: every value that detection finds, and every value found so far, becomes its placeholder."""

import hmac
from collections.abc import Sequence

from tokenman_core.config.models import Redaction as Settings
from tokenman_core.redaction.allowed import NOTHING, Allowed, Permitted
from tokenman_core.redaction.audit import Hashed
from tokenman_core.redaction.detectors.options import PLAIN, Options
from tokenman_core.redaction.keyed import Keyed
from tokenman_core.redaction.masking import Finder, Masked, Masking
from tokenman_core.redaction.memo import Memo
from tokenman_core.redaction.placeholders import Mapping
from tokenman_core.redaction.policy import Policies, Policy
from tokenman_core.redaction.so_far import SoFar
from tokenman_core.slots import Slot


class Redactor:
    """Masks the slots of a request. `key` (any length) makes the placeholders; the memory is shared by all calls.

    `options`: those that the detection is configured with; what was found by others is not remembered as theirs.
    """

    def __init__(
        self,
        settings: Settings,
        key: bytes,
        detection: Finder,
        memo: Memo | None = None,
        allowed: Allowed | None = None,
        options: Options = PLAIN,
    ) -> None:
        self.settings = settings
        self.policies = Policies(settings)
        self._keyed = Keyed(key)
        self._hashed = Hashed(hmac.digest(key, b"tokenman audit", "sha256"))
        self._tag = hmac.digest(key, b"tokenman memory", "sha256")[:16]
        self._detection = detection
        self._memo = memo if memo is not None else Memo()
        self._allowed = allowed
        self._options = options.digest

    def mapping(self) -> Mapping:
        """An empty mapping for a new exchange."""
        return Mapping(self._keyed)

    def permitted(self) -> Permitted:
        """What people took out of redaction, as it is now."""
        return self._allowed.now() if self._allowed else NOTHING

    async def mask(
        self, slots: Sequence[Slot], mapping: Mapping, policy: Policy | None = None, permitted: Permitted | None = None
    ) -> Masked:
        """Set `slot.text` of every slot that holds a value, left to right: earlier slots are not rewritten for later finds.

        Called again for the same exchange it also masks, everywhere, what it has masked before. `policy`: the one of the
        call's project, None for that of all others. `permitted`: None for what is permitted now. Raises what the detection
        raises; then nothing may be sent.
        """
        policy = policy or self.policies.base
        if policy.off:
            return Masked()
        so_far = SoFar(policy, permitted or self.permitted(), self._tag)
        return await Masking(slots, mapping, so_far, self._memo, self._detection, self._options).run(self._hashed)
