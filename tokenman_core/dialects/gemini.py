"""Google's Gemini API, by the generic walk, and Code Assist, which wraps each of its answers in `response`.

A stream's chunks are whole answers that each hold a piece of the text (https://ai.google.dev/api/generate-content).
"""

import re
from typing import Any

from tokenman_core.dialects.base import AnswerReader, Operation
from tokenman_core.dialects.generic import Generic, GenericReader
from tokenman_core.dialects.reader import text_of
from tokenman_core.dialects.shapes import STATUSES, dump, gemini_error
from tokenman_core.errors import ErrorKind
from tokenman_core.paths import model_in
from tokenman_core.slots import Path, Slot
from tokenman_core.sse import Event

# Caches by the hour that they are kept, stores by what is read into them, models by what they are trained with.
_KEPT = re.compile(r"/(cachedContents|fileSearchStores|tunedModels)(/|:|$)")
_FILES = re.compile(r"/v\d\w*(/openai)?/files(:\w+)?$")
_CANCEL = re.compile(r"/batches/[^/:]+:cancel$|/interactions/[^/]+/cancel$")


class GeminiReader(GenericReader):
    """A channel is a candidate and what its text is: `0.text`, `0.thought`. It ends where the candidate goes on with another."""

    def _sse(self, event: Event, value: dict[str, Any], slots: list[Slot]) -> None:
        found: list[Slot] = []
        self._complete(value, (), "assistant", found)
        for slot in found:
            if (at := _candidate_of(slot.path)) is None:
                slots.append(slot)
            else:
                self._text(event, value, slot, at, slots)
        self._end(event, value)

    def _text(self, event: Event, value: dict[str, Any], slot: Slot, at: int, slots: list[Slot]) -> None:
        """One piece of a text; `at` is how many steps of its path lead to its candidate."""
        candidate, part = _follow(value, slot.path[:at]), _follow(value, slot.path[:-1])
        index = _index(candidate, slot.path[at - 1])
        thought = part.get("thought") is True
        slot.kind = "thinking" if thought else "assistant"
        slot.channel = f"{index}.{'thought' if thought else 'text'}"
        wrapped = slot.path[0] == "response"
        answer = value["response"] if wrapped else value
        head = {key: item for key, item in answer.items() if key in ("modelVersion", "responseId", "createTime")}
        outer = {key: item for key, item in value.items() if key == "traceId"} if wrapped else {}
        mark = {"thought": True} if thought else {}

        def make(text: str) -> dict[str, Any]:
            said = {"content": {"parts": [{"text": text, **mark}], "role": "model"}, "index": index}
            made = {"candidates": [said], **head}
            return {"response": made, **outer} if wrapped else made

        self._running(slot, event, make, slots)

    def _end(self, event: Event, value: dict[str, Any]) -> None:
        if self.failed is not None:
            self._close(event, self._open)
            return
        response = value.get("response")
        candidates = (response if type(response) is dict else value).get("candidates")
        for number, candidate in enumerate(candidates if type(candidates) is list else ()):
            index = _index(candidate, number)
            goes_on = _channel_at_the_end(candidate, index)
            self._close(
                event, [name for name in self._open if name.startswith(f"{index}.") and goes_on not in ("", name)]
            )


def _candidate_of(path: Path) -> int | None:
    """How many steps of a path lead to the candidate whose running text it names; None: it names something else."""
    at = 1 if path[:1] == ("response",) else 0
    steps = path[at:]
    if len(steps) == 6 and (steps[0], steps[2], steps[3], steps[5]) == ("candidates", "content", "parts", "text"):
        return at + 2
    return None


def _follow(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _index(candidate: Any, number: Any) -> Any:
    index = candidate.get("index") if type(candidate) is dict else None
    return index if type(index) is int else number


def _channel_at_the_end(candidate: Any, index: Any) -> str:
    """The channel that may go on behind this chunk; "" if it says nothing of that, "end" if none does."""
    if type(candidate) is not dict:
        return ""
    if candidate.get("finishReason"):
        return "end"
    content = candidate.get("content")
    parts = content.get("parts") if type(content) is dict else None
    last = parts[-1] if type(parts) is list and parts else None
    if type(last) is not dict:
        return ""
    if type(last.get("text")) is not str:
        return "end"  # a call, or media: a text behind it is another one
    return f"{index}.{'thought' if last.get('thought') is True else 'text'}"


class Gemini(Generic):
    """Google's Gemini API by the generic walk; model and method stand in the path (`/v1beta/models/M:generateContent`)."""

    name = "gemini"

    _GENERATING = frozenset(
        {"generateContent", "streamGenerateContent", "predict", "predictLongRunning", "batchGenerateContent"}
    )
    _EMBEDDING = frozenset({"embedContent", "batchEmbedContents", "asyncBatchEmbedContent"})
    # Priced by the image, the second or the batch (https://ai.google.dev/gemini-api/docs/pricing).
    _ELSEWHERE = frozenset({"predict", "predictLongRunning", "batchGenerateContent", "asyncBatchEmbedContent"})
    # What Code Assist, the Gemini CLI's Google login, is asked besides the model.
    _ACCOUNT = frozenset(
        {"loadCodeAssist", "onboardUser", "retrieveUserQuota", "listExperiments", "fetchAdminControls",
         "recordCodeAssistMetrics", "setCodeAssistGlobalUserSetting"}
    )  # fmt: skip

    def _asked(self, method: str, path: str) -> Operation:
        """Told by the verb behind a colon; what generates wins, wherever it stands."""
        verbs = [piece.partition("/")[0] for piece in path.split(":")[1:]]
        verb = next((one for one in verbs if one in self._GENERATING or one in self._EMBEDDING), "")
        if verb:
            name = "embeddings" if verb in self._EMBEDDING else "generate"
            return Operation(name, generates=True, elsewhere=verb in self._ELSEWHERE)
        if verbs and path.endswith(":countTokens"):
            return Operation("count_tokens", free=True)
        account = path.partition("/v1internal:")[2] in self._ACCOUNT
        if method != "POST" or account or _FILES.search(path) or _CANCEL.search(path):
            return Operation("models" if "/models" in path else "other", free=True)
        return Operation("other", generates=True, elsewhere=_KEPT.search(path) is not None)

    def reader(self, operation: Operation) -> AnswerReader:
        """A reader that puts the pieces of a text together over the chunks."""
        return GeminiReader()

    def model(self, operation: Operation, path: str, value: Any) -> str:
        """The path's, else the body's."""
        return model_in(path) or (text_of(value, "model") or "").removeprefix("models/")

    def streams(self, operation: Operation, path: str, value: Any) -> bool:
        """As the path's verb says."""
        return path.endswith(":streamGenerateContent") or super().streams(operation, path, value)

    def error(self, status: int, kind: ErrorKind, message: str, request_id: str) -> bytes:
        """A body with an `error` object that has the status in words."""
        return dump(gemini_error(status, kind, message, request_id))

    def error_event(self, kind: ErrorKind, message: str, request_id: str) -> bytes:
        """An event without a name."""
        return b"data: " + dump(gemini_error(STATUSES[kind], kind, message, request_id)) + b"\n\n"
