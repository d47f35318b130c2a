"""One call from its request to its end, over a scripted upstream: no sockets, no proxy."""

import asyncio
import gzip
import json
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from tokenman_core.body.read import read_body
from tokenman_core.clock import ManualClock
from tokenman_core.conductor import Conductor
from tokenman_core.config.models import Pricing
from tokenman_core.config.routing import Route
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Attempt, Exchange, Sent
from tokenman_core.failover.policy import Policy, Rules
from tokenman_core.limit_headers import Room
from tokenman_core.metering import Meter
from tokenman_core.net import Deadlines, Request, UpstreamError
from tokenman_core.outbound import OFF_LOOP
from tokenman_core.outward import Caps
from tokenman_core.pricing import Prices
from tokenman_core.providers import Provider, Providers
from tokenman_core.routes import Routes
from tokenman_core.sending import Sender
from tokenman_core.session import Sessions
from tokenman_core.sse import Event
from tokenman_core.stages import Link, Stages
from tokenman_core.tries import Means
from tokenman_core.usage import Usage
from tokenman_core.verdicts import Answer, Candidate, Head, Headers, Parts, Refuse, Skip, Trailers

JSON: Headers = ((b"content-type", b"application/json"),)
SSE: Headers = ((b"content-type", b"text/event-stream"),)
SAID = b'{"type":"message","content":[{"type":"text","text":"You said [A_1]"}],"usage":{"input_tokens":3,"output_tokens":5}}'
BODY = b'{ "model":"m", "messages":[{"role":"user","content":"hello secret"}] }'
STREAM = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"[A_1]"}}\n\n'
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


