"""`tokenman dashboard`: a link that opens the running TokenMan's dashboard once, without its token."""

import html
import webbrowser
from pathlib import Path

import typer

from addons.cli.instance_client import InstanceError, connect
from addons.cli.settings import complain, loaded
from tokenman_core.errors import ConfigError
from tokenman_core.secret import own_folder, write_private

PAGE = "dashboard.html"


def run(file: Path | None, show: bool) -> int:
    """Prints it; with `show` a browser opens it too. 1 if nothing runs or no browser is found, 2 for a wrong configuration."""
    found = loaded(file)
    if found is None:
        return 2
    try:
        client = connect(found.settings)
        if client is None:
            raise InstanceError("nothing runs that has a dashboard; start it with: tokenman up")
        link = f"http://{client.running.admin}/#code={client.post('/api/codes', {})['code']}"
        typer.echo(link)
        if show and not _opens(own_folder(found.settings.data_dir) / PAGE, link):
            raise InstanceError("no browser could be opened; open the link above in one, within ten minutes")
    except ConfigError as error:
        complain(error)
        return 2
    except (InstanceError, OSError) as error:
        complain(error)
        return 1
    return 0


def _opens(page: Path, link: str) -> bool:
    """By way of a file of this user's own: every user of the machine sees the words that a browser is started with."""
    leads = f'<meta charset="utf-8"><meta http-equiv="refresh" content="0; url={html.escape(link)}">\n'
    write_private(page, leads.encode())
    return webbrowser.open(page.absolute().as_uri())
