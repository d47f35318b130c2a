"""`tokenman prices`: take in newer price lists from a file, and say what a model costs here."""

import datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path

import typer

from addons.cli.figures import so_many
from addons.cli.settings import complain, loaded
from tokenman_core.config.models import Settings
from tokenman_core.ledger.row import clean

SOURCE = "https://github.com/pydantic/genai-prices/blob/main/prices/new_data/v2/data.json"


def take(file: Path | None, path: Path) -> int:
    """The exit code: 0 taken in, 1 it could not be kept, 2 it holds no price lists or the configuration is wrong."""
    found = loaded(file)
    if found is None:
        return 2
    from tokenman_core import price_lists
    from tokenman_core.errors import ConfigError
    from tokenman_core.secret import own_folder, write_private

    try:
        with path.open("rb") as source:
            data = source.read(price_lists.LARGEST + 1)
        if len(data) > price_lists.LARGEST:
            raise price_lists.NoLists("it is too large")
        lists = price_lists.read(data)
    except OSError as error:
        complain(ValueError(f"{clean(str(path))} cannot be read: {(error.strerror or 'no reason was given').lower()}"))
        return 2
    except price_lists.NoLists as error:
        complain(ValueError(f"{clean(str(path))} holds no price lists: {error}"))
        complain(ValueError(f"the file that is meant is published at {SOURCE}"))
        return 2
    target = found.settings.data_dir / price_lists.FILE
    try:
        write_private(own_folder(found.settings.data_dir) / price_lists.FILE, data)
    except ConfigError as error:
        complain(error)
        return 2
    except OSError as error:
        complain(ValueError(f"{target} cannot be written: {error.strerror}"))
        return 1
    models = sum(len(each.models) for each in lists)
    typer.echo(f"Taken in: prices of {so_many(models, 'model')} of {so_many(len(lists), 'provider')}, kept in {target}")
    typer.echo("What they lack is priced as shipped. A running TokenMan uses them from its next start.")
    typer.echo(f"To go back to the shipped prices, remove {target}")
    return 0


def show(file: Path | None, model: str, provider: str | None) -> int:
    """What a model costs at a provider now, by the settings in force. The exit code: 1 if no price is known of it."""
    found = loaded(file)
    if found is None:
        return 2
    from tokenman_core import price_lists
    from tokenman_core.pricing import Prices
    from tokenman_core.providers import of_settings

    providers = of_settings(found.settings).by_name
    name = provider or _served_by(model, found.settings)
    if name not in providers:
        complain(ValueError(f"no provider is called {clean(name)}; known here: {', '.join(providers)}"))
        return 2
    prices = Prices(found.settings.pricing, price_lists.at(found.settings.data_dir))
    rates, basis = prices.rates(providers[name], model, datetime.datetime.now(datetime.UTC))
    if rates is None:
        complain(ValueError(f"no price is known of {clean(model)} at {name}; one in the configuration would be:"))
        complain(ValueError(f"  pricing: {{overrides: {{{clean(model)}: {{input_mtok: 0.5, output_mtok: 2}}}}}}"))
        return 1
    typer.echo(f"{clean(model)} at {name}, {_BASIS[basis]}, in USD:")
    for amount, what in rates.told():
        typer.echo(f"  {_plain(amount):>12}  {what}")
    return 0


_BASIS = {
    "list": "by its provider's list",
    "override": "by pricing.overrides",
    "ceiling": "which is on no list: its provider's dearest",
    "free": "which is free of charge",
}


def _served_by(model: str, settings: Settings) -> str:
    """The provider that says it has such models; the first one if none does."""
    names = [name for name, it in settings.providers.items() if any(fnmatchcase(model, each) for each in it.models)]
    return (names or list(settings.providers))[0]


def _plain(amount: Decimal) -> str:
    """All its digits, and at least two behind the point."""
    whole, _, digits = format(amount.normalize(), "f").partition(".")
    return f"{whole}.{digits:0<2}"
