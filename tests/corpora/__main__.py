"""Prints how well the detectors do: `uv run just accuracy`. `--failures N` shows N of each kind of failure, of `tune` only."""

import argparse
from collections import Counter

from tests.corpora import code
from tests.corpora.build import PARTS, corpus
from tests.corpora.measure import Count, Report, finder, measure
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import make_gate


def _line(name: str, count: Count) -> str:
    typed = count.typed / count.found if count.found else 1.0
    return f"  {name:34} {count.planted:6} {count.recall:8.3f} {count.precision:10.3f} {typed:8.3f}"


def _show(part: str, report: Report, forms: bool) -> None:
    print(f"\n== {part} ==\n  {'':34} {'values':>6} {'recall':>8} {'precision':>10} {'typed':>8}")
    for name, count in sorted(report.by_group.items()):
        print(_line(name, count))
    print()
    for name, count in sorted((report.by_form if forms else report.by_entity).items()):
        if count.planted:
            print(_line(name, count))
    for name, (touched, total) in sorted(report.touched.items()):
        print(f"  {name:34} {total:6} {touched / total:8.3f} touched")
    print(
        "   " + ", ".join(f"{miss} as {entity} {count}" for (miss, entity), count in report.touched_by.most_common(15))
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.corpora")
    parser.add_argument("--failures", type=int, default=0, metavar="N")
    parser.add_argument("--forms", action="store_true", help="by form of value rather than by entity")
    parser.add_argument("--tree", help="count false alarms in the files of this folder too")
    parser.add_argument("--part", choices=PARTS)
    options = parser.parse_args()
    find = finder(Detector(make_gate()))
    for part in PARTS if options.part is None else (options.part,):
        report = measure(corpus(part), find)
        _show(part, report, options.forms)
        shown: Counter[tuple[str, str, str]] = Counter()
        for kind, sample, found in report.failures if part == "tune" else []:
            of = (kind, sample.about or (sample.planted[0].entity if sample.planted else ""), sample.group)
            shown[of] += 1
            if shown[of] <= options.failures:
                print(
                    f"  {kind:7} {' / '.join(of[1:]):40} {sample.text[:160]!r} {[(e, sample.text[a:b][:60]) for a, b, e in found]}"
                )
    if options.part is None or options.tree:
        print("\n== false alarms in code ==")
        for name, texts in code.sources(options.tree).items():
            size, alarms = code.alarms(texts, find)
            print(
                f"  {name:34} {size / 1024:8.0f} KB {sum(alarms.values()) / size * 102_400:6.2f} in 100 KB  {dict(alarms.most_common(6))}"
            )


if __name__ == "__main__":
    main()
