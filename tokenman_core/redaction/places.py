"""Where in a request a value stood, in words that hold nothing of the request itself: `messages[3].content[0].text`."""

from typing import Final

from tokenman_core.slots import BASE64, INNER, NUMBER, Key, Path

MOST: Final = 24
"""Places that are told of one call, the last ones: of a conversation that is sent again the rest was told before."""

_LONGEST = 120  # characters

# Names of the wire formats. Any other was chosen by a program or by a person, and may be a value itself.
_WORDS = frozenset(
    {
        "args", "arguments", "body", "candidates", "choices", "citations", "cited_text", "code", "content", "contents",
        "context", "data", "description", "developer", "document", "documents", "file_data", "filename", "function",
        "functionCall", "functionResponse", "function_call", "function_response", "image_url", "input", "input_text",
        "instances", "instructions", "items", "message", "messages", "metadata", "name", "output", "output_text",
        "parameters", "params", "parts", "path", "prompt", "query", "reasoning", "reasoning_content", "refusal",
        "requests", "response", "result", "results", "search_results", "source", "stop", "suffix", "summary", "system",
        "systemInstruction", "system_instruction", "text", "thinking", "thought", "title", "tool_calls", "tool_result",
        "tools", "url", "user", "variables",
    }
)  # fmt: skip
_OWN = frozenset(
    {"input", "args", "response", "variables", "metadata"}
)  # below them the names are a tool's or a user's


def place_of(path: Path) -> str:
    """The path in the words of the wire format; `*` stands for a name that is none of them, `(key)` for a name itself."""
    said = ""
    free = False
    for step in path:
        kind = type(step)
        if kind is str:
            said += f".{step}" if step in _WORDS and not free else ".*"
            free = free or (step in _OWN and said != f".{step}")
        elif kind is int:
            said += f"[{step}]"
        elif kind is Key:
            said += "(key)"
        elif step is INNER:
            free = True
        elif step is BASE64:
            said += "(base64)"
        else:
            assert step is NUMBER
    return said.removeprefix(".")[:_LONGEST]
