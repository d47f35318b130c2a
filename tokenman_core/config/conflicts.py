"""Settings that are right one by one and wrong together: two that exclude each other, a name that nothing has."""

import difflib
import fnmatch
from collections.abc import Collection

from tokenman_core.config.models import Settings


def found(settings: Settings, given: Collection[str]) -> list[tuple[str, str]]:
    """(setting, what to tell) for each; `given` are the settings that somebody wrote, one of which is to blame."""
    return [*_ports(settings, given), *_routes(settings), *_cases(settings)]


def _ports(settings: Settings, given: Collection[str]) -> list[tuple[str, str]]:
    if not settings.listen.port or settings.listen != settings.admin.listen:
        return []
    blamed, other = ("admin.listen", "listen") if "admin.listen" in given else ("listen", "admin.listen")
    return [(blamed, f"must not be the same as {other}; good values: 127.0.0.1:7677 and 127.0.0.1:7678")]


def _routes(settings: Settings) -> list[tuple[str, str]]:
    wrong: list[tuple[str, str]] = []
    for at, route in enumerate(settings.routes):
        names = [place.provider for place in route.places]
        for number, name in enumerate(names):
            if name not in settings.providers:
                wrong.append((f"routes[{at}].try[{number}].provider", f"names no provider; {_meant(name, settings)}"))
        dialects = sorted({settings.providers[name].dialect for name in names if name in settings.providers})
        if len(dialects) > 1:
            text = f"leads to different APIs ({', '.join(dialects)}), and calls are not translated in this version"
            wrong.append((f"routes[{at}].try", f"{text}; a good value: providers of one dialect"))
        if not fnmatch.filter(settings.providers, route.match.provider):
            meant = _meant(route.match.provider, settings)
            wrong.append((f"routes[{at}].match.provider", f"matches no provider; {meant}"))
    return wrong


def _meant(name: str, settings: Settings) -> str:
    close = difflib.get_close_matches(name, settings.providers, n=1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(settings.providers)}"


def _cases(settings: Settings) -> list[tuple[str, str]]:
    wrong: list[tuple[str, str]] = []
    names: set[str] = set()
    for at, case in enumerate(settings.tests):
        if case.name in names:
            wrong.append((f"tests[{at}].name", "is the name of another case; give each its own"))
        names.add(case.name)
        wanted = case.expect.provider
        if wanted is not None and wanted not in settings.providers:
            wrong.append((f"tests[{at}].expect.provider", f"names no provider; {_meant(wanted, settings)}"))
    return wrong
