"""The trust stores of a machine: which there are, whether they hold our certificate, and the commands that put it in or out."""

from tokenman_core.trust.machine import Done, Machine, Runner, here
from tokenman_core.trust.store import Certificate, Command, Store
from tokenman_core.trust.stores import stores

__all__ = ["Certificate", "Command", "Done", "Machine", "Runner", "Store", "here", "stores"]
