"""`tokenman doctor`: looks at all that a call depends on, and says for each what is wrong and what to do."""

from addons.cli.doctor.command import run

__all__ = ["run"]
