"""Settings that are right one by one and wrong together: two that exclude each other, a name that nothing has."""

import difflib
import fnmatch
from collections.abc import Collection, Iterator

from tokenman_core.config.models import Settings
from tokenman_core.config.routing import Match, Route
from tokenman_core.config.values import is_near


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
        wrong += [*_places(f"routes[{at}]", route, settings)] or _keyless(f"routes[{at}].try", route, settings)
        over = next((each for each in range(at) if _covers(settings.routes[each], route, settings)), None)
        if over is not None:
            text = f"is never reached: routes[{over}] matches all that it does, and the first match wins"
            wrong.append((f"routes[{at}].match", f"{text}; put it before that one"))
    return wrong


def _places(setting: str, route: Route, settings: Settings) -> Iterator[tuple[str, str]]:
    known, places = settings.providers, route.places or ()
    for number, place in enumerate(places):
        if place.provider not in known:
            yield f"{setting}.try[{number}]", f"names no provider; {_meant(place.provider, settings)}"
        elif any((place.provider, place.model) == (each.provider, each.model) for each in places[:number]):
            yield f"{setting}.try[{number}]", "is there already; name each provider once, or another model of it"
    dialects = _dialects(route, settings)
    matched = fnmatch.filter(known, route.match.provider)
    if len(dialects) > 1:
        text = f"leads to different APIs ({', '.join(dialects)}), and calls are not translated in this version"
        yield f"{setting}.try", f"{text}; a good value: providers of one dialect"
    if not matched:
        yield f"{setting}.match.provider", f"matches no provider; {_meant(route.match.provider, settings)}"
    elif len(dialects) == 1 and dialects[0] not in {known[name].dialect for name in matched}:
        text = f"matches no provider of the API that `try` leads to ({dialects[0]}), and calls are not translated"
        yield f"{setting}.match.provider", f"{text} in this version; leave it out"


def _keyless(setting: str, route: Route, settings: Settings) -> Iterator[tuple[str, str]]:
    """Places that no call gets, or only those that could as well do without the route: their providers would want a key."""
    wanting: set[str] = set()
    for number, place in enumerate(route.places or ()):
        name, provider = place.provider, settings.providers[place.provider]
        if provider.key is not None or is_near(provider.base_url.host) or name in wanting:
            continue
        match = route.match.provider
        called = fnmatch.fnmatchcase(name, match) and (match != "*" or provider.hosts)  # by whose name programs call it
        if wanting or not called:
            text = "has no key, and the caller's own is for the provider that his call names"
            yield f"{setting}[{number}]", f"{text}; set providers.{name}.key"
        wanting.add(name)


def _covers(one: Route, other: Route, settings: Settings) -> bool:
    """Whether whatever the other leads, the one leads; not all of that is seen."""
    alike = _dialects(one, settings) == _dialects(other, settings)
    return alike and all(getattr(one.match, name) in ("*", getattr(other.match, name)) for name in Match.model_fields)


def _dialects(route: Route, settings: Settings) -> list[str]:
    known = settings.providers
    return sorted({known[place.provider].dialect for place in route.places or () if place.provider in known})


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