class Upstream:
    """Answers with what it was given, one after the other, and keeps the requests."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    def call(self, request: Request, deadlines: Deadlines, **more: Any) -> "Call":
        self.requests.append(request)
        return Call(self.answers.pop(0))


class Call:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def __aenter__(self) -> Any:
        if isinstance(self.answer, UpstreamError):
            raise self.answer
        status, headers, pieces, *trailers = self.answer
        return Answering(status, headers, pieces, trailers[0] if trailers else ())

    async def __aexit__(self, *_: object) -> None:
        pass


class Answering:
    def __init__(self, status: int, headers: Headers, pieces: Iterable[Any], trailers: Headers) -> None:
        self.status, self.headers, self.trailers, self.pieces = status, headers, trailers, pieces

    def header(self, name: bytes) -> bytes | None:
        return next((v for k, v in self.headers if k.lower() == name), None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


class Masks:
    """Masks one word on the way in and restores it on the way back."""

    fails = "closed"

    async def llm_request(self, exchange: Exchange) -> None:
        assert exchange.body
        for slot in exchange.body.slots:
            slot.text = slot.text.replace("secret", "[A_1]")

    def llm_event(self, exchange: Exchange, event: Event) -> None:
        for slot in event.slots:
            slot.text = slot.text.replace("[A_1]", "secret")


CHAT = Provider("chat", DIALECTS["openai"], "https", "chat.example", 443)
PROVIDER = Provider("anthropic", DIALECTS["anthropic"], "https", "api.example", 443)
OTHER = Provider("other", DIALECTS["anthropic"], "https", "other.example", 443, key="sk-configured")
BOTH = Route.model_validate({"try": ["anthropic", "other"]})


def exchange(body: bytes = BODY, *headers: tuple[bytes, bytes], method: str = "POST") -> Exchange:
    dialect = DIALECTS["anthropic"]
    sent = Sent(
        method,
        "/v1/messages",
        "beta=true",
        headers or ((b"content-type", b"application/json"), (b"X-Api-Key", b"mine")),
        "",
    )
    operation = dialect.operation(method, sent.path)
    made = Exchange("req_1", sent, dialect, operation, (Candidate("anthropic", ""),), named="anthropic")
    made.raw = body
    return made


async def never(seconds: float) -> None:
    raise AssertionError("nothing waits here")


def conducting(
    chain: Stages, upstream: Upstream, cap: int = 0, request_cap: int = 0, routes: Sequence[Route] = ()
) -> tuple[Conductor, Meter]:
    """A call is tried once at each provider."""
    providers, caps, clock = Providers([PROVIDER, OTHER, CHAT]), Caps(request_cap, cap, 1 << 20), ManualClock()
    meter = Meter(Prices(Pricing()), providers)
    sender = Sender(providers, upstream, clock)  # type: ignore[arg-type]
    means = Means(sender, Policy(Rules(attempts=1), clock, lambda: 0.5), meter, clock, cap, sleep=never)
    routed = Routes(routes, providers)
    return Conductor(lambda: chain, providers, means, caps, clock, Sessions(b"k"), routed), meter


async def carry(
    upstream: Upstream,
    call: Exchange,
    *stages: object,
    cap: int = 0,
    request_cap: int = 0,
    ended: Callable[[], None] = lambda: None,
    routes: Sequence[Route] = (),
) -> tuple[Head, bytes, list[Any]]:
    chain = Stages([Link.of(stage, type(stage).__name__) for stage in stages], ManualClock())
    conductor, meter = conducting(chain, upstream, cap, request_cap, routes)
    parts: list[Any] = [part async for part in conductor.answer(call)]
    ended()
    await conductor.settle(call)
    meter.close()
    assert isinstance(parts[0], Head)
    return parts[0], b"".join(part for part in parts if isinstance(part, bytes)), parts


async def test_an_untouched_call_passes_bit_for_bit_in_both_directions() -> None:
    upstream = Upstream(
        (200, (*JSON, (b"content-length", b"%d" % len(SAID)), (b"Request-Id", b"r1")), [SAID[:9], SAID[9:]])
    )
    head, body, _ = await carry(upstream, exchange())
    sent = upstream.requests[0]
    assert (sent.body, body) == (BODY, SAID)
    assert sent.headers == ((b"Host", b"api.example"), (b"content-type", b"application/json"), (b"X-Api-Key", b"mine"))
    assert sent.path == b"/v1/messages?beta=true"
    assert (b"Request-Id", b"r1") in head.headers
    assert dict(head.headers)[b"x-tokenman-request-id"] == b"req_1"
    assert dict(head.headers)[b"x-tokenman-provider"] == b"anthropic"


async def test_a_masked_call_is_spliced_and_its_answer_restored() -> None:
    upstream = Upstream((200, (*JSON, (b"etag", b"x"), (b"content-length", b"%d" % len(SAID))), [SAID]))
    head, body, _ = await carry(upstream, exchange(), Masks())
    assert upstream.requests[0].body == BODY.replace(b"secret", b"[A_1]")
    assert body == SAID.replace(b"[A_1]", b"secret")
    assert dict(head.headers)[b"content-length"] == b"%d" % len(body)
    assert b"etag" not in dict(head.headers)


async def test_a_compressed_body_goes_on_as_it_came_or_decoded_where_it_changed() -> None:
    packed = gzip.compress(BODY)
    headers = ((b"content-type", b"application/json"), (b"content-encoding", b"gzip"))
    upstream = Upstream((200, JSON, [SAID]), (200, JSON, [SAID]))
    await carry(upstream, exchange(packed, *headers))
    await carry(upstream, exchange(packed, *headers), Masks())
    as_it_was, decoded = upstream.requests
    assert (as_it_was.body, dict(as_it_was.headers)[b"content-encoding"]) == (packed, b"gzip")
    assert decoded.body == BODY.replace(b"secret", b"[A_1]")
    assert b"content-encoding" not in dict(decoded.headers)


@pytest.mark.parametrize(
    ("body", "headers", "status", "kind"),
    [
        (b"{", [(b"content-type", b"application/json")], 400, "parse"),
        (b'{"a":1,"a":2}', [(b"content-type", b"application/json")], 400, "parse"),
        (BODY, [(b"content-encoding", b"snappy")], 415, "coding"),
        (BODY, [(b"content-encoding", b"gzip")], 415, "coding"),
        (gzip.compress(gzip.compress(BODY)), [(b"content-encoding", b"gzip, gzip")], 415, "coding"),
        (gzip.compress(BODY), [(b"content-encoding", b"identity"), (b"content-encoding", b"gzip")], 415, "coding"),
        (gzip.compress(BODY)[:-3], [(b"content-encoding", b"gzip")], 415, "coding"),
        (gzip.compress(b"0" * 9000), [(b"content-encoding", b"gzip")], 413, "body_cap"),
        (BODY, [(b"content-type", b"application/json"), (b"content-type", b"image/png")], 400, "parse"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_and_goes_nowhere(
    body: bytes, headers: list[tuple[bytes, bytes]], status: int, kind: str
) -> None:
    upstream = Upstream()
    head, said, _ = await carry(upstream, exchange(body, *headers), Masks(), request_cap=4000)
    assert (head.status, dict(head.headers)[b"x-tokenman-error"]) == (status, kind.encode())
    assert json.loads(said)["type"] == "error"
    assert dict(head.headers)[b"x-should-retry"] == b"false"
    assert not upstream.requests


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (UpstreamError("connect", "secret host"), 502, b"upstream"),
        (UpstreamError("timeout", "first_byte", deadline="first_byte"), 504, b"timeout"),
        (UpstreamError("protocol", "nonsense"), 502, b"upstream"),
        (UpstreamError("refused", "inside"), 502, b"upstream"),
        (UpstreamError("cap", "oversize"), 502, b"response_cap"),
        (UpstreamError("full", "taken"), 503, b"upstream"),
    ],
)
async def test_a_failed_attempt_is_an_error_of_the_dialect_without_internals(
    error: UpstreamError, status: int, kind: bytes
) -> None:
    call = exchange()
    head, body, _ = await carry(Upstream(error), call)
    assert (head.status, dict(head.headers)[b"x-tokenman-error"]) == (status, kind)
    assert str(error).encode() not in body
    assert call.attempts[0].failure is not None


async def test_a_call_that_was_not_begun_with_is_sent_again_once_and_one_that_broke_is_not() -> None:
    untouched = UpstreamError("reset", "gone", untouched=True)
    upstream, call = Upstream(untouched, (200, JSON, [SAID])), exchange()
    assert (await carry(upstream, call))[0].status == 200
    assert call.attempts[0].failure is None  # or it would count against the provider, and cost nothing
    assert upstream.requests[0] == upstream.requests[1]
    assert (await carry(Upstream(untouched, untouched), exchange()))[0].status == 502
    assert (await carry(Upstream(UpstreamError("reset", "gone")), exchange()))[0].status == 502


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 500, 503, 529])
async def test_a_providers_status_and_headers_pass(status: int) -> None:
    said = (*JSON, (b"Retry-After", b"7"), (b"anthropic-ratelimit-requests-remaining", b"0"))
    head, body, _ = await carry(Upstream((status, said, [b'{"error":1}'])), exchange())
    assert (head.status, body) == (status, b'{"error":1}')
    assert {b"Retry-After", b"anthropic-ratelimit-requests-remaining"} <= set(dict(head.headers))
    assert b"x-tokenman-error" not in dict(head.headers)


@pytest.mark.parametrize(
    "to",
    [
        b"https://evil.example/",
        b"//evil.example/x",
        b"http://api.example/",
        b"https://api.example:8443/",
        b"http://[x",
        b"//[::1",
        b"https://api.example:abc/",
        b"https://api.example:99999/",
        b"\xff://[\xff]",
        b"",
    ],
)
async def test_a_redirect_that_leaves_the_provider_is_not_passed_on(to: bytes) -> None:
    head, _, _ = await carry(Upstream(*[(307, ((b"location", to),), [])] * 5), exchange())
    assert head.status == 502
    assert dict(head.headers)[b"x-tokenman-error"] == b"upstream"
    assert b"location" not in dict(head.headers)


async def test_a_redirect_inside_is_followed_masked_and_not_for_ever() -> None:
    inside = (307, ((b"location", b"/v2/messages?x=1"),), [])
    upstream = Upstream(inside, (200, JSON, [SAID]))
    assert (await carry(upstream, exchange(), Masks()))[0].status == 200
    assert upstream.requests[1].path == b"/v2/messages?x=1"
    assert b"secret" not in upstream.requests[1].body
    assert (await carry(Upstream(*[inside] * 9), exchange()))[0].status == 502
    assert (await carry(Upstream((302, ((b"location", b"/x"),), [])), exchange()))[0].status == 502


@pytest.mark.parametrize(
    ("headers", "pieces"),
    [
        ((*JSON, (b"content-length", b"2000")), [b"x" * 2000]),
        (JSON, [b"x" * 600, b"x" * 600]),
        ((*JSON, (b"content-encoding", b"gzip")), [gzip.compress(b"x" * 2000)]),
        (((b"content-type", b"audio/mpeg"), (b"content-length", b"2000")), [b"x" * 2000]),
    ],
)
async def test_an_answer_over_the_cap_is_502(headers: Headers, pieces: list[bytes]) -> None:
    head, body, _ = await carry(Upstream((200, headers, pieces)), exchange(), cap=1000)
    assert (head.status, dict(head.headers)[b"x-tokenman-error"]) == (502, b"response_cap")
    assert len(body) < 1000


async def test_media_passes_as_it_comes_and_is_cut_at_the_cap() -> None:
    audio = ((b"content-type", b"audio/mpeg"),)
    _, body, parts = await carry(Upstream((200, audio, [b"a" * 400, b"b" * 400])), exchange(), Masks(), cap=1000)
    assert body == b"a" * 400 + b"b" * 400
    assert len(parts) == 3
    with pytest.raises(UpstreamError):
        await carry(Upstream((200, audio, [b"a" * 800, b"b" * 800])), exchange(), cap=1000)


async def test_an_answer_without_a_body_keeps_its_headers() -> None:
    head, body, _ = await carry(Upstream((200, (*JSON, (b"content-length", b"99")), [])), exchange(b"", method="HEAD"))
    assert (dict(head.headers)[b"content-length"], body) == (b"99", b"")


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_stream_is_restored_event_by_event_however_it_is_cut(size: int) -> None:
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    call = exchange()
    _, body, _ = await carry(Upstream((200, SSE, pieces)), call, Masks())
    assert body == STREAM.replace(b"[A_1]", b"secret")
    assert call.attempts[0].usage is not None
    assert (call.attempts[0].usage.input, call.attempts[0].usage.output) == (3, 5)


async def test_a_stream_that_nobody_changes_passes_event_by_event_and_is_still_counted() -> None:
    call = exchange()
    first = STREAM.index(b"\n\n") + 2
    _, _, parts = await carry(Upstream((200, SSE, [STREAM[: first + 9], STREAM[first + 9 :]])), call)
    assert parts[1:] == [STREAM[:first], STREAM[first:]]
    assert call.attempts[0].usage is not None


@pytest.mark.parametrize("packed", [gzip.compress(STREAM), zlib.compress(STREAM)])
async def test_a_compressed_stream_is_decoded_where_it_is_restored_and_else_left_alone(packed: bytes) -> None:
    coding = b"gzip" if packed[:2] == b"\x1f\x8b" else b"deflate"
    headers = (*SSE, (b"content-encoding", coding))
    pieces = [packed[at : at + 20] for at in range(0, len(packed), 20)]
    head, body, _ = await carry(Upstream((200, headers, pieces)), exchange(), Masks())
    assert body == STREAM.replace(b"[A_1]", b"secret")
    assert b"content-encoding" not in dict(head.headers)
    head, body, _ = await carry(Upstream((200, headers, pieces)), exchange())
    assert (body, dict(head.headers)[b"content-encoding"]) == (packed, coding)


@pytest.mark.parametrize("stages", [[], [Masks()]])
@pytest.mark.parametrize(
    "ending", [[], [UpstreamError("reset", "cut")], [UpstreamError("timeout", "idle", deadline="idle")]]
)
async def test_a_stream_that_breaks_off_ends_with_an_error_event(stages: list[object], ending: list[Any]) -> None:
    call = exchange()
    _, body, _ = await carry(Upstream((200, SSE, [STREAM[: len(STREAM) // 2], *ending])), call, *stages)
    last = body.rstrip(b"\n").rpartition(b"\n\n")[2]
    assert last.startswith(b"event: error")
    assert call.outcome == "broken"


async def test_a_stream_of_choices_that_have_not_ended_ends_with_an_error_event() -> None:
    said = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": null}]}\n\n'
    end = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
    other = said.replace(b'"index": 0', b'"index": 1')
    for path in ("/v1/chat/completions", "/v1/of_tomorrow"):
        for stages in ([], [Masks()]):
            for stream, whole in (
                (said, False), (said + said, False), (said + other + end, False), (said + end, True),
                (said + b"data: [DONE]\n\n", True),
            ):  # fmt: skip
                call = exchange()
                call.dialect = DIALECTS["openai"]
                call.operation = call.dialect.operation("POST", path)
                _, body, _ = await carry(Upstream((200, SSE, [stream])), call, *stages)
                assert body.startswith(stream)
                assert body[len(stream) :].startswith(b"event: error") is not whole, (path, stream)
                assert (call.outcome == "broken") is not whole


@pytest.mark.parametrize("stages", [[], [Masks()]])
async def test_a_stream_that_no_dialect_knows_ends_as_it_likes(stages: list[object]) -> None:
    call, said = exchange(), b'data: {"x": 1}\n\ndata: {"x": 2}\n\n'
    call.operation = DIALECTS["anthropic"].operation("POST", "/v1/of_tomorrow")
    assert (call.operation.name, call.operation.generates) == ("other", True)
    _, body, _ = await carry(Upstream((200, SSE, [said])), call, *stages)
    assert (body, call.outcome) == (said, "answered")
    call = exchange()
    call.operation = DIALECTS["anthropic"].operation("POST", "/v1/of_tomorrow")
    _, body, _ = await carry(Upstream((200, SSE, [said, UpstreamError("reset", "cut")])), call, *stages)
    assert body.startswith(said + b"event: error")


async def test_a_stage_that_fails_in_a_stream_ends_it_with_an_error_event() -> None:
    class Breaks:
        def llm_event(self, exchange: Exchange, event: Event) -> None:
            if event.name == "content_block_delta":
                raise RuntimeError

    _, body, _ = await carry(Upstream((200, SSE, [STREAM])), exchange(), Breaks())
    assert b"message_stop" not in body
    assert b"event: error" in body


async def test_a_stage_that_fails_on_a_whole_answer_gives_a_refusal() -> None:
    class Breaks:
        def llm_event(self, exchange: Exchange, event: Event) -> None:
            raise RuntimeError

    head, body, _ = await carry(Upstream((200, JSON, [SAID])), exchange(), Breaks())
    assert (head.status, dict(head.headers)[b"x-tokenman-error"]) == (500, b"stage")
    assert b"You said" not in body


def large(word: bytes = b"[A_1]") -> bytes:
    """An answer that takes its time to read."""
    return SAID.replace(b"[A_1]", word + b" and more" * OFF_LOOP)


class Aside(Masks):
    """Notes on which thread it reads; `off_loop` as it is told."""

    def __init__(self, off_loop: bool) -> None:
        self.off_loop = off_loop
        self.threads: list[threading.Thread] = []

    def llm_event(self, exchange: Exchange, event: Event) -> None:
        self.threads.append(threading.current_thread())
        super().llm_event(exchange, event)


@pytest.mark.parametrize(
    ("off_loop", "said", "aside"), [(True, large(), True), (True, SAID, False), (False, large(), False)]
)
@pytest.mark.parametrize("packed", [False, True])
async def test_a_large_answer_is_read_on_a_thread_where_the_stages_allow_it(
    off_loop: bool, said: bytes, aside: bool, packed: bool
) -> None:
    stage = Aside(off_loop)
    headers = (*JSON, (b"content-encoding", b"gzip")) if packed else JSON
    answer = gzip.compress(said) if packed else said
    _, body, _ = await carry(Upstream((200, headers, [answer])), exchange(), stage)
    assert body == said.replace(b"[A_1]", b"secret")
    assert len(stage.threads) == 2  # the answer, and its end
    assert all((each is not threading.main_thread()) is aside for each in stage.threads)


async def test_a_large_answer_that_a_stage_fails_on_gives_a_refusal_too() -> None:
    class Breaks(Aside):
        def llm_event(self, exchange: Exchange, event: Event) -> None:
            raise RuntimeError

    head, body, _ = await carry(Upstream((200, JSON, [large()])), exchange(), Breaks(True))
    assert (head.status, dict(head.headers)[b"x-tokenman-error"]) == (500, b"stage")
    assert b"You said" not in body


async def test_who_leaves_while_a_large_answer_is_read_is_settled_once_it_is_read() -> None:
    """What the call holds (its values) is taken down then, and nobody reads in it any more."""
    begun, goes_on, order = threading.Event(), threading.Event(), list[str]()

    class Slow(Aside):
        def llm_event(self, exchange: Exchange, event: Event) -> None:
            begun.set()
            assert goes_on.wait(20)
            order.append("read")

    chain = Stages([Link.of(Slow(True), "slow")], ManualClock())
    conductor, meter = conducting(chain, Upstream((200, JSON, [large()])))
    call = exchange()

    async def whole() -> None:
        async with aclosing(conductor.answer(call)) as parts:
            async for _ in parts:
                pass

    task = asyncio.ensure_future(whole())
    await asyncio.to_thread(begun.wait, 20)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    order.append("left")
    assert order[0] == "read"
    await conductor.settle(call)
    meter.close()


async def test_a_body_that_breaks_off_is_an_error_and_no_half_answer() -> None:
    head, body, _ = await carry(Upstream((200, JSON, [SAID[:20], UpstreamError("reset", "cut")])), exchange())
    assert head.status == 502
    assert b"You said" not in body


async def test_trailers_pass() -> None:
    _, _, parts = await carry(Upstream((200, JSON, [SAID], ((b"x-t", b"1"),))), exchange())
    assert parts[-1] == Trailers(((b"x-t", b"1"),))


async def test_an_answer_of_a_stage_goes_back_through_the_stages_before_it() -> None:
    class Cached:
        async def llm_request(self, exchange: Exchange) -> Answer:
            async def parts() -> Parts:
                yield Head(200, JSON)
                yield SAID

            return Answer(parts())

    upstream = Upstream()
    _, body, _ = await carry(upstream, exchange(), Masks(), Cached())
    assert body == SAID.replace(b"[A_1]", b"secret")
    assert not upstream.requests


async def test_a_whole_answer_says_what_it_cost_and_an_error_does_not() -> None:
    call = exchange(BODY.replace(b'"m"', b'"claude-sonnet-4-5"'))
    head, _, _ = await carry(Upstream((200, JSON, [SAID])), call)
    assert dict(head.headers)[b"x-tokenman-cost-usd"] == b"0.000084"  # 3 of input, 5 of output
    assert call.attempts[0].bill is not None
    assert call.attempts[0].bill.cost == Decimal("0.000084")
    for refused in (Upstream((429, JSON, [b'{"type":"error"}'])), Upstream(UpstreamError("connect", "down"))):
        head, _, _ = await carry(refused, exchange())
        assert b"x-tokenman-cost-usd" not in dict(head.headers)


async def test_an_answer_ends_before_it_is_counted_and_is_booked_before_the_call_is_done() -> None:
    order: list[str] = []

    class Notes:
        async def llm_attempt_done(self, exchange: Exchange, attempt: Attempt) -> None:
            order.append(f"attempt done, booked: {attempt.bill is not None}")

        async def llm_response(self, exchange: Exchange) -> None:
            order.append("response")

    untold = STREAM.replace(b',"usage":{"output_tokens":5}', b"").replace(
        b',"usage":{"input_tokens":3,"output_tokens":1}', b""
    )
    call = exchange()
    await carry(Upstream((200, SSE, [untold])), call, Notes(), ended=lambda: order.append("the client has its end"))
    assert order == ["response", "the client has its end", "attempt done, booked: True"]
    assert call.attempts[0].bill is not None
    assert call.attempts[0].bill.estimated


async def test_a_client_that_leaves_is_booked_at_once() -> None:
    done: list[Attempt] = []
    call = exchange()
    chain = Stages([Link.of(deciding(lambda _: None, done), "notes")], ManualClock())
    conductor, meter = conducting(chain, Upstream((200, SSE, [STREAM[: STREAM.index(b"content_block_stop") - 40]])))
    async with aclosing(conductor.answer(call)) as parts:
        await anext(parts)
        await anext(parts)
    meter.close()
    assert done == call.attempts
    assert done[0].bill is not None
    assert (done[0].bill.usage.input, done[0].bill.estimated) == (3, True)


def chat(body: bytes) -> Exchange:
    made = exchange(body, (b"content-type", b"application/json"))
    made.dialect = DIALECTS["openai"]
    made.sent = Sent("POST", "/v1/chat/completions", "", made.sent.headers, "")
    made.operation = made.dialect.operation("POST", made.sent.path)
    made.named, made.plan = "chat", (Candidate("chat", ""),)
    return made


CHAT_BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hello secret"}]}'
CHUNKS = (
    b'data: {"choices":[{"index":0,"delta":{"content":"[A_1]"}}],"usage":null}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
)
UNASKED = (
    b'data: {"choices":[{"index":0,"delta":{"content":"[A_1]"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("coding", [b"", b"gzip"])
async def test_a_chat_stream_tells_its_usage_here_and_not_to_the_program(
    size: int, masked: bool, coding: bytes
) -> None:
    came = gzip.compress(CHUNKS) if coding else CHUNKS
    headers = (*SSE, (b"content-encoding", coding)) if coding else SSE
    upstream = Upstream((200, headers, [came[at : at + size] for at in range(0, len(came), size)]))
    call = chat(CHAT_BODY)
    head, body, _ = await carry(upstream, call, *([Masks()] if masked else []))
    text = b"[A_1]" if masked else b"secret"
    asked = CHAT_BODY.replace(b"secret", text)[:-1] + b',"stream_options":{"include_usage":true}}'
    assert upstream.requests[0].body == asked
    assert body == (UNASKED.replace(b"[A_1]", b"secret") if masked else UNASKED)
    assert b"content-encoding" not in dict(head.headers)
    assert call.attempts[0].usage == Usage(input=7, output=2)


TOLD_TWICE = (
    b'data: {"choices":[{"index":0,"delta":{"content":"[A_1]"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":100,"completion_tokens":1}}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":5000}}\n\n',
    b"data: [DONE]\n\n",
)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("besides", [b"", b'"citations":["x"],'])
async def test_of_two_usages_the_later_one_counts_however_the_stream_is_cut(masked: bool, besides: bytes) -> None:
    last = TOLD_TWICE[1].replace(b'{"choices', b"{" + besides + b'"choices')
    stream = TOLD_TWICE[0] + last + TOLD_TWICE[2]
    for cut in range(len(stream)):
        call = chat(CHAT_BODY)
        upstream = Upstream((200, SSE, [stream[:cut], stream[cut:]]))
        _, body, _ = await carry(upstream, call, *([Masks()] if masked else []))
        assert call.attempts[0].usage == Usage(input=100, output=5000), cut
        assert b"5000" not in body
        assert (b"citations" in body) is bool(besides)


def deciding(decide: Callable[[Attempt], Any], done: list[Attempt]) -> object:
    async def llm_attempt(exchange: Exchange, attempt: Attempt) -> Any:
        return decide(attempt)

    async def llm_attempt_done(exchange: Exchange, attempt: Attempt) -> None:
        done.append(attempt)

    return SimpleNamespace(llm_attempt=llm_attempt, llm_attempt_done=llm_attempt_done)


async def test_a_skipped_candidate_gives_way_to_the_next_with_its_own_key() -> None:
    done: list[Attempt] = []
    skips = deciding(lambda attempt: Skip("breaker") if attempt.candidate.provider == "anthropic" else None, done)
    upstream = Upstream((200, JSON, [SAID]))
    await carry(upstream, exchange(), skips, routes=(BOTH,))
    assert upstream.requests[0].host == "other.example"
    assert dict(upstream.requests[0].headers)[b"x-api-key"] == b"sk-configured"
    assert b"X-Api-Key" not in dict(upstream.requests[0].headers)
    assert [attempt.candidate.provider for attempt in done] == ["anthropic", "other"]
    assert done[-1].usage is not None


async def test_a_refused_attempt_and_a_plan_without_candidates_send_nothing() -> None:
    upstream = Upstream()
    refuses = deciding(lambda attempt: Refuse(429, "budget", "spent", retry_after=60), [])
    head, _, _ = await carry(upstream, exchange(), refuses)
    assert (head.status, dict(head.headers)[b"retry-after"]) == (429, b"60")
    assert b"x-should-retry" not in dict(head.headers)
    skips = deciding(lambda attempt: Skip("closed"), [])
    assert (await carry(upstream, exchange(), skips))[0].status == 503
    assert not upstream.requests


async def test_a_refusal_says_how_much_is_left_of_limits_and_sends_nobody_back_too_early() -> None:
    refuses = deciding(lambda attempt: Refuse(429, "budget", "spent", retry_after=12.2, retryable=True), [])
    call = exchange()
    call.rooms = (Room("requests", 60, 3, 57.0),)
    head, _, _ = await carry(Upstream(), call, refuses)
    told = dict(head.headers)
    assert told[b"retry-after"] == b"13"
    assert (told[b"anthropic-ratelimit-requests-limit"], told[b"anthropic-ratelimit-requests-remaining"]) == (
        b"60",
        b"3",
    )


async def test_the_plan_knows_the_model_once_the_body_is_read() -> None:
    call = exchange()
    await carry(Upstream((200, JSON, [SAID])), call)
    assert call.plan == (Candidate("anthropic", "m"),)
    assert call.model == "m"


async def test_a_value_in_the_address_is_masked_too() -> None:
    upstream = Upstream((200, JSON, [SAID]))
    call = exchange()
    call.sent = Sent("POST", "/v1/messages", "user=secret12345", call.sent.headers, "")
    await carry(upstream, call, Masks())
    assert upstream.requests[0].path == b"/v1/messages?user=%5BA_1%5D12345"


@pytest.mark.parametrize("trick", ["originals", "slots", "body", "sent"])
async def test_a_stage_that_hides_a_text_from_the_splice_sends_nothing(trick: str) -> None:
    class Tricks:
        async def llm_request(self, exchange: Exchange) -> None:
            assert exchange.body
            if trick == "originals":
                for slot in exchange.body.slots:
                    slot.original = slot.text
            elif trick == "slots":
                exchange.body._slots = ()  # type: ignore[attr-defined]
            elif trick == "body":
                exchange.body = read_body(BODY, "application/json", exchange.dialect, exchange.operation)
            else:
                exchange.sent = Sent("POST", "/v1/other", "", exchange.sent.headers, "")

    upstream = Upstream((200, JSON, [SAID]))
    head, _, _ = await carry(upstream, exchange(), Masks(), Tricks())
    assert (head.status, dict(head.headers)[b"x-tokenman-error"]) == (500, b"stage")
    assert not upstream.requests


async def test_a_stage_may_replace_the_whole_body_and_what_it_puts_there_is_masked() -> None:
    class Replaces:
        async def llm_request(self, exchange: Exchange) -> None:
            assert exchange.body
            value = exchange.body.value
            more = {"role": "user", "content": "another secret"}
            exchange.body.replace({**value, "messages": [*value["messages"], more], "temperature": 0})

    class Guards(Masks):
        async def llm_recheck(self, exchange: Exchange) -> None:
            await self.llm_request(exchange)

    upstream = Upstream((200, JSON, [SAID]))
    head, _, _ = await carry(upstream, exchange(), Guards(), Replaces())
    assert head.status == 200
    sent = json.loads(upstream.requests[0].body)
    assert [message["content"] for message in sent["messages"]] == ["hello [A_1]", "another [A_1]"]
    assert sent["temperature"] == 0
