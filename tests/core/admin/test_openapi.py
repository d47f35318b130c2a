import json

import pytest
from starlette.routing import Route

from tests.core.ledger.calls import call, name
from tokenman_core.admin import openapi
from tokenman_core.exchange import Redacted


def routes(admin):
    """The application's own routes, from behind its guards."""
    found = admin.app()
    while hasattr(found, "_app"):
        found = found._app
    return [route for route in found.routes if isinstance(route, Route)]


def test_every_route_and_method_is_described_and_nothing_else(admin):
    real = {(route.path, method.lower()) for route in routes(admin) for method in route.methods - {"HEAD"}}
    assert real == {(path, method) for path, methods in openapi.PATHS.items() for method in methods}


def test_every_parameter_of_a_path_is_described():
    for path, methods in openapi.PATHS.items():
        for operation in methods.values():
            named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def resolve(schema):
    while "$ref" in schema:
        schema = openapi.document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


TYPES = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}


def check(schema, value, where):
    schema = resolve(schema)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    assert (
        not kinds
        or isinstance(value, tuple(TYPES[kind] if isinstance(TYPES[kind], type) else float for kind in kinds))
        or ("number" in kinds and isinstance(value, int))
    ), f"{where}: {value!r} is not {kinds}"
    if "enum" in schema:
        assert value in schema["enum"], where
    if isinstance(value, dict) and "properties" in schema:
        for key in schema["required"]:
            assert key in value, f"{where}.{key} is missing"
        for key, inner in value.items():
            known = schema["properties"].get(key, schema.get("additionalProperties"))
            assert known is not None, f"{where}.{key} is not described"
            check(known, inner, f"{where}.{key}")
    elif isinstance(value, dict) and "additionalProperties" in schema:
        for key, inner in value.items():
            check(schema["additionalProperties"], inner, f"{where}.{key}")
    if isinstance(value, list) and "items" in schema:
        for inner in value:
            check(schema["items"], inner, f"{where}[]")


@pytest.mark.parametrize(
    "path",
    [path for path, methods in openapi.PATHS.items() if "get" in methods and path.startswith(("/api", "/health"))],
)
async def test_answers_are_as_they_are_described(admin, path):
    if path == "/api/events":
        admin.feed.close()
    redactions = (Redacted("EMAIL_ADDRESS", "redact", "redaction.mode", 2),)
    admin.end(call(1, redactions=redactions), call(2, bill=None, status=502, error="upstream", ttft=None))
    answer = await admin.get(path.replace("{id}", name(1)))
    assert answer.status_code == 200
    described = openapi.PATHS[path]["get"]["responses"]["200"]["content"]
    ((kind, content),) = described.items()
    assert answer.headers["content-type"].startswith(kind)
    if kind == "application/json":
        check(content["schema"], answer.json(), path)


async def test_the_document_is_served_as_json_that_holds_together(admin):
    document = (await admin.get("/api/openapi.json")).json()
    assert document == json.loads(json.dumps(openapi.document()))
    assert document["openapi"].startswith("3.1")
    refs = [part.split('"')[0] for part in json.dumps(document).split('"#/components/schemas/')[1:]]
    assert set(refs) == set(document["components"]["schemas"])


def test_what_is_open_is_described_as_open():
    free = {path for path, methods in openapi.PATHS.items() for one in methods.values() if one.get("security") == []}
    assert free == {"/", "/static/{name}", "/health", "/health/ready", "/api/login"}
