"""The fake's two Google APIs: the Gemini API by key, and Code Assist, which serves the Gemini CLI's Google login."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from addons.demo.provider import FakeProvider

KEY = {"x-goog-api-key": "AIza-fake"}
LOGIN = {"authorization": "Bearer ya29.fake"}
TOOLS = '[[tool write_file {"path": "a", "text": "é\\n"}]][[tool run_shell_command {"command": "ls"}]]'
GENERATE, STREAM = "/v1beta/models/g-2:generateContent", "/v1beta/models/g-2:streamGenerateContent"


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeProvider]:
    provider = FakeProvider().start_in_thread()
    yield provider
    provider.stop()


def post(fake: FakeProvider, path: str, value: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.post(fake.url + path, json=value, headers=KEY if headers is None else headers)


def asked(*parts: Any) -> dict[str, Any]:
    texts = [{"text": part} if isinstance(part, str) else part for part in parts]
    return {"contents": [{"role": "user", "parts": texts}]}


def parts(document: Any) -> list[Any]:
    found: list[Any] = document["candidates"][0]["content"]["parts"]
    return found


def events(text: str) -> list[Any]:
    blocks = text.split("\r\n\r\n")
    assert blocks.pop() == ""
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def joined(documents: list[Any]) -> list[Any]:
    """The parts of a stream as they were before it was cut: neighbours of one kind together."""
    made: list[Any] = []
    for part in (part for document in documents for part in parts(document)):
        if made and "text" in part and "text" in made[-1] and part.get("thought") == made[-1].get("thought"):
            made[-1] = made[-1] | {"text": made[-1]["text"] + part["text"]}
        elif part != {"text": ""}:
            made.append(part)
    return [{key: value for key, value in part.items() if key != "functionCall"} | call_of(part) for part in made]


def call_of(part: Any) -> dict[str, Any]:
    return {"called": (part["functionCall"]["name"], part["functionCall"]["args"])} if "functionCall" in part else {}


@pytest.mark.parametrize("sse", [True, False])
def test_a_stream_of_geminis_adds_up_to_the_plain_answer(fake: FakeProvider, sse: bool) -> None:
    value = asked(f"[[say {'word ' * 30}]] [[thinking]] {TOOLS}")
    plain = post(fake, GENERATE, value).json()
    answer = post(fake, STREAM + ("?alt=sse" if sse else ""), value)
    assert answer.headers["content-type"].startswith("text/event-stream" if sse else "application/json")
    streamed = events(answer.text) if sse else answer.json()
    assert joined(streamed) == joined([plain])
    assert [("thought" in part, "text" in part) for part in parts(plain)] == [
        (True, True),
        (False, True),
        (False, False),
        (False, False),
    ]
    assert parts(plain)[2]["functionCall"]["args"] == {"path": "a", "text": "é\n"}
    assert len(streamed) > 30
    assert streamed[-1]["usageMetadata"] == plain["usageMetadata"]
    assert plain["usageMetadata"]["totalTokenCount"] == sum(
        plain["usageMetadata"][f"{kind}TokenCount"] for kind in ("prompt", "candidates", "thoughts")
    )
    finishes = [document["candidates"][0].get("finishReason") for document in streamed]
    assert finishes == [None] * (len(streamed) - 1) + ["STOP"]


def test_geminis_images_and_results_of_functions_are_read(fake: FakeProvider) -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}}
    assert parts(post(fake, GENERATE, asked("look", image)).json())[0]["text"] == "You said: look (and 1 image)"
    result = {"functionResponse": {"name": "f", "response": {"output": "42"}}}
    assert parts(post(fake, GENERATE, asked(result)).json())[0]["text"] == "The tool said: 42"


def test_an_answer_by_a_schema_is_one_of_it(fake: FakeProvider) -> None:
    schema = {
        "type": "OBJECT",
        "properties": {"why": {"type": "STRING"}, "score": {"type": "INTEGER"}, "model": {"enum": ["pro", "flash"]}},
    }
    wanted = {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": schema}}
    said = parts(post(fake, GENERATE, asked(TOOLS) | wanted).json())
    assert json.loads(said[0]["text"]) == {"why": "fake", "score": 1, "model": "pro"}


def test_google_counts_embeds_and_lists(fake: FakeProvider) -> None:
    assert post(fake, "/v1beta/models/g:countTokens", asked("hello")).json()["totalTokens"] > 0
    embedded = {"content": {"parts": [{"text": "x"}]}}
    assert len(post(fake, "/v1beta/models/e:embedContent", embedded).json()["embedding"]["values"]) == 3
    many = post(fake, "/v1beta/models/e:batchEmbedContents", {"requests": [embedded, embedded]}).json()
    assert len(many["embeddings"]) == 2
    listed = httpx.get(fake.url + "/v1beta/models", headers=KEY).json()["models"]
    assert "models/fake-echo" in [model["name"] for model in listed]
    assert httpx.get(fake.url + "/v1/models/fake-echo", headers=KEY).json()["name"] == "models/fake-echo"
    assert httpx.get(fake.url + "/v1beta/models/none", headers=KEY).status_code == 404


@pytest.mark.parametrize(
    ("path", "headers", "status", "kind"),
    [
        (GENERATE, {}, 403, "PERMISSION_DENIED"),
        (GENERATE, {"x-goog-api-key": "wrong"}, 400, "INVALID_ARGUMENT"),
        (GENERATE + "?key=AIza-x", {}, 200, None),
        ("/v1beta/models/g+status:429:generateContent", KEY, 429, "RESOURCE_EXHAUSTED"),
        ("/v1beta/models/g+status:503:streamGenerateContent?alt=sse", KEY, 503, "UNAVAILABLE"),
        ("/v1beta/models/g:predict", KEY, 404, "NOT_FOUND"),
        ("/v1internal:generateContent", {}, 401, "UNAUTHENTICATED"),
        ("/v1internal:generateContent", {"authorization": "Bearer wrong"}, 401, "UNAUTHENTICATED"),
        ("/v1internal:predict", LOGIN, 404, "NOT_FOUND"),
    ],
)
def test_googles_errors_have_googles_form(
    fake: FakeProvider, path: str, headers: dict[str, str], status: int, kind: str | None
) -> None:
    answer = post(fake, path, asked("x"), headers)
    assert answer.status_code == status
    assert answer.json().get("error", {}).get("status") == kind


def test_a_request_without_contents_is_refused(fake: FakeProvider) -> None:
    assert post(fake, GENERATE, {}).json()["error"]["status"] == "INVALID_ARGUMENT"


def test_a_stream_of_googles_may_end_with_an_error(fake: FakeProvider) -> None:
    last = events(post(fake, STREAM + "?alt=sse", asked("x [[error-event]]")).text)[-1]
    assert last["error"]["status"] == "UNAVAILABLE"


def test_code_assist_wraps_the_same_answers(fake: FakeProvider) -> None:
    value = {"model": "g-2", "project": "p", "user_prompt_id": "u", "request": asked(f"[[say {'word ' * 30}]] {TOOLS}")}
    plain = post(fake, "/v1internal:generateContent", value, LOGIN).json()["response"]
    answer = post(fake, "/v1internal:streamGenerateContent?alt=sse", value, LOGIN)
    streamed = [event["response"] for event in events(answer.text)]
    assert joined(streamed) == joined([plain])
    assert plain["modelVersion"] == "g-2"
    counted = post(fake, "/v1internal:countTokens", {"request": asked("hello")}, LOGIN).json()
    assert counted["totalTokens"] > 0


def test_code_assist_knows_the_account(fake: FakeProvider) -> None:
    loaded = post(fake, "/v1internal:loadCodeAssist", {"metadata": {}}, LOGIN).json()
    assert (loaded["currentTier"]["id"], loaded["cloudaicompanionProject"]) == ("standard-tier", "fake-project")
    assert post(fake, "/v1internal:onboardUser", {"tierId": "standard-tier"}, LOGIN).json()["done"]
    assert post(fake, "/v1internal:recordCodeAssistMetrics", {}, LOGIN).json() == {}


def test_google_says_to_whom_a_login_belongs(fake: FakeProvider) -> None:
    assert "cloud-platform" in post(fake, "/tokeninfo", {}, {}).json()["scope"]
    url = fake.url + "/oauth2/v2/userinfo"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers=LOGIN).json()["email"] == "fake.user@example.com"
