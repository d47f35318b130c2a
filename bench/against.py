"""Detection beside stock presidio in one run, on the corpora nobody tuned on: `uv run python -m bench.against [EVERY]`.

Stock is presidio's `AnalyzerEngine` with its default recognisers and the threshold that it comes with, behind a blank tokeniser, so
that it downloads no model. It takes every `EVERY`th sample (1: all), for it is slow.
"""

import sys
import time
from collections.abc import Sequence
from typing import Any

from tests.corpora.build import corpus
from tests.corpora.measure import Find, finder, measure
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import make_gate


def stock() -> Find:
    """presidio as it comes, asked for everything that it knows."""
    import spacy
    import tldextract
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    vars(tldextract)["extract"] = tldextract.TLDExtract(
        suffix_list_urls=()
    )  # else it fetches the list of public suffixes

    class Blank(SpacyNlpEngine):
        def __init__(self) -> None:
            super().__init__()
            vars(self)["nlp"] = {"en": spacy.blank("en")}

        def load(self) -> None:
            return

    registry: Any = RecognizerRegistry()
    registry.load_predefined_recognizers()
    engine = AnalyzerEngine(registry=registry, nlp_engine=Blank(), supported_languages=["en"])

    def find(text: str) -> Sequence[tuple[int, int, str]]:
        return [(each.start, each.end, each.entity_type) for each in engine.analyze(text, language="en")]

    return find


def main() -> None:
    every = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    samples = corpus("report")[::every]
    size = sum(len(sample.text) for sample in samples) / 1024
    for name, find in (("TokenMan", finder(Detector(make_gate()))), ("stock presidio", stock())):
        find("Write to someone@example.com.")
        start = time.process_time()
        report = measure(samples, find)
        print(f"{name}: {size:.0f} KB, {(time.process_time() - start) * 1e3 / size:.2f} ms/KB CPU")
        for group, count in sorted(report.by_group.items()):
            print(f"  {group:24} {count.planted:6} values, recall {count.recall:.3f}, precision {count.precision:.3f}")
        for group, (touched, total) in sorted(report.touched.items()):
            print(f"  {group:24} {total:6} near misses, {touched / total:.3f} touched")


if __name__ == "__main__":
    main()
