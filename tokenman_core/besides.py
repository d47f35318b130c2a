"""Models that a call names besides its own: those that may answer in its place, and those that are asked for advice."""

from typing import Any


def models(value: Any) -> list[str]:
    """Of a request's parsed body.

    OpenRouter's `models` (https://openrouter.ai/docs/guides/routing/model-fallbacks); Anthropic's `fallbacks`
    (https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback) and the model of its advisor tool
    (https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool).
    """
    if type(value) is not dict:
        return []
    advisors = [tool for tool in _list(value.get("tools")) if type(tool) is dict and _is_advisor(tool.get("type"))]
    fallbacks = [each for each in _list(value.get("fallbacks")) if type(each) is dict]
    named = [*_list(value.get("models")), *(each.get("model") for each in (*fallbacks, *advisors))]
    return [each for each in named if type(each) is str]


def _is_advisor(kind: Any) -> bool:
    return type(kind) is str and kind.startswith("advisor")


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []
