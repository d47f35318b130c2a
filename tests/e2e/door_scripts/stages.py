"""Stages of a user's own that go wrong, each in the way that the header `x-stage` names; the others keep out of its way.

`Before` stands in front of redaction and sees values in clear, `Behind` stands where scripts stand, `Open` fails open. Every
`llm_done` leaves a line in `done` in the home folder.
"""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from mitmproxy import exceptions

from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.sse import Event
from tokenman_core.verdicts import Answer, Candidate, Head, Parts, Refuse, Reroute, Skip

VALUE = "jane.doe@corp-mail.com"


def wish(exchange: Exchange) -> str:
    return (exchange.sent.header(b"x-stage") or b"").decode()


def put_back(exchange: Exchange) -> None:
    assert exchange.body
    exchange.body.slots[-1].text += f" {VALUE}"


async def answer(*parts: Any) -> Parts:
    for part in parts:
        if isinstance(part, BaseException):
            raise part
        yield part


class Stage:
    def __init__(self, name: str) -> None:
        self._name = name

    def mine(self, exchange: Exchange) -> str:
        """What is asked of this stage, "" if another is meant."""
        who, _, what = wish(exchange).partition(":")
        return what if who == self._name else ""

    def llm_head(self, exchange: Exchange) -> Any:
        match self.mine(exchange):
            case "head-raises":
                raise RuntimeError(VALUE)
            case "head-nonsense":
                return "yes"
            case "head-refuses":
                return Refuse(400, "forbidden", "not by me")
            case "head-blocks":
                time.sleep(0.3)
        return None

    async def llm_request(self, exchange: Exchange) -> Any:
        assert exchange.body
        match self.mine(exchange):
            case "raises":
                raise RuntimeError(VALUE)
            case "halts":
                raise exceptions.AddonHalt
            case "cancels":
                raise asyncio.CancelledError
            case "exits":
                raise SystemExit(VALUE)
            case "times-out":
                raise TimeoutError
            case "hangs":
                await asyncio.Event().wait()
            case "hangs-on":
                for _ in range(6):  # deaf to its cancellation
                    try:
                        await asyncio.sleep(0.1)
                    except asyncio.CancelledError:
                        continue
            case "waits":
                (Path.home() / "waiting").touch()
                await asyncio.sleep(0.8)
            case "blocks":
                time.sleep(0.6)  # noqa: ASYNC251 (that is the fault)
            case "nonsense":
                return {"status": 200}
            case "string":
                return "Refuse"
            case "skip":
                return Skip("not here")
            case "class":
                return Refuse
            case "puts-back":
                put_back(exchange)
            case "puts-back-and-raises":
                put_back(exchange)
                raise RuntimeError(VALUE)
            case "puts-back-and-hangs":
                put_back(exchange)
                await asyncio.Event().wait()
            case "puts-back-later":
                put_back_soon = asyncio.get_running_loop().call_later
                put_back_soon(0.005, put_back, exchange)
            case "no-text":
                exchange.body.slots[-1].text = None  # type: ignore[assignment]
            case "bytes":
                exchange.body.slots[-1].text = VALUE.encode()  # type: ignore[assignment]
            case "half-a-character":
                exchange.body.slots[-1].text += "\ud83d"
            case "no-slots":
                exchange.body.slots.clear()
            case "value":
                exchange.body.value["messages"][-1]["content"] = VALUE
            case "no-body":
                exchange.body = None
            case "raw-body":
                document = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": VALUE}]}
                exchange.raw = json.dumps(document).encode()
            case "header":
                exchange.sent = replace(exchange.sent, headers=(*exchange.sent.headers, (b"x-note", VALUE.encode())))
            case "plan":
                return Reroute((Candidate("nobody", "m"),))
            case "no-plan":
                return Reroute(())
            case "plan-nonsense":
                return Reroute("anthropic")  # type: ignore[arg-type]
            case "answers":
                said = b'{"said": "by the stage"}'
                fields = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(said)))
                return Answer(answer(Head(200, fields), said))
            case "answer-empty":
                return Answer(answer())
            case "answer-no-head":
                return Answer(answer(b"bytes"))
            case "answer-nonsense":
                return Answer(42)  # type: ignore[arg-type]
            case "answer-parts-nonsense":
                return Answer(answer(Head(200, ((b"content-type", b"text/event-stream"),)), "text", 7))
            case "answer-raises":
                return Answer(answer(RuntimeError(VALUE)))
            case "answer-raises-later":
                head = Head(200, ((b"content-type", b"application/octet-stream"),))
                return Answer(answer(head, b"half", RuntimeError(VALUE)))
            case "answer-injects":
                return Answer(answer(Head(200, ((b"x-note", b"a\r\nx-injected: b"), (b"content-length", b"2"))), b"ok"))
            case "answer-lies":
                head = Head(200, ((b"content-type", b"application/octet-stream"), (b"content-length", b"3")))
                return Answer(answer(head, b"more than three"))
        return None

    async def llm_attempt(self, exchange: Exchange, attempt: Attempt) -> Any:
        match self.mine(exchange):
            case "attempt-raises":
                raise RuntimeError(VALUE)
            case "attempt-hangs":
                await asyncio.Event().wait()
            case "attempt-nonsense":
                return 7
            case "attempt-puts-back":
                put_back(exchange)
            case "attempt-skips":
                return Skip("not this one")
        return None

    async def llm_attempt_done(self, exchange: Exchange, attempt: Attempt) -> None:
        if self.mine(exchange) == "attempt-done-raises":
            raise RuntimeError(VALUE)

    def wants_events(self, exchange: Exchange) -> bool:
        if self.mine(exchange) == "wants-raises":
            raise RuntimeError(VALUE)
        return self.mine(exchange).startswith("event")

    def llm_event(self, exchange: Exchange, event: Event) -> Any:
        match self.mine(exchange):
            case "event-raises":
                raise RuntimeError(VALUE)
            case "event-raises-at-the-end" if event.kind == "end":
                raise RuntimeError(VALUE)
            case "event-nonsense":
                return ["text"]
            case "event-drops":
                return []
        return None

    async def llm_response(self, exchange: Exchange) -> None:
        if self.mine(exchange) == "response-raises":
            raise RuntimeError(VALUE)

    async def llm_done(self, exchange: Exchange) -> None:
        with (Path.home() / "done").open("a") as file:
            file.write(f"{exchange.id} {self._name} {exchange.outcome}\n")
        if self.mine(exchange) == "done-raises":
            raise RuntimeError(VALUE)


class Before(Stage):
    before = "redaction"
    deadline_s = 0.3


class Behind(Stage):
    deadline_s = 0.3


class Open(Stage):
    fails = "open"
    deadline_s = 0.3


class NotAsync:
    """Methods that should be coroutines and are none."""

    def llm_request(self, exchange: Exchange) -> Any:
        if wish(exchange) == "sync:request":
            put_back(exchange)
            return None
        return _nothing()

    def llm_done(self, exchange: Exchange) -> None:
        return None


async def _nothing() -> None:
    return None


addons = [Before("before"), Behind("behind"), Open("open"), NotAsync()]
