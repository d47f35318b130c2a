"""What `tokenman up` prints once it listens: what to do next, where everything is, and what not to expect of it yet."""

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.text import Text

from tokenman_core import __version__
from tokenman_core.ca import Authority
from tokenman_core.config import available
from tokenman_core.config.load import Loaded


def show(found: Loaded, authority: Authority, code: str = "", file: TextIO | None = None) -> None:
    """Printed to `file`, else to standard output; plain where that is no terminal. Long lines are never broken.

    With `code`, a one-time code, the dashboard's address opens it without the token.
    """
    settings = found.settings
    console = Console(file=file, highlight=False, markup=False, soft_wrap=True)
    proxy = f"http://{settings.listen}"
    until = authority.certificate.not_valid_after_utc.date().isoformat()

    console.print(Text(f"TokenMan {__version__}", style="bold"))
    _heading(console, "Next, in another terminal")
    _rows(
        console,
        ("tokenman run -- claude", "or codex, gemini, python bot.py, …: with the login that it has"),
        ("tokenman tail", "its calls, as they end"),
    )
    _heading(console, "Here")
    _rows(
        console,
        (
            "dashboard",
            dashboard(found, code) + ("  (opens once, within ten minutes)" if code else f"  ({_key(found)})"),
        ),
        ("proxy", proxy),
        ("configuration", str(found.file) if found.file else "no file, the defaults; write one: tokenman config init"),
        ("CA", f"{authority.pem_path}  (for hosts of LLM providers only, until {until})"),
    )
    _heading(console, "By hand, instead of tokenman run")
    _rows(
        console,
        (f"export ANTHROPIC_BASE_URL={proxy}", ""),
        (f"export OPENAI_BASE_URL={proxy}/v1", ""),
        (f"export GOOGLE_GEMINI_BASE_URL={proxy}", ""),
        ('eval "$(tokenman env)"', "all variables at once, proxy and CA too"),
    )
    if foreign := settings.foreign_base_urls():
        _heading(console, "Base URLs that are not the provider's own")
        _rows(console, *((name, str(url)) for name, url in foreign.items()))
    if warnings := [*found.warnings, *([authority.notice] if authority.notice else [])]:
        _heading(console, "Warnings", "yellow")
        _lines(console, warnings)
    console.print()
    if lacking := len(available.lacking(settings)):
        what = "One setting does" if lacking == 1 else f"{lacking} settings do"
        console.print(Text(f"{what} not all that is meant yet: tokenman config check"))
    console.print(Text("Ctrl-C ends it."))


def dashboard(found: Loaded, code: str = "") -> str:
    """The dashboard's address; the code stands behind `#`, where browsers keep it to themselves."""
    return f"http://{found.settings.admin.listen}/" + (f"#code={code}" if code else "")


def _key(found: Loaded) -> str:
    settings = found.settings
    where = "admin.token" if settings.admin.token is not None else f"in the file {settings.data_dir / 'admin-token'}"
    return f"its token is {where}; for a link: tokenman dashboard"


def _heading(console: Console, text: str, style: str = "bold") -> None:
    console.print()
    console.print(Text(text, style=style))


def _lines(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(Text(f"  {line}"))


def _rows(console: Console, *rows: tuple[str, str]) -> None:
    width = max(len(name) for name, value in rows if value)
    _lines(console, (f"{name:<{width}}  {value}".rstrip() for name, value in rows))
