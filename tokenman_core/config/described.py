"""One line on each setting, for the file that `config init` writes and for the schema that editors read."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from tokenman_core.config.models import Provider, Settings

EACH = "providers.*"
"""A provider's settings are named by it: `providers.*.key`."""

SETTINGS: Mapping[str, str] = {
    "listen": "where the proxy listens; programs are pointed here",
    "data_dir": "CA, ledger, installation secret, PID file; private to you",
    "tls": "certificate and key for both ports",
    "tls.cert": "PEM file",
    "tls.key": "PEM file",
    "admin": "dashboard, JSON API, /health and /metrics",
    "admin.listen": "where they are; another port than the proxy's",
    "admin.token": "bearer token of the API; made at first start where the variable is not set",
    "admin.allowed_origins": "web origins that may call the API, besides the dashboard's own",
    "admin.metrics": "auto (open on loopback, else token) | open | token",
    "access": "who may call the proxy port",
    "access.clients": "virtual keys: auto | optional | required",
    "access.allowed_origins": "local web apps that may call it, e.g. [http://localhost:3000]",
    "access.public_names": "names in Host headers besides loopback and the listen address",
    "intercept": "which hosts are opened, besides the providers' own",
    "intercept.hosts": "opened and judged too",
    "intercept.passthrough": "never opened",
    "intercept.private": "inner addresses that tunnels may reach, e.g. [10.0.0.0/8]",
    "limits": "0 means no limit",
    "limits.request_body": "the largest request that is judged; larger ones are refused with 413",
    "limits.response_body": "the largest whole answer; larger ones become a 502",
    "limits.stream_capture": "how much of a stream is kept to count its tokens",
    "limits.client_header_timeout": "for the head of a request to be complete",
    "limits.client_body_timeout": "for its body to be complete",
    "limits.keepalive_timeout": "for which an idle connection of a client is kept",
    "limits.connections": "clients' connections at once",
    "limits.request_headers": "beyond either, a request is refused with 431",
    "limits.request_headers.size": "of all headers together",
    "limits.request_headers.count": "how many",
    "providers": "upstreams; known without a word: anthropic, openai, codex, gemini",
    "providers.*.base_url": "where calls go; a base URL that is not the provider's own is told at start",
    "providers.*.dialect": "anthropic | openai | gemini",
    "providers.*.key": "null: the caller's own key passes through; else env:NAME or file:PATH",
    "providers.*.models": "the models that it serves; * and ? as in file names",
    "providers.*.priority": "where several serve a model, the lower one is first",
    "providers.*.connections": "how many at once; over HTTP/1.1 each carries one call",
    "providers.*.timeouts": "0 means no deadline",
    "providers.*.timeouts.connect": "for the connection",
    "providers.*.timeouts.first_byte": "for the head of the answer",
    "providers.*.timeouts.first_token": "for the first token of a stream",
    "providers.*.timeouts.idle": "between two pieces of an answer",
    "providers.*.timeouts.total": "for the whole answer",
    "providers.*.hosts": "its well-known hosts: opened, and served from base_url",
    "providers.*.stream_usage": "ask streams of Chat Completions for their usage; false where that is refused",
    "providers.*.breaker": "a model that is overloaded rests alone (model), or its provider with it (provider)",
    "providers.*.pace": "on: calls wait, up to a minute, for what it says of its own rate limits",
    "retry": "of one call at one provider",
    "retry.attempts": "all tries, the first one too",
    "retry.base_delay": "before the second try; doubled each time, with jitter",
    "retry.max_delay": "the longest delay",
    "retry.max_wait": "all delays of a call together",
    "retry.statuses": "of answers that are tried again",
    "breaker": "holds a failing provider back for a while",
    "breaker.failures": "so many in a row open it",
    "breaker.ratio": "or this share of at least min_calls",
    "breaker.min_calls": "0: not by share",
    "breaker.window": "over which calls are counted",
    "breaker.reset": "after which it is tried again",
    "breaker.probes": "calls at once that try it",
    "routes": "first match wins; without any: the provider that the call named",
    "redaction": "what is masked, and put back into the answer",
    "redaction.mode": "redact | block | hash | log | off",
    "redaction.entities": "by kind, over mode, e.g. {CREDIT_CARD: block, US_SSN: {threshold: 0.6}}",
    "redaction.secrets": "keys, passwords, tokens: redact | block | hash | log | off",
    "redaction.ner": "names of people and places: off | an installed spaCy model",
    "redaction.restore": "put values back into answers: true | false",
    "redaction.restore_egress": "into URLs and network tools: same_host | always | never",
    "redaction.note": "a line to the model that placeholders are to be kept: off | on",
    "redaction.unreadable": "images, audio and what else cannot be read: pass | block",
    "redaction.allow": 'values that pass, e.g. ["*@example.com"]; single secret ones: tokenman allow',
    "redaction.deny": "values that are always masked",
    "redaction.recognizers": "kinds of your own, as expressions of RE2",
    "redaction.projects": "what is otherwise for some projects; the first that matches",
    "injection": "instructions in what the model reads that are not the user's",
    "injection.mode": "log | warn | sanitize | block | off",
    "injection.threshold": "from 0 to 1",
    "injection.scan": "of system, user, assistant, tool_results",
    "injection.exfiltration": "look for data led out through URLs too: true | false",
    "budgets": "limits on money; none by default",
    "pricing": "what calls cost",
    "pricing.unknown_model": "ceiling | refuse | allow",
    "pricing.subscriptions": "by a login with a subscription: notional | free | count (in budgets)",
    "pricing.overrides": "USD per million tokens, e.g. {my-model: {input_mtok: 0.5, output_mtok: 2}}",
    "pricing.discounts": "off a provider's list, e.g. {openai: 15%}",
    "rate_limits": "calls and tokens in a time, calls at once; none by default",
    "guard": "stops agents that go round in circles or spend too fast; 0: off",
    "guard.repeats": "so often in a row the same tool call with the same answer, or the same request",
    "guard.errors": "so often in a row the same error of the same tool",
    "guard.usd_per_minute": "of one session, by what its calls have cost",
    "guard.then": "beyond it calls are refused (block) or marked (warn)",
    "cache": "answers given again",
    "cache.mode": "off | deterministic | all",
    "cache.ttl": "for which an answer is kept",
    "cache.entries": "at most",
    "cache.size": "at most",
    "cache.scope": "caller | shared",
    "cache.encrypt": "auto (where a keyring is) | on | off",
    "cache.tools": "on: also calls that have tools at hand, in the mode deterministic",
    "cache.tool_calls": "on: also answers that call a tool are given again",
    "cache.pace": "of streams that are given again: at_once | original",
    "compaction": "fewer tokens for the same call",
    "compaction.prompt_cache": "breakpoints for the provider's cache: suggest | auto | off",
    "compaction.minify_json": "off | on",
    "compaction.whitespace": "off | on",
    "compaction.history": "of long conversations",
    "compaction.history.keep_turns": "0: all",
    "compaction.heartbeat": "off | on",
    "secret": "all others are derived from it; null: made in data_dir; the same on all machines",
    "state": "counters that must be shared",
    "state.url": '"": data_dir',
    "ledger": "the record of every call; never a body",
    "ledger.url": '"": data_dir',
    "ledger.retention": "of rows; daily totals stay",
    "ledger.bodies": "off | redacted",
    "inspect": "under mitmweb and mitmdump",
    "inspect.plain": "true: their savers may write what is not masked",
    "telemetry": "what is told of calls, never their content",
    "telemetry.log": "on standard error, or in a file",
    "telemetry.log.level": "debug | info | warning | error",
    "telemetry.log.format": "console | json",
    "telemetry.log.file": "an absolute path",
    "telemetry.otel": "traces",
    "telemetry.otel.endpoint": "of an OTLP collector",
    "telemetry.otel.propagate": "true: traceparent goes on to the provider",
    "telemetry.otel.sample": "the share of calls, from 0 to 1",
    "alerts": "on spending",
    "alerts.webhook": "URL that is told of them, as env:NAME or file:PATH",
    "alerts.secret": "signs what it is told; null: made, data_dir/webhook-secret",
    "timezone": "of budget windows, e.g. Europe/Berlin",
    "tests": "policy cases; `tokenman config test` runs them",
}

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "providers": ('my-ollama: {base_url: "http://127.0.0.1:11434/v1", dialect: openai}',),
    "routes": (
        'routes: [{match: {model: "claude-*"}, try: [anthropic, {provider: anthropic, model: claude-haiku-4-5}]}]',
    ),
    "redaction.allow": (
        r'allow: ["*@example.com", "/TEST-[0-9]+/", {entity: PHONE_NUMBER, value: "+1 415 555 2671"}]',
    ),
    "redaction.deny": ("deny: [Project Aurora, {entity: CUSTOMER, glob: acme-*}]",),
    "redaction.projects": ('projects: {"demo-*": {entities: {PHONE_NUMBER: off}}, billing: {mode: block}}',),
    "redaction.recognizers": (r"recognizers: [{name: EMPLOYEE_ID, pattern: 'E-\d{6}', context: [employee]}]",),
    "budgets": (
        "budgets: [{name: daily, limit_usd: 10, window: day, scope: global, on_exceed: block, alerts: [0.5, 0.8]}]",
    ),
    "rate_limits": ("rate_limits: [{name: per-client, scope: client, requests: 60/min, concurrent: 20}]",),
    "tests": (
        "tests:",
        "  - name: addresses are masked",
        "    request: {dialect: anthropic, model: claude-sonnet-4-5, text: write to ada@example.org}",
        "    expect: {masked: [EMAIL_ADDRESS]}",
    ),
}
"""What else could stand at a setting, as one would write it."""


def named(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, str, type[BaseModel]]]:
    """Each setting in the order of the file: its dotted name, its own name, and the model that it is a field of."""
    for name, field in model.model_fields.items():
        setting = f"{prefix}{name}"
        yield setting, name, model
        inner = Provider if setting == "providers" else section(field.annotation)
        if inner is not None:
            yield from named(inner, f"{EACH}." if setting == "providers" else f"{setting}.")


def section(kind: Any) -> type[BaseModel] | None:
    """The model of a group of settings; None for a value."""
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
