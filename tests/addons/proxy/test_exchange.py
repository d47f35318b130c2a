"""The exchange add-on beside the flow of a call: what it keeps, what it tells, how it ends."""

import asyncio
import logging
from collections import Counter
from typing import Any

import pytest
from mitmproxy.addons.view import View
from mitmproxy.http import Headers, Request
from mitmproxy.test import taddons, tflow

from addons.proxy import exchange as module
from addons.proxy.admission import Front, Limits
from addons.proxy.exchange import Call, Exchanges
from tokenman_core.clock import ManualClock
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Attempt, Exchange, Sent
from tokenman_core.providers import Provider
from tokenman_core.verdicts import Candidate, Refuse


def call(model: str = "claude-x", *headers: tuple[bytes, bytes]) -> Exchange:
    dialect = DIALECTS["anthropic"]
    sent = Sent("POST", "/v1/messages", "", headers, "")
    made = Exchange("req_1", sent, dialect, dialect.operation("POST", sent.path), (Candidate("anthropic", model),))
    made.model = model
    return made


async def test_a_view_keeps_no_more_flows_than_its_bound_and_never_loses_a_live_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "KEPT_FLOWS", 5)
    view = View()
    with taddons.context(view):
        flows = [tflow.tflow() for _ in range(9)]
        for number, flow in enumerate(flows):
            flow.live = number == 0
        view.add(flows)
        module._forget_old_flows()
        assert len(view) == 6
        assert flows[0] in list(view)
        assert flows[-1] in list(view)


async def test_a_record_shows_neither_credentials_nor_the_body() -> None:
    request = Request.make(
        "POST",
        "http://tokenman/v1/x?key=AIza1&alt=sse",
        b"the secret",
        Headers(authorization="Bearer sk-1", accept="*/*"),
    )
    provider = Provider("anthropic", DIALECTS["anthropic"], "https", "api.example", 443)
    with taddons.context() as context:
        context.master.addons.add(type("ScriptLoader", (), {"name": "scriptloader"})())
        record = Call(call(), provider, None).record(request)  # type: ignore[arg-type]  # nothing is judged
    assert record.headers["authorization"] == "[hidden]"
    assert record.headers["accept"] == "*/*"
    assert record.raw_content is None
    assert record.path == "/v1/x?key=[hidden]&alt=sse"
    assert record.host == "api.example"
    assert request.headers["authorization"] == "Bearer sk-1"


def exchanges() -> Exchanges:
    limits = Limits(0, 65536, 200, 1.0, 1.0, 1.0)
    front = Front(list, frozenset(), frozenset())
    policies: Any = type("Policies", (), {"front": front, "limits": limits})()
    return Exchanges(policies, ManualClock(), b"k")


async def test_a_graceful_end_waits_for_the_last_call_and_no_longer() -> None:
    made, running = exchanges(), call()
    made.active[running] = made.policies
    waiting = asyncio.create_task(made.drained(30))
    await asyncio.sleep(0)
    assert not waiting.done()
    made._leave(running)
    await asyncio.wait_for(waiting, 1)
    made.active[running] = made.policies
    await asyncio.wait_for(made.drained(0.01), 1)
    made.active.clear()
    await asyncio.wait_for(made.drained(30), 1)


def test_one_line_tells_of_a_call_and_holds_no_value(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    done = call()
    done.labels, done.status = {"model": "claude-x"}, 200
    done.attempts.append(Attempt(1, Candidate("anthropic", "claude-x"), status=200, sent=True))
    done.masked = Counter({"EMAIL_ADDRESS": 2})
    done.stage_seconds = {("redaction", "request"): 0.0012}
    done.outcome = "answered"
    Exchanges._tell(done, 0.034)
    line = caplog.text
    for part in (
        "answered messages claude-x to anthropic",
        "status 200",
        "2 EMAIL_ADDRESS",
        "34 ms",
        "redaction request 1.2",
    ):
        assert part in line
    caplog.clear()
    odd = call("jane@corp.example\nforged line")
    odd.refusal, odd.outcome = Refuse(429, "budget", "spent"), "refused"
    Exchanges._tell(odd, 0.001)
    assert "jane" not in caplog.text
    assert "forged" not in caplog.text
    assert "refused 429 budget" in caplog.text


@pytest.mark.parametrize("model", ["DE89370400440532013000", "536-22-8765", "85.214.132.117", "4539148803436467"])
def test_the_line_of_a_call_names_no_model_that_was_not_judged(model: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    done = call(model)
    done.outcome = "answered"
    for labels in ({}, {"model": "[IBAN_CODE_0123456789ab]"}):
        done.labels = labels
        Exchanges._tell(done, 0.001)
        assert "answered messages - to nobody" in caplog.text
        assert model not in caplog.text
