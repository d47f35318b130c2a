import re
from decimal import Decimal
from typing import get_args

import pytest
from typer.testing import CliRunner

from addons.cli import main, why
from tests.core.ledger.calls import NOON, bill, call, name
from tokenman_core.caching.breaks import CAUSES, UNTOLD
from tokenman_core.errors import ErrorKind
from tokenman_core.exchange import Redacted, Spot
from tokenman_core.failover.policy import SAFE
from tokenman_core.ledger import row_of
from tokenman_core.ledger.store import Store
from tokenman_core.record import Tried
from tokenman_core.telemetry.health import FAILURES, SILENT
from tokenman_core.usage import Bill, Usage


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TOKENMAN_DATA_DIR", str(tmp_path / "data"))
    for variable in ("TOKENMAN_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def told(*arguments):
    return CliRunner().invoke(main.app, ["why", *arguments], catch_exceptions=False)


def record(home, *calls):
    store = Store(home / "data" / "ledger.db")
    store.add([row_of(one) for one in calls])
    store.close()


def parts(row):
    """{name: [lines]} of an explanation."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in why.explain(row_of(row)):
        heading = line[:12].strip() or heading
        found.setdefault(heading, []).append(line[12:])
    return found


def test_an_answered_call_is_explained_whole():
    found = parts(
        call(
            0xABC,
            bill=Bill(Usage(1000, 200, 300, 40, 50, 60), Decimal("0.0123"), "list"),
            redactions=(
                Redacted("EMAIL_ADDRESS", "redact", "redaction.mode", 2),
                Redacted("PHONE_NUMBER", "log", "redaction.entities.PHONE_NUMBER", 1),
            ),
            cache="miss",
            attempts=2,
            saved=Decimal("0.5"),
        )
    )
    assert found == {
        "call": ["req_000000000000000000000abc", "2026-11-24 12:00:00 UTC"],
        "asked": [
            "claude-sonnet-4-5, anthropic messages, streamed, with a key",
            "project shop, client ada, session s-1",
        ],
        "outcome": ["answered with status 200"],
        "masked": [
            "2 EMAIL_ADDRESS: masked by a placeholder (redaction.mode: redact)",
            "1 PHONE_NUMBER: left as it was (redaction.entities.PHONE_NUMBER: log)",
            "To let one value pass: tokenman allow. To let a whole type pass: redaction.entities: {TYPE: off}.",
        ],
        "routed": ["to anthropic, 2 attempts"],
        "cache": ["asked for, and not there"],
        "tokens": [
            "1,000 in (300 from the provider's cache, 40 written to it for 5 minutes, 50 written to it for an hour),"
            " 200 out (60 of reasoning)"
        ],
        "cost": ["$0.0123 at list price", "$0.5 saved"],
        "took": ["1,500 ms, first token after 250 ms; 1.2 ms of it here"],
    }


def test_each_attempt_is_told_with_its_outcome_and_its_wait():
    tried = (
        Tried("anthropic", "server_error", "claude-sonnet-4-5"),
        Tried("anthropic", "not_sent", "claude-sonnet-4-5", 0.512),
        Tried("openai", "ok", "gpt-5-mini"),
    )
    found = parts(call(provider="openai", attempts=3, tried=tried))
    assert found["routed"] == [
        "to openai, 3 attempts",
        "1. anthropic for claude-sonnet-4-5: failed or was overloaded",
        "2. anthropic for claude-sonnet-4-5: passed over: its breaker was open, or it had told this caller to wait,"
        " after a wait of 512 ms",
        "3. openai for gpt-5-mini: answered",
    ]
    assert parts(call(attempts=30, tried=tried * 10))["routed"][-1] == "and 20 more"


def test_every_outcome_of_an_attempt_has_its_words():
    kinds = {*SAFE, *FAILURES, *SILENT, "ok", "client_error", "rate_limited"}
    assert kinds == set(why._TRIED)


def test_a_refusal_is_told_with_its_text_and_what_to_do():
    found = parts(
        call(
            outcome="refused", status=400, error="redaction", attempts=0, bill=None,
            detail="The call holds a value of type US_SSN, and redaction.entities.US_SSN is block.",
            redactions=(Redacted("US_SSN", "block", "redaction.entities.US_SSN", 1),),
        )
    )  # fmt: skip
    assert found["outcome"] == [
        "refused by TokenMan with status 400, kind redaction",
        "The call holds a value of type US_SSN, and redaction.entities.US_SSN is block.",
    ]
    assert "tokenman allow" in found["what to do"][0]
    assert found["masked"][0] == "1 US_SSN: not allowed to leave (redaction.entities.US_SSN: block)"
    assert found["routed"] == ["to nobody: nothing was sent"]
    assert found["cost"] == ["nothing"]
    assert "tokens" not in found


@pytest.mark.parametrize("kind", get_args(ErrorKind))
def test_there_is_something_to_do_about_every_kind_of_error(kind):
    found = parts(call(outcome="refused", status=400, error=kind))
    assert found["what to do"] == [why.REMEDIES[kind]]
    assert len(why.REMEDIES[kind]) > 30


def test_the_providers_own_refusal_is_told_from_ours():
    found = parts(call(status=404))
    assert found["outcome"] == ["answered with status 404", "This is the provider's own answer, passed on as it came."]


def test_a_call_that_was_given_up_is_told_as_that():
    assert parts(call(outcome="aborted", status=0, ttft=None))["outcome"] == ["the program left before the end"]


@pytest.mark.parametrize(
    ("booked", "lines"),
    [
        (Bill(Usage(), None, "unknown"), ["not known: the model is in no price list; pricing.overrides can say it"]),
        (Bill(Usage(), Decimal(1), "override"), ["$1 by pricing.overrides"]),
        (
            Bill(Usage(), Decimal(1), "ceiling"),
            ["$1 at the dearest price of its provider, since the model is in no price list"],
        ),
        (Bill(Usage(), Decimal(0), "free"), ["$0 which is free"]),
        (
            Bill(Usage(), Decimal("0.5"), "list", notional=True),
            [
                "$0.5 at list price",
                "notional: a subscription pays for the call, this is what it would have cost by key",
            ],
        ),
    ],
)
def test_how_the_cost_is_known_is_told(booked, lines):
    assert parts(call(bill=booked))["cost"] == lines


def test_tokens_that_were_counted_here_are_told_as_that():
    estimated = Bill(Usage(1, 2), Decimal(1), "list", estimated=True)
    assert parts(call(bill=estimated))["tokens"] == [
        "1 in, 2 out",
        "counted here at least in part: the provider did not say them",
    ]


def test_an_answer_from_the_cache_was_sent_to_nobody():
    found = parts(call(cache="hit", attempts=0, bill=None))
    assert found["routed"] == ["to nobody: the cache had it"]
    assert found["cache"] == ["answered from the cache"]


def test_lines_are_broken_between_words_and_stay_in_their_column():
    lines = why.explain(row_of(call(outcome="refused", error="redaction")), 60)
    assert max(map(len, lines)) <= 60
    assert all(re.match(r"[a-z ]{11} \S", line) for line in lines)
    whole = why.explain(row_of(call(outcome="refused", error="redaction")))
    assert " ".join(line[12:] for line in lines) == " ".join(line[12:] for line in whole)


def test_a_call_is_found_by_its_id_by_a_beginning_of_it_and_as_the_last(home):
    record(home, call(0xA0 << 88), call(0xA1 << 88, time=NOON.replace(hour=13)), call(0xB0 << 88))
    for asked, found in (
        (name(0xA0 << 88), 0xA0), ("req_b0", 0xB0), ("b", 0xB0), ("A1", 0xA1), ("last", 0xA1),
    ):  # fmt: skip
        done = told(asked)
        assert (done.exit_code, done.stdout.split()[:2]) == (0, ["call", name(found << 88)])


def test_a_beginning_of_several_ids_names_them(home):
    record(home, call(0xA0 << 88), call(0xA1 << 88))
    done = told("req_a")
    assert done.exit_code == 1
    assert name(0xA0 << 88) in done.stderr
    assert name(0xA1 << 88) in done.stderr


@pytest.mark.parametrize("asked", ["req_ffffffffffffffffffffffff", "", "' or 1=1 --", "\x1b[31mred", "%"])
def test_an_id_that_is_none_says_where_ids_are_found(home, asked):
    record(home, call())
    done = told(asked)
    assert done.exit_code == 1
    assert "x-tokenman-request-id" in done.stderr
    assert "tokenman why last" in done.stderr
    assert "\x1b" not in done.stderr


def test_where_nothing_was_recorded_it_says_what_to_do(home):
    done = told("last")
    assert done.exit_code == 1
    assert "tokenman run -- claude" in done.stderr
    assert "demo" not in done.stderr


def test_a_damaged_ledger_ends_with_1_and_the_remedy(home):
    (home / "data").mkdir()
    (home / "data" / "ledger.db").write_bytes(b"nonsense" * 1000)
    done = told("last")
    assert done.exit_code == 1
    assert "move ledger.db away" in done.stderr


def test_what_a_call_says_of_itself_cannot_speak_to_the_terminal(home):
    record(home, call(1, session="s"))
    store = Store(home / "data" / "ledger.db")
    store._connection.execute(
        "update names set text = 's' || char(27) || '[2J' || char(10) || 'masked' where text = 's'"
    )
    store.close()
    done = told("last")
    assert "\x1b" not in done.stdout
    assert "session s[2Jmasked" in done.stdout


def test_a_bad_configuration_ends_with_2(home):
    (home / "f.yaml").write_text("lisen: x\n")
    assert told("last", "--config", str(home / "f.yaml")).exit_code == 2


def test_a_call_of_no_model_and_no_caller_is_explained_too():
    found = parts(
        call(
            model="", project="", client="", session="", login="none", stream=False, operation="models", bill=bill("0")
        )
    )
    assert found["asked"] == ["no model, anthropic models, without a key"]


def test_a_stream_that_was_longer_than_what_is_kept_is_told_as_that():
    assert "limits.stream_capture" in str(parts(call(truncated=True)))
    assert "limits.stream_capture" not in str(parts(call()))


def test_places_are_told_with_a_hash_of_the_value_and_a_dry_run_is_called_one():
    spots = (
        Spot("messages[3].content[0].text", "EMAIL_ADDRESS", "redact", "0123456789abcdef", 2),
        Spot("system", "PHONE_NUMBER", "log", "fedcba9876543210"),
    )
    redactions = (
        Redacted("EMAIL_ADDRESS", "redact", "redaction.entities.EMAIL_ADDRESS", 1),
        Redacted("PHONE_NUMBER", "log", "redaction.mode", 1),
    )
    told = parts(call(1, redactions=redactions, spots=spots))["masked"]
    assert told[2:] == [
        "  at messages[3].content[0].text: EMAIL_ADDRESS 2 times, masked, value 0123456789abcdef",
        "  at system: PHONE_NUMBER left as it was, value fedcba9876543210",
        "A value is told by its keyed hash, the same one in every call; it is kept nowhere itself.",
        "A dry run (mode: log): what was left as it was would have been masked with mode: redact.",
        "To let one value pass: tokenman allow. To let a whole type pass: redaction.entities: {TYPE: off}.",
    ]


def test_what_was_used_besides_tokens_of_text_is_told():
    used = Usage(1000, 200, parts={"web_searches": 2, "input_audio_tokens": 1500})
    found = parts(call(bill=Bill(used, Decimal(1), "list")))
    assert "of these and beside them: 2 web searches, 1,500 input audio tokens" in found["tokens"]


def test_why_a_providers_cache_broke_is_told_with_what_it_cost_and_what_to_do():
    broken = call(
        cache_break="a time or date in the system prompt changed at system[1]",
        cache_lost=41_200,
        cache_lost_usd=Decimal("0.0142"),
    )
    assert parts(broken)["cache broke"] == [
        "a time or date in the system prompt changed at system[1]",
        "41,200 tokens that the provider's cache had before were not read from it, which cost $0.0142 more",
        "Put what changes from call to call behind what does not: into the last message, not into the system text.",
    ]
    untold = parts(call(cache_break="not told by the request", cache_lost=900))["cache broke"]
    assert untold == [
        "not told by the request",
        "900 tokens that the provider's cache had before were not read from it",
    ]
    assert "cache broke" not in parts(call())


@pytest.mark.parametrize("cause", sorted(CAUSES))
def test_there_is_something_to_do_about_every_break_but_the_unknown(cause):
    found = parts(call(cache_break=cause, cache_lost=900))["cache broke"]
    assert (len(found) == 3) is (cause != UNTOLD)


def test_what_was_not_put_back_is_told_with_the_setting_that_says_so():
    found = parts(call(unrestored=2))["not put back"]
    assert found[0] == "2 placeholders of the answer stayed"
    assert "redaction.restore_egress" in found[1]
    assert parts(call(unrestored=1))["not put back"][0] == "1 placeholder of the answer stayed"
    assert "not put back" not in parts(call())


def test_a_call_that_a_cache_would_have_answered_is_told_as_that():
    found = parts(call(repeats="deterministic"))
    assert found["cache"] == [
        "It repeats an earlier call: with cache: {mode: deterministic} it would have cost nothing."
    ]
    assert len(parts(call(repeats="all", cache="bypass"))["cache"]) == 2
