import asyncio
import base64
import hashlib
import hmac
import json
import logging
from typing import Any

import pytest

from tokenman_core import webhook
from tokenman_core.clock import ManualClock
from tokenman_core.net import UpstreamError
from tokenman_core.webhook import TRIES, Address, Webhook, key_of, shown, signature

KEY = b"a key of thirty-two bytes or so."


class Answer:
    def __init__(self, status: int) -> None:
        self.status = status

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


class Upstream:
    """Answers as it is told, in order; the last again and again."""

    def __init__(self, *answers: int | UpstreamError) -> None:
        self.answers, self.got = list(answers), list[Any]()

    def call(self, request: Any, *_: Any) -> "Upstream":
        self.got.append(request)
        return self

    async def __aenter__(self) -> Answer:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, UpstreamError):
            raise answer
        return Answer(answer)

    async def __aexit__(self, *_: object) -> None:
        pass


async def delivered(upstream: Upstream, *kinds: str, waits: list[float] | None = None, chance: float = 1.0) -> Webhook:
    """After everything was sent that will be."""
    slept: list[float] = [] if waits is None else waits

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    names = iter(f"msg_{number}" for number in range(2000))
    made = Webhook(upstream, ManualClock(1_795_000_000.0), lambda: next(names), lambda: chance, sleep)  # type: ignore[arg-type]
    made.address = Address.of("https://hooks.example.com/a?b=c", KEY)
    for kind in kinds:
        made.tell(kind, {"budget": "daily"})
    task = asyncio.create_task(made.run())
    for _ in range(100_000):
        if not (made._waiting or made._there.is_set()):
            break
        await asyncio.sleep(0)
    task.cancel()
    return made


async def test_a_message_is_signed_as_the_standard_has_it():
    upstream = Upstream(204)
    await delivered(upstream, "budget.alert")
    (request,) = upstream.got
    headers = dict(request.headers)
    assert (request.method, request.host, request.port, request.path) == (b"POST", "hooks.example.com", 443, b"/a?b=c")
    assert json.loads(request.body) == {
        "type": "budget.alert", "timestamp": "2026-11-18T11:06:40.000Z", "data": {"budget": "daily"},
    }  # fmt: skip
    name, moment = headers[b"webhook-id"], headers[b"webhook-timestamp"]
    assert moment == b"1795000000"
    expected = base64.b64encode(hmac.new(KEY, name + b"." + moment + b"." + request.body, hashlib.sha256).digest())
    assert headers[b"webhook-signature"] == b"v1," + expected


def test_the_signature_is_that_of_the_standards_own_example():
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md and its libraries' tests
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}') == (
        b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )
    assert key_of(shown(KEY)) == KEY
    assert key_of("any other text") == b"any other text"


async def test_what_is_not_taken_is_sent_again_under_the_same_id_and_longer_apart():
    upstream, waits = Upstream(500, UpstreamError("connect", "down"), 429, 200), list[float]()
    await delivered(upstream, "budget.alert", waits=waits)
    assert len({dict(each.headers)[b"webhook-id"] for each in upstream.got}) == 1
    assert waits == [1.0, 4.0, 16.0]
    waits.clear()
    await delivered(Upstream(503), "x", waits=waits, chance=0.0)
    assert len(waits) == TRIES - 1
    assert max(waits) <= 150
    assert waits[:2] == [0.5, 2.0]


async def test_what_is_refused_or_never_taken_is_given_up_and_the_next_is_sent(caplog):
    upstream = Upstream(400, 200)
    with caplog.at_level(logging.WARNING):
        await delivered(upstream, "one", "two")
    assert [json.loads(each.body)["type"] for each in upstream.got] == ["one", "two"]
    assert "given up" in caplog.text
    assert "/a?b=c" not in caplog.text


async def test_without_an_address_nothing_is_kept_and_with_one_the_waiting_are_bounded(monkeypatch, caplog):
    made = Webhook(Upstream(200), ManualClock(), lambda: "msg", lambda: 1.0)  # type: ignore[arg-type]
    made.tell("x", {})
    assert not made._waiting
    monkeypatch.setattr(webhook, "_MOST", 3)
    made.address = Address.of("http://127.0.0.1:9/", KEY)
    for number in range(5):
        made.tell(str(number), {})
    assert [json.loads(body)["type"] for _, body in made._waiting] == ["2", "3", "4"]
    assert "the oldest is lost" in caplog.text


@pytest.mark.parametrize(
    "url", ["", "hooks.example.com", "ftp://a/b", "https://", "https://u:p@a/", "file:///etc/passwd"]
)
def test_what_is_no_address_is_told(url):
    with pytest.raises(ValueError, match="a good value"):
        Address.of(url, KEY)
