"""TokenMan in mitmproxy: what touches its connections, layers and hooks.

mitmproxy's package of add-ons imports all forty of them with the first that is asked for, and flask, ldap3, werkzeug and others
with them: most of a second, and 30 MB. We use four. So the package is there before its contents; who asks for the list of
them all (mitmproxy's own tools do) has them imported then.
"""

import importlib.util
import sys
from typing import Any

_ADDONS = "mitmproxy.addons"


def _without_contents() -> None:
    spec = importlib.util.find_spec(_ADDONS)
    if spec is None or spec.loader is None or _ADDONS in sys.modules:
        return
    module, loader = importlib.util.module_from_spec(spec), spec.loader

    def contents(name: str) -> Any:
        if name != "default_addons":
            raise AttributeError(name)
        del module.__dict__["__getattr__"]
        loader.exec_module(module)
        return module.default_addons

    module.__dict__["__getattr__"] = contents
    sys.modules[_ADDONS] = module


_without_contents()
