"""`tokenman why`: what was masked, refused or routed in one call, by which setting, and what to do about it."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import typer

from addons.cli.settings import complain, loaded
from tokenman_core.ledger import LedgerError, LedgerReader, Row, path_of
from tokenman_core.ledger.row import MOST_SPOTS, clean, plain
from tokenman_core.record import cause_of

REMEDIES: Mapping[str, str] = {
    "parse": "The program sent what cannot be read for certain. Update the program; if it is your own, send valid JSON in UTF-8"
    " without repeated keys.",
    "auth": "Give the program its provider's own key or login; `x-api-key` or `Authorization` must hold it.",
    "forbidden": "If the caller may do this, allow it: access.allowed_origins for web pages, access.public_names for names,"
    " intercept.private for inner addresses, providers for hosts.",
    "not_found": "The path is none that a provider serves: check the program's base URL; `tokenman env` prints the right one.",
    "body_cap": "Send less, or raise limits.request_body.",
    "response_cap": "Ask for less, or raise limits.response_body.",
    "headers_cap": "Send fewer or shorter headers, or raise limits.request_headers.",
    "coding": "Send the body as it is, or in gzip, deflate, br or zstd, once.",
    "budget": "Wait for the budget's next window, or raise its limit_usd under budgets.",
    "pricing": "Say what the model costs under pricing.overrides, or choose a model with a known price.",
    "rate_limit": "Wait as long as Retry-After says, or raise the limit under rate_limits.",
    "redaction": "Take the value out of the text; or let it be masked instead of blocked, by the setting named above or"
    " redaction.mode: redact; or let this one value pass: `tokenman allow`. If detection was not ready, send it again.",
    "injection": "See what the text asks of the model; if it is harmless, raise injection.threshold or set injection.mode: log.",
    "stage": "Something failed inside, so nothing was sent. The log has the request id and the place; `tokenman doctor` checks the"
    " installation.",
    "upstream": "The provider failed or cannot be reached: try again; `tokenman doctor` says whether it can be reached from here.",
    "timeout": "The provider took too long: try again, or raise providers.NAME.timeouts.",
    "breaker": "The provider failed too often a moment ago and is left alone: wait as long as Retry-After says.",
    "shutdown": "TokenMan was being stopped: start it again (`tokenman up`) and send the call again.",
    "persistence": "The spend of a blocking budget could not be kept: look at /health/ready and at the disk of data_dir.",
    "websocket": "WebSocket connections are not governed: let the program use HTTP, which most do by themselves after this.",
    "internal": "Something failed inside. The log has the request id and the place; `tokenman doctor` checks the installation.",
}
"""What to do about a call that ended with this kind of error."""

BREAK_REMEDIES: Mapping[str, str] = {
    "tools reordered": "Send the tools in the same order each time.",
    "tool": "Tools stand before all else: settle on them before the first call of a conversation.",
    "a time or date": "Put what changes from call to call behind what does not: into the last message, not into the system text.",
    "system prompt": "Keep the system text as it is within a conversation; put what changes into the last message.",
    "an earlier message": "Leave what was sent as it was, to the letter; put what is new at the end.",
    "history cut": "Cut history seldom and by much: each cut writes the rest anew.",
    "cache marks": "Mark the end of each turn (cache_control), no more than 20 blocks behind the mark before it.",
    "idle": 'Where pauses are long, ask for the longer life: cache_control: {"type": "ephemeral", "ttl": "1h"}.',
    "model changed": "Each model has a cache of its own: change it between conversations.",
    "provider changed": "Each provider has a cache of its own: see `routed` for why another one was asked.",
    "parameters changed": "Keep this field as it is within a conversation.",
    "TokenMan masked": "A setting of redaction changed, or a value was recognised only now: what was masked stands above.",
}
"""What to do about a break, by how its cause begins, the first that fits."""

_BASES = {
    "list": "at list price",
    "override": "by pricing.overrides",
    "ceiling": "at the dearest price of its provider, since the model is in no price list",
    "free": "which is free",
}
_ACTIONS = {
    "redact": "masked by a placeholder",
    "hash": "masked by a hash, for good",
    "block": "not allowed to leave",
    "log": "left as it was",
}
_DONE = {"redact": "masked", "hash": "hashed", "block": "refused", "log": "left as it was"}
_OUTCOMES = {
    "answered": "answered",
    "refused": "refused by TokenMan",
    "broken": "the answer broke off",
    "aborted": "the program left before the end",
    "crashed": "failed inside TokenMan",
}
_TRIED = {
    "ok": "answered",
    "rate_limited": "said that there were too many calls (429)",
    "client_error": "would not answer this call",
    "server_error": "failed or was overloaded",
    "connect": "could not be reached",
    "reset": "broke the connection off",
    "stale": "had closed the connection that was kept to it",
    "timeout": "took too long",
    "truncated": "ended before it had said anything",
    "broken": "broke off in the middle of its answer",
    "protocol": "answered what cannot be read",
    "cap": "answered more than limits.response_body allows",
    "full": "as many calls as can run at once were running there",
    "refused": "not dialled: its address is not allowed",
    "not_sent": "passed over: its breaker was open, or it had told this caller to wait",
    "unanswered": "had not answered when the program left",
}
"""Outcomes of attempts, as `Tried` has them."""

_CACHE = {
    "hit": "answered from the cache",
    "miss": "asked for, and not there",
    "bypass": "not asked",
    "coalesced": "answered together with an equal call",
}
_LAST = "last"
_INDENT = 12
_WIDEST = 100  # columns: longer lines are hard to read


def run(file: Path | None, call_id: str) -> int:
    """The exit code: 0; 1 if there is no such call, or more than one; 2 for a wrong configuration."""
    found = loaded(file)
    if found is None:
        return 2
    reader = LedgerReader(path_of(found.settings))
    try:
        rows = reader.page(limit=1).rows if call_id == _LAST else reader.begin_with(call_id)
    except LedgerError as error:
        complain(error)
        return 1
    if len(rows) != 1:
        for line in _not_one(call_id, rows):
            typer.echo(f"tokenman: {line}", err=True)
        return 1
    width = min(shutil.get_terminal_size().columns, _WIDEST) if sys.stdout.isatty() else None
    for line in explain(rows[0], width):
        typer.echo(line)
    return 0


def _not_one(call_id: str, rows: tuple[Row, ...]) -> list[str]:
    if rows:
        shown = ", ".join(row.id for row in rows[:5])
        return [f"more than one call begins with {clean(call_id)[:40]}: {shown}; write more of the id"]
    if call_id == _LAST:
        return ["nothing has been recorded yet; send calls through TokenMan, for example: tokenman run -- claude"]
    return [
        f"no call {clean(call_id)[:40]} is in the ledger: it may be older than ledger.retention, or it was refused before it was"
        " known to be a call, then the log says why",
        "ids stand in the answer's header x-tokenman-request-id, in the text of a refusal, in the log, and in `tokenman tail`;"
        " `tokenman why last` explains the latest call",
    ]  # fmt: skip


def explain(row: Row, width: int | None = None) -> list[str]:
    """Lines of at most `width`: a name in a column of its own, and what there is to say about it."""
    parts = [
        ("call", _call(row)),
        ("asked", _asked(row)),
        ("outcome", _outcome(row)),
        ("what to do", [REMEDIES[row.error]] if row.error in REMEDIES else []),
        ("masked", list(_masked(row))),
        ("not put back", _unrestored(row)),
        ("routed", _routed(row)),
        ("cache", _cache(row)),
        ("cache broke", _broke(row)),
        ("tokens", _tokens(row)),
        ("cost", _cost(row)),
        ("took", _took(row)),
    ]
    found = []
    for name, texts in parts:
        for text in texts:
            wrapped = textwrap.wrap(clean(text), width - _INDENT, break_on_hyphens=False) if width else [clean(text)]
            for line in wrapped:
                found.append(f"{name:<{_INDENT}}{line}")
                name = ""
    return found


def _call(row: Row) -> list[str]:
    return [row.id, f"{row.time:%Y-%m-%d %H:%M:%S} UTC"]


def _asked(row: Row) -> list[str]:
    by = [
        f"{name} {text}"
        for name, text in (("project", row.project), ("client", row.client), ("session", row.session))
        if text
    ]
    login = {"key": "with a key", "oauth": "with a login"}.get(row.login, "without a key")
    what = f"{row.model or 'no model'}, {row.dialect} {row.operation}{', streamed' if row.stream else ''}, {login}"
    return [what, ", ".join(by)] if by else [what]


def _outcome(row: Row) -> list[str]:
    status = f" with status {row.status}" if row.status else ""
    lines = [f"{_OUTCOMES.get(row.outcome, row.outcome)}{status}{f', kind {row.error}' if row.error else ''}"]
    if row.outcome == "answered" and row.status >= 400:
        lines.append("This is the provider's own answer, passed on as it came.")
    if row.other_model:
        lines.append("The answer came from a model that the virtual key may not use; it is booked, and was passed on.")
    return [*lines, row.detail] if row.detail else lines


def _masked(row: Row) -> Iterator[str]:
    if not row.redactions:
        yield "nothing was recognised"
    for each in row.redactions:
        yield f"{each.count} {each.entity}: {_ACTIONS.get(each.action, each.action)} ({each.setting}: {each.action})"
    for spot in row.spots:
        times = f"{spot.times} times, " if spot.times > 1 else ""
        yield f"  at {spot.place or 'the address'}: {spot.entity} {times}{_DONE.get(spot.action, spot.action)}, value {spot.hash}"
    if row.spots and len(row.spots) >= MOST_SPOTS:
        yield "  and perhaps in earlier places: only the last ones of a call are kept"
    if row.spots:
        yield "A value is told by its keyed hash, the same one in every call; it is kept nowhere itself."
    if any(each.action == "log" and each.setting.endswith(".mode") for each in row.redactions):
        yield "A dry run (mode: log): what was left as it was would have been masked with mode: redact."
    if row.masked:
        yield "To let one value pass: tokenman allow. To let a whole type pass: redaction.entities: {TYPE: off}."


def _unrestored(row: Row) -> list[str]:
    if not row.unrestored:
        return []
    stayed = (
        "1 placeholder of the answer stayed"
        if row.unrestored == 1
        else f"{row.unrestored} placeholders of the answer stayed"
    )
    return [
        stayed,
        "Where a value would have left the machine it is put back only if it stood with that host in the request"
        " (redaction.restore_egress), one that was hashed never.",
    ]


def _routed(row: Row) -> list[str]:
    if not row.attempts:
        return [
            "to nobody: nothing was sent" if row.cache not in ("hit", "coalesced") else "to nobody: the cache had it"
        ]
    lines = [f"to {row.provider}, {row.attempts} attempt{'' if row.attempts == 1 else 's'}"]
    for number, each in enumerate(row.tried, 1):
        wait = f", after a wait of {_ms(each.wait)}" if each.wait else ""
        model = f" for {each.model}" if each.model else ""
        lines.append(f"{number}. {each.provider}{model}: {_TRIED.get(each.outcome, each.outcome)}{wait}")
    if 0 < len(row.tried) < row.attempts:
        lines.append(f"and {row.attempts - len(row.tried)} more")
    return lines


def _cache(row: Row) -> list[str]:
    lines = [_CACHE.get(row.cache, row.cache)] if row.cache else []
    if row.repeats:
        lines.append(f"It repeats an earlier call: with cache: {{mode: {row.repeats}}} it would have cost nothing.")
    return lines


def _broke(row: Row) -> list[str]:
    """Of the provider's own cache."""
    if not row.cache_break:
        return []
    cost = f", which cost ${plain(row.cache_lost_usd)} more" if row.cache_lost_usd else ""
    lost = f"{row.cache_lost:,} tokens that the provider's cache had before were not read from it{cost}"
    cause = cause_of(row.cache_break)
    remedy = next((text for begin, text in BREAK_REMEDIES.items() if cause.startswith(begin)), "")
    return [row.cache_break, lost, *([remedy] if remedy else [])]


