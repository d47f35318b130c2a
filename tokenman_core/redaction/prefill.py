"""Where the end of a request is text that the model itself goes on with, so that a program puts both together."""

from collections.abc import Sequence
from typing import Final

from tokenman_core.slots import Slot

_BESIDE: Final = frozenset({"thinking", "tool_input"})  # may stand between texts of one answer
_PROMPTS: Final = (("prompt",), ("prompt", 0))


def goes_on(slots: Sequence[Slot], most: int) -> str:
    """The last characters, at most so many, of the text that an answer goes on with: the last message's, if it is the model's
    own, or that of a prompt which is no message; "" for none.
    """
    messages = [slot for slot in slots if slot.message >= 0 or slot.path in _PROMPTS]
    if not messages:
        return ""
    last = messages[-1]
    if last.path in _PROMPTS:
        return last.text[-most:]
    if all(slot.kind == "tool_result" for slot in messages if slot.message == last.message):
        return ""  # of tools that the program ran: what the model says behind them is another message
    found: list[str] = []
    length = 0
    for slot in reversed(messages):
        if slot.kind == "assistant":
            found.append(slot.text)
            length += len(slot.text)
        elif slot.kind not in _BESIDE and (slot.kind != "tool_result" or slot.message != last.message):
            break
        if length >= most:
            break
    return "".join(reversed(found))[-most:]
