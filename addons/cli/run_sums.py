"""What a program under `tokenman run` came to, as its user is told: one line, and what there is to wonder at."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from addons.cli import figures
from addons.cli.programs.table import Program, Via


def line(sums: Mapping[str, Any]) -> str:
    """Of what `GET /api/runs/MARK` tells."""
    others = sums["calls"] - sums["model_calls"]
    marks = [word for word in ("notional", "estimated") if sums[word]]
    if sums["ceiling"]:
        marks.append(f"guessed for {figures.so_many(sums['ceiling'], 'call')} of no listed model")
    if sums["unpriced"]:
        marks.append(
            f"without {figures.so_many(sums['unpriced'], 'call')} that {'has' if sums['unpriced'] == 1 else 'have'} no price"
        )
    parts = [
        figures.so_many(sums["model_calls"], "call") + (f" ({others:,} more that asked no model)" if others else ""),
        f"{figures.so_many(sums['masked'], 'value')} masked",
        figures.so_many(sums["input_tokens"] + sums["output_tokens"], "token"),
        ("≤" if sums["ceiling"] else "")
        + figures.money(Decimal(sums["cost_usd"]))
        + (f" ({', '.join(marks)})" if marks else ""),
        f"saved {figures.money(Decimal(sums['saved_usd']))}",
    ]
    if sums["refused"]:
        parts.append(f"{sum(sums['refused'].values()):,} refused by the provider ({', '.join(sums['refused'])})")
    if sums["errors"]:
        parts.append(figures.so_many(sums["errors"], "error"))
    return ", ".join(parts) + ("; see: tokenman why last" if sums["refused"] or sums["errors"] else "")


def warnings(sums: Mapping[str, Any], program: Program, via: Via | None, arguments: tuple[str, ...]) -> Iterator[str]:
    """Calls that were refused or are missing. Only those that ask a model count: others tell nothing of where it was asked."""
    for host, count in sums["bypassed"].items():
        yield f"{host} was refused {_times(count)}: no provider governs this LLM; add it under `providers:`"
    for host, count in sums["inner"].items():
        yield f"{host} was refused {_times(count)}: it is inside your network; add it to NO_PROXY"
    if not sums["model_calls"] and not sums["bypassed"] and program.expects_calls(arguments):
        other = "proxy" if via != "proxy" else "base-url"
        made = "no call to a model" if sums["calls"] else "no call"
        yield (
            f"{program.name} made {made} through TokenMan. If it did talk to a model, nothing of that was governed: see "
            f"`tokenman doctor` and its own settings for a base URL, or try `tokenman run --via {other} -- …`"
        )


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"
