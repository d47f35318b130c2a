"""The `tokenman` command: what can be typed. Each command's work stands in a module of its own, imported when it is wanted."""

import difflib
import importlib
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from tokenman_core import __version__
from tokenman_core.errors import trace

GROUPS = (
    ("See it work", ("demo", "run", "up", "doctor")),
    ("Watch and understand", ("dashboard", "report", "tail", "why", "web")),
    ("Make it yours", ("config", "allow", "scan", "env", "ca")),
)
"""The commands in the order in which a first hour needs them."""

SELDOM = ("clients", "prices", "addon-path")
"""Those that the overview only names."""

Via = Literal["base-url", "proxy"]
Shell = Literal["sh", "fish", "powershell", "json"]
By = Literal["model", "project", "client", "provider", "day", "session"]


LATER = ("keys", "status", "stop", "service", "backup", "restore", "uninstall")


class Group(TyperGroup):
    """Says of a command that is planned that this version does not have it, rather than that there is none."""

    later: tuple[str, ...] = ()

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in self.later:
            typer.echo(
                f"tokenman: {args[0]} comes in a later version; what there is now: {ctx.command_path} --help", err=True
            )
            raise typer.Exit(2)
        return super().resolve_command(ctx, args)


class Authority(Group):
    later = ("rotate",)


class Command(TyperCommand):
    """Says what would do where an option has a value that it cannot have, or a program is missing."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return list(super().parse_args(ctx, args))
        except typer.BadParameter as error:
            name = error.param.name if error.param else ""
            given, *good = re.findall(r"'([^']*)'", str(error.message)) or [""]
            if good:
                near = difflib.get_close_matches(given.lower(), good, 1, 0.7)
                error.message = f"{given} is none of {', '.join(good)}" + (f"; did you mean {near[0]}?" if near else "")
            error.message = f"{error.message}{_NEXT.get(name or '', '')}".removeprefix("; ")
            raise


_NEXT = {
    "command": "; say which program, for example: tokenman run -- claude",
    "shell": "; sh serves bash and zsh; for others: --shell json, or start the program with tokenman run",
}


class Overview(Group):
    """Its help is one screen: every command in one line, in groups, and what to type first."""

    later = LATER

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args == ["help"]:
            typer.echo(ctx.get_help())
            raise typer.Exit
        return super().resolve_command(ctx, [*args[1:], "--help"] if args[:1] == ["help"] else args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        formatter.write("\n")
        for heading, names in GROUPS:
            formatter.write(f"{heading}:\n")
            for name in names:
                formatter.write(f"  {name:<11} {self.commands[name].get_short_help_str(66)}\n")
        formatter.write(f"Also: {', '.join(SELDOM)}\n")

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        formatter.write(
            "Options: --config F and --listen H:P (without a command: up), --version, --help,\n"
            "  --install-completion, --show-completion. Try: tokenman run -- claude\n"
        )


def _examples(*lines: str) -> str:
    """The end of a command's help; `\\b` keeps its lines as they are."""
    return "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)])


app = typer.Typer(
    cls=Overview,
    help="Masks personal data and secrets on their way to models, and counts the cost.",
    pretty_exceptions_enable=False,  # it prints local variables, and with them what they hold
    rich_markup_mode=None,
    options_metavar="[OPTIONS]",
    subcommand_metavar="[COMMAND]",
    context_settings={"help_option_names": ["--help", "-h"]},
)
config = typer.Typer(
    help="The configuration: init, check, show, schema, test.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=_examples("tokenman config init", "tokenman config check"),
)
prices = typer.Typer(
    help="What models cost: import, show.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=_examples("tokenman prices show claude-sonnet-4-5", "tokenman prices import data.json"),
)
clients = typer.Typer(
    help="Virtual keys, one a client: add, list, revoke.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=_examples("tokenman clients add web --budget 5/day", "tokenman clients list"),
)
ca = typer.Typer(
    cls=Authority,
    help="The certificate authority: show, trust, untrust.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=_examples("tokenman ca show", "tokenman ca trust"),
)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="F", help="The configuration file. Default: ~/.config/tokenman/tokenman.yaml"),
]
Listen = Annotated[
    str | None, typer.Option("--listen", metavar="H:P", help="Where the proxy listens. Default: 127.0.0.1:7677")
]
ViaOption = Annotated[
    Via | None, typer.Option("--via", help="How the program is led here. Default: what is known to work for it")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask no question.")]


def _go(module: str, function: str, *arguments: Any) -> NoReturn:
    """Does the command's work, which says the exit code."""
    raise typer.Exit(getattr(importlib.import_module(module), function)(*arguments))


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
        _go("addons.cli.up", "run", file, listen)
    elif file is not None or listen is not None:
        raise typer.BadParameter(f"write it behind the command: tokenman {context.invoked_subcommand} --config F")


@app.command(epilog=_examples("tokenman demo", "tokenman demo --once"))
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the tour, on a terminal too.")] = False,
) -> None:
    """Show what happens to calls, on a built-in provider; no key needed."""
    _go("addons.demo.tour", "run", once)


