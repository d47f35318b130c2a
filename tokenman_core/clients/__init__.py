"""Virtual keys: what they look like, who has which, what each may do, and when one is needed."""

from tokenman_core.clients.failures import Failures
from tokenman_core.clients.given import Given, given
from tokenman_core.clients.keys import new_key
from tokenman_core.clients.record import Client, Unfit
from tokenman_core.clients.store import Clients, Exists, Known
from tokenman_core.clients.terms import keys_needed, spend_of, terms
from tokenman_core.lines import TooMany

__all__ = [
    "Client", "Clients", "Exists", "Failures", "Given", "Known", "TooMany", "Unfit", "given", "keys_needed", "new_key",
    "spend_of", "terms",
]  # fmt: skip
