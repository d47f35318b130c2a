"""The models that a call names, in its path, its query and its body, and whether an answer comes from one of them."""

import re
from collections.abc import Iterator
from types import NoneType
from typing import Any
from urllib.parse import parse_qsl

from tokenman_core.exchange import Exchange
from tokenman_core.judged_keys import mistakable
from tokenman_core.paths import MODELS, model_in

_DEPLOYED = re.compile(r"/(?:deployments|engines)/([^/]+)/", re.IGNORECASE)  # Azure's, and OpenAI's of old
_INVOKED = re.compile(r"/model/(.+)/(?:invoke|converse)", re.IGNORECASE)  # Amazon Bedrock's
_NO_NAME = re.compile(r"\.\.|[%\\?#\s\x00-\x1f\x7f-\xa0]")  # a gateway may put a name into a path
# Where a request holds others, each of which may name a model (https://ai.google.dev/api/batch-api).
_HOLDING = (
    "request", "requests", "batch", "inputConfig", "input_config", "generateContentRequest", "generate_content_request",
)  # fmt: skip
_DEEPEST = 8
# What providers append to the name that they were asked for: `-2024-08-06`, `-0613`, `-001`, `-preview-05-20`, `-v1:0`.
_LONGEST = 40
_VERSION = re.compile(
    r"(?:[-@:](?:\d{3,8}|\d{4}-\d\d-\d\d|\d\d-\d{4}|\d\d-\d\d|v\d+(?:[:.]\d+)?|latest|preview|exp|experimental|free))+"
)


def deployed(path: str) -> str:
    """The deployment or engine that the path names, which need not have the name of its model, or the model that it invokes."""
    found = _DEPLOYED.search(path) or _INVOKED.search(path)
    return found[1] if found else ""


def in_query(query: str) -> list[str]:
    """A gateway may take the model from there (LiteLLM does), whatever the body says."""
    if not query or ("model" not in (folded := query.casefold()) and "%" not in folded):
        return []
    pairs = parse_qsl(query.replace(";", "&"))
    return [value for name, value in pairs if name.partition("[")[0].strip().casefold() == "model"]


def disagreement(exchange: Exchange) -> str:
    """Why it cannot be told which model a call asks for, or how much of it, and what to do; "" if it can."""
    sent, model, value = exchange.sent, exchange.model, exchange.body.value if exchange.body else None
    path, gemini = sent.plain, exchange.dialect.name == "gemini"
    said = [*_stated(value, 0 if gemini else _DEEPEST), *in_query(sent.query)]
    if any(_NO_NAME.search(name) for name in (model, *said)):
        return r"The name of a model holds .., %, \, ?, # or a blank: write the name as the provider's list of models has it."
    if type(value) is dict and type(value.get("model", "")) not in (str, NoneType):
        return "The request's model is no string: write its name as one."
    if not exchange.operation.generates:
        return ""
    if key := mistakable(value, alone=exchange.dialect.name != "generic"):
        return f"The request has a key in another case ({key[:40]!r}), which servers read in different ways: write it in its own."
    named = model_in(path) or (invoked[1] if (invoked := _INVOKED.search(path)) else "")
    if gemini and not named and ":" in path and "/v1internal:" not in path:
        named = path.rpartition(":")[0]  # a tuned model, an endpoint
    if len(MODELS.findall(path)) > 1 or any(not _same(name, named or model) for name in said):
        return (
            "The request names more than one model, in its path, its query or its body: name the same one everywhere."
        )
    return ""


def _stated(value: Any, depth: int) -> Iterator[str]:
    """The names in a request's body, also of the requests in it."""
    if type(value) is dict:
        if type(name := value.get("model")) is str and name:
            yield name
        inner: list[Any] = [value[key] for key in _HOLDING if key in value]
    else:
        inner = value if type(value) is list else []
    if depth < _DEEPEST:
        for each in inner:
            yield from _stated(each, depth + 1)


def _same(said: str, named: str) -> bool:
    """Whether the one is the other's name. A path may go on behind it: `/models/acme/large/predictions`."""
    said, named = said.rpartition("models/")[2], named.rpartition("models/")[2]
    return named == said or named.startswith(said + "/")


def is_of(answered: str, asked: str) -> bool:
    """Whether a model that an answer names is the one that was asked for, or a version of it."""
    answered, base = _bare(answered), _bare(asked).removesuffix("-latest")
    rest = answered[len(base) :]
    if not base or not answered.startswith(base) or len(rest) > _LONGEST:
        return False
    return not rest or _VERSION.fullmatch(rest) is not None


def _bare(name: str) -> str:
    return name.rpartition("/")[2].lower().replace("@", "-")
