"""The bound of one attempt: how much it reads and writes at most, and at which prices."""

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil
from typing import Any, Final

from tokenman_core.ahead import ceilings, media
from tokenman_core.ahead.output import Stated, stated
from tokenman_core.ahead.texts import AT_ONCE, Counter
from tokenman_core.bound import given
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.pricing import Prices, Rates
from tokenman_core.providers import Providers
from tokenman_core.usage import Basis, Usage
from tokenman_core.verdicts import Candidate

OffLoop = Callable[[Callable[[], Any]], Awaitable[Any]]

_FRAME: Final = 40  # tokens that every request has besides its texts
_MESSAGE: Final = 8  # and every message
# What a provider says of tools to its model (https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview: 313 to 661).
_TOOLS: Final = 700
_SEARCH: Final = 12_000  # tokens of what one search brings, which the model reads
_SEARCHES: Final = 20  # of Gemini's, which no call can bound
_READ: Final = 64 * 1024  # bytes of an answer in which its own id stands
_MILLION: Final = Decimal(10**6)
_DEEPEST: Final = 8  # levels of a body in which a cache is asked for
_KEPT: Final = 20_000  # ids of what providers hold, whose size is known

# Whose cost nothing in the request bounds.
_UNBOUNDED: Final = frozenset({"batches", "images", "audio", "other"})


@dataclass(frozen=True)
class Bound:
    """`input` and `output` in tokens, `output` over all answers of the call. `unbounded`: why neither says what it may cost.

    `rates`: None where no price is known, as `basis` says. `extra`: USD for tools that are paid by the call. `limit`: what each
    answer may have now; None if the call says nothing. `written`: how long a cache that the call writes is kept ("" for none).
    `counted`: the tokens of its texts alone, 0 where other things were measured too.
    """

    input: int
    output: int
    answers: int
    limit: int | None
    least: int
    rates: Rates | None
    basis: Basis
    extra: Decimal = Decimal(0)
    unbounded: str = ""
    written: str = ""
    counted: int = 0

    @property
    def read_cost(self) -> Decimal:
        """USD, before a word is written."""
        assert self.rates is not None
        written = {"": self.rates.input, "5m": self.rates.cache_write_5m, "1h": self.rates.cache_write_1h}[self.written]
        return self.input * max(self.rates.input, written) / _MILLION + self.extra

    @property
    def token_cost(self) -> Decimal:
        """USD for each token that is written."""
        assert self.rates is not None
        return max(self.rates.output, self.rates.reasoning) / _MILLION


class Quotes:
    """Of one configuration. `counter` and `sizes` outlive it; `off_loop` runs a function on a thread."""

    def __init__(
        self, prices: Prices, providers: Providers, counter: Counter, sizes: "Sizes", off_loop: OffLoop
    ) -> None:
        self._prices, self._providers = prices, providers
        self._counter, self._sizes, self._off_loop = counter, sizes, off_loop

    async def bound(self, exchange: Exchange, candidate: Candidate) -> Bound:
        """Of the request as it is now, worked out once for each candidate. Raises what the tokeniser raises."""
        known: dict[object, Bound] = exchange.notes.setdefault("ahead", {})
        key = (candidate, exchange.body.edition if exchange.body is not None else 0, len(exchange.masked))
        if key not in known:
            known[key] = await self._bound(exchange, candidate)
        return known[key]

    async def _bound(self, exchange: Exchange, candidate: Candidate) -> Bound:
        provider = self._providers.by_name[candidate.provider]
        model = candidate.model or exchange.model
        value = exchange.body.value if exchange.body is not None else None
        texts = _texts(exchange, value)
        counted, fresh = self._counter.known(texts)
        written = _written(value, 0) if exchange.dialect.name == "anthropic" else "5m"
        if sum(len(text) for _, text in fresh) > AT_ONCE:
            counted += await self._off_loop(lambda: self._counter.count(fresh))
        elif fresh:
            counted += self._counter.count(fresh)

        def measure() -> int:
            return media.tokens(value, exchange.dialect.name, model)

        carried = exchange.body is not None and exchange.body.unreadable  # then it has to be decoded
        seen = await self._off_loop(measure) if carried else measure()
        if not self._prices.ready:
            await self._off_loop(self._prices.warm)
        ceiling = ceilings.of(model)
        read = ceil(counted * self._counter.factor(exchange.dialect.name, model)) + seen + _around(value)
        held = media.held_elsewhere(value)
        for each in held:
            read += self._sizes.of(each, ceiling.context)
        said = stated(exchange.operation, value)
        searches, why = _tools(value, model)
        read += searches * _SEARCH
        limit = Stated(ceiling.output) if said is None else said
        each_answer = ceiling.output if limit.limit is None else limit.limit
        at = datetime.fromtimestamp(exchange.times.begun, UTC)
        rates, basis = self._prices.rates(provider, model, at, Usage(input=read), _terms(value))
        return Bound(
            read, each_answer * limit.answers, limit.answers, limit.limit, limit.least, rates, basis,
            searches * rates.parts.get("web_searches", Decimal(0)) if rates else Decimal(0),
            why or _unbounded(exchange, value, said), written, 0 if held or seen or searches else counted,
        )  # fmt: skip

    def learn(self, exchange: Exchange, attempt: Attempt, bound: Bound) -> None:
        """From an attempt that is over: how this model counts, and how large what it made is."""
        usage = attempt.usage
        if usage is None or not usage.input or attempt.bill is None or attempt.bill.estimated:
            return
        model = attempt.candidate.model or exchange.model
        value = exchange.body.value if exchange.body is not None else None
        if bound.counted:
            self._counter.learn(exchange.dialect.name, model, bound.counted, usage.input - _around(value))
        if exchange.operation.name == "responses":
            said = (
                exchange.said
                if exchange.said is not None
                else exchange.captured.first(_READ)
                if exchange.captured
                else b""
            )
            for name in given(said[:_READ]):
                if name.startswith(("resp_", "conv_")):
                    self._sizes.learn(name, usage.input + usage.output)


