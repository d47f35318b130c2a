"""The bound of one attempt: how much it reads and writes at most, and at which prices."""

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil
from typing import Any, Final, NamedTuple

import orjson

from tokenman_core import besides
from tokenman_core.ahead import ceilings, media
from tokenman_core.ahead.named import named
from tokenman_core.ahead.output import Stated, stated
from tokenman_core.ahead.texts import AT_ONCE, Counter
from tokenman_core.bound import given
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.pricing import CONTAINER, Prices, Rates
from tokenman_core.providers import Providers
from tokenman_core.usage import Basis, Usage
from tokenman_core.verdicts import Candidate

OffLoop = Callable[[Callable[[], Any]], Awaitable[Any]]

_FRAME: Final = 40  # tokens that every request has besides its texts
_MESSAGE: Final = 8  # and every message
# What a provider says of tools to its model (https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview: 313 to 661).
_TOOLS: Final = 700
_SEARCH: Final = 12_000  # tokens of what one search brings, which the model reads
SEARCHES: Final = 20  # of Gemini's, which no call can bound
# So often Claude goes on by itself with what a tool of its provider's brought
# (https://platform.claude.com/docs/en/agents-and-tools/tool-use/server-tools: ten iterations).
_ROUNDS: Final = 10
_READ: Final = 64 * 1024  # bytes of an answer in which its own id stands
_UNITS: Final = 10**12  # in a USD
_MACHINE: Final = int(CONTAINER * _UNITS)
_DEEPEST: Final = 8  # levels of a body in which a cache is asked for
_STEP: Final = 1_000
_HALF_HOUR: Final = 1_800.0
_PRICED: Final = 256  # prices remembered, of the calls of now
_LONGEST: Final = 200  # characters of a name by which a price is remembered: what is longer has none
_KEPT: Final = 20_000  # ids of what providers hold, whose size is known

# Whose cost nothing in the request bounds.
_UNBOUNDED: Final = frozenset({"batches", "images", "audio", "other"})


class Bound(NamedTuple):
    """`input` and `output` in tokens, `output` over all answers of the call. `unbounded`: why neither says what it may cost.

    `limit`: what each answer may have now; None if the call says nothing. `priced`: whether a price is known, as `basis` says;
    `reading` is then what it costs at most before a word is written, and `writing` each token that is, in 1e-12 USD.
    `counted`: the tokens of its texts alone, 0 where other things were measured too.
    """

    input: int
    output: int
    answers: int
    limit: int | None
    least: int
    basis: Basis
    priced: bool
    reading: int
    writing: int
    unbounded: str
    counted: int


class _Price(NamedTuple):
    """What a model costs: of a token, in 1e-12 USD rounded up, to read it, by how long a cache is kept that is written with it
    ("" for none), and to write it. `rates`: the same as the list has it; None if it has none, and the rest is 0.
    """

    rates: Rates | None
    basis: Basis
    read: Mapping[str, int]
    write: int

    @classmethod
    def of(cls, rates: Rates | None, basis: Basis) -> "_Price":
        if rates is None:
            return cls(None, basis, {"": 0, "5m": 0, "1h": 0}, 0)
        kept = {"": rates.input, "5m": rates.cache_write_5m, "1h": rates.cache_write_1h}
        read = {how: _units(max(rates.input, rate) / 10**6) for how, rate in kept.items()}
        return cls(rates, basis, read, _units(max(rates.output, rates.reasoning) / 10**6))