@app.command(
    "run",
    cls=Command,
    context_settings={"allow_interspersed_args": False},  # all that follows the program's name is the program's
    epilog=_examples(
        "tokenman run -- claude", "tokenman run -- codex exec 'say hello'", "tokenman run --via proxy -- python bot.py"
    ),
)
def run_program(
    command: Annotated[list[str], typer.Argument(metavar="CMD", help="The program and its own options.")],
    via: ViaOption = None,
    file: ConfigFile = None,
) -> None:
    """Run a program (claude, codex, gemini, …) with its calls governed.

    Only the program's environment is changed. A proxy is started for its lifetime if none runs. The exit code is the
    program's own.
    """
    _go("addons.cli.run_program", "run", file, via, command)


@app.command(epilog=_examples("tokenman up", "tokenman up --listen 127.0.0.1:17677"))
def up(file: ConfigFile = None, listen: Listen = None) -> None:
    """Run the proxy and the dashboard, in the foreground, until Ctrl-C."""
    _go("addons.cli.up", "run", file, listen)


@app.command(epilog=_examples("tokenman doctor", "tokenman doctor --patience 60"))
def doctor(
    patience: Annotated[
        float | None,
        typer.Option(
            min=1, max=3600, help="Seconds for all checks together, on a busy machine. Else it is done in five."
        ),
    ] = None,
    file: ConfigFile = None,
) -> None:
    """Say what is not right on this machine, and the remedy for each.

    Exit code: 0 fine, 1 warnings, 2 broken.
    """
    _go("addons.cli.doctor", "run", file, patience)


@app.command(epilog=_examples("tokenman dashboard", "tokenman dashboard --open"))
def dashboard(
    show: Annotated[bool, typer.Option("--open", help="Open it in a browser, too.")] = False, file: ConfigFile = None
) -> None:
    """Print a link that opens the running proxy's dashboard, once."""
    _go("addons.cli.dashboard", "run", file, show)


@app.command(
    cls=Command, epilog=_examples("tokenman report --by project --since 30d", "tokenman report --csv > spend.csv")
)
def report(
    by: Annotated[By, typer.Option("--by", help="What the lines are.")] = "model",
    since: Annotated[str, typer.Option("--since", metavar="SPAN", help="How far back, for example 24h, 7d.")] = "7d",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets.")] = False,
    against: Annotated[
        Path | None, typer.Option("--against", metavar="FILE", help="Compare with a provider's export of costs, a CSV.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="date=…,amount=…", help="Its columns, where they are not known.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="NAME", help="With --against: whose calls; none: by the file.")
    ] = None,
    file: ConfigFile = None,
) -> None:
    """Spend, savings, masked values, errors and budgets so far."""
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    form = "json" if as_json else "csv" if as_csv else "table"
    if against is not None:
        _go("addons.cli.against", "run", file, against, columns, provider, form)
    if columns or provider:
        raise typer.BadParameter("--columns and --provider say something of --against FILE")
    _go("addons.cli.report", "run", file, by, since, form)


@app.command(epilog=_examples("tokenman tail", "tokenman tail --filter model=claude-* error"))
def tail(
    words: Annotated[list[str] | None, typer.Argument(metavar="FILTER", help="More filters.")] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", metavar="FILTER", help="model=GLOB, provider=GLOB, project=GLOB, status=429, or error"
        ),
    ] = None,
    file: ConfigFile = None,
) -> None:
    """Follow calls live: one line a call."""
    _go("addons.cli.tail", "run", file, [*(filters or ()), *(words or ())])


