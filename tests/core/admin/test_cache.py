"""The answer cache over the API: what is told of it, and that what is removed is what was meant."""

import dataclasses
from decimal import Decimal

import pytest

from tests.core.admin.test_openapi import check
from tests.core.ledger.calls import DAY, NOON, bill, call
from tokenman_core.admin import openapi
from tokenman_core.admin.cache import MOST_GROUPS
from tokenman_core.admin.parts import NoCache
from tokenman_core.caching.answers import NotForgotten


class Kept(NoCache):
    """Answers by model and project, without any file."""

    def __init__(self, *labels):
        self.labels = list(labels)
        self.asked = []
        self.under_way = 0
        self.told = {}
        self.fails = False

    def figures(self):
        return dataclasses.replace(super().figures(), entries=len(self.labels), **self.told)

    async def forget(self, model=None, project=None):
        self.asked.append((model, project))
        if self.fails:
            raise NotForgotten("cache.db still holds what was to be forgotten; see its folder, disk and rights")
        left = [it for it in self.labels if (model, project) != (model and it[0], project and it[1])]
        removed, self.labels = len(self.labels) - len(left), left
        return removed


SONNET, GPT = "claude-sonnet-4-5", "gpt-5-mini"
LABELS = [(SONNET, "web"), (SONNET, "shop"), (SONNET, ""), (GPT, "web")]


@pytest.fixture
def kept(admin):
    admin.cache = Kept(*LABELS)
    return admin.cache


def described(method):
    return openapi.PATHS["/api/cache"][method]["responses"]["200"]["content"]["application/json"]["schema"]


async def delete(admin, path="/api/cache", **headers):
    async with admin.client(**headers) as client:
        return await client.delete(path)


# -- how it stands --


async def test_it_tells_what_is_set_and_what_is_held(admin, kept):
    admin.settings = {
        "cache": {"mode": "all", "ttl": "10m", "entries": 7, "size": "1MiB", "scope": "shared", "pace": "original"},
        "routes": [{"match": {"model": "gpt-*"}, "cache": "off"}, {"match": {"model": "o*"}, "try": ["openai"]}],
    }
    kept.under_way = 3
    kept.told = {
        "bytes": 900, "memory_entries": 2, "memory_bytes": 500, "waiting": 1, "evicted": 5, "damaged": 6, "unwritten": 8,
        "encrypted": True,
    }  # fmt: skip
    kept.purge_age_seconds = 12.34
    told = (await admin.get("/api/cache")).json()
    check(described("get"), told, "cache")
    assert told == told | {
        "mode": "all", "ttl_s": 600, "scope": "shared", "limit_entries": 7, "limit_bytes": 1 << 20, "tools": "off",
        "tool_calls": "off", "pace": "original", "entries": 4, "bytes": 900, "memory_entries": 2, "memory_bytes": 500,
        "waiting": 1, "encrypted": True, "evicted": 5, "damaged": 6, "unwritten": 8, "under_way": 3, "purge_age_s": 12.3,
        "trouble": None,
    }  # fmt: skip
    assert told["routes"] == [{"match": {"model": "gpt-*", "project": "*", "provider": "*"}, "mode": "off"}]


async def test_it_counts_the_calls_since_the_start_and_what_they_saved(admin, kept):
    nothing = (await admin.get("/api/cache")).json()
    assert (nothing["hits"], nothing["hit_ratio"], nothing["saved_usd"]) == (0, None, "0")
    counts = {"hit": 5, "coalesced": 1, "miss": 2, "bypass": 4, "": 3}
    results = [result for result, count in counts.items() for _ in range(count)]
    admin.end(
        *(
            call(number, cache=result, saved=Decimal("0.01") if result in ("hit", "coalesced") else Decimal(0))
            for number, result in enumerate(results)
        ),
        call(99, saved=Decimal(7)),  # by something else
    )
    told = (await admin.get("/api/cache")).json()
    assert [told[name] for name in ("hits", "misses", "bypassed", "coalesced")] == [5, 2, 4, 1]
    assert (told["hit_ratio"], told["saved_usd"]) == (0.75, "0.06")


async def test_trouble_is_told_with_its_remedy(admin, kept):
    kept.told = {"trouble": "cache.db cannot be used (the disk is full: make room, or lower cache.size)"}
    told = (await admin.get("/api/cache")).json()
    assert told["trouble"] == kept.told["trouble"]
    assert told["purge_age_s"] is None


async def test_without_a_cache_there_is_nothing_and_nothing_to_remove(admin):
    told = (await admin.get("/api/cache")).json()
    assert (told["mode"], told["entries"], told["encrypted"]) == ("off", 0, False)
    assert (await delete(admin)).json() == {"removed": 0}


# -- removing --


@pytest.mark.parametrize(
    ("query", "asked", "removed"),
    [
        ("", (None, None), 4),
        (f"?model={SONNET}", (SONNET, None), 3),
        ("?project=web", (None, "web"), 2),
        (f"?project=web&model={SONNET}", (SONNET, "web"), 1),
        ("?model=of-nobody", ("of-nobody", None), 0),
        ("?project=caf%C3%A9%20%26%20bar", (None, "café & bar"), 0),
    ],
)
async def test_what_is_named_is_removed_and_the_second_time_nothing(admin, kept, query, asked, removed):
    answer = await delete(admin, f"/api/cache{query}")
    assert (answer.status_code, answer.json()) == (200, {"removed": removed})
    check(described("delete"), answer.json(), "removed")
    assert kept.asked == [asked]
    assert len(kept.labels) == len(LABELS) - removed
    assert (await delete(admin, f"/api/cache{query}")).json() == {"removed": 0}


