"""Whose fault a failure is: what providers say of a model, and what they say of themselves."""

import pytest

from tokenman_core.failover.of_model import MOST_READ, of_model

OF_MODEL = [
    (529, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'),
    (529, b""),
    (503, b'{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}'),
    (503, b'{"error":{"message":"This model is currently experiencing high demand. Spikes in demand are usually temporary."}}'),
    (503, b'{"error":{"message":"MODEL_CAPACITY_EXHAUSTED: No capacity available"}}'),
    (503, b'{"error":{"message":"That model is currently overloaded with other requests. You can retry your request."}}'),
    (503, b'{"error":{"message":"The engine is currently overloaded, please try again later","type":"server_error"}}'),
    (503, b'{"error":"Model bigscience/bloom is currently loading","estimated_time":20.0}'),
    (503, b'{"error":{"message":"llama-x model is over capacity"}}'),
    (500, b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'),
]  # fmt: skip
OF_PROVIDER = [
    (500, b'{"type":"error","error":{"type":"api_error","message":"Internal server error"}}'),
    (503, b'{"error":{"message":"The service is temporarily unavailable","status":"UNAVAILABLE"}}'),
    (503, b'{"error":{"message":"Slow down","type":"server_error"}}'),
    (502, b"<html><h1>502 Bad Gateway</h1></html>"),
    (503, b'{"model":"m","error":{"message":"The server is overloaded or not ready yet."}}'),
    (500, b'{"error":{"message":"the model said: \\"no\\". The database is overloaded"}}'),
    (504, b""),
    (429, b'{"error":{"message":"The model is overloaded."}}'),
    (400, b'{"error":{"message":"That model is currently overloaded"}}'),
    (503, b" " * MOST_READ + b"The model is overloaded."),
]


@pytest.mark.parametrize(("status", "said"), OF_MODEL)
def test_what_is_said_of_a_model(status: int, said: bytes) -> None:
    assert of_model(status, said)


@pytest.mark.parametrize(("status", "said"), OF_PROVIDER)
def test_what_is_said_of_the_provider_or_the_caller(status: int, said: bytes) -> None:
    assert not of_model(status, said)


def test_a_long_text_takes_no_time_to_speak_of() -> None:
    assert not of_model(503, b"model " * MOST_READ)
