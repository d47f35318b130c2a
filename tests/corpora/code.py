"""Code in which nothing should be found: files that every checkout's environment has, a few that were written for this, and made ones.

What is installed is the locked set of packages and the standard library. In it stand addresses of authors and examples of values: an
e-mail address there is one, and other values that a person has looked at and found to be values are listed in `true_values.txt`,
one a line. Everything else that is found is a false alarm.
"""

import base64
import hashlib
import importlib.util
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.corpora.digits import draw
from tests.corpora.measure import Find

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
HEX = "0123456789abcdef"
_LANGUAGES = {
    "Python": (".py", ".pyi"), "C": (".c", ".h"), "C++": (".cpp", ".hpp", ".cc"), "Cython": (".pyx", ".pxd"), "Fortran": (".f90", ".f"), "JavaScript": (".js", ".mjs"),
    "TypeScript": (".ts",), "HTML and CSS": (".html", ".css", ".svg"), "JSON and YAML": (".json", ".yaml", ".yml", ".toml", ".cfg"), "shell": (".sh", ".ps1", ".bat"),
    "prose about code": (".md", ".rst"), "lock files": (".lock", "RECORD"),
}  # fmt: skip
_PER_LANGUAGE = 400_000  # characters, in pieces from many files
_PIECE = 8_000


def _true_values() -> frozenset[str]:
    listed = HERE / "true_values.txt"
    return frozenset(listed.read_text("utf-8").split("\n")) if listed.exists() else frozenset()


def _roots() -> list[Path]:
    packages = importlib.util.find_spec("mitmproxy")
    assert packages is not None
    assert packages.origin is not None
    return [Path(packages.origin).parent.parent, Path(os.__file__).parent]


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            each
            for each in folders
            if not each.startswith(".") and each not in ("__pycache__", "site-packages", "corpora", "tests", "test")
        )
        for name in names:
            yield Path(folder, name)


def _installed() -> dict[str, list[str]]:
    """A piece of many files, the same for the same environment: chosen by a hash of their names."""
    of = {ending: language for language, endings in _LANGUAGES.items() for ending in endings}
    listed: dict[str, list[tuple[str, Path]]] = {}
    for root, paths in (*((root, _files(root)) for root in _roots()), (ROOT, iter([ROOT / "uv.lock"]))):
        for path in paths:
            language = of.get(path.suffix) or of.get(path.name)
            if language is not None:
                listed.setdefault(language, []).append(
                    (hashlib.sha256(str(path.relative_to(root)).encode()).hexdigest(), path)
                )
    pieces: dict[str, list[str]] = {}
    for language, paths in sorted(listed.items()):
        size = 0
        for digest, path in sorted(paths):
            text = path.read_text("utf-8", "replace")
            at = int(digest[:8], 16) % max(1, len(text) - _PIECE + 1)
            at = text.rfind("\n", 0, at) + 1
            pieces.setdefault(language, []).append(text[at : at + _PIECE])
            size += min(len(text), _PIECE)
            if size > _PER_LANGUAGE:
                break
    return pieces


def _written() -> dict[str, list[str]]:
    return {f"written: {path.suffix[1:]}": [path.read_text("utf-8")] for path in sorted((HERE / "code").glob("*.*"))}


# -- made: what tools print by the megabyte --


def _logs(rng: Random) -> Iterator[str]:
    for _ in range(900):
        when = f"2026-0{rng.randrange(1, 10)}-{rng.randrange(10, 29)}T{rng.randrange(10, 24)}:{rng.randrange(10, 60)}:{rng.randrange(10, 60)}.{draw(rng, 3)}Z"
        identity = (
            f"{draw(rng, 8, HEX)}-{draw(rng, 4, HEX)}-4{draw(rng, 3, HEX)}-a{draw(rng, 3, HEX)}-{draw(rng, 12, HEX)}"
        )
        yield rng.choice(
            [
                f"{when} INFO  http GET /v1/items/{draw(rng, 9)}?page={rng.randrange(90)} 200 {rng.randrange(9000)}B {rng.random() * 90:.3f}ms req={identity}",
                f"{when} DEBUG scheduler job={draw(rng, 12)} queue=mail attempt={rng.randrange(5)} next={rng.randrange(1_700_000_000, 1_800_000_000)}",
                f"[{rng.randrange(99999)}.{draw(rng, 6)}] usb 1-1: new high-speed USB device number {rng.randrange(99)} using xhci_hcd",
                f"{when} WARN  gc pause={rng.randrange(900)}ms heap={draw(rng, 10)}/{draw(rng, 11)} gen={rng.randrange(3)}",
                f"{when} ERROR worker[{rng.randrange(40)}] trace={draw(rng, 32, HEX)} span={draw(rng, 16, HEX)} token bucket empty",
                f"{when} INFO  kube pod/web-{draw(rng, 10, HEX)}-{draw(rng, 5, 'bcdfghjk2456789')} pulled app@sha256:{draw(rng, 64, HEX)} in {rng.random() * 9:.6f}s",
                f"  at com.example.Main.run(Main.java:{rng.randrange(900)}) ~[app-{rng.randrange(9)}.{rng.randrange(30)}.{rng.randrange(9)}.{draw(rng, 3)}.jar:?]",
                f"epoch {rng.randrange(90)} step {draw(rng, 7)} loss {rng.random():.16f} lr 3.0000e-04 tokens {draw(rng, 10)}",
                f"{when} auth: password check failed for uid={draw(rng, 6)}, token expired, secret rotated",
            ]
        )


