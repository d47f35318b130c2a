"""Makes caches for the tests of the stage, and ends what they began."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.addons.cached import House


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Callable[..., House]]:
    made: list[House] = []

    def make(answers: Any, *stages: object, **more: Any) -> House:
        made.append(House(tmp_path, answers, *stages, **more))
        return made[-1]

    yield make
    for each in made:
        each.world.meter.close()
