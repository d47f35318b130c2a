"""Rate limits against the real store, with a clock that is turned by hand where nothing has to wait."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tokenman_core.ratelimit import limiter as module
from tokenman_core.ratelimit.limiter import LEASE_S, Allowed, Lasting, Limited, Limiter
from tokenman_core.ratelimit.rules import Rate, Rule
from tokenman_core.scopes import Reach, Subject
from tokenman_core.state import Hold, Sqlite, Store, Unavailable

ADA, BOB = Subject(client="ada", project="x", model="m"), Subject(client="bob", project="y", model="m")
MINUTE = Rate(60, 60)


class Clock:
    """Goes with the loop's time, and by hand."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return 1_000_000.0 + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead


class World:
    def __init__(self, path: Any) -> None:
        self.store, self.down, self.clock = Sqlite(path), False, Clock()
        self.lasting = Lasting()

    async def ask[T](self, question: Callable[[Store], T], *, brief: bool = False) -> T:
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable
        return question(self.store)

    def limiter(self, *rules: Rule) -> Limiter:
        return Limiter(rules, b"key", self.clock, self.ask, self.lasting)  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "state.db")
    yield made
    made.store.close()


async def entered(limiter: Limiter, count: int, subject: Subject = ADA, prefix: str = "c") -> list[Allowed | Limited]:
    return [await limiter.enter(f"{prefix}{number}", subject) for number in range(count)]


async def test_so_many_requests_in_a_time_for_each_client(world):
    limiter = world.limiter(Rule("per client", Reach("client"), requests=Rate(5, 60)))
    answers = await entered(limiter, 6)
    assert [isinstance(each, Allowed) for each in answers] == [True] * 5 + [False]
    last = answers[-1]
    assert isinstance(last, Limited)
    assert (last.kind, last.limit) == ("requests", 5)
    assert 11 < last.retry_after <= 12
    assert answers[0].standing[0].remaining == 4
    assert isinstance(await limiter.enter("b", BOB), Allowed)
    world.clock.ahead += 12.1
    assert isinstance(await limiter.enter("c7", ADA), Allowed)


async def test_so_many_at_once_until_they_have_ended(world):
    limiter = world.limiter(Rule("two", concurrent=2))
    assert [type(each) for each in await entered(limiter, 3)] == [Allowed, Allowed, Limited]
    await limiter.leave("c2")  # it never ran
    assert isinstance(await limiter.enter("d", BOB), Limited)
    await limiter.leave("c0")
    assert isinstance(await limiter.enter("e", BOB), Allowed)
    assert isinstance(await limiter.enter("f", BOB), Limited)


async def test_a_request_that_a_rate_refuses_does_not_count_as_running(world):
    limiter = world.limiter(Rule("both", requests=Rate(1, 60), concurrent=5))
    assert [type(each) for each in await entered(limiter, 3)] == [Allowed, Limited, Limited]
    assert len(world.store.counts.held(now=world.clock.now())) == 1


async def test_tokens_are_charged_with_the_estimate_and_corrected(world):
    limiter = world.limiter(Rule("tokens", tokens=Rate(1000, 60)))
    assert limiter.counts_tokens(ADA)
    assert isinstance(await limiter.charge(ADA, 900), Allowed)
    assert isinstance(await limiter.charge(ADA, 200), Limited)
    await limiter.correct(ADA, 900, 100)
    assert isinstance(await limiter.charge(ADA, 850), Allowed)
    await limiter.correct(ADA, 850, 1900)
    refused = await limiter.charge(ADA, 10)
    assert isinstance(refused, Limited)
    assert refused.retry_after > 55
    world.clock.ahead += 200
    assert isinstance(await limiter.charge(ADA, 5000), Allowed)  # larger than all that can be saved up
    await limiter.correct(ADA, 5000, 0)
    assert isinstance(await limiter.charge(ADA, 1000), Allowed)


