"""The JSON Schema of the configuration, for editors: names, kinds of values, defaults and a line on each setting."""

from typing import Any

from pydantic import BaseModel

from tokenman_core.config import known, written
from tokenman_core.config.described import EACH, SETTINGS, named, section
from tokenman_core.config.models import Settings
from tokenman_core.config.section import NAME

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NULL = {"type": "null"}


def make() -> dict[str, Any]:
    """The schema, in draft 2020-12. What it lets through is judged when the file is read: it knows kinds, not meanings."""
    schema = Settings.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    models = {model.__name__: model for _, _, model in named()}
    for setting, name, model in named():
        place = schema if model is Settings else definitions[model.__name__]
        place["properties"][name] = _property(setting, name, model, place["properties"][name])
    for name, definition in definitions.items():
        definition.pop("title", None)
        definition.pop("description", None)
        if name in models:
            definition["additionalProperties"] = False
    schema["properties"]["providers"] = _providers(definitions)
    entities = sorted(known.ENTITIES | known.ENTITIES_LATER)
    names = {"anyOf": [{"enum": entities}, {"pattern": f"^{NAME.pattern}$"}]}
    for group in ("Redaction", "Override"):
        definitions[group]["properties"]["entities"]["propertyNames"] = names
    named_so = {"title": "TokenMan's configuration", "description": "tokenman.yaml; every setting is optional"}
    return {"$schema": DIALECT, **_with_booleans(schema | named_so)}


def _property(setting: str, name: str, model: type[BaseModel], found: dict[str, Any]) -> dict[str, Any]:
    field = model.model_fields[name]
    found = {key: value for key, value in found.items() if key not in ("title", "default")}
    if section(field.annotation) is not None:  # a heading whose lines are all commented out is null
        found = {"anyOf": [found, _NULL]}
    elif not field.is_required() and not setting.startswith(f"{EACH}.hosts"):
        found["default"] = written.default(field)
    return found | {"description": SETTINGS[setting]}


def _providers(definitions: dict[str, Any]) -> dict[str, Any]:
    """A known provider keeps what is not said of it; one of the user's own must say where it is and what it speaks."""
    needed = definitions["Provider"].pop("required")
    reference = {"$ref": "#/$defs/Provider"}
    names = "|".join(known.PROVIDERS)
    own = {"allOf": [reference, {"required": needed}]}
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {name: {"anyOf": [reference, _NULL]} for name in known.PROVIDERS},
                "patternProperties": {f"^(?!({names})$)[a-z0-9][a-z0-9_.-]{{0,63}}$": own},
                "additionalProperties": False,
            },
            _NULL,
        ],
        "description": SETTINGS["providers"],
    }


def _with_booleans(node: Any) -> Any:
    """Where off or on is a word, YAML 1.1 reads it as false or true; both mean the word."""
    if isinstance(node, list):
        return [_with_booleans(each) for each in node]
    if not isinstance(node, dict):
        return node
    node = {key: _with_booleans(value) for key, value in node.items()}
    words = node.get("enum")
    if isinstance(words, list) and False not in words and {"off", "on"} & {*map(str, words)}:
        node.pop("type", None)
        node["enum"] = [*words, *(flag for word, flag in (("off", False), ("on", True)) if word in words)]
    elif node.get("default") == "off" and node.get("type") == "string":
        node = {key: value for key, value in node.items() if key not in ("type", "minLength")}
        node["anyOf"] = [{"type": "string", "minLength": 1}, {"const": False}]
    return node
