"""Virtual keys through the real proxy: wherever a program puts its key, by every way in, and never a step further."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, ROOT, WAYS, Proxy, Way, claude, gpt, user

HOUSE = {
    "anthropic": "sk-ant-api03-the-key-of-the-house",
    "openai": "sk-the-key-of-the-house",
    "gemini": "AIza-of-the-house",
}
MODEL = "claude-haiku-4-5"
BODY: dict[str, Any] = {"model": MODEL, "max_tokens": 50, "messages": user("hi")}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
GENERATE = "/v1beta/models/gemini-2.5-flash:generateContent"
SOON_S = 60.0  # a change holds within 2 s; tests share their machine


def tokenman(proxy: Proxy, command: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """`words` stand behind the configuration's."""
    group = command.split()
    return subprocess.run(
        [sys.executable, "-m", "addons.cli.main", *group, "--config", str(proxy.home.parent / "tokenman.yaml"), *words],
        capture_output=True, text=True, timeout=60, check=False,
        env={"HOME": str(proxy.home), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip


def add(proxy: Proxy, name: str, *terms: str) -> str:
    done = tokenman(proxy, f"clients add {name}", *terms)
    assert done.returncode == 0, done.stderr
    (key,) = done.stdout.split()
    until(lambda: ask(proxy, key, path="/v1/models", method="GET").headers.get("x-tokenman-error") != "auth")
    return key


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ask(
    proxy: Proxy, key: str = "", method: str = "POST", path: str = "/v1/messages", **headers: str
) -> httpx.Response:
    """A call to Anthropic's API by its base URL; `headers` with _ for -."""
    fields = {"anthropic-version": "2023-06-01"} | ({"x-api-key": key} if key else {})
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    body = BODY if method == "POST" else None
    return httpx.request(method, proxy.url + path, json=body, headers=fields, timeout=20, trust_env=False)


def keyed(url: str) -> dict[str, Any]:
    return {name: {"base_url": url, "key": key} for name, key in HOUSE.items()}


def seen(fake: FakeProvider) -> str:
    return "\n".join(
        f"{one.target} {json.dumps(one.headers)} {one.decoded.decode(errors='replace')}" for one in fake.received
    )


class House:
    """A proxy whose providers have keys, so that calls need one of its own."""

    def __init__(self, proxy: Proxy, fake: FakeProvider) -> None:
        self.proxy, self.fake = proxy, fake
        self.web = add(proxy, "web")

    def sent(self, name: str) -> None:
        """The provider was asked once, with the key of the house, and saw no other."""
        (one,) = self.fake.received
        keys = {
            value for field, value in one.headers if field.lower() in ("x-api-key", "authorization", "x-goog-api-key")
        }
        assert keys == {HOUSE[name], f"Bearer {HOUSE[name]}"} & keys
        assert len(keys) == 1
        for own in ("tkm_", ANTHROPIC_KEY, OPENAI_KEY, "sk-ant-oat01", "AIza-mine"):
            assert own not in seen(self.fake)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    fake = FakeProvider().start_in_thread()
    folder = tmp_path_factory.mktemp("clients")
    team = {"base_url": fake.url + "/v1", "key": HOUSE["openai"], "dialect": "openai"}
    proxy = Proxy.start(folder, fake.url, providers=keyed(fake.url) | {"gw": team})
    house = House(proxy, fake)
    yield house
    proxy.stop()
    fake.stop()
    assert not proxy.found_on_disk([house.web])


@pytest.fixture
def house(made: House) -> House:
    made.fake.clear()
    return made


# -- wherever programs put keys --


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "options",
    [
        lambda key: {"api_key": key},
        lambda key: {"api_key": None, "auth_token": key},
        lambda key: {"default_headers": {"x-tokenman-key": key}},
        lambda key: {"api_key": None, "auth_token": "sk-ant-oat01-mine", "default_headers": {"x-tokenman-key": key}},
    ],
    ids=["api key", "bearer", "beside an own key", "beside an own login"],
)
def test_anthropics_package_has_it_where_it_has_its_key(house: House, way: Way, options: Callable[[str], Any]) -> None:
    client = claude(house.proxy, way, **options(house.web))
    assert client.messages.create(**BODY).content[0].text == "You said: hi"
    house.sent("anthropic")
    house.fake.clear()
    with client.messages.stream(**BODY) as stream:
        assert stream.get_final_text() == "You said: hi"
    house.sent("anthropic")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "options", [lambda key: {"api_key": key}, lambda key: {"default_headers": {"x-tokenman-key": key}}]
)
def test_openais_package_has_it_where_it_has_its_key(house: House, way: Way, options: Callable[[str], Any]) -> None:
    client = gpt(house.proxy, way, **options(house.web))
    assert (
        client.chat.completions.create(model="gpt-4.1", messages=user("hi")).choices[0].message.content
        == "You said: hi"
    )
    house.sent("openai")
    house.fake.clear()
    assert client.models.list() is not None
    house.sent("openai")