class Sizes:
    """How large what providers hold is, by its id: told by the usage of the call that made it or used it last."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, int] = OrderedDict()

    def of(self, name: str, unknown: int) -> int:
        return self._known.get(name, unknown)

    def learn(self, name: str, size: int) -> None:
        self._known[name] = size
        self._known.move_to_end(name)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)


def _texts(exchange: Exchange, value: Any) -> list[str]:
    if exchange.body is None:
        return []
    texts = [slot.text for slot in exchange.body.slots]
    if type(value) is dict:
        inner = value["request"] if type(value.get("request")) is dict else value
        texts += [json.dumps(tools) for name in ("tools", "functions") if (tools := inner.get(name))]
        texts += [json.dumps(form) for name in ("response_format", "text") if type(form := inner.get(name)) is dict]
    return texts


def _around(value: Any) -> int:
    """What stands around the texts: roles, and what is said of tools."""
    if type(value) is not dict:
        return _FRAME
    inner = value["request"] if type(value.get("request")) is dict else value
    lists = [inner.get(name) for name in ("messages", "input", "contents")]
    messages = sum(len(each) for each in lists if type(each) is list)
    return _FRAME + messages * _MESSAGE + (_TOOLS if inner.get("tools") else 0)


def _written(value: Any, depth: int) -> str:
    """For how long a call has its input cached; "" where nothing asks for it. Anthropic's caches are asked for, others' are not."""
    found = ""
    if type(value) is dict:
        if type(asked := value.get("cache_control")) is dict:
            found = "1h" if asked.get("ttl") == "1h" else "5m"
        inner = [each for name, each in value.items() if name != "input" and type(each) in (dict, list)]
    else:
        inner = value if type(value) is list else []
    for each in inner if depth < _DEEPEST else ():
        if found == "1h":
            break
        found = max(found, _written(each, depth + 1), key=("", "5m", "1h").index)
    return found


def _terms(value: Any) -> Mapping[str, str]:
    """What a call asks for that changes its prices; where it leaves that to the provider, the usual ones hold."""
    if type(value) is not dict:
        return {}
    asked = {name: value.get(name) for name in ("service_tier", "speed", "inference_geo")}
    return {name: text for name, text in asked.items() if type(text) is str and text not in ("auto", "standard_only")}


def _tools(value: Any, model: str) -> tuple[int, str]:
    """How often the provider's own searches may be called, and why that has no bound, "" if it has one."""
    if type(value) is not dict:
        return 0, ""
    inner = value["request"] if type(value.get("request")) is dict else value
    calls = 0
    for tool in inner.get("tools") or () if type(inner.get("tools")) is list else ():
        if type(tool) is not dict:
            continue
        kind = tool.get("type")
        if type(kind) is str and kind.startswith(("web_search", "web_fetch", "file_search")):
            most = tool.get("max_uses", value.get("max_tool_calls"))
            if type(most) is not int:
                return 0, f"its tool {kind[:40]} may be called without end; give it max_uses (OpenAI: max_tool_calls)"
            calls += max(0, most)
        elif "google_search" in tool or "googleSearch" in tool:
            calls += _SEARCHES
    if "web_search_options" in value:
        calls += 1
    return calls, ""


def _unbounded(exchange: Exchange, value: Any, said: Stated | None) -> str:
    if type(value) is dict and value.get("background") is True:
        return "it runs in the background, where nobody sees what it uses"
    if said is None and exchange.operation.name in _UNBOUNDED:
        return f"nothing in it says how much a call of this kind ({exchange.operation.name}) may cost"
    return ""
