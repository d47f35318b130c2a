"""The providers' price lists: those that genai-prices was released with, and over them newer ones from a file.

The file is what genai-prices publishes (https://github.com/pydantic/genai-prices, `prices/new_data/v2/data.json`), for machines
that get no newer release of it. Nothing is fetched.
"""

import json
import logging
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tokenman_core.errors import trace

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo
    from genai_prices.types import Provider as PriceList

log = logging.getLogger("tokenman.meter")

FILE = "prices.json"  # in data_dir
LARGEST = 64 * 1024 * 1024  # bytes; the published file has 2 MB

# Whose prices hold for a provider of ours, by its name. Other names may be those of a list (`deepseek`, `groq`).
_BY_NAME = {
    "anthropic": "anthropic",
    "openai": "openai",
    "codex": "openai",
    "gemini": "google",
    "gemini-code-assist": "google",
}
_BY_DIALECT = {"anthropic": "anthropic", "openai": "openai", "gemini": "google"}


class NoLists(Exception):
    """A file that holds no price lists. The message says what is wrong with it, never what is in it."""


def read(data: bytes) -> "list[PriceList]":
    """The lists of a file's content, with exact prices. Raises NoLists."""
    # The one way in that the library has; its own update from the internet goes through it, too.
    from genai_prices.types import _providers_from_raw

    try:
        raw = json.loads(data, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise NoLists("it is no JSON") from None
    if not isinstance(raw, list) or not raw:
        raise NoLists("it is no list of providers")
    try:
        return _providers_from_raw(raw)
    except Exception as error:  # whatever the library makes of a file that it was not made for
        raise NoLists(f"it is not as genai-prices publishes its lists ({type(error).__name__})") from None


def merged(newer: "list[PriceList]", shipped: "list[PriceList]") -> "list[PriceList]":
    """The newer lists, and of the shipped ones what those lack: whole providers, and models of theirs."""
    from dataclasses import replace

    old = {each.id: each for each in shipped}
    found = []
    for each in newer:
        known = {model.id for model in each.models}
        more = [model for model in old.pop(each.id).models if model.id not in known] if each.id in old else []
        found.append(replace(each, models=[*each.models, *more]))
    return [*found, *old.values()]


class Lists:
    """Asked for the first time it loads them (half a second): `warm` is for a thread to do before."""

    def __init__(self, path: Path | None = None) -> None:
        """`path`: of a file that was imported. One that cannot be read is told, and the shipped lists hold."""
        self._path = path
        self.ready = False
        self.model = lru_cache(1024)(self._model)
        self.families = lru_cache(1024)(self._families)

    def warm(self) -> None:
        assert self.all
        self.ready = True

    @cached_property
    def all(self) -> "list[PriceList]":
        from genai_prices.data import providers

        shipped: list[PriceList] = list(providers)
        if self._path is None:
            return shipped
        try:
            return merged(read(self._path.read_bytes()), shipped)
        except (OSError, NoLists) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            log.error(
                "the prices in %s are left aside: %s; to have new ones: tokenman prices import FILE", self._path, why
            )
        except Exception as error:  # a mistake in the merging must not leave every call without a price
            log.error("the prices in %s are left aside: %s", self._path, trace(error))
        return shipped

    def _model(self, address: str, name: str, dialect: str, model: str) -> "ModelInfo | None":
        """As it stands on the first list that has it; at last on that of those who made the API."""
        last = [each for each in self.all if each.id == _BY_DIALECT.get(dialect)]
        for family in (*self.families(address, name, model), *last):
            if found := family.find_model(model, all_providers=self.all):
                return found
        return None

    def _families(self, address: str, name: str, model: str) -> "tuple[PriceList, ...]":
        """The lists that surely hold for a provider: told by its address, by its name, by the model's name."""
        found = [each for each in self.all if re.match(each.api_pattern, address)]
        found += [each for each in self.all if each.id == _BY_NAME.get(name, name)]
        if model:
            found += [each for each in self.all if each.model_match and each.model_match.is_match(model.lower())]
        return tuple(found)


SHIPPED = Lists()


def at(folder: Path) -> Lists:
    """Those in force for a data folder: the same ones until another file is imported."""
    path = folder / FILE
    try:
        status = path.stat()
    except OSError:
        return SHIPPED
    return _of_file(path, status.st_mtime_ns, status.st_size)


@lru_cache(4)
def _of_file(path: Path, changed: int, size: int) -> Lists:
    return Lists(path)


def noon(day: date) -> datetime:
    """A moment of a day, for prices that hold for the day as a whole."""
    return datetime.combine(day, time(12), UTC)