@pytest.mark.parametrize(
    ("query", "headers"),
    [("", {"x-goog-api-key": "KEY"}), ("?key=KEY&alt=json", {}), ("?key=AIza-mine", {"x-tokenman-key": "KEY"})],
)
def test_geminis_calls_have_it_in_a_header_or_in_the_query(house: House, query: str, headers: dict[str, str]) -> None:
    fields = {name: value.replace("KEY", house.web) for name, value in headers.items()}
    url = house.proxy.url + GENERATE + query.replace("KEY", house.web)
    assert httpx.post(url, json=GEMINI, headers=fields, timeout=20, trust_env=False).status_code == 200
    house.sent("gemini")


@pytest.mark.parametrize(
    "login",
    [lambda key: f"user:{key}@", lambda key: f"{key}:x@", lambda key: f"{key}@"],
    ids=["password", "user", "user alone"],
)
def test_a_proxys_url_has_it_for_all_that_its_tunnels_carry(house: House, login: Callable[[str], str]) -> None:
    url = f"http://{login(house.web)}127.0.0.1:{house.proxy.port}"
    with httpx.Client(proxy=url, verify=house.proxy.trust(), trust_env=False, timeout=20) as client:
        for _ in range(2):
            house.fake.clear()
            answer = client.post(
                "https://api.anthropic.com/v1/messages", json=BODY, headers={"x-api-key": ANTHROPIC_KEY}
            )
            assert answer.status_code == 200
            house.sent("anthropic")


def test_a_proxy_may_be_called_with_a_bearer_credential(house: House) -> None:
    proxy = httpx.Proxy(house.proxy.url, headers={"Proxy-Authorization": f"Bearer {house.web}"})
    with httpx.Client(proxy=proxy, verify=house.proxy.trust(), trust_env=False, timeout=20) as client:
        answer = client.post(
            "https://api.openai.com/v1/chat/completions", json={"model": "gpt-4.1", "messages": user("hi")}
        )
    assert answer.status_code == 200
    house.sent("openai")


def test_a_plain_proxy_has_it_with_each_request(house: House) -> None:
    url = f"http://x:{house.web}@127.0.0.1:{house.proxy.port}"
    headers = {"anthropic-version": "2023-06-01", "x-api-key": ANTHROPIC_KEY}
    with httpx.Client(proxy=url, trust_env=False, timeout=20) as client:
        assert client.post(house.fake.url + "/v1/messages", json=BODY, headers=headers).status_code == 200
    house.sent("anthropic")
    house.fake.clear()
    with httpx.Client(proxy=house.proxy.url, trust_env=False, timeout=20) as client:
        assert client.post(house.fake.url + "/v1/messages", json=BODY, headers=headers).status_code == 401
    assert not house.fake.received


def test_of_two_keys_the_calls_own_wins_over_its_proxys(house: House) -> None:
    other = add(house.proxy, "inner", "--models", "gpt-*")
    url = f"http://x:{house.web}@127.0.0.1:{house.proxy.port}"
    with httpx.Client(proxy=url, verify=house.proxy.trust(), trust_env=False, timeout=20) as client:
        answer = client.post("https://api.anthropic.com/v1/messages", json=BODY, headers={"x-api-key": other})
        assert (answer.status_code, answer.headers["x-tokenman-error"]) == (400, "forbidden")
        answer = client.post(
            "https://api.anthropic.com/v1/messages", json=BODY, headers={"x-api-key": other[:-1] + "!"}
        )
        assert answer.status_code == 401


# -- who gets in --


