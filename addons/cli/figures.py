"""How amounts are written for people: money, tokens, spans of time."""

from decimal import ROUND_HALF_UP, Decimal

FINEST = 6  # digits behind the point that are ever shown; --json, --csv and the API have all


def money(amount: Decimal | None) -> str:
    """`$0.00045`, `$0.0421`, `$12.30`; `$?` where no price is known, which is not the same as nothing.

    Rounded half up, as everywhere (words.js does the same): what stands above a sum adds up to it.
    """
    if amount is None:
        return "$?"
    if 0 < amount < Decimal(1).scaleb(-FINEST):
        return f"<${Decimal(1).scaleb(-FINEST):f}"
    if amount == 0 or amount >= 1:
        return f"${rounded(amount, 2)}"
    whole, _, digits = rounded(amount, FINEST if amount < Decimal("0.01") else 4).partition(".")
    return f"${whole}.{digits.rstrip('0'):0<4}"


def rounded(amount: Decimal, digits: int) -> str:
    """`1,234.50`: so many digits behind the point, half up."""
    return f"{amount.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):,f}"


def so_many(number: int, what: str) -> str:
    """`1 call`, `1,204 calls`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


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
