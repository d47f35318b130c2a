"""What can go wrong with a provider, how, and what must become of a call: the faults of the table, and what is expected of each."""

import asyncio
import gzip
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Literal

from tests.e2e.resilience.upstreams import AtConnect, Fields, Script, Version, Wire

Mode = Literal["whole", "stream"]
JSON: Fields = (("Content-Type", "application/json"), ("request-id", "req_upstream"))
SSE: Fields = (("Content-Type", "text/event-stream; charset=utf-8"), ("request-id", "req_upstream"))
CAP = 64 << 10
SILENT_S = 2.0  # the deadlines of a provider that stalls
ATTEMPTS = 3
STATUSES_TRIED_AGAIN = (429, 502, 503, 504, 529)
MOST_DELAY_S = 3.0


def event(name: str, **data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


USAGE = {"input_tokens": 12, "output_tokens": 1}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
PING = event("ping")
START = event("message_start", message=MESSAGE | {"usage": USAGE})
BEGIN = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
WORDS = [
    event("content_block_delta", index=0, delta={"type": "text_delta", "text": f"word {n} "}) for n in range(8)
]  # fmt: skip
REST = (
    event("content_block_stop", index=0)
    + event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9})
    + event("message_stop")
)
STREAM = [PING + START + BEGIN, *WORDS, REST]
WHOLE = json.dumps(
    MESSAGE | {"content": [{"type": "text", "text": "all is well, " * 50}], "stop_reason": "end_turn", "usage": USAGE}
).encode()
GOOD: dict[Mode, bytes] = {"whole": WHOLE, "stream": b"".join(STREAM)}


@dataclass(frozen=True)
class Api:
    """Another one than Anthropic's: where it is asked, by which body (`TEXT` stands for what is said), and a good stream."""

    dialect: str
    path: str
    body: str
    stream: tuple[bytes, ...]


def data(**value: object) -> bytes:
    return f"data: {json.dumps(value)}\r\n\r\n".encode()


def candidate(text: str, **more: object) -> bytes:
    said = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **more}
    return data(candidates=[said], usageMetadata={"promptTokenCount": 3, "candidatesTokenCount": 2}, modelVersion="m")


