"""What the demo's provider says to a request, plain and as a stream."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from addons.demo.provider import chat_api, code_assist, gemini_api, messages_api, responses_api
from addons.demo.provider.gemini_api import Call
from tests.core.caching.shapes.said import Said
from tokenman_core.caching.shapes import Wanted

MAIL = "[EMAIL_ADDRESS_0123456789ab]"
LONG = "It is a long story, told in many words, so that it comes in more pieces than one. " * 9
SCENARIOS = {
    "nothing": "hello",
    "said": f"[[say {LONG} for {MAIL}]]",
    "empty": "[[say ]]",
    "wide": '[[say 日本語 \U0001f469‍\U0001f469‍\U0001f467 naïve “quotes” \\ " \t]]',
    "lines": "[[say one\n\ntwo\r\nthree\n\n\ndata: four\n]]",
    "thinking": f"[[thinking]] [[say so it is for {MAIL}]]",
    "thinking long": f"[[thinking {LONG}]] hello",
    "tool": f'[[tool Write {{"file_path": "a.txt", "content": "to: {MAIL}\\n\\"{MAIL}\\"", "n": [1, 2.5, null, true, {{}}]}}]]',
    "no arguments": "[[tool Now {}]]",
    "big numbers": '[[tool Sum {"a": 123456789012345678901234567890, "b": 9007199254740993, "c": -0.1}]]',
    "tools": '[[say I do both]] [[tool A {"x": "1"}]] [[tool B {"y": "é"}]] [[tool A {}]]',
    "all": f'[[thinking hm {MAIL}]] [[say {LONG}]] [[tool A {{"x": "{LONG}"}}]]',
    "big": "[[big 20000]]",
}


STREAM = Wanted(True)


@dataclass(frozen=True)
class Api:
    """`said(text, form)`: what is answered to it, plain, as events, or as an array."""

    dialect: str
    operation: str
    said: Callable[[str, str], Said]
    wanted: Wanted = STREAM


def _messages(text: str, form: str) -> Said:
    value = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}], "stream": form == "events"}
    return Said.reply(messages_api.messages(value, messages_api.script_of(value), 7))


def _chat(text: str, form: str) -> Said:
    value: dict[str, Any] = {"model": "gpt-5.1", "messages": [{"role": "user", "content": text}]}
    if form == "events":
        value |= {"stream": True, "stream_options": {"include_usage": True}}
    return Said.reply(chat_api.chat(value, chat_api.script_of(value), 7))


def _responses(text: str, form: str) -> Said:
    value = {"model": "gpt-5.1", "input": text, "stream": form == "events"}
    return Said.reply(responses_api.responses(value, responses_api.script_of(value), 7))


def _custom(text: str, form: str) -> Said:
    """A tool that takes a text, in a space of names of its own."""
    return _responses(f'{text} [[tool files.patch "*** {text[2:8]}"]]', form)


def _call(form: str) -> Call:
    return Call("generateContent" if form == "plain" else "streamGenerateContent", "gemini-2.5-pro", form == "events")


def _gemini(text: str, form: str) -> Said:
    value = {"contents": [{"parts": [{"text": text}]}]}
    return Said.reply(gemini_api.answer(_call(form), value, gemini_api.script_of(value, "m"), 7))


def _assist(text: str, form: str) -> Said:
    value = {"model": "gemini-2.5-pro", "request": {"contents": [{"parts": [{"text": text}]}]}}
    return Said.reply(code_assist.answer(_call(form), value, code_assist.script_of(value), 7))


ANTHROPIC = Api("anthropic", "messages", _messages)
CHAT = Api("openai", "chat", _chat, Wanted(True, usage=True))
RESPONSES = Api("openai", "responses", _responses)
CUSTOM = Api("openai", "responses", _custom)
GEMINI = Api("gemini", "generate", _gemini)
ASSIST = Api("gemini", "generate", _assist)
APIS = {
    "anthropic": ANTHROPIC, "chat": CHAT, "responses": RESPONSES, "custom": CUSTOM, "gemini": GEMINI, "code assist": ASSIST,
}  # fmt: skip
