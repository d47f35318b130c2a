"""The wire formats by name."""

from tokenman_core.dialects.anthropic import Anthropic
from tokenman_core.dialects.base import Dialect
from tokenman_core.dialects.gemini import Gemini
from tokenman_core.dialects.generic import Generic
from tokenman_core.dialects.openai import OpenAI

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (Anthropic(), OpenAI(), Gemini(), Generic())}
