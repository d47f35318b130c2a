"""One fake provider and one real proxy for all tests of a run; whatever a test does, nothing planted may arrive."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import BODY_LIMIT, Proxy, leaked


@pytest.fixture(scope="session")
def shared_provider() -> Iterator[FakeProvider]:
    fake = FakeProvider().start_in_thread()
    yield fake
    fake.stop()


@pytest.fixture(scope="session")
def proxy(shared_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    breaker = {"failures": 100_000, "min_calls": 0}  # what a test breaks is no reason to refuse the next one
    running = Proxy.start(folder, shared_provider.url, limits={"request_body": BODY_LIMIT}, breaker=breaker)
    yield running
    running.stop()


@pytest.fixture
def provider(shared_provider: FakeProvider) -> Iterator[FakeProvider]:
    """The fake provider with a clean memory, which is looked through when the test is over."""
    shared_provider.clear()
    yield shared_provider
    assert not (names := leaked(shared_provider)), f"reached the provider in clear: {names}"
    assert not shared_provider.strays, "bytes outside of any request"


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeProvider]:
    """A provider for the proxies of one file."""
    made = FakeProvider().start_in_thread()
    yield made
    made.stop()


@pytest.fixture
def running(fake: FakeProvider, tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """Starts proxies with settings of a test's own, in its folder or another; those that still run are stopped after it."""
    made: list[Proxy] = []

    def start(folder: Path | None = None, **settings: Any) -> Proxy:
        made.append(Proxy.start(folder or tmp_path, fake.url, **settings))
        return made[-1]

    fake.clear()
    yield start
    for proxy in made:
        if proxy.process.poll() is None:
            proxy.stop()
