"""What `tokenman up` prints once it listens: where, how to point a program at it, and what not to expect of it yet."""

from typing import TextIO

from rich.console import Console
from rich.text import Text

from tokenman_core import __version__
from tokenman_core.ca import Authority
from tokenman_core.config import available
from tokenman_core.config.load import Loaded


def show(found: Loaded, authority: Authority, file: TextIO | None = None) -> None:
    """Printed to `file`, else to standard output; plain where that is no terminal. Long lines are never broken."""
    settings = found.settings
    console = Console(file=file, highlight=False, markup=False, soft_wrap=True)
    proxy = f"http://{settings.listen}"
    until = authority.certificate.not_valid_after_utc.date().isoformat()

    console.print(Text(f"TokenMan {__version__}", style="bold"))
    _rows(
        console,
        ("configuration", str(found.file) if found.file else "no file, the defaults"),
        ("proxy", proxy),
        ("admin", f"http://{settings.admin.listen}/health"),
        ("CA", f"{authority.pem_path} (for hosts of LLM providers only, until {until})"),
        ("", f"SHA-256 {authority.fingerprint}"),
    )
    _heading(console, "Point a program here by its base URL")
    _lines(console, f"export ANTHROPIC_BASE_URL={proxy}", f"export OPENAI_BASE_URL={proxy}/v1")
    _heading(console, "or as its HTTPS proxy, with the CA")
    _lines(
        console,
        f"export HTTPS_PROXY={proxy}",
        f"export SSL_CERT_FILE={authority.bundle_path} REQUESTS_CA_BUNDLE={authority.bundle_path}",
        f"export NODE_EXTRA_CA_CERTS={authority.pem_path}",
    )
    if foreign := settings.foreign_base_urls():
        _heading(console, "Base URLs that are not the provider's own")
        _rows(console, *((name, str(url)) for name, url in foreign.items()))
    if warnings := [*found.warnings, *([authority.notice] if authority.notice else [])]:
        _heading(console, "Warnings", "yellow")
        _lines(console, *warnings)
    if lacking := available.lacking(settings):
        _heading(console, "Not in this version")
        _lines(console, *lacking)


def _heading(console: Console, text: str, style: str = "bold") -> None:
    console.print()
    console.print(Text(text, style=style))


def _lines(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(Text(f"  {line}"))


def _rows(console: Console, *rows: tuple[str, str]) -> None:
    width = max(len(name) for name, _ in rows)
    _lines(console, *(f"{name:<{width}}  {value}" for name, value in rows))
