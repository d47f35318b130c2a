"""A prompt cache as Anthropic documents its own: prefixes are kept at marks, and looked for up to twenty blocks before each."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

_LIFE = {"5m": 300.0, "1h": 3600.0}


@dataclass
class PromptCache:
    """(https://platform.claude.com/docs/en/build-with-claude/prompt-caching). A token is four characters."""

    kept: dict[str, float] = field(default_factory=dict)  # hash of a prefix -> until when

    def usage(self, value: dict[str, Any], now: float) -> dict[str, Any]:
        """What the API says that a call has used, at a moment in seconds."""
        chain, tokens, marks = hashlib.sha256(str(value.get("model")).encode()), [0], list[tuple[int, float]]()
        hashes = [chain.hexdigest()]
        for kind, block in _blocks(value):
            mark = block.pop("cache_control", None)
            data = json.dumps(block, sort_keys=False).encode()
            chain.update(kind.encode() + data)
            hashes.append(chain.hexdigest())
            tokens.append(tokens[-1] + (0 if kind == "field" else -(-len(data) // 4)))
            if mark:
                marks.append((len(hashes) - 1, _LIFE[mark.get("ttl", "5m")]))
        read = 0
        for at, _ in reversed(marks):
            found = next((i for i in range(at, max(0, at - 20), -1) if self.kept.get(hashes[i], 0) >= now), 0)
            if found:
                read = found
                break
        written = {"5m": 0, "1h": 0}
        last = read
        for at, life in marks:
            if at > last:
                written["1h" if life > 300 else "5m"] += tokens[at] - tokens[last]
                last = at
            self.kept[hashes[at]] = now + life
        if read:
            life = next((life for at, life in marks if at >= read), 300.0)
            self.kept[hashes[read]] = max(self.kept[hashes[read]], now + life)
        return {
            "input_tokens": tokens[-1] - tokens[last],
            "cache_read_input_tokens": tokens[read],
            "cache_creation_input_tokens": sum(written.values()),
            "cache_creation": {f"ephemeral_{life}_input_tokens": count for life, count in written.items()},
            "output_tokens": 5,
        }


def _blocks(value: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The blocks in the order of the cache, each a copy; and what ends the cache's use from there on, as if it were a block."""
    found: list[tuple[str, dict[str, Any]]] = [("tool", dict(tool)) for tool in value.get("tools", ())]
    found.append(("field", {"speed": value.get("speed")}))
    system = value.get("system") or []
    found += [("system", dict(it)) for it in ([{"type": "text", "text": system}] if type(system) is str else system)]
    found.append(("field", {name: value.get(name) for name in ("tool_choice", "thinking")}))
    for message in value["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if type(content) is str else content
        found += [(message["role"], dict(block)) for block in blocks]
    return found
