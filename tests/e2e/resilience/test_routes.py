"""Routes with keys of their own: who is asked for what, under which name, with whose key, and who is passed over for whom."""

import json
from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, Proxy, user
from tests.e2e.resilience import table
from tests.e2e.resilience.house import HEADERS, PATIENCE_S, body, post, start
from tests.e2e.resilience.table import GOOD, status
from tests.e2e.resilience.upstreams import Script, Upstream, Upstreams, Wire

ALPHA, BETA, GPT = "sk-ant-api03-alpha-own", "sk-ant-api03-beta-own", "sk-gpt-own"
CHAT = json.dumps(
    {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }
).encode()  # fmt: skip
CHUNKS = [
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    b'{"role":"assistant","content":"fine"},"finish_reason":null}]}\n\n',
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},'
    b'"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
]


def plain(content: bytes) -> Script:
    async def script(wire: Wire) -> None:
        await wire.head(200, table.JSON, len(content))
        await wire.data(content)
        await wire.end()

    return script


def by_credential(held: str, code: int, *fields: tuple[str, str]) -> Script:
    """A limit of one caller's: whoever has this in the key is refused, all others are served."""

    async def script(wire: Wire) -> None:
        limited = held in (wire.seen.header("x-api-key") or "")
        await (status(code, *fields) if limited else table.good_whole)(wire)

    return script


@pytest.fixture(scope="module")
def upstreams() -> dict[str, Upstream]:
    return {
        "alpha": Upstream([status(500)]),
        "beta": Upstream([table.good_whole]),
        "limited": Upstream([by_credential("greedy", 429, ("Retry-After", "3600"))]),
        "spare": Upstream([table.good_whole]),
        "own": Upstream([status(500)]),
        "stranger": Upstream([status(401)]),
        "gpt": Upstream([status(503)]),
        "gpt-spare": Upstream([plain(CHAT)]),
        "bound": Upstream([status(500)]),
        "free": Upstream([table.good_whole]),
        "lonely": Upstream([status(429, ("Retry-After", "3600"))]),
    }