async def test_a_call_waits_for_its_turn_and_none_overtakes(world):
    limiter = world.limiter(Rule("patient", requests=Rate(20, 1), wait=20.0))
    assert all(isinstance(each, Allowed) for each in await entered(limiter, 20))
    order: list[int] = []

    async def call(number: int) -> None:
        assert isinstance(await limiter.enter(f"w{number}", ADA), Allowed)
        order.append(number)

    tasks = []
    for number in range(8):
        tasks.append(asyncio.create_task(call(number)))
        await asyncio.sleep(0.005)
    await asyncio.gather(*tasks)
    assert order == sorted(order)
    assert not world.lasting.waiting
    assert not world.lasting.queues


async def test_who_would_wait_too_long_is_refused_at_once(world):
    limiter = world.limiter(Rule("patient", requests=Rate(1, 3600), wait=5.0))
    assert isinstance(await limiter.enter("a", ADA), Allowed)
    async with asyncio.timeout(4):
        refused = await limiter.enter("b", ADA)
    assert isinstance(refused, Limited)
    assert refused.retry_after > 3000
    assert not world.lasting.queues


async def test_one_that_waits_for_another_to_end_goes_on_when_it_has(world):
    limiter = world.limiter(Rule("one", concurrent=1, wait=30.0))
    assert isinstance(await limiter.enter("a", ADA), Allowed)
    waiting = asyncio.create_task(limiter.enter("b", ADA))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await limiter.leave("a")
    async with asyncio.timeout(10):
        assert isinstance(await waiting, Allowed)


async def test_who_runs_and_waits_for_tokens_is_not_behind_those_who_wait_for_him_to_end(world):
    limiter = world.limiter(Rule("one", concurrent=1, tokens=Rate(1000, 1), wait=60.0))
    assert isinstance(await limiter.enter("a", ADA), Allowed)
    behind = asyncio.create_task(limiter.enter("b", ADA))
    await asyncio.sleep(0.01)
    async with asyncio.timeout(30):
        assert isinstance(await limiter.charge(ADA, 1000), Allowed)
        assert isinstance(await limiter.charge(ADA, 100), Allowed)  # a tenth of a second later
    assert not behind.done()
    await limiter.leave("a")
    async with asyncio.timeout(30):
        assert isinstance(await behind, Allowed)


async def test_a_limit_that_lets_nobody_wait_ends_the_waiting_for_another(world):
    patient, strict = Rule("patient", concurrent=1, wait=60.0), Rule("strict", requests=Rate(1, 20))
    limiter = world.limiter(patient, strict)
    assert isinstance(await limiter.enter("a", ADA), Allowed)
    behind = asyncio.create_task(limiter.enter("b", ADA))
    await asyncio.sleep(0.01)
    assert not behind.done()
    await limiter.leave("a")
    async with asyncio.timeout(30):
        refused = await behind
    assert isinstance(refused, Limited)
    assert refused.rule is strict


async def test_a_call_that_goes_on_to_somebody_else_is_counted_there_and_not_twice_where_it_was(world):
    first, second = Subject("ada", provider="a", model="m"), Subject("ada", provider="b", model="m")
    rules = (
        Rule("all", requests=Rate(10, 60), concurrent=10), Rule("each", Reach("provider"), requests=Rate(10, 60), concurrent=1),
        Rule("ada", Reach("client"), requests=Rate(10, 60)), Rule("b", Reach("global", {"provider": "b"}), requests=Rate(1, 60)),
    )  # fmt: skip
    limiter = world.limiter(*rules)
    assert len((await limiter.enter("x", first)).standing) == 3
    answer = await limiter.enter("x:2", second, [first])
    assert isinstance(answer, Allowed)
    assert [(it.rule.name, it.remaining) for it in answer.standing] == [("each", 9), ("b", 0)]
    assert (await limiter.enter("x:3", first, [first, second])).standing == ()
    refused = await limiter.enter("y:2", second, [first])
    assert isinstance(refused, Limited)
    assert refused.rule.name == "each"  # it runs there already
    for lease in ("x", "x:2", "y:2"):
        await limiter.leave(lease)
    assert not world.store.counts.held(now=world.clock.now())


