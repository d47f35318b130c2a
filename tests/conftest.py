"""What holds for all tests."""

import os

from hypothesis import HealthCheck, settings

# A busy machine is no fault of the code: no example has a deadline, and none is too slow to make. In CI the examples are the
# same each time, so that what fails there is what a change did; everywhere else they go on looking.
settings.register_profile(
    "tokenman", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tokenman")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes name no test: what packs them puts the time in, and then two workers would collect different tests."""
    return argname if isinstance(val, bytes) and not val.isascii() else None
