"""The tour on the screen: what the program sent, what the provider received, what came back, side by side."""

import json
import shlex
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from addons.cli import figures, tail
from addons.demo.calls import Result
from addons.demo.provider.script import PLACEHOLDER
from addons.demo.scenes import PLANTED, Scene

_FROM_CACHE = {
    "hit": "from the cache, and nothing was sent",
    "miss": "from the provider",
    "bypass": "from the provider",
}
_NARROWEST = 100  # columns where there is no terminal to ask


def console() -> Console:
    made = Console(highlight=False, markup=False)
    if not made.is_terminal and made.width < _NARROWEST:
        made = Console(highlight=False, markup=False, width=_NARROWEST)
    return made


def scene(screen: Console, one: Scene, arrived: str, result: Result, again: Result | None = None) -> None:
    """`arrived` is the text as the provider received it; `again` what came when the same was asked a second time."""
    table = Table(expand=True, show_lines=False, pad_edge=False)
    for title in ("your program sent", "the provider received", "your program got back"):
        table.add_column(title, ratio=1, overflow="fold")
    table.add_row(
        _coloured(one.text, "bold red"), _coloured(arrived, "bold red"), _coloured(_said(result), "bold green")
    )
    pieces = f", {result.pieces} pieces" if result.pieces > 1 else ""
    count = f"{result.masked} value{'s' if result.masked != 1 else ''} masked"
    foot = Text(f"{count}{pieces}, {result.seconds * 1000:.0f} ms", style="dim")
    if again is not None and again.cache:
        foot.append(f"; asked again: {again.seconds * 1000:.0f} ms, {_FROM_CACHE.get(again.cache, again.cache)}")
    screen.print(Panel(Group(Text(one.remark), Text(), table, foot), title=one.title, title_align="left"))


def _said(result: Result) -> str:
    calls = [f"{name}({json.dumps(arguments, ensure_ascii=False)})" for name, arguments in result.tools]
    return "\n".join([*([result.text] if result.text else []), *calls])


def _coloured(text: str, style: str) -> Text:
    """The planted values in the given style, placeholders in yellow."""
    shown = Text(text)
    shown.highlight_words(PLANTED, style)
    shown.highlight_regex(PLACEHOLDER, "bold yellow")
    return shown


def verdict(screen: Console, faults: list[str], requests: int) -> None:
    if faults:
        for fault in faults:
            screen.print(Text(f"✗ {fault}", style="bold red"))
    else:
        line = f"✓ Nothing of it reached the provider ({requests} requests were looked through), and all came back."
        screen.print(Text(line, style="bold green"))


def receipt(screen: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """What the calls of the tour came to, from their records."""
    cost = sum((Decimal(row["cost_usd"]) for row in rows if row["cost_usd"] is not None), Decimal(0))
    saved = sum((Decimal(row["saved_usd"]) for row in rows), Decimal(0))
    masked = sum(row["redactions"] for row in rows)
    screen.print()
    screen.print(Text("What is kept of them, and no word of what was said:", style="bold"))
    for row in rows:
        screen.print(Text(f"  {tail.line(row)}"), soft_wrap=True)
    total = f"  {len(rows)} calls, {masked} values masked, {figures.money(cost)} at the providers' list prices"
    spared = f", {figures.money(saved)} saved by the cache" if saved else ""
    screen.print(Text(f"{total}{spared} (here: spent on nobody)"), soft_wrap=True)


def invitation(screen: Console, port: int | None, dashboard: str, configuration: Path) -> None:
    """How to go on. `port`: where the demo goes on running, with its dashboard and its configuration; None if it ends now."""
    screen.print()
    screen.print(Text("Your own programs, with their own keys and logins:", style="bold"))
    for line in (
        "tokenman run -- claude                                   (or codex, gemini, python bot.py, …)",
        "tokenman up                                              (a proxy that stays, then by hand:)",
        "export ANTHROPIC_BASE_URL=http://127.0.0.1:7677",
        "export OPENAI_BASE_URL=http://127.0.0.1:7677/v1",
    ):
        screen.print(Text(f"  {line}"), soft_wrap=True)
    if port is not None:
        screen.print()
        screen.print(Text("Its dashboard, which this address opens once:", style="bold"))
        screen.print(Text(f"  {dashboard}"), soft_wrap=True)
        screen.print()
        screen.print(
            Text(
                "What is kept of them (and of one that warmed it up), in another terminal, while it runs:", style="bold"
            )
        )
        for command in ("report", "why last", "tail"):
            screen.print(Text(f"  tokenman {command} --config {shlex.quote(str(configuration))}"), soft_wrap=True)
        screen.print()
        screen.print(
            Text("Or play with this one, which answers from its built-in provider (Ctrl-C ends it):", style="bold")
        )
        line = f"  export ANTHROPIC_BASE_URL=http://127.0.0.1:{port} ANTHROPIC_API_KEY=sk-ant-demo"
        screen.print(Text(line), soft_wrap=True)
