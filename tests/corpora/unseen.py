"""How well detection does on texts that are new each time: `uv run python -m tests.corpora.unseen --seed N`.

Recall by kind, precision (a finding of which less than half is a value is wrong), near misses touched, the texts that come back from
restoration as they were, and with `--tree FOLDER` what is found in source code. A value that only a word could tell and that stands
without one, such as a national telephone number, is apart.
"""

import argparse
import asyncio
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

from tests.corpora.fresh import texts
from tokenman_core.config.models import Redaction as Settings
from tokenman_core.redaction import Redactor, Restorer
from tokenman_core.redaction.choose import chosen
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import make_gate
from tokenman_core.redaction.policy import Policy
from tokenman_core.slots import Slot


class InProcess:
    def __init__(self) -> None:
        self.detector, self.policy = Detector(make_gate()), Policy(Settings())

    def say(self, text: str) -> list[tuple[int, int, str]]:
        found = chosen(text, self.detector.find(text), lambda each: self.policy.say(each, False), self.policy.rank)
        return [(start, end, entity) for start, end, entity, _ in found]

    async def find(self, asked: list[tuple[str, str]]) -> list[object]:
        return [self.detector.find(text, key) for text, key in asked]


def _covered(start: int, end: int, found: list[tuple[int, int, str]]) -> bool:
    for low, high, _ in sorted(found):
        if low <= start < high:
            start = high
    return start >= end


async def _comes_back(finder: InProcess, redactor: Redactor, text: str) -> bool:
    mapping, slot = redactor.mapping(), Slot(("messages", 0, "content"), "user", text)
    await redactor.mask([slot], mapping)
    restorer = Restorer(mapping, "same_host")
    answer = Slot((), "assistant", slot.text, "", channel="c")
    return restorer.feed(answer) + restorer.close("c") == text


def judge(seed: int, rounds: int, show: int) -> None:
    finder = InProcess()
    redactor = Redactor(Settings(), b"unseen" * 8, finder)  # type: ignore[arg-type]
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    shown: Counter[str] = Counter()
    restored = [0, 0]
    for group, text, planted in texts(seed, rounds):
        found = finder.say(text)
        for low, high, kind in planted:
            hit = _covered(low, high, found)
            for name in (kind, f"= {group}"):
                seen[name]["all"] += 1
                seen[name]["found"] += hit
            shown[kind] += not hit
            if not hit and shown[kind] <= show and group != "apart":
                print(f"  missed {kind:10} {text!r} {[(entity, text[a:b]) for a, b, entity in found]}")
        for low, high, entity in found:
            right = 2 * sum(max(0, min(high, b) - max(low, a)) for a, b, _ in planted) >= high - low
            seen["= precision" if group != "misses" else "= near misses"]["right" if right else "wrong"] += 1
            if not right and show:
                print(f"  wrong {entity} {text[low:high]!r} in {text!r}")
        seen["= near misses"]["all"] += group == "misses"
        if planted:
            restored[0] += asyncio.run(_comes_back(finder, redactor, text))
            restored[1] += 1
    for name, count in sorted(seen.items()):
        if count["found"] or name[0] != "=":
            print(f"{name:20} {count['found']:6} of {count['all']:6}  {count['found'] / count['all']:.4f}")
    right, wrong = seen["= precision"]["right"], seen["= precision"]["wrong"]
    print(f"{'= precision':20} {right:6} of {right + wrong:6}  {right / (right + wrong):.4f}")
    print(f"{'= near misses':20} {seen['= near misses']['wrong']:6} of {seen['= near misses']['all']:6} touched")
    print(f"{'= restored':20} {restored[0]:6} of {restored[1]:6}  {restored[0] / restored[1]:.4f}")


def alarms(folder: str, kilobytes: int, show: int) -> None:
    """What is found in pieces of the source files below a folder, drawn by seed; e-mail addresses of authors are no alarms."""
    finder, rng, size = InProcess(), Random(folder), 0
    found: Counter[str] = Counter()
    paths = [
        path
        for path in sorted(Path(folder).rglob("*"))
        if path.suffix in (".py", ".js", ".ts", ".mjs", ".jsx", ".tsx", ".cjs") and path.is_file()
    ]
    rng.shuffle(paths)
    for path in paths:
        text = path.read_text("utf-8", "replace")
        at = rng.randrange(max(1, len(text) - 8192))
        text = text[at : at + 8192]
        size += len(text)
        for low, high, entity in finder.say(text):
            if entity != "EMAIL_ADDRESS":
                found[entity] += 1
                if show:
                    print(f"  {entity} {text[max(0, low - 50) : high + 20]!r} {text[low:high]!r} {path.name}")
        if size > kilobytes * 1024:
            break
    print(
        f"{'= false alarms':20} {sum(found.values()) / size * 102_400:.2f} in 100 KB of {size / 1024:.0f} KB of {folder}: {dict(found)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.corpora.unseen", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=6, help="each of some 2,800 texts")
    parser.add_argument(
        "--show", type=int, default=0, metavar="N", help="N of what was missed of each kind, and all that is wrong"
    )
    parser.add_argument("--tree", nargs="*", default=[], help="folders of source code to count false alarms in")
    parser.add_argument("--kilobytes", type=int, default=4096, help="of each of those")
    options = parser.parse_args()
    if options.rounds:
        judge(options.seed, options.rounds, options.show)
    for folder in options.tree:
        alarms(folder, options.kilobytes, options.show)


if __name__ == "__main__":
    main()
