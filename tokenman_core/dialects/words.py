"""The words of the wire formats: which keys and types mean what, as tables that every dialect reads."""

from tokenman_core.slots import SlotKind

ROLES: dict[str, SlotKind] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool_result",
    "function": "tool_result",
}

# Keys whose text has a speaker of its own.
SPEAKERS: dict[str, SlotKind] = {
    "system": "system",
    "instructions": "system",
    "systemInstruction": "system",
    "system_instruction": "system",
    "prompt": "user",
    "input": "user",
    "prediction": "assistant",
}

# Keys of lists that are a conversation: the index is the number of the message.
CONVERSATIONS = frozenset({"messages", "input", "contents"})

# Keys whose value is left alone if it looks like an identifier (IDENTIFIER): a word of the protocol, an id, a signature.
# A value with anything else in it is text, whatever its key. Keys that end with `_id`, `_ids` or `Id` are such too.
IDENTIFIERS = frozenset(
    {
        "caller",
        "container",
        "detail",
        "effort",
        "encoding_format",
        "encrypted_content",
        "encrypted_index",
        "encrypted_stdout",
        "finishReason",
        "finish_reason",
        "format",
        "id",
        "media_type",
        "method",
        "mimeType",
        "mime_type",
        "model",
        "modelVersion",
        "object",
        "obfuscation",
        "reasoning_effort",
        "role",
        "server_label",
        "server_name",
        "service_tier",
        "signature",
        "status",
        "stop_reason",
        "system_fingerprint",
        "thoughtSignature",
        "thought_signature",
        "ttl",
        "type",
        "verbosity",
    }
)
IDENTIFIER = r"[A-Za-z0-9_.:/+=~|-]*+"

# Keys that stand beside `name` where that is the name of a tool.
BESIDE_TOOL_NAMES = frozenset(
    {"arguments", "args", "call_id", "function", "input", "parameters", "tool_call_id", "tool_use_id"}
)

# Keys whose value is free-form JSON: the program or the model made up its keys, so no key in it has a meaning.
FREE_FORM = frozenset({"args", "input_examples", "metadata", "variables"})

# Of a tool's definition: left alone, so that tools work and prompt caches hold (DESIGN §6).
TOOL_SCHEMA = frozenset(
    {
        "description",
        "format",
        "input_schema",
        "inputSchema",
        "name",
        "output_schema",
        "parameters",
        "parametersJsonSchema",
        "response",
        "responseJsonSchema",
    }
)
# Of a tool's definition: what the provider itself needs to reach the tool's server. No model reads it, and masked it is useless.
TOOL_CONNECTION = frozenset({"authorization", "authorization_token", "headers", "server_url", "url"})
# Of a tool's definition: further definitions.
TOOL_NESTING = frozenset({"custom", "function", "functionDeclarations", "function_declarations", "tools"})

# The first characters of media in base64, by what is counted: PNG, JPEG, GIF, WebP and WAV (RIFF), PDF, MP3, Ogg, FLAC.
MEDIA_MAGIC: dict[str, str] = {
    "iVBORw0KGgo": "image",
    "/9j/": "image",
    "R0lGODlh": "image",
    "R0lGODdh": "image",
    "UklGR": "image",
    "JVBERi0": "document",
    "SUQz": "audio",
    "T2dnUw": "audio",
    "ZkxhQw": "audio",
}

# Types of media that are text all the same.
TEXT_TYPES = frozenset(
    {
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/jsonl",
        "application/sql",
        "application/toml",
        "application/x-javascript",
        "application/x-jsonl",
        "application/x-ndjson",
        "application/x-python",
        "application/x-sh",
        "application/x-www-form-urlencoded",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
    }
)


def is_text_type(media_type: str) -> bool:
    """Whether a media type (in lower case, without parameters) says that the bytes are text."""
    return media_type.startswith("text/") or media_type in TEXT_TYPES or media_type.endswith(("+json", "+xml", "+yaml"))


def media_of(media_type: str) -> str:
    """Under which word media of a type are counted: "image", "audio", "video", "document" or "file"."""
    family = media_type.partition("/")[0]
    if family in ("image", "audio", "video"):
        return family
    return "document" if "pdf" in media_type or "document" in media_type else "file"