@pytest.mark.parametrize("way", WAYS)
def test_without_a_good_key_each_package_is_told_in_its_own_words(house: House, way: Way) -> None:
    for key in (ANTHROPIC_KEY, "tkm_" + "x" * 43):
        with pytest.raises(anthropic.AuthenticationError) as refused:
            claude(house.proxy, way, api_key=key, max_retries=3).messages.create(**BODY)
        assert refused.value.response.json()["error"]["type"] == "authentication_error"
        assert refused.value.response.headers["x-tokenman-error"] == "auth"
        assert key not in refused.value.response.text
    with pytest.raises(openai.AuthenticationError) as told:
        gpt(house.proxy, way, max_retries=3).chat.completions.create(model="gpt-4.1", messages=user("hi"))
    assert "virtual key is needed" in told.value.message
    with pytest.raises(openai.AuthenticationError):
        gpt(house.proxy, way).models.list()
    assert not house.fake.received


def test_gemini_is_told_in_its_own_words_and_a_login_is_not_told_to_log_in_again(house: House) -> None:
    answer = httpx.post(house.proxy.url + GENERATE, json=GEMINI, headers={"x-goog-api-key": "AIza-mine"}, timeout=20)
    assert answer.status_code == 401
    assert answer.json()["error"]["status"] == "UNAUTHENTICATED"
    login = claude(house.proxy, api_key=None, auth_token="sk-ant-oat01-mine")
    with pytest.raises(anthropic.BadRequestError, match="A virtual key is needed"):
        login.messages.create(**BODY)
    assert not house.fake.received


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"), ("POST", "/v1/messages/count_tokens"), ("POST", "/v1/messages/batches"), ("GET", "/v1/files"),
        ("POST", "/p/openai/v1/chat/completions"), ("GET", "/v1beta/models"), ("POST", "/v1/invented"), ("DELETE", "/v1/files/f"),
        ("GET", "/r/ffffffffffff/v1/models"), ("GET", "/r/ffffffffffff.tkm_" + "x" * 43 + "/v1/models"),
    ],
)  # fmt: skip
def test_no_path_to_a_provider_is_open_without_one(house: House, method: str, path: str) -> None:
    answer = ask(house.proxy, method=method, path=path)
    assert (answer.status_code, answer.headers["x-tokenman-error"]) == (401, "auth")
    assert not house.fake.received


def test_a_revoked_key_opens_nothing_more_not_even_on_a_connection_that_it_opened(house: House) -> None:
    key = add(house.proxy, "leaver")
    url = f"http://x:{key}@127.0.0.1:{house.proxy.port}"
    with httpx.Client(proxy=url, verify=house.proxy.trust(), trust_env=False, timeout=20) as client:

        def status() -> int:
            return client.post(
                "https://api.anthropic.com/v1/messages", json=BODY, headers={"x-api-key": ANTHROPIC_KEY}
            ).status_code

        assert status() == 200
        assert tokenman(house.proxy, "clients revoke", "leaver").returncode == 0
        until(lambda: status() == 401)
    assert ask(house.proxy, key).status_code == 401
    assert ask(house.proxy, house.web).status_code == 200


def test_a_key_expires(house: House) -> None:
    key = add(house.proxy, "guest", "--expires", "3s")
    until(lambda: ask(house.proxy, key).status_code == 401)
    assert "has expired" in ask(house.proxy, key).json()["error"]["message"]


def test_who_tries_many_keys_is_told_to_wait_and_the_good_one_goes_on(house: House) -> None:
    answers = [ask(house.proxy, f"tkm_{at:043}") for at in range(30)]
    assert answers[-1].status_code == 429
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert ask(house.proxy, house.web).status_code == 200


# -- what it may do --


def test_its_project_and_name_are_the_calls(house: House) -> None:
    key = add(house.proxy, "shop", "--project", "site")
    assert ask(house.proxy, key).status_code == 200
    answer = ask(house.proxy, key, x_tokenman_project="other")
    assert (answer.status_code, answer.headers["x-tokenman-error"]) == (400, "forbidden")
    token = (house.proxy.data / "admin-token").read_text().strip()

    def rows() -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{house.proxy.admin_port}/api/requests?client=shop"
        items = httpx.get(url, headers={"authorization": f"Bearer {token}"}).json()["items"]
        return [row for row in items if row["status"] == 200 and row["model"] == MODEL]

    until(lambda: bool(rows()))
    assert {row["project"] for row in rows()} == {"site"}


