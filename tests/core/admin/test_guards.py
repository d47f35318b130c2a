import json

import httpx
import pytest
from starlette.routing import Route

from tests.core.admin.conftest import HOST, TOKEN
from tests.core.ledger.calls import call
from tokenman_core.admin.answers import body
from tokenman_core.admin.openapi import PATHS

CLOSED = [
    (method.upper(), path.replace("{id}", "req_1"))
    for path, methods in PATHS.items()
    for method in methods
    if path.startswith("/api/") and path != "/api/login"
]
BODIES = {("POST", "/api/clients"): {"name": "web"}}
OPEN = ["/", "/static/index.html", "/health", "/health/ready", "/metrics"]


# -- the token --


@pytest.mark.parametrize(
    ("method", "path"), [*CLOSED, ("GET", "/api/nothing"), ("PATCH", "/api/config"), ("GET", "/api")]
)
async def test_every_path_of_the_api_is_closed_without_the_token_and_open_with_it(admin, method, path):
    admin.end(call(1))
    if path == "/api/events":
        admin.feed.close()  # or it would not end
    async with admin.client(token=None) as client:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.json()["error"]["type"] == "auth"
        for wrong in ("wrong", TOKEN + "x", TOKEN[:-1], TOKEN.upper(), f"{TOKEN} {TOKEN}"):
            answer = await client.request(method, path, headers={"authorization": f"Bearer {wrong}"})
            assert (answer.status_code, answer.json()["error"]["type"]) == (403, "auth")
            assert TOKEN not in answer.text
    async with admin.client() as client:
        answer = await client.request(method, path, json=BODIES.get((method, path)))
        assert answer.status_code in (200, 404, 405), answer.text


@pytest.mark.parametrize(
    "header", ["", "Basic dGhlOnRva2Vu", TOKEN, "Bearer", "Bearer ", f"Token {TOKEN}", f"Bearer{TOKEN}"]
)
async def test_what_is_no_bearer_token_is_none(admin, header):
    async with admin.client(token=None) as client:
        answer = await client.get("/api/version", headers={"authorization": header})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_two_tokens_are_none_and_the_scheme_may_be_in_any_case(admin):
    async with admin.client(token=None) as client:
        two = [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")]
        assert (await client.get("/api/version", headers=two)).status_code == 401
        assert (await client.get("/api/version", headers={"authorization": f"bearer  {TOKEN} "})).status_code == 200


@pytest.mark.parametrize("path", ["/api/version?token=" + TOKEN, "/api/version#" + TOKEN])
async def test_a_token_in_an_address_is_none(admin, path):
    async with admin.client(token=None) as client:
        assert (await client.get(path)).status_code == 401


@pytest.mark.parametrize("path", OPEN)
async def test_what_everybody_may_see_needs_no_token(admin, path):
    async with admin.client(token=None) as client:
        assert (await client.get(path)).status_code == 200


async def test_routes_that_are_added_under_the_api_need_the_token_too(admin):
    async def more(request):
        raise AssertionError

    admin.routes = [Route("/api/more", more)]
    async with admin.client(token=None) as client:
        assert (await client.get("/api/more")).status_code == 401
        assert (await client.get("/%61pi/more")).status_code == 401


@pytest.mark.parametrize(
    ("metrics", "listen", "status"),
    [
        ("auto", "127.0.0.1:7678", 200),
        ("auto", "[::1]:7678", 200),
        ("auto", "10.0.0.1:7678", 401),
        ("open", "10.0.0.1:7678", 200),
        ("token", "127.0.0.1:7678", 401),
    ],
)
async def test_metrics_are_as_open_as_the_setting_says(admin, metrics, listen, status):
    admin.settings = {"admin": {"metrics": metrics, "listen": listen}}
    async with admin.client(token=None) as client:
        assert (await client.get("/metrics")).status_code == status
    async with admin.client("wrong") as client:
        assert (await client.get("/metrics")).status_code == (403 if status == 401 else 200)
    assert (await admin.get("/metrics")).status_code == 200


# -- other sites --


STATE_CHANGING = ["POST", "DELETE", "PATCH", "PUT"]


@pytest.mark.parametrize("method", STATE_CHANGING)
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"http://{HOST}.evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": f"http://evil.example@{HOST}"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_another_sites_page_changes_nothing_even_with_the_token(admin, method, headers):
    before = len(admin.codes._until)
    async with admin.client(**headers) as client:
        answer = await client.request(method, "/api/codes")
        assert (answer.status_code, answer.json()["error"]["type"]) == (403, "forbidden")
        assert "access-control-allow-origin" not in answer.headers
        assert (await client.request(method, "/api/login", json={"code": "x"})).status_code == 403
    assert len(admin.codes._until) == before


@pytest.mark.parametrize(
    "headers", [{}, {"origin": f"http://{HOST}"}, {"origin": f"https://{HOST}"}, {"sec-fetch-site": "same-origin"}]
)
async def test_our_own_page_and_programs_may(admin, headers):
    async with admin.client(**headers) as client:
        assert (await client.post("/api/codes")).status_code == 200


async def test_an_unlisted_origin_may_ask_and_its_page_may_not_read(admin):
    admin.settings = {"admin": {"allowed_origins": ["https://app.example"]}}
    async with admin.client(origin="https://evil.example") as client:
        answer = await client.get("/api/version")
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control-")]


PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}