async def test_the_queue_is_bounded_and_who_leaves_it_holds_up_nobody(world, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    limiter = world.limiter(Rule("one", concurrent=1, wait=30.0))
    assert isinstance(await limiter.enter("a", ADA), Allowed)
    first, second = (asyncio.create_task(limiter.enter(name, ADA)) for name in "bc")
    await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        assert isinstance(await limiter.enter("d", ADA), Limited)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await limiter.leave("b")
        await limiter.leave("a")
        assert isinstance(await second, Allowed)
    assert not world.lasting.waiting


async def test_every_limit_that_is_about_a_call_must_let_it_pass(world):
    wide, tight = Rule("wide", requests=MINUTE), Rule("tight", Reach("global", {"project": "x"}), requests=Rate(2, 60))
    limiter = world.limiter(wide, tight)
    answers = await entered(limiter, 3)
    assert isinstance(answers[-1], Limited)
    assert answers[-1].rule is tight
    assert [each.remaining for each in answers[-1].standing] == [58, 0]
    assert isinstance(await limiter.enter("b", BOB), Allowed)


async def test_a_changed_limit_does_not_refill(world):
    before = world.limiter(Rule("a", requests=Rate(10, 60)))
    assert all(isinstance(each, Allowed) for each in await entered(before, 10))
    after = world.limiter(Rule("a", requests=Rate(100, 60)))
    assert isinstance(await after.enter("x", ADA), Limited)


async def test_a_process_that_dies_frees_its_places_and_one_that_lives_keeps_them(world):
    rule = Rule("one", concurrent=1)
    limiter, other = world.limiter(rule), Limiter([rule], b"key", world.clock, world.ask, Lasting())  # type: ignore[arg-type]
    assert isinstance(await limiter.enter("a", ADA), Allowed)
    world.clock.ahead += LEASE_S - 1
    await limiter.keep()
    world.clock.ahead += LEASE_S - 1
    assert isinstance(await other.enter("b", ADA), Limited)
    world.clock.ahead += 2
    assert isinstance(await other.enter("b", ADA), Allowed)


async def test_places_of_a_process_before_are_free_at_the_start_and_nobody_elses_hold_is_touched(world, caplog):
    rule, ours = Rule("two", concurrent=2), Hold("budget/x", 1, None, 2e9)
    dead, limiter = Limiter([rule], b"key", world.clock, world.ask, Lasting()), world.limiter(rule)  # type: ignore[arg-type]
    world.store.counts.reserve("money", [ours], until=2e9, now=world.clock.now())
    assert isinstance(await dead.enter("a", ADA), Allowed)
    assert isinstance(await limiter.enter("b", ADA), Allowed)
    assert isinstance(await limiter.enter("c", ADA), Limited)
    await limiter.take_over()
    assert {lease for lease, *_ in world.store.counts.held(now=world.clock.now())} == {"money", "b"}
    assert isinstance(await limiter.enter("c", ADA), Allowed)
    world.down = True
    await limiter.take_over()
    assert "may still count as running" in caplog.text


async def test_without_the_store_calls_go_on(world, caplog):
    limiter = world.limiter(Rule("a", requests=Rate(1, 60), concurrent=1, tokens=Rate(1, 60)))
    world.down = True
    for name in "abc":
        assert isinstance(await limiter.enter(name, ADA), Allowed)
        assert isinstance(await limiter.charge(ADA, 500), Allowed)
        await limiter.correct(ADA, 500, 1)
        await limiter.leave(name)
    await limiter.keep()
    assert "rate limits are not kept" in caplog.text


def test_the_names_of_counters_say_nothing_of_whom_they_count(world):
    limiter = world.limiter(Rule("a", Reach("project"), requests=MINUTE))
    asyncio.run(limiter.enter("x", Subject(project="a-secret-project")))
    rows = world.store._connection.execute("select name from rates").fetchall()
    assert rows
    assert all("secret" not in name for (name,) in rows)


async def test_a_clients_own_rate_holds_for_it_alone(world):
    own = {"ada": [Rule("client:ada", Reach("global", {"client": "ada"}), requests=Rate(2, 60))]}
    limiter = Limiter([], b"key", world.clock, world.ask, world.lasting, lambda: own)
    assert [isinstance(each, Allowed) for each in await entered(limiter, 3)] == [True, True, False]
    assert [isinstance(each, Allowed) for each in await entered(limiter, 3, BOB, "b")] == [True] * 3
    own.clear()
    assert isinstance(await limiter.enter("later", ADA), Allowed)