@pytest.mark.parametrize(
    ("query", "field", "remedy"),
    [
        ("models=x", "models", "did you mean model?"),
        ("nonsense=1", "nonsense", "there are model, project"),
        ("model=", "model", "leave model out"),
        ("project=", "project", "leave project out"),
        ("model=&project=web", "model", "leave model out"),
        ("model=a&model=b", "model", "give it once"),
        ("model=claude-*", "model", "no pattern"),
        ("project=*", "project", "no pattern"),
    ],
)
async def test_what_could_mean_something_else_removes_nothing(admin, kept, query, field, remedy):
    answer = await delete(admin, f"/api/cache?{query}")
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)
    assert remedy in answer.json()["error"]["message"]
    assert kept.asked == []


async def test_what_could_not_be_removed_is_told_and_how_to_go_on(admin, kept):
    kept.fails = True
    answer = await delete(admin)
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "persistence")
    assert "see its folder, disk and rights" in answer.json()["error"]["message"]
    assert answer.headers["retry-after"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"host": "evil.example"}, 403),
        ({"token": None}, 401),
        ({"token": "wrong"}, 403),
        ({"origin": "http://127.0.0.1:7678"}, 200),
    ],
)
async def test_only_the_owner_removes_anything(admin, kept, headers, status):
    assert (await delete(admin, **headers)).status_code == status
    assert bool(kept.asked) == (status == 200)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_other_methods_are_none(admin, kept, method):
    async with admin.client() as client:
        answer = await client.request(method, "/api/cache")
    assert answer.status_code == 405
    assert {"GET", "DELETE"} & set(answer.headers["allow"].split(", "))


async def test_it_takes_no_name_to_be_read(admin):
    answer = await admin.get("/api/cache?model=x")
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "model")


# -- what the ledger tells --


async def test_the_providers_own_caches_are_told_by_model_and_session_and_why_they_broke(admin):
    half, whole, none = (bill("0.01", input=1000, cache_read=read) for read in (500, 1000, 0))
    admin.end(
        call(1, bill=half, session="s-1"),
        call(2, bill=whole, session="s-2"),
        call(3, bill=none, model="gpt-5-mini", provider="openai", session="s-2"),
        call(
            4, bill=none, session="s-2", cache_break="tools reordered", cache_lost=700, cache_lost_usd=Decimal("0.002")
        ),
        call(5, bill=None, model="of no tokens", session="s-3"),
        call(6, NOON - 2 * DAY, bill=whole, session="s-4"),
    )
    told = (await admin.get("/api/cache")).json()
    check(described("get"), told, "cache")
    own = told["prompt_caches"]
    assert (own["calls"], own["input_tokens"], own["cache_read_tokens"], own["read_ratio"]) == (5, 4000, 1500, 0.375)
    assert [(it["model"], it["read_ratio"]) for it in own["by_model"]] == [
        ("claude-sonnet-4-5", 0.5),
        ("gpt-5-mini", 0),
    ]
    assert [(it["session"], it["read_ratio"]) for it in own["by_session"]] == [("s-2", 0.3333), ("s-1", 0.5)]
    assert own["breaks"] == [{"cause": "tools reordered", "count": 1, "lost_tokens": 700, "lost_usd": "0.002"}]
    assert (told["since"], told["until"]) == ("2026-11-23T12:01:00.000Z", None)
    week = (await admin.get("/api/cache?since=7d&until=1d")).json()["prompt_caches"]
    assert [it["session"] for it in week["by_session"]] == ["s-4"]


async def test_of_many_sessions_those_with_the_most_input_are_told(admin):
    admin.end(*(call(number, bill=bill("0.01", input=number), session=f"s-{number}") for number in range(1, 40)))
    own = (await admin.get("/api/cache")).json()["prompt_caches"]
    assert [it["input_tokens"] for it in own["by_session"]] == list(range(39, 39 - MOST_GROUPS, -1))


async def test_what_a_cache_would_have_saved_is_told_by_its_mode(admin):
    admin.end(
        call(1), call(2, repeats="all", bill=bill("0.3")), call(3, repeats="deterministic", bill=bill("0.2")),
    )  # fmt: skip
    assert (await admin.get("/api/cache")).json()["would_have_saved"] == {
        "calls": 2, "usd": "0.5", "deterministic_calls": 1, "deterministic_usd": "0.2",
    }  # fmt: skip


async def test_a_ledger_that_cannot_be_read_and_a_window_that_is_none_are_told(admin):
    assert (await admin.get("/api/cache?since=soon")).json()["error"]["field"] == "since"
    admin.path.write_bytes(b"no database at all, but a text" * 300)
    answer = await admin.get("/api/cache")
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "persistence")
    assert (await delete(admin)).json() == {"removed": 0}
