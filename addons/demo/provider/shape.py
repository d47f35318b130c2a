"""Turns what an endpoint would say into the answer that the script asks for: paced, cut, broken or compressed."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from addons.demo.provider.script import Fault, Script
from addons.demo.provider.wire import Pairs, Pause, Reply, Step, compressed

STREAM = ("content-type", "text/event-stream; charset=utf-8")
WHOLE = ("content-type", "application/json")


def event(data: object, name: str = "") -> bytes:
    """One server-sent event as the providers write it: compact JSON on one line."""
    line = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {name}\n" if name else "").encode() + f"data: {line}\n\n".encode()


def pieces(text: str) -> Iterator[str]:
    """A text as the providers stream it: in pieces of some characters, larger ones if it is long."""
    step = 5 if len(text) < 8192 else 64
    at = 0
    while at < len(text):
        width = step + at % 3
        yield text[at : at + width]
        at += width


def tokens(text: str) -> int:
    """About what a tokenizer would count: four characters a token."""
    return -(-len(text) // 4)


def stream(
    script: Script, events: Sequence[bytes], error_event: bytes, headers: Pairs, kind: tuple[str, str] = STREAM
) -> Reply:
    """A streamed answer. The middle, where faults happen, lies behind half of the events."""
    steps = list(_paced(events, script.pause))
    head: tuple[Step, ...] = ()
    match script.fault:
        case Fault("truncate"):
            steps = steps[: len(steps) // 2]
        case Fault("error-event", first):
            steps = [*(() if first else steps[: len(steps) // 2]), error_event]
        case Fault(step, first) if not isinstance(step, str):
            if first:
                head = (step,)
            steps = [*steps[: len(steps) // 2], step]
    return _reply(script, steps, head, (kind, ("cache-control", "no-cache"), *headers), framed=False)


def whole(script: Script, document: Any, headers: Pairs) -> Reply:
    """A plain answer. Faults happen behind half of its bytes; those that only streams have are left out."""
    body = json.dumps(document, ensure_ascii=False).encode()
    steps: list[Step] = [Pause(script.pause), body] if script.pause else [body]
    head: tuple[Step, ...] = ()
    framed = True
    match script.fault:
        case Fault(step, first) if not isinstance(step, str):
            if first:
                head = (step,)
            steps, framed = [body[: len(body) // 2], step], False
    return _reply(script, steps, head, (WHOLE, *headers), framed=framed)


def _paced(events: Sequence[bytes], pause: float) -> Iterator[Step]:
    for one in events:
        if pause:
            yield Pause(pause)
        yield one


def _reply(
    script: Script, steps: list[Step], head: tuple[Step, ...], headers: tuple[tuple[str, str], ...], framed: bool
) -> Reply:
    done = tuple(steps)
    if script.coding:
        done = compressed(done, script.coding)
        headers = (*headers, ("content-encoding", script.coding))
    if script.piece:
        done = tuple(_in_pieces(done, script.piece))
    return Reply(200, (*headers, *script.headers), done, head, framed)


def _in_pieces(steps: tuple[Step, ...], size: int) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, bytes):
            for at in range(0, len(step), size):
                yield step[at : at + size]
                yield Pause(0)  # lets the server write what it has, else the pieces meet again in one packet
        else:
            yield step
