"""Detection beside other tools in one run, on the corpora nobody tuned on: `uv run python -m bench.against [EVERY] [GITLEAKS]`.

Stock presidio is its `AnalyzerEngine` with its default recognisers and the threshold that it comes with, behind a blank tokeniser,
so that it downloads no model. `EVERY`: it takes every so-many-th sample (1: all), for it is slow. `GITLEAKS`: the program (8.19 or
later), which is run with the rules that it comes with over a folder of the samples, one a file.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.corpora.build import Sample, corpus
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


def gitleaks(program: str, samples: Sequence[Sample]) -> Find:
    """The program asked once for all samples. What it says is a secret is found wherever its text stands in the sample."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for number, sample in enumerate(samples):
            Path(folder, f"{number}.txt").write_text(sample.text, "utf-8", "surrogatepass")
        asked = [program, "dir", folder, "--no-banner", "--exit-code=0", "--report-format=json", "--report-path=-"]
        said = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)
    found: dict[str, list[tuple[int, int, str]]] = {sample.text: [] for sample in samples}
    for each in said:
        text = samples[int(Path(each["File"]).stem)].text
        start = text.find(each["Secret"])
        while start >= 0:
            found[text].append((start, start + len(each["Secret"]), each["RuleID"]))
            start = text.find(each["Secret"], start + 1)
    return lambda text: found.get(text, [])


def main() -> None:
    every = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    samples = corpus("report")[::every]
    size = sum(len(sample.text) for sample in samples) / 1024
    finders = [("TokenMan", finder(Detector(make_gate()))), ("stock presidio", stock())]
    taken = {}
    if len(sys.argv) > 2:
        finders.append(("gitleaks", gitleaks(sys.argv[2], samples)))
        of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken["gitleaks"] = of_children.ru_utime + of_children.ru_stime
    for name, find in finders:
        find("Write to someone@example.com.")
        start = time.process_time()
        report = measure(samples, find)
        seconds = taken.get(name, time.process_time() - start)
        print(f"{name}: {size:.0f} KB, {seconds * 1e3 / size:.2f} ms/KB CPU")
        for group, count in sorted(report.by_group.items()):
            print(f"  {group:24} {count.planted:6} values, recall {count.recall:.3f}, precision {count.precision:.3f}")
        for group, (touched, total) in sorted(report.touched.items()):
            print(f"  {group:24} {total:6} near misses, {touched / total:.3f} touched")


if __name__ == "__main__":
    main()
