"""`mitmdump -s addons/tokenman.py` (mitmweb, mitmproxy too): the whole bundle as one script.

A stub: it puts the real add-ons at the end of the master's chain, once. mitmproxy unloads a script before it loads it again,
and where the import of the new one fails nothing stands in its place; what this has put in stays.
"""

import sys
from pathlib import Path

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # mitmproxy takes a script's folder off the path again

try:
    from addons.proxy import standalone
except Exception as error:  # mitmproxy would begin to listen all the same, as a proxy that protects nothing
    if ctx.master.addons.get("exchange") is None:
        print(f"tokenman: it could not be loaded: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
    raise


def load(loader: Loader) -> None:
    standalone.load(ctx.master, loader)
