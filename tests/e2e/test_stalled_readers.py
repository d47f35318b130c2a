"""Clients that ask and do not read: they are dropped in time, and hold neither their provider nor memory."""

from collections.abc import Iterator
from pathlib import Path

import h2.settings
import httpx
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e import raw
from tests.e2e.harness import ANTHROPIC_KEY, Proxy
from tests.e2e.raw import H2Client
from tests.e2e.test_wire import body

SCRIPT = Path(__file__).parent / "door_scripts" / "impatient.py"
HEADERS = {"x-api-key": ANTHROPIC_KEY, "content-type": "application/json", "anthropic-version": "2023-06-01"}
LONG = "[[big 600000]]"


@pytest.fixture(scope="module")
def impatient(shared_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    proxy = Proxy.start(tmp_path_factory.mktemp("stall"), shared_provider.url, tool="mitmdump", scripts=[SCRIPT])
    yield proxy
    proxy.stop()


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "in-one-piece"])
def test_a_window_that_stays_shut_ends_its_stream_and_its_neighbour_is_served(
    impatient: Proxy, provider: FakeProvider, stream: bool
) -> None:
    with H2Client(impatient) as client:
        client._h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        stalled = client.post("/v1/messages", body(LONG, stream=stream), HEADERS)
        client.until(lambda: stalled in client.ended)
        assert client.ended[stalled] == "reset"
        client._h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
        served = client.post("/v1/messages", body("hello"), HEADERS)
        client.until(lambda: served in client.ended)
        assert (client.ended[served], client.heads[served][":status"]) == ("end", "200")


def test_who_does_not_read_over_http1_is_dropped_and_his_provider_is_free(
    impatient: Proxy, provider: FakeProvider
) -> None:
    asked = body("[[big 30000000]]", stream=True)
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    with raw.dial(impatient, 20) as connection:
        request = f"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}Content-Length: {len(asked)}\r\n\r\n"
        connection.sendall(request.encode() + asked)
        assert provider.wait(lambda fake: any(one.client_left for one in fake.received), 15)
    answer = httpx.post(impatient.url + "/v1/messages", content=body("hello"), headers=HEADERS, trust_env=False)
    assert answer.status_code == 200