BESIDE = (
    "/../team-b", "/%2e%2e/team-b", "/.%2E/team-b", "/..%2fteam-b", "/%2f../team-b", "/%2e%2e%2fteam-b", "/..%5cteam-b",
    r"/..\team-b", "/..;/team-b", "/..;x=y/team-b", "/%252e%252e/team-b", "/x/../../team-b", "/./../team-b",
    "/x%2f..%2f..%2fteam-b", "/..%00/team-b", "/..%20/team-b", "/%c0%ae%c0%ae/team-b", "/%u002e%u002e/team-b",
    "//../team-b", "/..", "/x/..#/team-b",
)  # fmt: skip


def test_the_stored_key_stays_under_the_path_of_its_base_url(house: House) -> None:
    """The path as it is written, by base URL and through the proxy, for a call that costs and for one that does not."""
    found = {}
    for spelling in BESIDE:
        for method, body in (("GET", None), ("POST", json.dumps({"model": "m", "messages": user("hi")}))):
            for target in (f"/p/gw{spelling}/v1/models", f"{house.fake.url}/v1{spelling}/v1/models"):
                connection = http.client.HTTPConnection("127.0.0.1", house.proxy.port, timeout=20)
                connection.putrequest(method, target, skip_host=True)
                for name, value in {"host": f"127.0.0.1:{house.proxy.port}", "x-tokenman-key": house.web}.items():
                    connection.putheader(name, value)
                connection.putheader("content-length", str(len(body or "")))
                connection.endheaders((body or "").encode())
                response = connection.getresponse()
                found[method, target] = response.status, response.getheader("x-tokenman-error")
                connection.close()
    assert {call: it for call, it in found.items() if it != (400, "parse")} == {}
    assert not house.fake.received
    client = gpt(house.proxy, default_headers={"x-tokenman-key": house.web})
    for to in ("/team-b/v1/x", "/v1/%2e%2e/team-b/x", "/v1/x%2f..%2f..%2fteam-b", "../../team-b"):
        house.fake.clear()
        asked = client.with_options(base_url=f"{house.proxy.url}/p/gw")
        with pytest.raises(openai.InternalServerError, match="a redirect that leaves it"):
            asked.chat.completions.create(model="m", messages=user(f"[[redirect {to}]]"))
        assert [one.target for one in house.fake.received] == ["/v1/chat/completions"], to


def test_models_and_providers_are_held_to(house: House) -> None:
    key = add(house.proxy, "small", "--models", "claude-*", "gpt-4.1-mini", "--providers", "anthropic", "openai")
    assert ask(house.proxy, key).status_code == 200
    client = gpt(house.proxy, api_key=key, max_retries=3)
    assert client.chat.completions.create(model="gpt-4.1-mini", messages=user("hi"))
    house.fake.clear()
    with pytest.raises(openai.BadRequestError, match="may not use model gpt-5"):
        client.chat.completions.create(model="gpt-5", messages=user("hi"))
    answer = httpx.post(house.proxy.url + GENERATE, json=GEMINI, headers={"x-goog-api-key": key}, timeout=20)
    assert answer.status_code == 400
    assert "may not use provider gemini" in answer.json()["error"]["message"]
    assert not house.fake.received


