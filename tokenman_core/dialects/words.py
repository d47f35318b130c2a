"""The words of the wire formats: which keys and types mean what, as tables that every dialect reads."""

import functools
import re

from tokenman_core.kinds import BY_NAME, NATIONAL
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

# Keys whose value is a word of the protocol (WORD) or names something of the provider's own (`_id`, `_ids`, `Id` too). A value
# of another form is text, whatever its key.
IDENTIFIERS = frozenset(
    {
        "caller",
        "container",
        "detail",
        "effort",
        "encoding_format",
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
        "status",
        "stop_reason",
        "system_fingerprint",
        "ttl",
        "type",
        "verbosity",
    }
)

# A word of the protocol, or a model's name: short runs of letters and few digits, so that it is no number of a person's and no
# credential. Dates do not count (`claude-sonnet-4-5-20250929`, `gpt-4o-2024-08-06`).
WORD = (
    r"(?!(?:(?:20\d\d-\d\d-\d\d(?!\d)|20\d{6}(?!\d)|\D)*+\d){8})"  # fewer than eight digits
    r"(?!.*\d\.\d+\.\d)"  # no address of a machine
    r"(?:(?:[A-Za-z]{1,24}(?![A-Za-z0-9])|[A-Za-z0-9]{1,12})(?:[_.:/+~|-]{1,2}|\Z))++"
)

# The most frequent of them, told at once.
COMMON = frozenset(
    {
        "assistant",
        "ephemeral",
        "function",
        "function_call",
        "function_call_output",
        "input_text",
        "message",
        "output_text",
        "system",
        "text",
        "thinking",
        "tool",
        "tool_result",
        "tool_use",
        "user",
    }
)

# Keys that hold ids which providers (or the programs that speak to them) make up for their own objects.
OWN_IDS = frozenset(
    {
        "batch_id",
        "call_id",
        "container",
        "container_id",
        "conversation_id",
        "file_id",
        "file_ids",
        "id",
        "input_file_id",
        "item_id",
        "message_id",
        "previous_response_id",
        "request_id",
        "response_id",
        "run_id",
        "skill_id",
        "thread_id",
        "tool_call_id",
        "tool_use_id",
        "vector_store_ids",
    }
)
# Words of which one in a key says that its id is a person's, whatever the key ends with (`nino_id`, `driversLicenseIds`).
_PERSONS = frozenset(
    re.sub(r"[^a-z0-9]", "", word) for kind in (*NATIONAL, BY_NAME["CREDIT_CARD"]) for word in kind.words
) - {"", "id", "run"}
_PARTS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_MOST_PARTS = 8


@functools.lru_cache(maxsize=1024)
def is_persons(key: str) -> bool:
    """Whether a key of an id says that the id was given to a person."""
    parts = [part.lower() for part in _PARTS.findall(key[:80])][:_MOST_PARTS]
    return key not in OWN_IDS and any(
        "".join(parts[low:high]) in _PERSONS for low in range(len(parts)) for high in range(low + 1, len(parts) + 1)
    )


# Such an id: a known prefix and what follows it (with gateways' own words between: `toolu_bdrk_01…`), a UUID, or hex digits.
OWN_ID = (
    r"(?:toolu|srvtoolu|mcptoolu|call|msg|msgbatch|resp|rs|fc|fco|ctc|cts|ctco|ws|fs|ci|ig|cu|lsh|lsho|sh|mcp|mcpl|mcpr|cmp|item|req"
    r"|file|batch|chatcmpl|cmpl|gen|asst|thread|run|step|vs|conv|container|cntr|skill|pmpt|tool)"
    r"[_-](?:(?:bdrk|vrtx|tool|[0-9]{1,2})[_-])?(?![0-9]{9,}\Z)(?:[A-Za-z0-9]{1,80}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
    r"|(?=[0-9]*[a-f])[0-9a-f]{16,64}"
)

# Keys of what only the provider can read, and must get back as it was: left alone where it is base64, and long.
OPAQUE_KEYS = frozenset(
    {
        "encrypted_content",
        "encrypted_index",
        "encrypted_stdout",
        "signature",
        "thoughtSignature",
        "thought_signature",
    }
)
LEAST_OPAQUE = 120
"""Characters: longer than all common credentials that have no other characters than base64 has."""

# Keys of numbers that are the protocol's own, whatever their size; so are those that end with `_at`, `_tokens`, `_ms`, `Tokens`.
NUMBERS = frozenset({"created", "seed", "timestamp", "ttl"})
NUMBER_KEYS = ("_at", "_tokens", "Tokens", "_ms")
LEAST_NUMBER = 10**8
"""Nine digits: shorter numbers identify nobody, and tokens' numbers are all shorter."""

# Keys that stand beside `name` where that is the name of a tool.
BESIDE_TOOL_NAMES = frozenset(
    {"arguments", "args", "call_id", "function", "input", "parameters", "tool_call_id", "tool_use_id"}
)

# Keys whose value is free-form JSON: the program or the model made up its keys, so no key in it has a meaning.
FREE_FORM = frozenset({"args", "input_examples", "metadata", "variables"})

# Of an object that pairs a name with a value: under which keys they stand (variables of an environment, headers, tags).
PAIRED_NAMES = ("name", "key", "Name", "Key")
PAIRED_VALUES = frozenset({"value", "Value"})

# Of an object that describes a column of a table: under which key it says what the column is called.
COLUMN_NAMES = ("name", "Name", "column", "field", "label", "title", "key")

# Of a tool's definition: the names by which a program knows its tools again, and the grammar of what a tool takes.
TOOL_NAMES = frozenset({"format", "name"})
# Keys under which a JSON Schema stands: of a tool's input and result, and of the answer that a program asks for.
SCHEMAS = frozenset(
    {
        "input_schema",
        "inputSchema",
        "output_schema",
        "outputSchema",
        "parameters",
        "parametersJsonSchema",
        "parameters_json_schema",
        "response",
        "responseJsonSchema",
        "response_json_schema",
        "responseSchema",
        "response_schema",
        "schema",
    }
)
# Of a JSON Schema: objects whose keys are names that the schema defines, each with a schema.
SCHEMA_MEMBERS = frozenset({"properties", "patternProperties", "$defs", "defs", "definitions", "dependentSchemas"})
SCHEMA_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
# Of a JSON Schema: names of its members, and what a value must match. All else in it is text: what it says of a member, its
# examples and the values that it allows.
SCHEMA_NAMES = frozenset(
    {"dependentRequired", "pattern", "propertyName", "propertyOrdering", "property_ordering", "required"}
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