class Quotes:
    """Of one configuration. `counter` and `sizes` outlive it; `off_loop` runs a function on a thread."""

    def __init__(
        self, prices: Prices, providers: Providers, counter: Counter, sizes: "Sizes", off_loop: OffLoop
    ) -> None:
        self._prices, self._providers = prices, providers
        self._counter, self._sizes, self._off_loop = counter, sizes, off_loop
        self._prices_of: OrderedDict[Hashable, _Price] = OrderedDict()

    async def bound(self, exchange: Exchange, candidate: Candidate) -> Bound:
        """Of the request as it is now, worked out once for each candidate. Raises what the tokeniser raises."""
        known: dict[object, tuple[Any, Bound]] = exchange.notes.setdefault("ahead", {})
        body = exchange.body
        value, texts = (None, []) if body is None else (body.value, [slot.text for slot in body.slots])
        # Stages may change what was bounded: the value is then another one, but of a body that has none.
        key = candidate.provider, candidate.model, sum(map(len, texts)) if value is None else 0
        found = known.get(key)
        if found is None or found[0] is not value:
            found = known[key] = value, await self._bound(exchange, candidate, value, texts)
        return found[1]

    async def _bound(self, exchange: Exchange, candidate: Candidate, value: Any, texts: list[str]) -> Bound:
        model, dialect = candidate.model or exchange.model, exchange.dialect.name
        ceiling = ceilings.of(model)
        names, kinds = named(value)
        counted, fresh = self._counter.known(texts if _FORMS.isdisjoint(names) else texts + _forms(value))
        if not (_READY.isdisjoint(names) and _CALLED.isdisjoint(names)):
            counted += _no_texts(value, names)
        written = "5m"
        if dialect == "anthropic":
            written = _written(value, 0) if "cache_control" in names else ""
        if fresh and (not self._counter.ready or sum(len(text) for _, text in fresh) > AT_ONCE):
            counted += await self._off_loop(lambda: self._counter.count(fresh))
        elif fresh:
            counted += self._counter.count(fresh)
        seen = elsewhere = 0
        if not media.KINDS.isdisjoint(kinds) or not media.NAMES.isdisjoint(names):
            carried = exchange.body is not None and exchange.body.unreadable  # then it has to be decoded
            seen = await self._measured(value, dialect, model) if carried else media.tokens(value, dialect, model)
        if not media.NAMES_ELSEWHERE.isdisjoint(names):
            elsewhere = sum(self._sizes.of(each, ceiling.context) for each in media.held_elsewhere(value))
        if not self._prices.ready:
            await self._off_loop(self._prices.warm)
        # What nobody could count is not more than what the model can read.
        read = ceil(counted * self._counter.factor(dialect, model)) + _around(value)
        read += min(seen + elsewhere, ceiling.context)
        tools = _NO_TOOLS if _SERVING.isdisjoint(names) and "-search-" not in model else served(dialect, value, model)
        if tools.rounds:  # in each it reads all again, and what the ones before have brought
            brought = tools.searches * _SEARCH * (tools.rounds + 1) // 2
            read = min(read * (tools.rounds + 1) + brought, max(ceiling.context, read) * (tools.rounds + 1))
        else:
            read += tools.searches * _SEARCH
        said = stated(exchange.operation, value)
        limit = Stated(ceiling.output) if said is None else said
        terms = {} if _TERMS.isdisjoint(names) else _terms(value)
        price, most = self._dearest(exchange, candidate, model, read, tools.searches, terms), ceiling.output
        if exchange.operation.elsewhere and not model:
            price = _Price.of(None, "unknown")  # the dearest price of a token says nothing of it
        for other in besides.models(value)[:_MOST_FALLBACKS] if _others_stand(names, kinds) else ():
            more = self._dearest(exchange, candidate, other, read, tools.searches, terms)
            rates = price.rates.dearer(more.rates) if price.rates is not None and more.rates is not None else None
            price = _Price.of(rates, more.basis if more.basis in ("ceiling", "unknown") else price.basis)
            most = max(most, ceilings.of(other).output)
        reading, writing = read * price.read[written], price.write
        if price.rates is not None:
            reading += _extra(price.rates, tools.searches, seen) + tools.machines * _MACHINE
            if dialect != "anthropic":
                writing = max(writing, _spoken(price.rates, dialect, value))
        return Bound(
            read, (most if limit.limit is None else limit.limit) * limit.answers, limit.answers, limit.limit, limit.least,
            price.basis, price.rates is not None, reading, writing, tools.unbounded or _unbounded(exchange, value, said),
            0 if elsewhere or seen or tools.searches or tools.rounds else counted,
        )  # fmt: skip

    async def _measured(self, value: Any, dialect: str, model: str) -> int:
        seen: int = await self._off_loop(lambda: media.tokens(value, dialect, model))
        return seen

    def _dearest(
        self,
        exchange: Exchange,
        candidate: Candidate,
        model: str,
        read: int,
        searches: int,
        terms: Mapping[str, str],
    ) -> _Price:
        """By what the call asks for, or as usual if that is dearer: a provider may not have what is cheaper just then."""
        begun = exchange.times.begun
        read = -(-read // _STEP) * _STEP  # prices change at thousands of tokens, and at half hours
        key = candidate.provider, model, read, searches, begun // _HALF_HOUR, tuple(sorted(terms.items()))
        found = self._prices_of.get(key)
        if found is None:
            at = datetime.fromtimestamp(begun, UTC)
            found = _Price.of(*self._look_up(candidate, model, read, searches, at, terms))
            if max(map(len, (model, *terms.values()))) <= _LONGEST:
                self._prices_of[key] = found
            while len(self._prices_of) > _PRICED:
                self._prices_of.popitem(last=False)
        return found

    def _look_up(
        self, candidate: Candidate, model: str, read: int, searches: int, at: datetime, terms: Mapping[str, str]
    ) -> tuple[Rates | None, Basis]:
        provider = self._providers.by_name[candidate.provider]
        usage = Usage(input=read, parts={"web_searches": searches} if searches else {})
        found, basis = self._prices.rates(provider, model, at, usage)
        if found is not None and terms:
            asked, its = self._prices.rates(provider, model, at, usage, terms)
            if asked is not None and (asked.input, asked.output) > (found.input, found.output):
                return asked, its
        return found, basis

    def learn(self, exchange: Exchange, attempt: Attempt, bound: Bound) -> None:
        """From an attempt that is over: how this model counts, and how large what it made is."""
        usage = attempt.usage
        bill = attempt.bill
        if usage is None or not usage.input or bill is None or bill.estimated or bill.said is not None:
            return
        model = attempt.candidate.model or exchange.model
        value = exchange.body.value if exchange.body is not None else None
        if bound.counted:
            self._counter.learn(exchange.dialect.name, model, bound.counted, usage.input - _around(value))
        if exchange.operation.name == "responses":
            captured = exchange.captured.first(_READ) if exchange.captured else b""
            said = captured if exchange.said is None else exchange.said
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


def _forms(value: Any) -> list[str]:
    """What a model reads besides the texts of a request: its tools, and the form of the answer (Gemini's is in its config)."""
    if type(value) is not dict:
        return []
    inner = value["request"] if type(value.get("request")) is dict else value
    found = [written_out(each) for name in _LISTS if type(each := inner.get(name)) is dict or type(each) is list]
    return found + [written_out(each) for name in _CONFIGS if type(each := inner.get(name)) is dict]


_LISTS: Final = ("tools", "functions", "response_format", "text", "output_format", "output_config", "mcp_servers")
_CONFIGS: Final = ("generationConfig", "generation_config")
_FORMS: Final = frozenset((*_LISTS, *_CONFIGS))


def written_out(value: Any) -> str:
    """As JSON, whatever it is."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # it writes no integers beyond 64 bits, no halves of characters, and nothing deeper than 254
        return json.dumps(value)


def _no_texts(value: Any, names: Collection[str]) -> int:
    """The tokens of what a request has its model read that is no text: tokens as numbers, and the numbers and names in what tools
    were called with and gave."""
    if type(value) is not dict:
        return 0
    inner = value["request"] if type(value.get("request")) is dict else value
    given = _ready(inner.get("prompt")) + _ready(inner.get("input"))
    return given if _CALLED.isdisjoint(names) else given + sum(_bare(each, 0) for each in _of_tools(inner))


_READY: Final = frozenset({"prompt", "input"})


def _ready(value: Any) -> int:
    """Of texts that come as tokens: a list of numbers, or a list of such lists."""
    if type(value) is not list or not value:
        return 0
    if type(value[0]) is int:
        return len(value)
    return sum(len(each) for each in value if type(each) is list) if type(value[0]) is list else 0


def _of_tools(value: dict[str, Any]) -> Iterator[Any]:
    for name, within in (("messages", "content"), ("contents", "parts")):
        messages = value.get(name)
        for message in messages if type(messages) is list else ():
            blocks = message.get(within) if type(message) is dict else None
            for block in blocks if type(blocks) is list else ():
                if type(block) is dict:
                    for each in _CALLED:
                        if type(found := block.get(each)) is dict:
                            yield found


_CALLED: Final = frozenset({"input", "functionCall", "functionResponse", "function_call", "function_response"})


def _bare(value: Any, depth: int) -> int:
    if type(value) is dict:
        return sum(2 + len(name) // 3 + _bare(each, depth + 1) for name, each in value.items()) if depth < _DEEP else 0
    if type(value) is list:
        return sum(_bare(each, depth + 1) for each in value) + len(value) // 2 if depth < _DEEP else 0
    return 0 if type(value) is str else 2 + len(repr(value)) // 3


_DEEP: Final = 64  # levels; deeper ones no tool has


def _around(value: Any) -> int:
    """What stands around the texts: roles, and what is said of tools."""
    if type(value) is not dict:
        return _FRAME
    inner = value["request"] if type(value.get("request")) is dict else value
    messages = 0
    for name in _CONVERSATIONS:
        if type(each := inner.get(name)) is list:
            messages += list(map(type, each)).count(dict)
    return _FRAME + messages * _MESSAGE + (_TOOLS if inner.get("tools") else 0)


_CONVERSATIONS: Final = ("messages", "input", "contents")


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
    asked = {name: value.get(name) for name in _TERMS}
    return {name: text for name, text in asked.items() if type(text) is str and text not in ("auto", "standard_only")}


_TERMS: Final = frozenset({"service_tier", "speed", "inference_geo"})


class _Tools(NamedTuple):
    """What the provider's own tools may add. `rounds`: so often the model may go on by itself. `unbounded`: why that has no end.
    `machines`: on which its code runs, paid by the session.
    """

    searches: int = 0
    rounds: int = 0
    unbounded: str = ""
    machines: int = 0


_NO_TOOLS: Final = _Tools()
_SERVING: Final = frozenset({"tools", "mcp_servers", "web_search_options", "compaction", "context_management"})
_SERVED: Final = ("web_search", "web_fetch", "file_search", "code_interpreter", "code_execution", "mcp", "advisor")


def served(dialect: str, value: Any, model: str) -> _Tools:
    """What tools of its provider's a request lets its model use."""
    if type(value) is not dict:
        return _Tools()
    inner = value["request"] if type(value.get("request")) is dict else value
    listed = inner.get("tools")
    searches = rounds = machines = 0
    for tool in listed if type(listed) is list else ():
        if type(tool) is not dict:
            continue
        kind = tool["type"][:40] if type(tool.get("type")) is str else ""
        if kind == "image_generation":
            return _Tools(unbounded=f"its tool {kind} is priced by the image")
        if kind.startswith(_SERVED):
            most = tool.get("max_uses", value.get("max_tool_calls"))
            if type(most) is not int and dialect == "anthropic" and not kind.startswith("web_"):
                most = _ROUNDS  # it takes no bound, and costs what it adds to read
            if type(most) is not int:
                why = f"its tool {kind} may be called without end; give it max_uses (OpenAI: max_tool_calls)"
                return _Tools(unbounded=why)
            searches += max(0, most)
            rounds += max(0, most)
            machines += kind.startswith("code_interpreter")
        elif not _GOOGLES.isdisjoint(tool):
            searches += SEARCHES
    if dialect == "anthropic":
        rounds = min(rounds or (_ROUNDS if value.get("mcp_servers") else 0), _ROUNDS) + _compacts(value)
    if "web_search_options" in value or "-search-" in model:
        searches += 1
    return _Tools(searches, rounds, machines=machines)


def _others_stand(names: Collection[str], kinds: Collection[str]) -> bool:
    """Whether there may be models besides the call's own: few calls have any, and to look for them takes its time."""
    return "models" in names or "fallbacks" in names or any(kind.startswith("advisor") for kind in kinds)


def _compacts(value: dict[str, Any]) -> bool:
    """Whether the provider may make a summary first, for which it reads all once more
    (https://platform.claude.com/docs/en/build-with-claude/compaction).
    """
    management = value.get("context_management")
    edits = management.get("edits") if type(management) is dict else None
    kinds = [each.get("type") for each in edits if type(each) is dict] if type(edits) is list else []
    return "compaction" in value or any(type(kind) is str and kind.startswith("compact") for kind in kinds)


_GOOGLES: Final = frozenset(
    {"google_search", "googleSearch", "google_search_retrieval", "googleSearchRetrieval", "googleMaps", "google_maps",
     "url_context", "urlContext", "codeExecution", "code_execution", "fileSearch", "file_search", "enterpriseWebSearch"}
)  # fmt: skip


def _units(usd: Decimal) -> int:
    """Rounded up."""
    return ceil(usd * _UNITS)


def _extra(rates: Rates, searches: int, seen: int) -> int:
    """What is paid besides the tokens of text: for the call, for its searches, and for what is no text as far as that is dearer."""
    parts = rates.parts
    if not (searches or seen or "requests" in parts):
        return 0
    search = max(parts.get(name, Decimal(0)) for name in ("web_searches", "storage_searches"))
    dearest = max(parts.get(f"input_{kind}_tokens", Decimal(0)) for kind in _KINDS)
    more = max(Decimal(0), dearest - rates.input / 10**6)
    return _units(parts.get("requests", Decimal(0)) + searches * search + seen * more)


def _spoken(rates: Rates, dialect: str, value: Any) -> int:
    """What a token of sound or images costs, where a call may be answered with them."""
    if type(value) is not dict:
        return 0
    inner = value["request"] if type(value.get("request")) is dict else value
    if dialect == "openai":
        asked = inner.get("modalities")
        wants = type(asked) is list and asked != ["text"]
    else:
        configs = (inner.get(name) for name in ("generationConfig", "generation_config"))
        said = (
            config.get("responseModalities", config.get("response_modalities"))
            for config in configs
            if type(config) is dict
        )
        asked = next((each for each in said if each is not None), None)
        wants = asked not in (["TEXT"], ["text"], ["Text"])
    return _units(max(rates.parts.get(f"output_{kind}_tokens", Decimal(0)) for kind in _KINDS)) if wants else 0


_MOST_FALLBACKS: Final = 100

_KINDS: Final = ("audio", "image", "video")


def _unbounded(exchange: Exchange, value: Any, said: Stated | None) -> str:
    if type(value) is dict and value.get("background") is True:
        return "it runs in the background, where nobody sees what it uses"
    if exchange.operation.elsewhere:
        return "it is priced by other measures than tokens"
    if said is None and exchange.operation.name in _UNBOUNDED:
        return f"nothing in it says how much a call of this kind ({exchange.operation.name}) may cost"
    return ""