def test_a_key_for_one_model_gets_no_other_one_by_any_spelling(house: House) -> None:
    key = add(house.proxy, "flash", "--models", "gemini-2.5-flash*", "gpt-4.1-mini")
    house.fake.clear()
    flash, pro = "gemini-2.5-flash", "gemini-3-pro"
    paths = (
        f"/v1beta/%6dodels/{pro}:generateContent", f"/v1beta/models%2f{pro}:generateContent",
        f"/v1beta/models/{flash}/../{pro}:generateContent", f"/v1beta/models/{flash}/%2e%2e/{pro}:generateContent",
        f"/v1beta/models/{flash}%2f..%2f{pro}:generateContent", f"/v1beta/models/{flash}/models/{pro}:generateContent",
        f"/v1beta/models//{pro}:generateContent", f"/v1beta//models/{pro}%3AgenerateContent",
        f"/v1beta/Models/{pro}:generateContent", f"/v1beta/models/{pro}:generateContent/",
        f"/v1beta/models/{flash}..%5c{pro}:generateContent", f"/v1beta/tunedModels/{pro}:generateContent",
        f"/v1beta/models/{flash}:generateContent?model={pro}",
    )  # fmt: skip
    for body in (GEMINI, GEMINI | {"model": flash}):
        for path in paths:
            answer = http.client.HTTPConnection("127.0.0.1", house.proxy.port, timeout=20)
            answer.request("POST", path, json.dumps(body), {"content-type": "application/json", "x-goog-api-key": key})
            response = answer.getresponse()
            assert response.status == 400, path
            assert response.getheader("x-tokenman-error") in ("parse", "forbidden"), path
            answer.close()
    for model in (pro, f"models/{pro}"):
        headers = {"x-goog-api-key": key}
        answered = httpx.post(house.proxy.url + GENERATE, json=GEMINI | {"model": model}, headers=headers, timeout=20)
        assert answered.status_code == 400
        assert "names more than one model" in answered.json()["error"]["message"]
    azure = openai.AzureOpenAI(
        api_key=key, api_version="1", base_url=f"{house.proxy.url}/p/openai/openai/deployments/gpt-5", max_retries=0
    )  # fmt: skip
    for name in ("gpt-4.1-mini", "gpt-4.1-mini/../gpt-5", "gpt-4.1-mini%2f..%2fgpt-5"):
        with pytest.raises(openai.BadRequestError, match=r"may not use model gpt-5|name of a model holds"):
            azure.chat.completions.create(model=name, messages=user("hi"))
    assert not house.fake.received
    answered = httpx.post(house.proxy.url + GENERATE, json=GEMINI, headers={"x-goog-api-key": key}, timeout=20)
    assert answered.status_code == 200
    assert [one.target for one in house.fake.received] == [GENERATE]


def test_each_client_has_a_budget_and_a_rate_of_its_own(house: House) -> None:
    poor, rich = add(house.proxy, "poor", "--budget", "0.000001/day"), add(house.proxy, "rich", "--budget", "5/day")
    assert ask(house.proxy, rich).status_code == 200
    refused = ask(house.proxy, poor)
    assert (refused.status_code, refused.headers["x-tokenman-error"]) == (429, "budget")
    assert refused.headers["x-should-retry"] == "false"
    slow = add(house.proxy, "slow", "--rate", "2/h")
    statuses = [ask(house.proxy, slow).status_code for _ in range(3)]
    assert statuses[-1] == 429
    assert [ask(house.proxy, each).status_code for each in (rich, house.web, poor)] == [200, 200, 429]
    token = (house.proxy.data / "admin-token").read_text().strip()
    url = f"http://127.0.0.1:{house.proxy.admin_port}/api/budgets"
    spent = {
        one["name"]: float(one["spent_usd"])
        for one in httpx.get(url, headers={"authorization": f"Bearer {token}"}).json()["items"]
    }
    assert spent.get("client:poor", 0.0) == 0
    assert 0 < spent["client:rich"] < 0.01


def test_where_its_provider_has_no_key_that_is_said_and_its_own_is_not_used(house: House) -> None:
    with httpx.Client(proxy=house.proxy.url, verify=house.proxy.trust(), trust_env=False, timeout=20) as client:
        answer = client.post(
            "https://chatgpt.com/backend-api/codex/responses", json={"model": "gpt-5", "input": "hi"},
            headers={"authorization": "Bearer eyJ-mine", "x-tokenman-key": house.web},
        )  # fmt: skip
    assert (answer.status_code, answer.headers["x-tokenman-error"]) == (400, "auth")
    assert "set providers.codex.key" in answer.text


def test_a_call_that_is_not_governed_takes_no_key_along(tmp_path: Path) -> None:
    fake, other = FakeProvider().start_in_thread(), FakeProvider().start_in_thread()
    proxy = Proxy.start(tmp_path, fake.url, providers=keyed(fake.url), intercept={"private": ["127.0.0.1"]})
    try:
        key = add(proxy, "web")
        headers = {"x-api-key": key, "authorization": f"Bearer {key}", "x-tokenman-key": key, "x-note": "kept"}
        with httpx.Client(proxy=f"http://x:{key}@127.0.0.1:{proxy.port}", trust_env=False, timeout=20) as client:
            client.get(f"{other.url}/v1/models?key={key}&alt=x", headers=headers)
        (one,) = other.received
        assert one.target == "/v1/models?alt=x"
        assert dict(one.headers)["x-note"] == "kept"
        assert "tkm_" not in seen(other)
        proxy.stop()
        assert not proxy.found_on_disk([key])
    finally:
        proxy.process.kill()
        fake.stop()
        other.stop()


