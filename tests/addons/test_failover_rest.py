"""Where the next provider of a route would turn the call away, the one that was asked is asked again."""

from typing import Any

import pytest

from addons.failover import Failover
from tests.core.scripted import GOOD, JSON, World, call, provider
from tokenman_core.clock import ManualClock
from tokenman_core.failover import breaker
from tokenman_core.failover.breakers import Breakers
from tokenman_core.failover.policy import Rules
from tokenman_core.net import UpstreamError
from tokenman_core.providers import Providers
from tokenman_core.verdicts import Candidate

DOWN = UpstreamError("connect", "no")
FAILS: Any = (503, JSON, [b"{}"])


def world_of(answers: Any) -> tuple[World, Failover]:
    clock, providers = ManualClock(), (provider("a"), provider("b", key="k"), provider("c", key="k"))
    breakers = Breakers(breaker.Rules(min_calls=0, failures=2, reset=60.0), dict.fromkeys("abc", True), clock)
    stage = Failover(breakers, 30.0, Providers(providers), clock)
    routes = [{"try": ["a", "b"]}]
    return World(answers, stage, rules=Rules(), routes=routes, providers=providers, clock=clock, may=stage.may), stage


async def test_who_cannot_be_reached_is_asked_again_where_the_next_one_rests() -> None:
    world, stage = world_of({"a": [DOWN, GOOD], "b": [GOOD]})
    stage.breakers.hold("b")
    head, _ = await world.carry(call())
    assert (head.status, world.upstream.hosts) == (200, ["a.example", "a.example"])


async def test_the_next_one_is_asked_at_once_where_it_does_not_rest() -> None:
    world, _ = world_of({"a": [DOWN, GOOD], "b": [GOOD]})
    head, _ = await world.carry(call())
    assert (head.status, world.upstream.hosts) == (200, ["a.example", "b.example"])


@pytest.mark.parametrize(("later", "may"), [(0.0, False), (60.0, True)])
async def test_a_provider_whose_breaker_is_open_may_be_asked_once_a_probe_is_due(later: float, may: bool) -> None:
    world, stage = world_of({"a": [FAILS], "b": [FAILS]})
    made = call()
    await world.carry(made)
    world.clock.advance(later)
    assert stage.may(made.plan[1], made) is may


async def test_while_all_probes_of_a_provider_run_it_may_not_be_asked() -> None:
    world, stage = world_of({"a": [GOOD], "b": [GOOD]})
    made = call()
    own = stage.breakers._entries["b"][""].breaker
    for _ in range(2):
        own.failure(own.ask())  # type: ignore[arg-type]
    world.clock.advance(60.0)
    made.plan = (Candidate("a", "m"), Candidate("b", "m"))
    assert stage.may(made.plan[1], made)
    ticket = own.ask()
    assert isinstance(ticket, breaker.Ticket)
    assert not stage.may(made.plan[1], made)
    own.success(ticket)
    assert stage.may(made.plan[1], made)
    world.meter.close()


async def test_who_told_the_caller_to_wait_may_not_be_asked_unless_he_is_the_last() -> None:
    world, stage = world_of({"a": [(429, (*JSON, (b"retry-after", b"900")), [b"{}"])], "b": [GOOD]})
    made = call()
    await world.carry(made)
    assert not stage.may(made.plan[0], made)
    made.plan = made.plan[::-1]
    assert stage.may(made.plan[1], made)