async def test_a_preflight_of_an_unlisted_origin_is_403_without_any_word_of_cors(admin):
    async with admin.client(token=None, origin="https://evil.example", **PREFLIGHT) as client:
        answer = await client.options("/api/codes")
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_a_listed_origin_may_read_and_change_and_is_named(admin):
    admin.settings = {"admin": {"allowed_origins": ["https://app.example"]}}
    async with admin.client(token=None, origin="https://app.example", **PREFLIGHT) as client:
        answer = await client.options("/api/codes")
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert answer.headers["access-control-allow-headers"] == "authorization,content-type"
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert answer.headers["vary"] == "Origin"
    async with admin.client(origin="https://app.example") as client:
        for answer in (await client.get("/api/version"), await client.post("/api/codes")):
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == "https://app.example"
            assert answer.headers["vary"] == "Origin"
    async with admin.client(token=None, origin="https://app.example") as client:
        answer = await client.get("/api/version")
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, "https://app.example")


async def test_a_code_is_for_our_own_page_alone(admin):
    admin.settings = {"admin": {"allowed_origins": ["https://app.example"]}}
    async with admin.client(token=None, origin="https://app.example") as client:
        assert (await client.post("/api/login", json={"code": admin.codes.new()})).status_code == 403
    async with admin.client(token=None, origin=f"http://{HOST}") as client:
        assert (await client.post("/api/login", json={"code": admin.codes.new()})).status_code == 200


async def test_every_origin_is_listed_only_if_the_setting_says_so(admin):
    admin.settings = {"admin": {"allowed_origins": ["*"]}}
    async with admin.client(origin="https://any.example") as client:
        assert (await client.get("/api/version")).headers["access-control-allow-origin"] == "https://any.example"


# -- bounds --


async def echo(request):
    from starlette.responses import JSONResponse

    return JSONResponse(len(json.dumps(await body(request, "{}"))))


def chunks(total):
    yield b'{"a": "'
    for _ in range(total // 1024):
        yield b"x" * 1024
    yield b'"}'


async def test_a_body_that_is_too_large_is_413_however_it_comes(admin, caplog):
    admin.routes = [Route("/api/echo", echo, methods=["POST"])]
    headers = {"content-type": "application/json"}
    async with admin.client(**headers) as client:
        assert (await client.post("/api/echo", content=b'{"a": "%s"}' % (b"x" * 65_000))).status_code == 200
        for content in (b'{"a": "%s"}' % (b"x" * 65_536), stream(chunks(10 * 1024 * 1024))):
            answer = await client.post("/api/echo", content=content)
            assert (answer.status_code, answer.json()["error"]["type"]) == (413, "body_cap")
        assert (await client.post("/api/echo", content=stream(chunks(2048)))).status_code == 200
    assert not caplog.records


async def stream(pieces):
    for piece in pieces:
        yield piece


async def test_a_query_that_is_too_long_is_414(admin):
    answer = await admin.get("/api/requests?q=" + "x" * 5000)
    assert (answer.status_code, answer.json()["error"]["type"]) == (414, "parse")


# -- what every answer has --


@pytest.mark.parametrize(
    "path", ["/", "/health", "/api/version", "/nothing", "/api/requests?limit=x", "/metrics", "/static/app.js"]
)
@pytest.mark.parametrize("token", [TOKEN, None])
async def test_every_answer_has_the_headers_of_safety(admin, path, token):
    async with admin.client(token) as client:
        answer = await client.get(path)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")
    assert "server" not in answer.headers


async def test_a_host_that_is_not_served_is_refused_before_anything_else(admin):
    transport = httpx.ASGITransport(admin.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://evil.example") as client:
        for path in ("/", "/api/version", "/metrics", "/health"):
            answer = await client.get(path, headers={"authorization": f"Bearer {TOKEN}"})
            assert (answer.status_code, answer.json()["error"]["type"]) == (403, "forbidden")