# -- where one is needed --


@pytest.mark.parametrize(("clients", "status"), [("optional", 200), ("required", 401), ("auto", 200)])
def test_without_keys_of_providers_it_is_as_the_settings_say(
    tmp_path: Path, shared_provider: FakeProvider, clients: str, status: int
) -> None:
    proxy = Proxy.start(tmp_path, shared_provider.url, access={"clients": clients})
    try:
        assert ask(proxy, ANTHROPIC_KEY).status_code == status
        assert ask(proxy, "tkm_" + "x" * 43).status_code == 401
        answer = ask(proxy, add(proxy, "web"))  # a provider on this machine may need no key, so it is asked without
        assert (answer.status_code, answer.headers.get("x-tokenman-error")) == (401, None)
        last = shared_provider.received[-1]
        assert not {name.lower() for name, _ in last.headers} & {"x-api-key", "authorization", "x-tokenman-key"}
        assert "tkm_" not in seen(shared_provider)
    finally:
        proxy.stop()


WATCH = """
import os, pathlib
def note(flow):
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"{flow.request.method} {flow.request.path} {list(flow.request.headers.items())}\\n")
http_connect = http_connected = requestheaders = request = response = error = note
"""


def test_scripts_see_no_key(tmp_path: Path, shared_provider: FakeProvider) -> None:
    (tmp_path / "watch.py").write_text(WATCH)
    notes = tmp_path / "notes"
    proxy = Proxy.start(
        tmp_path, shared_provider.url, tool="mitmdump", scripts=[tmp_path / "watch.py"], environment={"NOTES": str(notes)},
        providers=keyed(shared_provider.url),
    )  # fmt: skip
    try:
        assert ask(proxy, ANTHROPIC_KEY).status_code == 401
        key = add(proxy, "web")
        url = f"http://x:{key}@127.0.0.1:{proxy.port}"
        with httpx.Client(proxy=url, verify=proxy.trust(), trust_env=False, timeout=20) as client:
            assert client.post("https://api.anthropic.com/v1/messages", json=BODY).status_code == 200
        assert ask(proxy, path=f"/r/0123456789ab.{key}/v1/messages?key={key}").status_code == 200
        text = notes.read_text()
        assert "CONNECT" in text
        assert "POST" in text
        assert "tkm_" not in text
        assert key[4:] not in text
    finally:
        proxy.stop()


# -- `tokenman run` --

CHILD = """
import os, sys, anthropic, httpx
for base_url in (None, "https://api.anthropic.com"):
    client = anthropic.Anthropic(api_key="sk-ant-of-the-child", base_url=base_url, max_retries=0)
    said = [{"role": "user", "content": "hi"}]
    print(client.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=said).content[0].text)
print(os.environ["ANTHROPIC_BASE_URL"], os.environ["HTTPS_PROXY"])
"""


def test_a_runs_program_gets_a_key_that_ends_with_it(house: House) -> None:
    done = tokenman(house.proxy, "run", "--", sys.executable, "-c", CHILD)
    assert done.returncode == 0, done.stderr
    *texts, places = done.stdout.splitlines()
    assert texts == ["You said: hi"] * 2
    assert "2 calls" in done.stderr
    base, proxy_url = places.split()
    key = base.rpartition(".")[2]
    assert key.startswith("tkm_")
    assert f":{key}@" in proxy_url
    assert key not in done.stderr
    assert "tkm_" not in seen(house.fake)
    assert {dict(one.headers)["x-api-key"] for one in house.fake.received} == {HOUSE["anthropic"]}
    until(lambda: httpx.post(f"{base}/v1/messages", json=BODY, timeout=20, trust_env=False).status_code == 401)
    assert ask(house.proxy, key).status_code == 401
    assert not house.proxy.found_on_disk([key])
    connection = http.client.HTTPConnection("127.0.0.1", house.proxy.admin_port, timeout=10)
    connection.request("GET", "/metrics")
    assert key not in connection.getresponse().read().decode()
