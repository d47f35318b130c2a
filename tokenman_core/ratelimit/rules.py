"""What a rate limit says."""

from dataclasses import dataclass, field

from tokenman_core.scopes import Reach


@dataclass(frozen=True)
class Rate:
    """So many in so many seconds; as many can be saved up."""

    count: int
    seconds: float

    @property
    def period(self) -> float:
        """Seconds in which one is earned."""
        return self.seconds / self.count


@dataclass(frozen=True)
class Rule:
    """None: no limit of that kind. `wait`: seconds for which a call may wait for its turn."""

    name: str
    reach: Reach = field(default_factory=Reach)
    requests: Rate | None = None
    tokens: Rate | None = None
    concurrent: int | None = None
    wait: float = 0.0
