"""How amounts are written for people: money, tokens, spans of time."""

from decimal import Decimal


def money(amount: Decimal | None) -> str:
    """`$0.0421`, `$12.30`; `$?` where no price is known, which is not the same as nothing."""
    if amount is None:
        return "$?"
    if 0 < amount < Decimal("0.0001"):
        return "<$0.0001"
    return f"${amount:.4f}" if 0 < amount < 1 else f"${amount:.2f}"


def count(number: int) -> str:
    """`340`, `12.3k`, `1.2M`."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)


def span(seconds: float) -> str:
    """`42s`, `3m12s`, `2h05m`, `3d04h`: the two largest units."""
    whole = int(seconds)
    for size, unit, part, inner in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // part:02d}{inner}"
    return f"{whole}s"


def took(milliseconds: float) -> str:
    """`340ms`, `1.4s`, `3m12s`."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f}ms"
    return f"{milliseconds / 1000:.1f}s" if milliseconds < 60_000 else span(milliseconds / 1000)
