"""A small real server that speaks the providers' wire formats and answers what the request itself asks for.

`script` lists what a request can ask for; `server.FakeProvider` is the server.
"""

from addons.demo.provider.server import FakeProvider
from addons.demo.provider.wire import Received

__all__ = ["FakeProvider", "Received"]