@pytest.fixture(scope="module")
def proxy(upstreams: dict[str, Upstream], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with Upstreams() as them:
        running = start(
            tmp_path_factory.mktemp("routes"), them, upstreams,
            {
                "alpha": {"key": ALPHA}, "beta": {"key": BETA}, "gpt": {"dialect": "openai", "key": GPT},
                "gpt-spare": {"dialect": "openai", "key": GPT + "-2"},
            },
            retry={"attempts": 2, "base_delay": "5ms", "max_delay": "1s"}, breaker={"failures": 1000, "min_calls": 0},
            routes=[
                {
                    "match": {"provider": "alpha", "model": "claude-*"},
                    "try": ["alpha", {"provider": "beta", "model": "Beta-Model"}],
                },
                {"match": {"provider": "limited"}, "try": ["limited", "spare"]},
                {"match": {"provider": "own"}, "try": ["own", "stranger"]},
                {"match": {"provider": "gpt"}, "try": ["gpt", {"provider": "gpt-spare", "model": "gpt-elsewhere"}]},
                {"match": {"provider": "bound"}, "try": ["bound", "free"]},
            ],
        )  # fmt: skip
        yield running
        running.stop()


def clear(upstreams: dict[str, Upstream], *names: str) -> None:
    for name in names:
        upstreams[name].requests.clear()


def test_each_provider_sees_its_own_key_alone_and_its_own_name_of_the_model(
    proxy: Proxy, upstreams: dict[str, Upstream]
) -> None:
    clear(upstreams, "alpha", "beta")
    sent = body("whole", model="claude-Odd.Case")
    answer = post(proxy, "alpha", content=sent)
    assert (answer.status_code, answer.content) == (200, GOOD["whole"])
    assert answer.headers["x-tokenman-provider"] == "beta"
    (first,), (second,) = upstreams["alpha"].requests, upstreams["beta"].requests
    assert (first.header("x-api-key"), second.header("x-api-key")) == (ALPHA, BETA)
    assert first.body == sent, "nothing was to be changed for it"
    assert second.body == sent.replace(b"claude-Odd.Case", b"Beta-Model"), "the name, and no other byte"
    for seen, strange in ((first, (ANTHROPIC_KEY, BETA)), (second, (ANTHROPIC_KEY, ALPHA))):
        text = repr(seen)
        assert not [key for key in strange if key in text]
        assert seen.header("host") == f"127.0.0.2:{upstreams['alpha' if seen is first else 'beta'].port}"


def test_what_a_route_does_not_match_stays_where_it_was_sent(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    clear(upstreams, "alpha", "beta")
    assert post(proxy, "alpha", content=body("whole", model="other")).status_code == 500
    assert not upstreams["beta"].requests


def test_the_callers_key_is_for_the_provider_that_he_called(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    clear(upstreams, "own", "stranger")
    answer = post(proxy, "own", authorization=f"Bearer {ANTHROPIC_KEY}", cookie="session=1")
    assert answer.status_code in (401, 500)
    assert upstreams["own"].requests[0].header("x-api-key") == ANTHROPIC_KEY
    assert not [one for one in upstreams["stranger"].requests if ANTHROPIC_KEY in repr(one)]


def test_a_long_limit_of_one_caller_is_not_anothers(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    clear(upstreams, "limited", "spare")

    def ask(key: str, model: str = "m") -> str:
        answer = post(proxy, "limited", content=body("whole", model=model), x_api_key=key)
        assert (answer.status_code, answer.content) == (200, GOOD["whole"])
        return answer.headers["x-tokenman-provider"]

    greedy, other = "sk-ant-greedy", "sk-ant-other"
    assert ask(greedy) == "spare"
    assert len(upstreams["limited"].requests) == 1, "so long a wait is not waited for"
    assert ask(greedy) == "spare"
    assert len(upstreams["limited"].requests) == 1, "nor is it asked for again"
    assert ask(other) == "limited"
    assert ask(greedy, "another-model") == "spare"
    assert len(upstreams["limited"].requests) == 3, "the limit was of one model"
    assert ask(other) == "limited"


def test_the_only_provider_is_asked_though_it_told_to_wait_long(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    clear(upstreams, "lonely")
    for _ in range(2):
        answer = post(proxy, "lonely")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3600")
        assert answer.content == table.refusal(429)
    assert len(upstreams["lonely"].requests) == 2


@pytest.mark.parametrize(
    "bound",
    [
        '{"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}]}',
        '{"role": "assistant", "content": [{"type": "redacted_thinking", "data": "c2ln"}]}',
        '{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "file_1"}}]}',
    ],
    ids=["signed", "encrypted", "file"],
)
def test_a_body_that_only_one_provider_can_read_stays_with_it(
    proxy: Proxy, upstreams: dict[str, Upstream], bound: str
) -> None:
    clear(upstreams, "bound", "free")
    content = f'{{"model": "m", "max_tokens": 9, "messages": [{{"role": "user", "content": "hi"}}, {bound}]}}'.encode()
    assert post(proxy, "bound", content=content).status_code == 500
    assert upstreams["bound"].requests
    assert not upstreams["free"].requests
    assert post(proxy, "bound").status_code == 200, "another one does not"


def test_openais_own_package_is_served_by_the_second_with_its_key(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    clear(upstreams, "gpt", "gpt-spare")
    client = openai.OpenAI(base_url=f"{proxy.url}/p/gpt/v1", api_key=OPENAI_KEY, max_retries=0, timeout=PATIENCE_S)
    answer = client.chat.completions.create(model="gpt-5-mini", messages=user("hi"))
    assert answer.choices[0].message.content == "fine"
    assert [one.header("authorization") for one in upstreams["gpt"].requests] == [f"Bearer {GPT}"] * 2
    (second,) = upstreams["gpt-spare"].requests
    assert second.header("authorization") == f"Bearer {GPT}-2"
    assert json.loads(second.body)["model"] == "gpt-elsewhere"


def test_anthropics_own_package_is_served_by_the_second_with_its_key(
    proxy: Proxy, upstreams: dict[str, Upstream]
) -> None:
    clear(upstreams, "alpha", "beta")
    client = anthropic.Anthropic(
        base_url=f"{proxy.url}/p/alpha", api_key=ANTHROPIC_KEY, max_retries=0, timeout=PATIENCE_S
    )
    answer = client.messages.create(model="claude-sonnet-4-6", max_tokens=9, messages=user("hi"))
    assert answer.content[0].type == "text"
    assert [one.header("x-api-key") for one in upstreams["beta"].requests] == [BETA]
    assert HEADERS["x-api-key"] not in repr(upstreams["beta"].requests)