def _locks(rng: Random) -> Iterator[str]:
    for _ in range(500):
        name = "-".join(draw(rng, rng.randrange(3, 8), "abcdefghijklmnoprstuvwy") for _ in range(rng.randrange(1, 3)))
        version = f"{rng.randrange(20)}.{rng.randrange(40)}.{rng.randrange(90)}"
        sri = base64.b64encode(rng.randbytes(64)).decode()
        yield rng.choice(
            [
                f'    "node_modules/{name}": {{\n      "version": "{version}",\n      "resolved": "https://registry.example/{name}/-/{name}-{version}.tgz",\n      "integrity": "sha512-{sri}"\n    }},',
                f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = "registry+https://github.com/rust-lang/crates.io-index"\nchecksum = "{draw(rng, 64, HEX)}"\n',
                f"github.com/{name}/{name} v{version}-0.2023{draw(rng, 10)}-{draw(rng, 12, HEX)} h1:{base64.b64encode(rng.randbytes(32)).decode()}",
                f"{name}=={version} \\\n    --hash=sha256:{draw(rng, 64, HEX)} \\\n    --hash=sha256:{draw(rng, 64, HEX)}",
                f"    {name} ({version})\n      {name}-core (~> {version})",
                f'"{name}@^{version}":\n  version "{version}"\n  resolved "https://registry.example/{name}/-/{name}-{version}.tgz#{draw(rng, 40, HEX)}"\n  integrity sha512-{sri}',
            ]
        )


def _diffs(rng: Random) -> Iterator[str]:
    for _ in range(300):
        name = draw(rng, 6, "abcdefghijklm")
        yield (
            f"diff --git a/src/{name}.go b/src/{name}.go\nindex {draw(rng, 10, HEX)}..{draw(rng, 10, HEX)} 100644\n--- a/src/{name}.go\n+++ b/src/{name}.go\n"
            f"@@ -{rng.randrange(900)},{rng.randrange(9)} +{rng.randrange(900)},{rng.randrange(9)} @@ func (s *Server) {name.title()}(ctx context.Context) error {{\n"
            f'-\ttimeout := {draw(rng, 10)} * time.Nanosecond\n+\ttimeout := {draw(rng, 9)} * time.Nanosecond\n-\tif token == "" {{\n+\tif token == nil || password != expected {{\n'
            f"commit {draw(rng, 40, HEX)}\nMerge: {draw(rng, 9, HEX)} {draw(rng, 9, HEX)}\nDate:   Mon Mar {rng.randrange(1, 29)} 10:{rng.randrange(10, 60)}:11 2026 +0{rng.randrange(1, 9)}00\n"
        )


def _tables(rng: Random) -> Iterator[str]:
    for row in range(1500):
        yield f"{row},{rng.random():.12f},{rng.gauss(0, 1e6):.4f},{draw(rng, rng.randrange(6, 13))},{rng.randrange(2000, 2027)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d},{draw(rng, 8, 'ABCDEFGH23456789')}"


def _made() -> dict[str, list[str]]:
    makers = {"made: logs": _logs, "made: lock files": _locks, "made: diffs": _diffs, "made: tables": _tables}
    made = {}
    for name, make in makers.items():
        text = "\n".join(make(Random(name)))
        made[name] = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
    return made


def _tree(folder: str) -> dict[str, list[str]]:
    """All of a folder's files that are text, by their endings."""
    pieces: dict[str, list[str]] = {}
    for path in sorted(_files(Path(folder))):
        if path.is_file() and path.stat().st_size < 4_000_000:
            data = path.read_bytes()
            if b"\0" not in data[:4000]:
                pieces.setdefault(f"tree: {path.suffix or path.name}", []).append(data.decode("utf-8", "replace"))
    return pieces


def sources(tree: str | None = None) -> dict[str, list[str]]:
    """Texts by language."""
    return _tree(tree) if tree else {**_installed(), **_written(), **_made()}


def alarms(texts: list[str], find: Find) -> tuple[int, Counter[str]]:
    """How many characters there are, and what was found that is nobody's, by kind."""
    true = _true_values()
    size, found = 0, Counter[str]()
    for text in texts:
        size += len(text)
        for start, end, entity in find(text):
            if entity != "EMAIL_ADDRESS" and text[start:end] not in true:
                found[entity] += 1
    return size, found
