"""Who is let in, and what each key may use, at every way to an attempt."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from addons.access import Access
from tests.core.scripted import GOOD, JSON, World, call, provider
from tokenman_core.clients import Client, Clients, Failures
from tokenman_core.clients.failures import MOST
from tokenman_core.clock import ManualClock
from tokenman_core.exchange import Caller, Exchange
from tokenman_core.failover.policy import Rules
from tokenman_core.providers import Providers
from tokenman_core.record import record_of
from tokenman_core.verdicts import Candidate, Refuse, Reroute

DOWN: Any = (503, JSON, [b"{}"])
WEB = Client("web", "0" * 64, 1.0)


class Reroutes:
    """A stage behind that leads the call elsewhere."""

    fails = "closed"

    def __init__(self, *plan: Candidate) -> None:
        self.plan = plan

    async def llm_request(self, exchange: Exchange) -> Reroute:
        return Reroute(self.plan)


class House:
    def __init__(self, folder: Path, *stages: object, needed: bool = True, budgets: Any = (), **more: Any) -> None:
        given: dict[str, Any] = {"providers": (provider("a", key="sk-a"), provider("b", key="sk-b"))} | more
        clock = ManualClock()
        self.clients = Clients(folder, b"k" * 32, clock)
        self.access = Access(
            self.clients, Providers(given["providers"]), needed, budgets, Failures(clock), clock
        )  # fmt: skip
        self.world = World(
            given.pop("answers", {"a": [GOOD], "b": [GOOD]}),
            self.access,
            *stages,
            clock=clock,
            rules=Rules(attempts=1),
            **given,
        )

    def key(self, **terms: Any) -> Caller:
        key = self.clients.add(replace(WEB, **terms))
        return Caller("who", key=self.clients.digest(key), address="10.0.0.1")

    async def ask(self, caller: Caller, body: bytes | None = None, **asked: Any) -> tuple[Exchange, int]:
        made = call(*(() if body is None else (body,)), caller=caller, **asked)
        refusal = self.access.llm_head(made)
        if refusal is not None:
            made.refusal = refusal
            return made, refusal.status
        head, _ = await self.world.carry(made)
        return made, head.status


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def refusal(made: Exchange) -> Refuse:
    assert made.refusal is not None
    return made.refusal


# -- who --


@pytest.mark.parametrize(
    ("caller", "status"),
    [
        (Caller(), 401), (Caller("who", login="key"), 401), (Caller("who", login="oauth"), 400),
        (Caller("who", run="0123456789ab"), 401), (Caller("who", login="oauth", run="0123456789ab", admitted=True), 200),
    ],
)  # fmt: skip
async def test_without_a_key_only_a_run_that_was_let_in_gets_in_where_one_is_needed(
    folder: Path, caller: Caller, status: int
) -> None:
    house = House(folder)
    made, got = await house.ask(caller)
    assert got == status
    if status != 200:
        assert refusal(made).kind == "auth"
        assert "A virtual key is needed here" in refusal(made).message
    assert (await House(folder, needed=False).ask(caller))[1] == 200


@pytest.mark.parametrize("needed", [True, False])
async def test_a_bad_key_is_refused_whether_one_is_needed_or_not(folder: Path, needed: bool) -> None:
    house = House(folder, needed=needed)
    good = house.key()
    made, status = await house.ask(replace(good, key="f" * 64))
    assert (status, refusal(made).kind) == (401, "auth")
    made, status = await house.ask(replace(good, key="f" * 64, login="oauth"))
    assert status == 400
    made, status = await house.ask(good)
    assert (status, made.caller.client) == (200, "web")


async def test_a_key_ends_when_it_expires_or_is_revoked(folder: Path) -> None:
    house = House(folder)
    clock = house.world.clock
    caller = house.key(expires=clock.now() + 100)
    clock.advance(99)
    assert (await house.ask(caller))[1] == 200
    clock.advance(1)
    made, status = await house.ask(caller)
    assert (status, refusal(made).message) == (401, "The virtual key of web has expired.")
    house.clients.revoke("web")
    made, _ = await house.ask(caller)
    assert "not known here" in refusal(made).message


class Meanwhile:
    """A stage behind that has calls wait, while something happens."""

    fails = "closed"

    async def llm_request(self, exchange: Exchange) -> None:
        self.happens()

    def happens(self) -> None:
        """Set by a test."""


@pytest.mark.parametrize("what", ["revoked", "expired", "unreadable"])
async def test_a_call_that_waited_is_not_sent_with_a_key_that_has_ended_meanwhile(folder: Path, what: str) -> None:
    waits = Meanwhile()
    house = House(folder, waits)
    clock, caller = house.world.clock, house.key(expires=house.world.clock.now() + 100)

    def happens() -> None:
        if what == "revoked":
            house.clients.revoke("web")
        elif what == "unreadable":
            house.clients.path.unlink()
            house.clients.path.mkdir()
        clock.advance(100 if what == "expired" else 1)

    waits.happens = happens
    made, status = await house.ask(caller)
    if what == "unreadable":  # it was checked when it came, and nobody has said anything else
        assert status == 200
        return
    assert (status, refusal(made).kind, house.world.upstream.hosts) == (401, "auth", [])


async def test_while_keys_cannot_be_checked_nobody_who_brings_one_gets_in(folder: Path) -> None:
    house = House(folder, needed=False)
    caller = house.key()
    house.clients.path.unlink()
    house.clients.path.mkdir()
    house.world.clock.advance(1)
    made, status = await house.ask(caller)
    assert (status, refusal(made).kind, refusal(made).retry_after) == (503, "persistence", 5)
    assert (await house.ask(Caller()))[1] == 200


async def test_who_tries_many_is_told_to_wait_and_holds_up_nobody(folder: Path) -> None:
    house = House(folder)
    good = house.key()
    bad = replace(good, key="f" * 64)
    statuses = [house.access.llm_head(call(caller=bad)) for _ in range(MOST + 1)]
    assert [it.status for it in statuses if it] == [401] * MOST + [429]
    assert statuses[-1] is not None
    assert 0 < (statuses[-1].retry_after or 0) <= 60
    assert house.access.llm_head(call(caller=good)) is None
    assert house.access.llm_head(call(caller=replace(bad, address="10.0.0.2"))).status == 401  # type: ignore[union-attr]
    house.world.meter.close()


# -- what --


async def test_a_keys_project_wins_and_another_one_is_refused(folder: Path) -> None:
    house = House(folder)
    caller = house.key(project="site")
    for said in ("", "site"):
        made, status = await house.ask(caller, project=said)
        assert (status, made.project) == (200, "site")
    made, status = await house.ask(caller, project="other")
    assert (status, refusal(made).kind) == (400, "forbidden")
    made, _ = await House(folder / "b").ask(House(folder / "b").key(), project="any")
    assert made.project == "any"


async def test_models_that_a_key_may_not_use_are_refused_by_name(folder: Path) -> None:
    house = House(folder)
    caller = house.key(models=("claude-*", "gpt-5"))
    for model, status in (("claude-x", 200), ("gpt-5", 200), ("gpt-5-mini", 400), ("", 400), ("Claude-x", 400)):
        made, got = await house.ask(caller, b'{"model": "%s", "max_tokens": 9, "messages": []}' % model.encode())
        assert got == status, model
        if status != 200:
            assert refusal(made).kind == "forbidden"
            assert "it may use claude-*, gpt-5" in refusal(made).message
    assert (await house.ask(caller, b"", method="GET", path="/v1/models"))[1] == 200
    fallbacks = b'{"model": "claude-x", "models": ["claude-y", "gpt-6"], "max_tokens": 9, "messages": []}'
    assert (await house.ask(caller, fallbacks))[1] == 400
    batch = b'{"requests": [{"custom_id": "1", "params": {"model": "gpt-6", "max_tokens": 9, "messages": []}}]}'
    assert (await house.ask(caller, batch, path="/v1/messages/batches"))[1] == 400
    hosts = house.world.upstream.hosts
    assert len(hosts) == 3


@pytest.mark.parametrize(
    "more",
    [
        '"models": ["gpt-5"]',
        '"fallbacks": [{"model": "gpt-5"}]',
        '"tools": [{"type": "advisor_20260301", "model": "gpt-5"}]',
    ],
    ids=range(3),
)
async def test_a_model_that_is_named_on_the_side_is_held_to_as_well(folder: Path, more: str) -> None:
    house = House(folder)
    body = '{"model": "claude-x", "max_tokens": 9, "messages": [], ' + more + "}"
    made, status = await house.ask(house.key(models=("claude-*",)), body.encode())
    assert (status, refusal(made).kind, house.world.upstream.hosts) == (400, "forbidden", [])
    assert "may not use model gpt-5" in refusal(made).message


async def test_a_deployment_is_a_model_that_its_key_has_to_name(folder: Path) -> None:
    house = House(folder, providers=(provider("a", "openai", key="sk-a"),), answers={"a": [GOOD, GOOD]}, routes=())
    asked: Any = {"dialect": "openai", "path": "/openai/deployments/large/chat/completions"}
    body = b'{"model": "gpt-4o-mini", "messages": []}'
    made, status = await house.ask(house.key(models=("gpt-4o-mini",)), body, **asked)
    assert (status, house.world.upstream.hosts) == (400, [])
    assert "may not use model large" in refusal(made).message
    assert (await house.ask(house.key(name="b", models=("gpt-4o-mini", "large")), body, **asked))[1] == 200


async def test_an_answer_of_a_model_that_its_key_may_not_use_is_marked(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = [
        ("claude-haiku-4-5-20251001", False),
        ("vendor/claude-haiku-9", False),
        ("claude-opus-5", True),
        ("", False),
    ]
    answers: Any = [(200, JSON, [b'{"type": "message", "model": "%s"}' % model.encode()]) for model, _ in said]
    house = House(folder, answers={"a": answers, "b": []})
    caller = house.key(models=("claude-haiku-*",))
    for model, marked in said:
        made, status = await house.ask(caller, b'{"model": "claude-haiku-4-5", "max_tokens": 9, "messages": []}')
        assert (status, made.other_model) == (200, marked), model
        assert record_of(made, 1.0).other_model is marked
    (line,) = [it.getMessage() for it in caplog.records if it.name == "tokenman.access"]
    assert "claude-opus-5 answered web, whose key may not use it; it may use claude-haiku-*" in line


async def test_providers_that_a_key_may_not_use_are_passed_over_or_refused(folder: Path) -> None:
    house = House(folder)
    made, status = await house.ask(house.key(providers=("b",)))
    assert (status, house.world.upstream.hosts) == (200, ["b.example"])
    other = House(folder / "x", routes=())
    made, status = await other.ask(other.key(providers=("b",)))
    assert (status, refusal(made).kind, other.world.upstream.hosts) == (400, "forbidden", [])
    assert "may not use provider a; it may use b" in refusal(made).message


async def test_a_failed_call_goes_on_only_to_what_its_key_may_use(folder: Path) -> None:
    for terms, hosts in (
        ({}, ["a.example", "b.example"]),
        ({"providers": ("a",)}, ["a.example"]),
        ({"models": ("m", "claude-*")}, ["a.example"]),
    ):
        place = folder / "-".join(terms)
        routes = ({"try": ["a", {"provider": "b", "model": "other"}]},) if "models" in terms else ({"try": ["a", "b"]},)
        house = House(place, answers={"a": [DOWN], "b": [GOOD]}, routes=routes)
        body = b'{"model": "claude-x", "max_tokens": 9, "messages": []}'
        await house.ask(house.key(**terms), body)
        assert list(dict.fromkeys(house.world.upstream.hosts)) == hosts, terms


@pytest.mark.parametrize("elsewhere", [Candidate("a", "other"), Candidate("b", "claude-x")])
async def test_a_stage_behind_cannot_lead_it_to_what_its_key_may_not_use(folder: Path, elsewhere: Candidate) -> None:
    house = House(folder, Reroutes(elsewhere))
    made, status = await house.ask(
        house.key(models=("claude-*",), providers=("a",)), b'{"model": "claude-x", "max_tokens": 9, "messages": []}'
    )
    assert (status, refusal(made).kind, house.world.upstream.hosts) == (400, "forbidden", [])


async def test_where_its_provider_has_no_key_that_is_said(folder: Path) -> None:
    house = House(folder, providers=(provider("a"), provider("b", key="sk-b")), routes=())
    made, status = await house.ask(house.key())
    assert (status, refusal(made).kind, house.world.upstream.hosts) == (400, "auth", [])
    assert "set providers.a.key" in refusal(made).message


async def test_where_only_the_next_provider_has_a_key_that_one_is_asked_with_it(folder: Path) -> None:
    house = House(folder, providers=(provider("a"), provider("b", key="sk-b")))
    _, status = await house.ask(house.key())
    assert (status, house.world.upstream.hosts) == (200, ["b.example"])
    assert (b"x-api-key", b"sk-b") in house.world.upstream.requests[0].headers


async def test_a_budget_that_is_gone_lets_nothing_be_spent(folder: Path) -> None:
    house = House(folder, budgets=["team"])
    caller = house.key(budget="team")
    assert (await house.ask(caller))[1] == 200
    gone = House(folder)
    made, status = await gone.ask(caller)
    assert (status, refusal(made).kind) == (400, "budget")
    for budget, status in (("5/day", 200), ("0/day", 400), ("x", 400)):
        own = House(folder / budget.replace("/", "-"))
        assert (await own.ask(own.key(budget=budget)))[1] == status