GEMINI = Api(
    "gemini",
    "/v1beta/models/m:streamGenerateContent?alt=sse",
    '{"contents": [{"role": "user", "parts": [{"text": "TEXT"}]}]}',
    (candidate("all "), candidate("is well", finishReason="STOP")),
)
_RESPONSE = {"id": "resp_1", "object": "response", "model": "m", "status": "in_progress", "output": [], "usage": None}
CREATED = event("response.created", response=_RESPONSE) + event("response.in_progress", response=_RESPONSE)
RESPONSES = Api(
    "openai",
    "/v1/responses",
    '{"model": "m", "stream": true, "input": "TEXT"}',
    (
        CREATED,
        event("response.output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta="all is well"),
        event(
            "response.completed",
            response=_RESPONSE
            | {"status": "completed", "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}},
        ),
    ),
)


def failed(code: str) -> bytes:
    """How a response says that it came to nothing, behind its opening."""
    said = _RESPONSE | {"status": "failed", "error": {"code": code, "message": "not now"}}
    return CREATED + event("response.failed", response=said)


def refusal(status: int, kind: str = "api_error") -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": f"said by the provider: {status}"}}).encode()


# -- answers --


async def good_whole(wire: Wire) -> None:
    await wire.head(200, JSON, len(WHOLE))
    await wire.data(WHOLE)
    await wire.end()


async def good_stream(wire: Wire) -> None:
    await wire.head(200, SSE)
    for piece in STREAM:
        await wire.data(piece)
    await wire.end()


ANSWER: dict[Mode, Script] = {"whole": good_whole, "stream": good_stream}


def status(code: int, *fields: tuple[str, str], close: bool = False) -> Script:
    async def script(wire: Wire) -> None:
        body = refusal(code)
        more = (*fields, ("Connection", "close")) if close else fields
        await wire.head(code, (*JSON, *more), len(body))
        await wire.data(body)
        await wire.end(close=close)

    return script


def at_a_date(code: int, seconds: float) -> Script:
    """The date is made as it answers, and has no fractions of a second."""

    async def script(wire: Wire) -> None:
        await status(code, ("Retry-After", formatdate(time.time() + seconds, usegmt=True)))(wire)

    return script


def events(*pieces: bytes, pause: float = 0.0) -> Script:
    """A stream of these, ended in good order."""

    async def script(wire: Wire) -> None:
        await wire.head(200, SSE)
        for piece in pieces:
            await wire.data(piece)
            await asyncio.sleep(pause)
        await wire.end()

    return script


# -- faults: what is sent, and then how it ends --

Ending = Literal["reset", "drop", "cut", "stall"]
SETTLE_S = 0.05  # a reset takes with it what the other side has not read yet


async def end(wire: Wire, how: Ending) -> None:
    if how == "stall":
        await wire.stall()
        return
    await asyncio.sleep(SETTLE_S)
    {"reset": wire.reset, "drop": wire.drop, "cut": wire.cut}[how]()


def before_the_head(how: Ending) -> Script:
    async def script(wire: Wire) -> None:
        await end(wire, how)

    return script


def within_the_head(how: Ending) -> Script:
    async def script(wire: Wire) -> None:
        await wire.half_a_head()
        await end(wire, how)

    return script


def after_the_head(how: Ending, mode: Mode) -> Script:
    async def script(wire: Wire) -> None:
        await wire.head(200, SSE if mode == "stream" else JSON, None if mode == "stream" else len(WHOLE))
        await end(wire, how)

    return script


def in_the_body(how: Ending, at: int) -> Script:
    async def script(wire: Wire) -> None:
        await wire.head(200, JSON, len(WHOLE))
        await wire.data(WHOLE[:at])
        await end(wire, how)

    return script


def in_the_stream(how: Ending, *pieces: bytes) -> Script:
    async def script(wire: Wire) -> None:
        await wire.head(200, SSE)
        for piece in pieces:
            await wire.data(piece)
        await end(wire, how)

    return script


async def pings_for_ever(wire: Wire) -> None:
    await wire.head(200, SSE)
    while not wire.seen.left:
        await wire.data(PING)
        await wire.data(b": still here\n\n")
        await asyncio.sleep(0.1)


def at_byte(at: int, mode: Mode, how: Ending) -> Script:
    """HTTP/1.1 only: so many bytes of what goes over the wire, head and framing included."""

    async def script(wire: Wire) -> None:
        await wire.raw(on_the_wire(mode)[:at])
        await end(wire, how)

    return script


def on_the_wire(mode: Mode) -> bytes:
    fields = SSE if mode == "stream" else (*JSON, ("Content-Length", str(len(WHOLE))))
    chunked = (("Transfer-Encoding", "chunked"),) if mode == "stream" else ()
    head = "\r\n".join(["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in (*fields, *chunked)), "", ""])
    if mode == "whole":
        return head.encode() + WHOLE
    return head.encode() + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in STREAM) + b"0\r\n\r\n"


def lying(length: int) -> Script:
    async def script(wire: Wire) -> None:
        await wire.head(200, JSON, length)
        await wire.data(WHOLE)
        await asyncio.sleep(SETTLE_S)
        await wire.end(close=True)

    return script


async def until_closed(wire: Wire) -> None:
    """A body of open length whose connection ends without TLS being told: anybody on the way can do that."""
    await wire.head(200, (*JSON, ("Connection", "close")))
    await wire.data(WHOLE)
    await end(wire, "cut")


def garbage(data: bytes) -> Script:
    async def script(wire: Wire) -> None:
        await wire.raw(data)
        await end(wire, "cut")

    return script


def large(length: bool = False, packed: bool = False) -> Script:
    async def script(wire: Wire) -> None:
        body = json.dumps({"text": "x" * (CAP * 4)}).encode()
        if packed:
            body = gzip.compress(body)
        await wire.head(
            200, (*JSON, ("Content-Encoding", "gzip")) if packed else JSON, len(body) if length or packed else None
        )
        await wire.data(body)
        await wire.end()

    return script


# -- the table --


@dataclass(frozen=True)
class Final:
    """What the client sees when all attempts failed: our own error of a kind, or what the provider said (`kind` "").

    `stands_for` is the status that an error in a stream's first event has in its stead.
    """

    status: int
    kind: str = ""
    body: bytes = b""
    fields: Fields = ()
    stands_for: int = 0

    @property
    def recorded(self) -> tuple[int, str]:
        """Status and error of its row: what a model could not do failed, what a caller may not have was turned down."""
        told = self.stands_for or self.status
        error = self.kind or ("timeout" if self.stands_for == 504 else "upstream" if told >= 500 else "")
        return (told if self.stands_for and told < 500 else self.status), error


@dataclass(frozen=True)
class Fault:
    """`again`: it is tried again at the same provider; `on`: at the next one; `at_once`: at the next one without waiting for
    the same. `least` seconds pass before it is tried again. `deadlines`: the provider has short ones.
    """

    name: str
    script: Script | AtConnect
    final: Final
    again: bool = False
    on: bool = False
    at_once: bool = False
    least: float = 0.0
    deadlines: bool = False
    tls: bool | None = None  # None: as the version has it
    nobody: bool = False  # there is no listener at all
    versions: Sequence[Version] = ("1.1", "2")
    api: Api | None = None  # None: Anthropic's


UNREACHED = Final(502, "upstream")
LATE = Final(504, "timeout")


def broken(name: str, script: Script | AtConnect, *versions: Version, **more: bool) -> Fault:
    """Nothing usable came: tried again, and at the next provider without waiting for this one."""
    return Fault(
        name, script, UNREACHED, again=True, on=True, at_once=True, versions=versions or ("1.1", "2"),
        tls=more.get("tls"), nobody=more.get("nobody", False),
    )  # fmt: skip


def stalled(name: str, script: Script, *versions: Version) -> Fault:
    return Fault(name, script, LATE, on=True, deadlines=True, versions=versions or ("1.1", "2"))


def said(
    code: int, *, again: bool = False, on: bool = False, name: str = "", least: float = 0.0, **fields: str
) -> Fault:
    given = tuple((name.replace("_", "-"), value) for name, value in fields.items())
    return Fault(
        name or f"status-{code}", status(code, *given), Final(code, "", refusal(code), given), again=again, on=on, least=least
    )  # fmt: skip


def in_the_first_event(kind: str, status: int, *, before: bytes = b"") -> Fault:
    """200, and an error where the answer should begin."""
    body = before + event("error", error={"type": kind, "message": "not now"})
    return as_a_status(f"{kind}{'-later' if before else ''}", body, status)


def as_a_status(name: str, body: bytes, status: int, api: Api | None = None) -> Fault:
    """What is said in a stream in place of an answer is judged as the status that it stands for."""
    final = Final(200, "", body, stands_for=status)
    again, on = status in STATUSES_TRIED_AGAIN, status >= 500 or status in STATUSES_TRIED_AGAIN
    name = "-".join(("event", *([api.dialect] if api else []), name)).replace("_", "-").lower()
    return Fault(name, events(body), final, again=again, on=on, api=api)


STATUSES = (
    *(said(code) for code in (400, 401, 403, 404, 413, 422)),
    said(500, on=True),
    *(said(code, again=True, on=True) for code in (429, 502, 503, 504, 529)),
)
ASKED_TO_WAIT = (
    said(429, again=True, on=True, name="wait-seconds", least=1.0, retry_after="1"),
    said(503, again=True, on=True, name="wait-no-second", retry_after="0"),
    said(529, again=True, on=True, name="wait-millis", least=0.4, retry_after_ms="400", retry_after="900"),
    Fault("wait-date", at_a_date(429, 2.0), Final(429, "", refusal(429)), again=True, on=True, least=0.9),
    Fault("wait-date-gone", at_a_date(429, -60), Final(429, "", refusal(429)), again=True, on=True),
    said(429, on=True, name="wait-long", retry_after="3600"),
    Fault("wait-long-date", at_a_date(429, 3600), Final(429, "", refusal(429)), on=True),
    said(429, again=True, on=True, name="wait-nonsense", retry_after="soon"),
)
BEFORE_ALL = (
    Fault("refused", AtConnect("drop"), UNREACHED, again=True, on=True, at_once=True, nobody=True, versions=("1.1",)),
    broken("dropped", AtConnect("drop")),
    broken("tls-garbage", AtConnect("garbage"), tls=True),
    Fault("tls-silent", AtConnect("silence"), LATE, on=True, deadlines=True, tls=True),
    *(broken(f"{how}-before-head", before_the_head(how)) for how in ("reset", "drop", "cut")),
    *(broken(f"{how}-in-head", within_the_head(how)) for how in ("drop", "cut")),
    stalled("stall-before-head", before_the_head("stall")),
    stalled("stall-in-head", within_the_head("stall")),
    Fault("garbage", garbage(b"\x00\xffno http at all\r\n\r\n" * 3), UNREACHED, on=True, versions=("1.1",)),
    Fault(
        "html", garbage(b"<html>welcome to the hotel's network</html>\r\n\r\n"), UNREACHED, on=True, versions=("1.1",)
    ),
    Fault("wild-frame", garbage(b"\0\0\1\0\0\0\0\0\0x"), UNREACHED, on=True, versions=("2",)),  # DATA on stream 0
    broken("endless-frame", garbage(b"\x00\x3f\xff\0\0\0\0\0\1half"), "2"),
)
WHOLE_ONLY = (
    *ASKED_TO_WAIT,
    *(broken(f"{how}-after-head", after_the_head(how, "whole")) for how in ("reset", "drop", "cut")),
    *(broken(f"{how}-in-body-{at}", in_the_body(how, at)) for how in ("reset", "cut") for at in (1, len(WHOLE) - 1)),
    stalled("stall-after-head", after_the_head("stall", "whole")),
    stalled("stall-in-body", in_the_body("stall", 100)),
    broken("length-too-long", lying(len(WHOLE) + 10), "1.1"),
    Fault("length-is-a-lie", lying(len(WHOLE) + 10), UNREACHED, on=True, versions=("2",)),
    Fault("length-too-short", lying(len(WHOLE) - 10), UNREACHED, on=True, versions=("2",)),
    broken("tls-cut-body", until_closed, "1.1", tls=True),
    Fault("over-cap-declared", large(length=True), Final(502, "response_cap")),
    Fault("over-cap", large(), Final(502, "response_cap")),
    Fault("over-cap-packed", large(packed=True), Final(502, "response_cap")),
    *(
        broken(f"byte-{at}", at_byte(at, "whole", "drop"), "1.1")
        for at in (0, 1, 8, 12, 16, 40, len(on_the_wire("whole")) - len(WHOLE), len(on_the_wire("whole")) - 1)
    ),
)  # fmt: skip
STREAM_ONLY = (
    *(broken(f"{how}-after-head", after_the_head(how, "stream")) for how in ("reset", "drop", "cut")),
    *(broken(f"{how}-after-ping", in_the_stream(how, PING, PING)) for how in ("reset", "drop", "cut")),
    broken("reset-in-first-event", in_the_stream("reset", PING, START[:40])),
    stalled("stall-after-head", after_the_head("stall", "stream")),
    stalled("stall-after-ping", in_the_stream("stall", PING, b": comment\n\n", PING)),
    stalled("pings-for-ever", pings_for_ever),
    in_the_first_event("overloaded_error", 529),
    in_the_first_event("overloaded_error", 529, before=PING + b": comment\n\n"),
    in_the_first_event("rate_limit_error", 429),
    in_the_first_event("api_error", 500),
    in_the_first_event("invalid_request_error", 400),
    *(
        as_a_status(name, data(error={"code": code, "message": "not now", "status": name}), code, GEMINI)
        for name, code in (("UNAVAILABLE", 503), ("RESOURCE_EXHAUSTED", 429), ("INTERNAL", 500), ("INVALID_ARGUMENT", 400))
    ),
    *(
        as_a_status(name, failed(name), code, RESPONSES)
        for name, code in (("server_is_overloaded", 503), ("rate_limit_exceeded", 429), ("server_error", 500))
    ),
    as_a_status("error-slow_down", CREATED + event("error", code="slow_down", message="not now", param=None), 503, RESPONSES),
    as_a_status("invalid_prompt", failed("invalid_prompt"), 400, RESPONSES),
    Fault("gemini-empty", events(), UNREACHED, again=True, on=True, api=GEMINI),
    Fault("responses-only-opening", events(CREATED), UNREACHED, again=True, on=True, api=RESPONSES),
    replace(broken("responses-reset-behind-opening", in_the_stream("reset", CREATED)), api=RESPONSES),
    Fault("empty-stream", events(), UNREACHED, again=True, on=True),
    Fault("only-pings", events(PING, PING), UNREACHED, again=True, on=True),
    *(
        broken(f"byte-{at}", at_byte(at, "stream", "drop"), "1.1")
        for at in (0, 1, 12, 60, on_the_wire("stream").index(b"\r\n\r\n") + 4, on_the_wire("stream").index(START) + 10)
    ),
)  # fmt: skip
TABLE: dict[Mode, tuple[Fault, ...]] = {
    "whole": (*STATUSES, *BEFORE_ALL, *WHOLE_ONLY),
    "stream": (*STATUSES, *BEFORE_ALL, *STREAM_ONLY),
}


@dataclass(frozen=True)
class Late:
    """A stream that breaks when the client has had some of it. `had` are the pieces that came before."""

    name: str
    script: Script
    had: bytes
    error: str = "upstream"
    deadlines: bool = False
    verbatim: bytes = b""  # the provider's own last event
    versions: Sequence[Version] = ("1.1", "2")


SAID = (STREAM[0], *WORDS[:3])
_HAD = b"".join(SAID)
TOO_LATE = (
    *(Late(f"late-{how}", in_the_stream(how, *SAID), _HAD) for how in ("reset", "drop", "cut")),
    Late("late-half", in_the_stream("cut", *SAID, WORDS[3][:20]), _HAD),
    Late("late-truncated", events(*SAID), _HAD),
    Late("late-stall", in_the_stream("stall", *SAID), _HAD, error="timeout", deadlines=True),
    *(
        Late(f"late-byte-{at}", at_byte(at, "stream", "drop"), b"", versions=("1.1",))
        for at in (on_the_wire("stream").index(WORDS[2]) + 25, len(on_the_wire("stream")) - len(REST))
    ),
)  # fmt: skip

# -- what is expected --

Which = Literal["first", "second", "all"]


@dataclass(frozen=True)
class Expected:
    """How often each provider is asked, and who answers: None if nobody does, and the fault is what is seen."""

    hits: tuple[int, ...]
    attempts: int
    answered: int | None


def expected(fault: Fault, which: Which, providers: int) -> Expected:
    """By the rules alone: up to three times at one provider, then on to the next."""
    hits, attempts, number, tries = [0] * providers, 0, 0, 0
    while True:
        plays = {"first": ["fault"], "second": ["503", "fault"], "all": []}[which] if number == 0 else []
        rest = "fault" if which == "all" else "good"
        outcome = plays[hits[number]] if hits[number] < len(plays) else rest
        hits[number] += 1
        attempts, tries = attempts + 1, tries + 1
        if outcome == "good":
            return Expected(tuple(hits), attempts, number)
        more = number + 1 < providers
        again, on, at_once = (True, True, False) if outcome == "503" else (fault.again, fault.on, fault.at_once)
        if again and tries < ATTEMPTS and not (at_once and more):
            continue
        if not (on and more):
            return Expected(tuple(hits), attempts, None)
        number, tries = number + 1, 0


def scripts(fault: Fault, which: Which, number: int, mode: Mode, close: bool) -> list[Script | AtConnect]:
    """What provider `number` plays. `close`: the 503 before ends its connection, so that the fault meets a fresh one."""
    good = events(*fault.api.stream) if fault.api else ANSWER[mode]
    match which:
        case "first":
            return [fault.script, good] if number == 0 else [good]
        case "second":
            return [status(503, close=close), fault.script, good] if number == 0 else [good]
        case "all":
            return [fault.script]
