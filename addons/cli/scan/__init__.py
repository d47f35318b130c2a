"""`tokenman scan`: what redaction would mask in files, folders or standard input, and where; no value is shown."""

from addons.cli.scan.command import run

__all__ = ["run"]
