"""The fake's Code Assist API, which serves the Gemini CLI's Google login: the same model calls in another wrapping.

Google documents it nowhere; paths and shapes are those that the Gemini CLI's open source asks for and reads
(`packages/core/src/code_assist/` of google-gemini/gemini-cli).
"""

import re
from typing import Any

from addons.demo.provider import gemini_api, shape
from addons.demo.provider.gemini_api import error, wants_events
from addons.demo.provider.script import Script
from addons.demo.provider.wire import Received, Reply, json_reply

PROJECT = "fake-project"
_CALL = re.compile(r"/v1internal:(\w+)")
_TIER = {"id": "standard-tier", "name": "Gemini Code Assist", "description": "A fake tier."}
_ANSWERS: dict[str, Any] = {
    "loadCodeAssist": {
        "currentTier": _TIER,
        "allowedTiers": [_TIER | {"isDefault": True}],
        "cloudaicompanionProject": PROJECT,
    },
    "onboardUser": {"done": True, "response": {"cloudaicompanionProject": {"id": PROJECT, "name": PROJECT}}},
    "retrieveUserQuota": {"buckets": []},
    "listExperiments": {"experimentIds": [], "flags": []},
    "fetchAdminControls": {},
    "recordCodeAssistMetrics": {},
    "setCodeAssistGlobalUserSetting": {},
}
"""What the Gemini CLI asks for besides the model."""


def call_of(received: Received) -> gemini_api.Call | None:
    match = _CALL.fullmatch(received.path)
    return gemini_api.Call(match[1], "", wants_events(received)) if match else None


def refused(received: Received) -> Reply | None:
    """A Google login is a bearer token; a wrong one has the word `wrong` in it."""
    bearer = received.header("authorization") or ""
    if not bearer.startswith("Bearer ") or "wrong" in bearer:
        return error(401, "Request had invalid authentication credentials. Expected OAuth 2 access token.")
    return None


def google_account(received: Received) -> Reply | None:
    """What Google's own hosts say of a login; the Gemini CLI asks them before it uses one that it has stored."""
    match received.path:
        case "/tokeninfo":
            scope = "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/userinfo.email"
            return json_reply(200, {"aud": "fake", "scope": scope, "expires_in": 3600, "access_type": "offline"})
        case "/oauth2/v2/userinfo":
            return refused(received) or json_reply(200, {"id": "1", "email": "fake.user@example.com"})
    return None


def script_of(value: Any) -> Script:
    return gemini_api.script_of(value.get("request") or {}, str(value.get("model", "")))


def answer(call: gemini_api.Call, value: Any, script: Script, number: int) -> Reply:
    """`value` is the parsed request, which has that of the Gemini API under `request`."""
    inner, model = value.get("request") or {}, str(value.get("model", ""))
    match call.method:
        case "generateContent":
            document = gemini_api.document(inner, script, model, number)
            return shape.whole(script, _wrapped(document, number), gemini_api.HEADERS)
        case "streamGenerateContent":
            documents = [_wrapped(one, number) for one in gemini_api.chunks(inner, script, model, number)]
            return gemini_api.stream(script, documents, call.sse)
        case "countTokens":
            return json_reply(200, {"totalTokens": gemini_api.count(inner)["totalTokens"]})
    if call.method in _ANSWERS:
        return json_reply(200, _ANSWERS[call.method])
    return error(404, f"Method not found: {call.method}")


def _wrapped(document: Any, number: int) -> dict[str, Any]:
    return {"response": document, "traceId": f"fake{number}"}