def _tokens(row: Row) -> list[str]:
    usage = row.usage
    if not row.basis:
        return []
    inside = [
        f"{number:,} {what}"
        for number, what in (
            (usage.cache_read, "from the provider's cache"),
            (usage.cache_write_5m, "written to it for 5 minutes"),
            (usage.cache_write_1h, "written to it for an hour"),
        )
        if number
    ]
    text = f"{usage.input:,} in{f' ({", ".join(inside)})' if inside else ''}, {usage.output:,} out"
    text += f" ({usage.reasoning:,} of reasoning)" if usage.reasoning else ""
    lines = [text]
    if usage.parts:
        lines.append(
            "of these and beside them: " + ", ".join(f"{n:,} {it.replace('_', ' ')}" for it, n in usage.parts.items())
        )
    if row.estimated:
        lines.append("counted here at least in part: the provider did not say them")
    if row.truncated:
        lines.append("the stream was longer than limits.stream_capture: what is counted here is told by its beginning")
    return lines


def _cost(row: Row) -> list[str]:
    if not row.basis:
        lines = ["nothing"]
    elif row.cost is None:
        lines = ["not known: the model is in no price list; pricing.overrides can say it"]
    else:
        lines = [f"${plain(row.cost)} {_BASES.get(row.basis, '')}"]
        if row.overrun:
            lines.append(
                "more than its request allows, or than was held for it of its budgets: the provider billed beyond that"
            )
        if row.notional:
            lines.append("notional: a subscription pays for the call, this is what it would have cost by key")
    return [*lines, f"${plain(row.saved)} saved"] if row.saved else lines


def _took(row: Row) -> list[str]:
    first = f", first token after {_ms(row.ttft)}" if row.stream and row.ttft is not None else ""
    return [f"{_ms(row.duration)}{first}; {_ms(row.overhead)} of it here"]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:,.1f} ms"
