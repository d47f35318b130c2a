"""Conversations as programs send them, turn by turn, for what remembers them."""

import json
from decimal import Decimal
from typing import Any

from tokenman_core.body.read import read_body
from tokenman_core.caching.detective import Bounds, Cost, Detective
from tokenman_core.clock import ManualClock
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Attempt, Caller, Exchange, Sent
from tokenman_core.usage import Usage
from tokenman_core.verdicts import Candidate

KEY = b"k" * 32
PATHS = {
    "anthropic": "/v1/messages",
    "openai": "/v1/chat/completions",
    "responses": "/v1/responses",
    "gemini": "/v1beta/models/gemini-2.5-pro:generateContent",
}


def exchange(
    value: Any, wire: str = "anthropic", *, session: str = "s1", credential: str = "ada", path: str = "", **changes: Any
) -> Exchange:
    dialect = DIALECTS["openai" if wire == "responses" else wire]
    path = path or PATHS[wire]
    operation = dialect.operation("POST", path)
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    made = Exchange("req_1", Sent("POST", path, "", (), ""), dialect, operation, (Candidate("anthropic", ""),))
    made.raw, made.session, made.caller = raw, session, Caller(credential)
    made.body = read_body(raw, "application/json", dialect, operation)
    made.model = dialect.model(operation, path, made.body.value)
    for name, change in changes.items():
        setattr(made, name, change)
    return made


def answered(made: Exchange, candidate: Candidate, usage: Usage | None, sent: float) -> Exchange:
    """It was sent then, and its answer began half a second later."""
    made.attempts = [Attempt(1, candidate, usage, sent=True, answered=True, seconds=1.0)]
    made.times.sent, made.times.first = sent, sent + 0.5
    return made


def price(usage: Usage) -> Decimal:
    """As for claude-sonnet: 3 USD for a million tokens, 0.30 read from the cache, 3.75 and 6 written to it."""
    plain = usage.input - usage.cache_read - usage.cache_write
    whole = plain * 300 + usage.cache_read * 30 + usage.cache_write_5m * 375 + usage.cache_write_1h * 600
    return Decimal(whole) / 10**8


class Talk:
    """One detective, and calls that it is told of."""

    def __init__(self, wire: str = "anthropic", bounds: Bounds | None = None, provider: str = "anthropic") -> None:
        self.clock = ManualClock()
        self.detective = Detective(self.clock, KEY, bounds or Bounds())
        self.wire, self.provider = wire, provider

    def turn(
        self,
        value: Any,
        read: int = 0,
        write: int = 0,
        *,
        after: float = 20.0,
        cost: Cost | None = price,
        **changes: Any,
    ) -> str:
        """What is said of a call whose provider read and wrote so much of 20,000 tokens, or of so many as `usage` says."""
        return self.call(value, Usage(20_000, 10, read, write), after, cost, **changes).cache_break

    def call(
        self, value: Any, usage: Usage | None, after: float = 20.0, cost: Cost | None = price, **changes: Any
    ) -> Exchange:
        self.clock.advance(after)
        provider = changes.pop("provider", self.provider)
        candidate = Candidate(provider, changes.pop("model", ""))
        masks = changes.pop("masks", {})
        made = exchange(value, self.wire, **changes)
        for slot in made.body.slots if made.body else ():
            for old, new in masks.items():
                slot.text = slot.text.replace(old, new)
        answered(made, candidate, usage, self.clock.monotonic())
        self.clock.advance(1.0)
        look = self.detective.look(made)
        if look is not None:
            self.detective.ended(look, cost)
        return made


def tool(name: str, text: str = "") -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"path": {"type": "string", "description": text or f"the path of {name}"}},
    }
    return {"name": name, "description": f"{name} things", "input_schema": schema}


MARK = {"type": "ephemeral"}
HOURLY = {"type": "ephemeral", "ttl": "1h"}
RULES = "You are a careful agent.\nBe brief.\n" + "\n".join(
    f"Rule {i}: do the thing of that number." for i in range(90)
)
TOOLS = [tool("read"), tool("write"), tool("grep")]
SAID = [
    ("user", "Please look at the parser."),
    ("assistant", "It has a table of states."),
    ("user", "Which of them are final?"),
    ("assistant", "Two: closed and failed."),
    ("user", "Add a third one."),
    ("assistant", "Done: it is called gone."),
]


def claude(count: int, *, mark: Any = MARK, system: str = RULES, **changes: Any) -> dict[str, Any]:
    """A request with the first so many messages, the last of them and the system text marked."""
    messages: list[dict[str, Any]] = [
        {"role": who, "content": [{"type": "text", "text": text}]} for who, text in SAID[:count]
    ]
    blocks: list[dict[str, Any]] = [{"type": "text", "text": "You are a program."}, {"type": "text", "text": system}]
    if mark:
        messages[-1]["content"][-1]["cache_control"] = mark
        blocks[-1]["cache_control"] = mark
    made = {"model": "claude-sonnet-4-5", "max_tokens": 100, "tools": TOOLS, "system": blocks, "messages": messages}
    return made | changes


def chat(count: int, system: str = RULES, **changes: Any) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("read", "write")]
    messages = [{"role": "system", "content": system}, *({"role": who, "content": text} for who, text in SAID[:count])]
    return {"model": "gpt-5-mini", "tools": tools, "messages": messages} | changes


def responses(count: int, system: str = RULES, **changes: Any) -> dict[str, Any]:
    items = [{"role": who, "content": [{"type": "input_text", "text": text}]} for who, text in SAID[:count]]
    return {"model": "gpt-5-mini", "instructions": system, "input": items} | changes


def gemini(count: int, system: str = RULES, **changes: Any) -> dict[str, Any]:
    roles = {"user": "user", "assistant": "model"}
    contents = [{"role": roles[who], "parts": [{"text": text}]} for who, text in SAID[:count]]
    return {"systemInstruction": {"parts": [{"text": system}]}, "contents": contents} | changes
