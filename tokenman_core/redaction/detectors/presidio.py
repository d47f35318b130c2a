"""Presidio's recognisers of patterns, without its engines for natural language, which its package imports with them.

Those bring spaCy, which takes more than a second to import and 60 MB. The recognisers only mention their classes, and names of
persons are found by spaCy itself (`names`).
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_ENGINES = "presidio_analyzer.nlp_engine"


def _mentioned(name: str) -> Any:
    """A class in the place of one that is only mentioned; anything else a module is asked for, it does not have."""
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


@contextmanager
def _without_engines() -> Iterator[None]:
    if _ENGINES in sys.modules:
        yield
        return
    stand_in = ModuleType(_ENGINES)
    stand_in.__dict__["__getattr__"] = _mentioned
    sys.modules[_ENGINES] = stand_in
    try:
        yield
    finally:
        del sys.modules[_ENGINES]


with _without_engines():
    from presidio_analyzer import PatternRecognizer
    from presidio_analyzer.predefined_recognizers import CryptoRecognizer, EmailRecognizer, UsSsnRecognizer


def recognizer(name: str) -> Any:
    """The class of this name, None where the installed version has none."""
    return getattr(importlib.import_module("presidio_analyzer.predefined_recognizers"), name, None)


__all__ = ["CryptoRecognizer", "EmailRecognizer", "PatternRecognizer", "UsSsnRecognizer", "recognizer"]
