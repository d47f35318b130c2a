"""An admin application over real parts: a ledger's file, metrics, a feed; and a client that has the token."""

import httpx
import pytest

from tests.core.ledger.calls import NOON
from tokenman_core.admin import app
from tokenman_core.admin.keys import Codes, Keys
from tokenman_core.admin.parts import NoBudgets, NoCache, Parts
from tokenman_core.admin.readiness import Readiness
from tokenman_core.clients import Clients
from tokenman_core.clock import ManualClock
from tokenman_core.config.load import Loaded
from tokenman_core.config.models import Settings
from tokenman_core.ledger.reader import LedgerReader
from tokenman_core.ledger.row import row_of
from tokenman_core.ledger.store import Store
from tokenman_core.telemetry.feed import Feed
from tokenman_core.telemetry.health import Health
from tokenman_core.telemetry.metrics import Metrics
from tokenman_core.telemetry.tally import Tallies

TOKEN = "the-admin-token-of-this-test"
HOST = "127.0.0.1:7678"


class Hands:
    """Breakers that only a hand moves."""

    def __init__(self):
        self.states = dict.fromkeys(Settings().providers, "closed")

    def rests(self, provider):
        return self.states[provider] == "open"

    def hold(self, provider):
        self.states[provider] = "open"

    def release(self, provider):
        self.states[provider] = "closed"


class Admin:
    """The parts, and clients of the application over them. `settings` may be changed before the first call."""

    def __init__(self, path):
        self.path = path / "ledger.db"
        self.clock = ManualClock(NOON.timestamp() + 60)
        self.settings = {}
        self.running = 0
        self.checks = []
        self.routes = []
        self.budgets = NoBudgets()
        self.cache = NoCache()
        self.clients = Clients(path / "data", b"key of clients", self.clock)
        self.breakers = Hands()
        self.metrics, self.feed, self.health = Metrics(), Feed(), Health(self.clock)
        self.tallies = Tallies(lambda: self.running)
        self.codes = Codes(self.clock)
        self.keys = Keys(TOKEN, self.codes, self.clock)

    def app(self):
        settings = Settings(**self.settings)
        parts = Parts(
            Loaded(settings, None, {"admin.metrics": "environment TOKENMAN_ADMIN__METRICS"}), LedgerReader(self.path),
            self.metrics, self.feed, self.tallies, self.health, Readiness(self.checks), self.breakers, self.codes, self.keys,
            self.clock, self.clock.now() - 90, {"EMAIL_ADDRESS": ("redact", "redaction.mode")}, clients=self.clients,
            budgets=self.budgets, cache=self.cache,
        )  # fmt: skip
        return app.make(settings, parts, self.routes)

    def client(self, token=TOKEN, **headers):
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app()), base_url=f"http://{HOST}", headers=headers, timeout=20
        )

    async def get(self, path, **options):
        async with self.client() as client:
            return await client.get(path, **options)

    def end(self, *records):
        """Calls end: they are in the ledger, and told to everybody."""
        store = Store(self.path)
        store.add([row_of(record) for record in records])
        store.close()
        for record in records:
            for observer in (self.metrics, self.tallies, self.feed, self.health):
                observer.ended(record)


@pytest.fixture
def admin(tmp_path):
    return Admin(tmp_path)
