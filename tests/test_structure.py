"""The rules of import: what may know of what. They keep the policy usable, and testable, without a proxy."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "tokenman_core"
CONCERNS = ("redaction", "injection", "ratelimit", "budget", "guard", "caching", "compaction", "failover")
SOCKETS = ("state", "ledger", "telemetry", "admin", "net")

# A concern takes its settings from config; config knows none of them.
CORE_RULES = {
    "config": {"redaction", "body", "dialects", "net", "admin", "telemetry"},
    "body": {"redaction", "net", "admin", "config", "telemetry"},
    "dialects": {"redaction", "net", "admin", "config", "telemetry"},
    "redaction": {"dialects", "net", "admin", "telemetry"},
    "failover": {"redaction", "dialects", "body", "net", "admin", "config", "telemetry"},
    "ahead": {"redaction", "net", "admin", "config", "telemetry", "ledger", "failover", "budget", "state"},
    "clients": {
        "redaction",
        "dialects",
        "body",
        "net",
        "admin",
        "telemetry",
        "ledger",
        "failover",
        "ahead",
        "budget",
        "ratelimit",
    },
    "budget": {"redaction", "dialects", "body", "net", "admin", "config", "telemetry", "ledger", "failover", "ahead"},
    "ratelimit": {
        "redaction",
        "dialects",
        "body",
        "net",
        "admin",
        "config",
        "telemetry",
        "ledger",
        "failover",
        "ahead",
        "budget",
    },
    "guard": {
        "redaction",
        "dialects",
        "body",
        "net",
        "admin",
        "config",
        "telemetry",
        "ledger",
        "failover",
        "ahead",
        "budget",
        "ratelimit",
        "state",
    },
    "caching": {"redaction", "admin", "telemetry", "ledger", "failover", "ahead", "budget", "ratelimit", "guard"},
    "net": {"redaction", "dialects", "body", "admin", "config"},
    "admin": {"redaction", "dialects", "body", "net"},
    "ledger": {"redaction", "dialects", "body", "net", "admin"},
    "state": {"redaction", "dialects", "body", "net", "admin", "telemetry", "ledger", "failover"},
    "telemetry": {"redaction", "dialects", "body", "net", "admin"},
    "trust": {"redaction", "dialects", "body", "net", "admin", "telemetry", "config", "ledger"},
}
"""Each package of the core, and those of which it must not know."""


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides what it knows of"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_core_works_with_mitmproxy_blocked() -> None:
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources(CORE)]
    modules = [name.removesuffix(".__init__") for name in modules]
    program = (
        "import sys, importlib\n"
        "sys.modules['mitmproxy'] = sys.modules['addons'] = None\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sources(CORE), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_names_neither_mitmproxy_nor_addons(path: Path) -> None:
    assert not [name for name in imports(path) if name.split(".")[0] in ("mitmproxy", "addons")]


@pytest.mark.parametrize("package", sorted(CORE_RULES))
def test_imports_of_the_core_point_one_way(package: str) -> None:
    for path in sources(CORE / package):
        for name in imports(path):
            parts = name.split(".")
            assert not (parts[0] == "tokenman_core" and len(parts) > 1 and parts[1] in CORE_RULES[package]), (
                f"{path}: {name}"
            )


def test_every_package_of_the_core_has_its_rule() -> None:
    assert {path.name for path in CORE.iterdir() if path.is_dir() and sources(path)} == set(CORE_RULES)


def test_no_concern_imports_another() -> None:
    for concern in CONCERNS:
        for path in sources(CORE / concern):
            others = {f"tokenman_core.{other}" for other in CONCERNS if other != concern}
            assert not [name for name in imports(path) if any(name.startswith(other) for other in others)]


def test_only_some_packages_open_sockets() -> None:
    for path in sources(CORE):
        package = path.relative_to(CORE).parts[0]
        if package not in SOCKETS:
            assert "socket" not in {name.split(".")[0] for name in imports(path)}, path


def test_private_parts_of_mitmproxy_are_named_in_one_module() -> None:
    private = ("mitmproxy.proxy.layer", "mitmproxy.proxy.layers", "mitmproxy.proxy.server.", "mitmproxy.proxy.context")
    for path in sources(ROOT / "addons"):
        if path.name != "internals.py":
            assert not [name for name in imports(path) if name.startswith(private)], path


def test_no_file_shadows_a_library() -> None:
    names = {path.stem for path in sources(ROOT / "addons")}
    assert not names & {"limits", "compression", "secrets", "token", "logging", "queue", "types"}


@pytest.mark.parametrize(
    "path", [*sources(CORE), *sources(ROOT / "addons")], ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_module_opens_with_a_sentence(path: Path) -> None:
    text = path.read_text()
    assert not text or ast.get_docstring(ast.parse(text)), path
