"""The `tokenman` command: what can be typed. Each command's work stands in a module of its own, imported when it is wanted."""

from pathlib import Path
from typing import Annotated

import typer

from tokenman_core import __version__

app = typer.Typer(
    help="Governs the traffic between programs and large language models.",
    add_completion=False,
    pretty_exceptions_enable=False,  # it prints local variables, and with them what they hold
    rich_markup_mode=None,
)
config = typer.Typer(help="The configuration.", no_args_is_help=True)
app.add_typer(config, name="config")

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="F", help="The configuration file. Default: ~/.config/tokenman/tokenman.yaml"),
]
Listen = Annotated[
    str | None, typer.Option("--listen", metavar="H:P", help="Where the proxy listens. Default: 127.0.0.1:7677")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tokenman {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    file: ConfigFile = None,
    listen: Listen = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="The version, and nothing else.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        _up(file, listen)
    elif file is not None or listen is not None:
        raise typer.BadParameter(f"write it behind the command: tokenman {context.invoked_subcommand} --config F")


@app.command()
def up(file: ConfigFile = None, listen: Listen = None) -> None:
    """Run the proxy and the admin server in the foreground (this is also what `tokenman` alone does)."""
    _up(file, listen)


def _up(file: Path | None, listen: str | None) -> None:
    from addons.cli import up as command

    raise typer.Exit(command.run(file, listen))


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the tour, on a terminal too.")] = False,
) -> None:
    """Show what happens to calls, on a built-in fake provider: no key is needed."""
    from addons.demo import tour

    raise typer.Exit(tour.run(once=once))


@app.command("addon-path")
def addon_path() -> None:
    """Print the script for `mitmdump -s "$(tokenman addon-path)"`."""
    typer.echo(Path(__file__).resolve().parent.parent / "tokenman.py")


@config.command()
def check(file: ConfigFile = None) -> None:
    """Say what is wrong with the configuration, and what of it this version does not do yet."""
    from addons.cli import settings

    raise typer.Exit(settings.check(file))


@config.command()
def show(file: ConfigFile = None) -> None:
    """Print the values in force, secrets hidden, each with where it comes from."""
    from addons.cli import settings

    raise typer.Exit(settings.show(file))


def run() -> None:
    """What the installed script `tokenman` calls."""
    app(prog_name="tokenman")


if __name__ == "__main__":
    run()
