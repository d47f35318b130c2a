"""How many tokens a model can write and read at most, as its provider publishes it: for calls that state no limit of their own."""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Ceiling:
    """Tokens. `output` includes what a model thinks."""

    output: int
    context: int


# By the beginning of a model's name, the first that fits. Anthropic: https://platform.claude.com/docs/en/about-claude/models/overview;
# OpenAI: https://platform.openai.com/docs/models; Google: https://ai.google.dev/gemini-api/docs/models.
_MODELS: Final = (
    (r"claude-(?:2|instant)", 4_096, 200_000),
    (r"claude-3-(?:opus|sonnet|haiku)", 4_096, 200_000),
    (r"claude-3-5", 8_192, 200_000),
    (r"claude-opus-4-(?:0|1|2025)", 32_000, 200_000),
    (r"claude-(?:haiku|opus)-4-5", 64_000, 200_000),
    (r"claude-(?:3-7|sonnet-4)", 128_000, 1_000_000),
    (r"claude", 128_000, 1_000_000),
    (r"(?:ft:)?gpt-3\.5", 4_096, 16_385),
    (r"(?:ft:)?gpt-4(?:-0613|-0314|-32k)?\Z", 8_192, 32_768),
    (r"(?:ft:)?gpt-4-", 4_096, 128_000),
    (r"(?:ft:)?(?:gpt-4o|chatgpt-4o|gpt-audio)", 16_384, 128_000),
    (r"(?:ft:)?gpt-4\.1", 32_768, 1_047_576),
    (r"o[134]", 100_000, 200_000),
    (r"gpt-5-pro", 272_000, 400_000),
    (r"(?:gpt|codex|computer-use)", 128_000, 1_050_000),
    (r"gemini-(?:1|2\.0)", 8_192, 2_097_152),
    (r"gemini", 65_536, 1_048_576),
    (r"deepseek", 64_000, 163_840),
    (r"(?:open-)?(?:mi[sx]tral|magistral|codestral|devstral|ministral|pixtral)", 131_072, 262_144),
    (r"grok", 131_072, 2_000_000),
)
_PATTERN: Final = re.compile("|".join(f"({pattern})" for pattern, _, _ in _MODELS))
_CEILINGS: Final = tuple(Ceiling(output, context) for _, output, context in _MODELS)

UNKNOWN: Final = Ceiling(131_072, 1_048_576)
"""Of a model that no row knows: as large as those of today's largest, so that too much is held rather than too little."""


def of(model: str) -> Ceiling:
    """Of a model by its name, with or without the name of its maker before it (`anthropic/claude-…`)."""
    name = model.lower().rpartition("/")[2]
    found = _PATTERN.match(name)
    return _CEILINGS[found.lastindex - 1] if found and found.lastindex else UNKNOWN
