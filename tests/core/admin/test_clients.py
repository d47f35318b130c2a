"""Virtual keys over the API: made once, never shown again, refused once they are revoked."""

import pytest

from tests.core.admin.test_openapi import check
from tokenman_core.admin import openapi

WEB = {
    "name": "web", "project": "site", "models": ["claude-*"], "providers": ["anthropic"], "budget": "5/day", "rate": "60/min",
    "expires": "30d",
}  # fmt: skip


def described(path, method):
    return openapi.PATHS[path][method]["responses"]["200"]["content"]["application/json"]["schema"]


async def make(admin, **terms):
    async with admin.client() as client:
        return await client.post("/api/clients", json=terms)


async def test_a_client_is_made_and_its_key_told_once(admin):
    made = await make(admin, **WEB)
    assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
    check(described("/api/clients", "post"), made.json(), "made")
    key = made.json()["key"]
    found = admin.clients.now().of(admin.clients.digest(key))
    assert (found.name, found.project, found.models, found.budget, found.rate) == (
        "web",
        "site",
        ("claude-*",),
        "5/day",
        "60/min",
    )
    listed = await admin.get("/api/clients")
    check(described("/api/clients", "get"), listed.json(), "listed")
    (item,) = listed.json()["items"]
    assert item == {name: value for name, value in made.json().items() if name != "key"}
    assert (item["created"], item["expires"]) == ("2026-11-24T12:01:00.000Z", "2026-12-24T12:01:00.000Z")
    assert key not in listed.text
    assert found.digest not in listed.text


async def test_a_client_is_revoked_by_name(admin):
    key = (await make(admin, name="web")).json()["key"]
    async with admin.client() as client:
        gone = await client.delete("/api/clients/web")
        check(described("/api/clients/{name}", "delete"), gone.json(), "gone")
        assert (await client.delete("/api/clients/web")).status_code == 404
    assert admin.clients.now().of(admin.clients.digest(key)) is None
    assert (await admin.get("/api/clients")).json() == {"items": []}


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "a", "budgets": "x"}, "budgets"),
        ({"name": "a", "models": "claude-*"}, "models"),
        ({"name": "a", "models": [7]}, "models"),
        ({"name": "a", "rate": 7}, "rate"),
        ({"name": "a", "rate": "fast"}, "rate"),
        ({"name": "a", "budget": "none"}, "budget"),
        ({"name": "a", "providers": ["x"]}, "providers"),
        ({"name": "a", "expires": "soon"}, "expires"),
        ({"name": "a", "expires": []}, "expires"),
        ({"name": "a", "digest": "0" * 64}, "digest"),
    ],
)
async def test_terms_that_will_not_do_are_told_and_nothing_is_made(admin, terms, field):
    answer = await make(admin, **terms)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)
    assert not admin.clients.path.exists()


async def test_null_is_as_good_as_nothing_and_a_name_is_taken_once(admin):
    nothing = dict.fromkeys(("project", "models", "providers", "budget", "rate", "expires"))
    assert (await make(admin, name="a", **nothing)).status_code == 200
    answer = await make(admin, name="a")
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "name")


async def test_a_file_that_cannot_be_used_is_told(admin):
    admin.clients.path.mkdir(parents=True)
    for method, path, body in (
        ("GET", "/api/clients", None),
        ("POST", "/api/clients", {"name": "a"}),
        ("DELETE", "/api/clients/a", None),
    ):
        async with admin.client() as client:
            answer = await client.request(method, path, json=body)
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "persistence")
