"""One real call each way in, through a TokenMan of its own to the built-in provider: by base URL, and as an HTTPS proxy."""

import http.client
import json
import math
import ssl
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from addons.cli.doctor.finding import Finding, Patient, fail, ok, warn
from addons.demo import tour
from addons.demo.provider import FakeProvider

_PATIENCE_S = 20.0
_END_S = 0.2  # then it is killed: nothing in its folder is of use to anybody
_VALUE = "grace.hopper@navy-mail.com"
_HEADERS = {"content-type": "application/json", "x-api-key": "sk-ant-doctor", "anthropic-version": "2023-06-01"}
_BODY = {
    "model": "fake-echo",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": f"write to {_VALUE}"}],
}
_HOST = "api.anthropic.com"
_REMEDY = "tokenman demo --once shows more; `tokenman up` in another terminal shows its log"


def ways_in(patient: Patient) -> Iterator[Finding]:
    """Nothing leaves this machine: what goes to the provider's host is answered by the built-in one."""
    provider = FakeProvider().start_in_thread()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="tokenman-doctor-", ignore_cleanup_errors=True) as folder,
            tour.running(Path(folder), provider.url, patient.within(_PATIENCE_S), _END_S) as (_, port),
        ):
            yield _judged("by base URL", provider, _direct(port, patient), patient.until)
            bundle = Path(folder) / "data" / "ca" / "bundle.pem"
            context = ssl.create_default_context(cafile=str(bundle))
            tunnel = http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=patient.within(_PATIENCE_S), context=context
            )
            tunnel.set_tunnel(_HOST, 443)
            yield _judged("as an HTTPS proxy, with the CA bundle", provider, tunnel, patient.until)
    except tour.NotStarted as error:
        late = time.monotonic() >= patient.until
        yield _late("a TokenMan of its own") if late else fail(f"a TokenMan of its own did not start: {error}", _REMEDY)
    finally:
        provider.stop()


def _direct(port: int, patient: Patient) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=patient.within(_PATIENCE_S))


def _late(what: str) -> Finding:
    return warn(
        f"{what} was not ready in time, so no call was tried",
        "on a busy machine: tokenman doctor --patience 60",
    )


def _judged(
    way: str, provider: FakeProvider, connection: http.client.HTTPConnection, until: float = math.inf
) -> Finding:
    provider.clear()
    try:
        connection.request("POST", "/v1/messages", json.dumps(_BODY).encode(), _HEADERS)
        answer = connection.getresponse()
        said = answer.read(1 << 20).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        if time.monotonic() >= until:
            return _late(way)
        return fail(f"{way}: no answer ({type(error).__name__})", _REMEDY)
    finally:
        connection.close()
    arrived = [one.decoded.decode("utf-8", "replace") for one in provider.received]
    if answer.status != 200 or len(arrived) != 1:
        return fail(f"{way}: the call was answered with {answer.status}", _REMEDY)
    if _VALUE in arrived[0]:
        return fail(f"{way}: a planted address reached the provider", _REMEDY)
    if _VALUE not in said:
        return fail(f"{way}: a planted address did not come back", _REMEDY)
    return ok(f"{way}: a call went through, its address masked on the way out and back in the answer")