@app.command(epilog=_examples("tokenman why last", "tokenman why req_0123456789abcdef01234567"))
def why(
    call_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The request id: x-tokenman-request-id, or in the log; or last, the latest call."
        ),
    ],
    file: ConfigFile = None,
) -> None:
    """Say what was masked or refused in a call, and by which setting."""
    _go("addons.cli.why", "run", file, call_id)


@app.command(epilog=_examples("tokenman web", "tokenman web --listen 127.0.0.1:17677"))
def web(file: ConfigFile = None, listen: Listen = None) -> None:
    """Look into calls in a browser (mitmweb); what it shows is masked."""
    _go("addons.cli.web", "run", file, listen)


@app.command(epilog=_examples("tokenman allow          (asks for the value)", "tokenman allow < value.txt"))
def allow(
    value: Annotated[
        str | None, typer.Argument(metavar="VALUE", help="The value; without one, or as -, it is read and not shown.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Mask it again.")] = False,
    entity: Annotated[str, typer.Option("--entity", metavar="NAME", help="Let it pass as this kind alone.")] = "",
    listing: Annotated[
        bool, typer.Option("--list", help="Say what passes: days and kinds, for no value is kept.")
    ] = False,
    file: ConfigFile = None,
) -> None:
    """Take a value out of redaction; only a keyed hash of it is kept."""
    _go("addons.cli.allow", "run", file, value, remove, entity, listing)


@app.command(
    cls=Command,
    epilog=_examples(
        "tokenman scan src notes.txt", "git diff | tokenman scan -", "tokenman scan --sarif . > scan.sarif"
    ),
)
def scan(
    paths: Annotated[list[str], typer.Argument(metavar="PATH|-", help="Files and folders; - is standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    as_sarif: Annotated[bool, typer.Option("--sarif", help="For code hosts and editors.")] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="GLOB", help="Names, or paths below a folder, to leave out."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what tools keep for themselves: .git, node_modules, .venv, …")
    ] = False,
    file: ConfigFile = None,
) -> None:
    """Say what redaction would mask in files, and where.

    No value is printed. Exit code: 0 nothing, 1 something found, 2 a wrong use.
    """
    if as_json and as_sarif:
        raise typer.BadParameter("choose one of --json and --sarif")
    form = "json" if as_json else "sarif" if as_sarif else "text"
    _go("addons.cli.scan", "run", file, paths, form, exclude or [], everything)


@app.command(cls=Command, epilog=_examples('eval "$(tokenman env)"', "tokenman env --shell fish | source"))
def env(
    via: ViaOption = None,
    shell: Annotated[Shell | None, typer.Option("--shell", help="For which shell. Default: that of $SHELL")] = None,
    file: ConfigFile = None,
) -> None:
    """Print the environment that leads a program here, for your shell."""
    _go("addons.cli.env", "run", file, via, shell)


@app.command("addon-path", epilog=_examples('mitmdump -s "$(tokenman addon-path)"'))
def addon_path() -> None:
    """Print where the script for mitmproxy's own tools is."""
    typer.echo(Path(__file__).resolve().parent.parent / "tokenman.py")


