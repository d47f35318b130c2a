import pytest

from tokenman_core import policy_cases
from tokenman_core.clock import ManualClock
from tokenman_core.config.cases import Case, Expected
from tokenman_core.config.models import Settings
from tokenman_core.config.routing import Route
from tokenman_core.policy_cases import Outcome
from tokenman_core.providers import of_settings
from tokenman_core.routes import Routes
from tokenman_core.stages import Link, Stages
from tokenman_core.verdicts import Refuse

REFUSAL = Refuse(429, "budget", "daily budget spent")


class Spy:
    """Masks every `ada`, refuses what says `no`, at the head what comes from the project `barred`, at the attempt `broke`."""

    def __init__(self) -> None:
        self.seen = []
        self.ended = 0

    def llm_head(self, exchange):
        return Refuse(403, "forbidden", "barred") if exchange.project == "barred" else None

    async def llm_request(self, exchange):
        self.seen.append(exchange)
        for slot in exchange.body.slots:
            if "ada" in slot.text:
                slot.text = slot.text.replace("ada", "[X]")
                exchange.masked["EMAIL_ADDRESS"] += 1
        return REFUSAL if any(slot.text == "no" for slot in exchange.body.slots) else None

    async def llm_attempt(self, exchange, attempt):
        return REFUSAL if exchange.project == "broke" else None

    async def llm_done(self, exchange):
        self.ended += 1


@pytest.fixture
def spy():
    return Spy()


async def outcome(spy, routes=(), **request):
    case = Case.model_validate({"name": "a", "request": request, "expect": {"masked": []}})
    stages = Stages([Link.of(spy, "spy")], ManualClock())
    providers = of_settings(Settings(providers={"codex": {"key": "sk-x"}}))
    routed = Routes([Route.model_validate(route) for route in routes], providers)
    return await policy_cases.outcome(case.request, stages, providers, routed)


async def test_a_case_goes_where_its_route_leads(spy):
    found = await outcome(
        spy, [{"match": {"model": "gpt-*"}, "try": ["codex"]}], dialect="openai", text="x", model="gpt-5"
    )
    assert found.provider == "codex"


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        ({"dialect": "anthropic", "text": "hello ada"}, "/v1/messages"),
        ({"dialect": "openai", "text": "hello ada"}, "/v1/chat/completions"),
        ({"dialect": "openai", "body": {"model": "m", "input": "hello ada"}}, "/v1/responses"),
        ({"dialect": "gemini", "text": "hello ada", "model": "gemini-9"}, "/v1beta/models/gemini-9:generateContent"),
    ],
)
async def test_a_case_goes_through_the_chain_as_a_call_of_its_dialect(spy, request_, path):
    found = await outcome(spy, **request_)
    assert found == Outcome(frozenset({"EMAIL_ADDRESS"}), None, request_["dialect"], "there is no cache")
    assert spy.seen[0].sent.path == path
    assert any(slot.text == "hello [X]" for slot in spy.seen[0].body.slots)
    assert spy.ended == 1


async def test_model_and_project_are_those_of_the_case(spy):
    await outcome(spy, dialect="openai", text="x", model="gpt-9", project="p")
    assert (spy.seen[0].model, spy.seen[0].project) == ("gpt-9", "p")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"dialect": "openai", "text": "no"}, 429),
        ({"dialect": "openai", "text": "x", "project": "barred"}, 403),
        ({"dialect": "openai", "text": "x", "project": "broke"}, 429),
    ],
)
async def test_a_refusal_in_any_phase_is_the_outcome_and_goes_nowhere(spy, request_, status):
    found = await outcome(spy, **request_)
    assert found.refusal is not None
    assert (found.refusal.status, found.provider) == (status, "")
    assert spy.ended == 1


MASKED = Outcome(frozenset({"EMAIL_ADDRESS"}), None, "openai", "the cache is off")
REFUSED = Outcome(frozenset(), REFUSAL, "", "it is refused")
CACHED = Outcome(frozenset(), None, "openai")


@pytest.mark.parametrize(
    ("expected", "found", "lines"),
    [
        ({"masked": ["EMAIL_ADDRESS"], "provider": "openai"}, MASKED, []),
        ({"masked": []}, MASKED, ["masked: expected nothing, found EMAIL_ADDRESS"]),
        ({"masked": ["JWT", "EMAIL_ADDRESS"]}, MASKED, ["masked: expected EMAIL_ADDRESS, JWT, found EMAIL_ADDRESS"]),
        ({"provider": "gemini"}, MASKED, ["provider: expected gemini, was openai"]),
        ({"refused": 429}, MASKED, ["refused: expected 429, was not refused"]),
        ({"refused": 429}, REFUSED, []),
        ({"refused": 400}, REFUSED, ["refused: expected 400, was refused with 429 budget (daily budget spent)"]),
        ({"provider": "openai"}, REFUSED, ["provider: expected openai, was refused with 429 budget (daily budget spent)"]),
        ({"cache": "bypass"}, MASKED, []),
        ({"cache": "bypass"}, REFUSED, []),
        ({"cache": "hit"}, MASKED, ["cache: expected hit, found bypass: the cache is off"]),
        ({"cache": "miss"}, CACHED, []),
        ({"cache": "hit"}, CACHED, []),
        ({"cache": "bypass"}, CACHED, ["cache: expected bypass, found that it may be answered from the cache"]),
        ({"masked": ["JWT"]}, REFUSED, ["masked: expected JWT, found nothing; refused with 429 budget (daily budget spent)"]),
    ],
)  # fmt: skip
def test_what_differs_is_said(expected, found, lines):
    assert policy_cases.differences(Expected.model_validate(expected), found) == lines