@config.command("init", epilog=_examples("tokenman config init", "tokenman config init - | less"))
def config_init(
    path: Annotated[str | None, typer.Argument(metavar="PATH|-", help="Where; - prints. Default: your file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a commented configuration to start from."""
    _go("addons.cli.settings", "init", path, force)


@config.command("check", epilog=_examples("tokenman config check", "tokenman config check --config new.yaml"))
def config_check(file: ConfigFile = None) -> None:
    """Say what is wrong with it, and what this version does not do yet."""
    _go("addons.cli.settings", "check", file)


@config.command("show", epilog=_examples("tokenman config show"))
def config_show(file: ConfigFile = None) -> None:
    """Print the values in force and their origins, secrets hidden."""
    _go("addons.cli.settings", "show", file)


@config.command("schema", epilog=_examples("tokenman config schema > tokenman.schema.json"))
def config_schema() -> None:
    """Print the JSON Schema, for editors."""
    _go("addons.cli.settings", "schema")


@config.command("test", epilog=_examples("tokenman config test"))
def config_test(file: ConfigFile = None) -> None:
    """Run the policy cases under `tests:`, without any traffic."""
    _go("addons.cli.settings", "test", file)


@prices.command("show", epilog=_examples("tokenman prices show gpt-5 --provider openai"))
def prices_show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As programs name it.")],
    provider: Annotated[str | None, typer.Option("--provider", metavar="NAME", help="At which provider.")] = None,
    file: ConfigFile = None,
) -> None:
    """Print what a model costs here, and why so much."""
    _go("addons.cli.prices", "show", file, model, provider)


@prices.command("import", epilog=_examples("tokenman prices import data.json"))
def prices_import(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="As genai-prices publishes it (new_data/v2/data.json).")],
    file: ConfigFile = None,
) -> None:
    """Take in newer price lists from a file; nothing is fetched."""
    _go("addons.cli.prices", "take", file, path)


class Terms(Command):
    """`--models` and `--providers` take as many words as come."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from addons.cli.spread import spread

        return super().parse_args(ctx, spread(args, ("--models", "--providers")))


@clients.command("add", cls=Terms, epilog=_examples("tokenman clients add web --models 'claude-*' --budget 5/day"))
def clients_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who calls with it.")],
    project: Annotated[str, typer.Option("--project", metavar="P", help="Its calls belong to this project.")] = "",
    models: Annotated[
        list[str] | None, typer.Option("--models", metavar="GLOB …", help="The models that it may use.")
    ] = None,
    providers: Annotated[
        list[str] | None, typer.Option("--providers", metavar="NAME …", help="The providers that it may use.")
    ] = None,
    budget: Annotated[
        str, typer.Option("--budget", metavar="NAME|USD/WINDOW", help="A budget by name, or its own: 10/day.")
    ] = "",
    rate: Annotated[str, typer.Option("--rate", metavar="N/TIME", help="So many calls, for example 60/min.")] = "",
    expires: Annotated[str | None, typer.Option("--expires", metavar="SPAN", help="In 30d, 12h, …")] = None,
    file: ConfigFile = None,
) -> None:
    """Make a virtual key, and print it, once."""
    said = {"project": project, "models": models or (), "providers": providers or ()}
    _go("addons.cli.clients", "add", file, name, said | {"budget": budget, "rate": rate, "expires": expires})


@clients.command("list", epilog=_examples("tokenman clients list"))
def clients_list(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False, file: ConfigFile = None
) -> None:
    """Print who has a key and what it may do."""
    _go("addons.cli.clients", "show", file, as_json)


@clients.command("revoke", epilog=_examples("tokenman clients revoke web"))
def clients_revoke(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Whose key is to be refused from now on.")],
    file: ConfigFile = None,
) -> None:
    """Have a key refused, within 2 seconds."""
    _go("addons.cli.clients", "revoke", file, names)


@ca.command("show", epilog=_examples("tokenman ca show"))
def ca_show(file: ConfigFile = None) -> None:
    """Print its fingerprint, what it may vouch for, and where it is trusted."""
    _go("addons.cli.ca_command", "show", file)


@ca.command("trust", epilog=_examples("tokenman ca trust"))
def ca_trust(file: ConfigFile = None, yes: Yes = False) -> None:
    """Put it into this machine's trust stores."""
    _go("addons.cli.ca_command", "trust", file, yes)


@ca.command("untrust", epilog=_examples("tokenman ca untrust"))
def ca_untrust(file: ConfigFile = None, yes: Yes = False) -> None:
    """Take it out of this machine's trust stores."""
    _go("addons.cli.ca_command", "untrust", file, yes)


app.add_typer(config, name="config")
app.add_typer(ca, name="ca")
app.add_typer(prices, name="prices")
app.add_typer(clients, name="clients")


def run() -> None:
    """What the installed script `tokenman` calls. Ends quietly where nobody reads on, as behind `| head`."""
    try:
        try:
            app(prog_name="tokenman")
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        sys.exit(1)
    except (
        Exception
    ) as error:  # a mistake of ours: its message may hold anything, so it is told as the log tells errors
        print(f"tokenman: this failed inside, please report it: {trace(error)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run()
