"""Settings that are right one by one and wrong together: two that exclude each other, a name that nothing has."""

import difflib
import fnmatch
from collections.abc import Collection, Iterator, Sequence

from tokenman_core.config import known
from tokenman_core.config.models import Redaction, Settings
from tokenman_core.config.redacting import OWN, Override, action_of
from tokenman_core.config.routing import Match, Route
from tokenman_core.config.section import unknown
from tokenman_core.config.spending import Budget, RateLimit
from tokenman_core.config.values import is_near


def found(settings: Settings, given: Collection[str]) -> list[tuple[str, str]]:
    """(setting, what to tell) for each; `given` are the settings that somebody wrote, one of which is to blame."""
    return [
        *_ports(settings, given),
        *_routes(settings),
        *_redaction(settings),
        *_discounts(settings),
        *_limits(settings),
        *_cases(settings),
    ]


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


def _limits(settings: Settings) -> Iterator[tuple[str, str]]:
    """Budgets and rate limits with one name, or about a provider that there is not."""
    both: tuple[tuple[str, Sequence[Budget | RateLimit]], ...] = (
        ("budgets", settings.budgets),
        ("rate_limits", settings.rate_limits),
    )
    for setting, limits in both:
        names: set[str] = set()
        for at, limit in enumerate(limits):
            if limit.name in names:
                yield f"{setting}[{at}].name", "is the name of another one; give each its own"
            names.add(limit.name)
            wanted = limit.match.provider
            if wanted is not None and not fnmatch.filter(settings.providers, wanted):
                yield f"{setting}[{at}].match.provider", f"matches no provider; {_meant(wanted, settings)}"


def _discounts(settings: Settings) -> Iterator[tuple[str, str]]:
    for name in settings.pricing.discounts:
        if name not in settings.providers:
            yield f"pricing.discounts.{name}", f"names no provider; {_meant(name, settings)}"


def _redaction(settings: Settings) -> Iterator[tuple[str, str]]:
    """Kinds of value that nothing finds, overrides that never hold, and what is always masked and then left alone."""
    redaction = settings.redaction
    own = kinds_of_own(settings)
    names: set[str] = set()
    for at, recognizer in enumerate(redaction.recognizers):
        setting = f"redaction.recognizers[{at}].name"
        if recognizer.name in known.ENTITIES | known.ENTITIES_LATER:
            yield setting, "is a kind of value that is known already; give yours a name of its own, such as EMPLOYEE_ID"
        elif recognizer.name in names:
            yield setting, "is the name of another recognizer; give each its own"
        names.add(recognizer.name)
    places: list[tuple[str, Redaction | Override]] = [("redaction", redaction)]
    places += [(f"redaction.projects.{name}", override) for name, override in redaction.projects.items()]
    denied = {each.entity or OWN for _, place in places for each in place.deny}
    for setting, place in places:
        yield from _kinds(setting, place, own, denied)
    for at, (name, override) in enumerate(redaction.projects.items()):
        earlier = next((each for each in [*redaction.projects][:at] if _takes(each, name)), None)
        if earlier is not None:
            text = f"is never reached: redaction.projects.{earlier} matches all that it does, and the first match wins"
            yield f"redaction.projects.{name}", f"{text}; put it before that one"
        elif override == Override():
            yield f"redaction.projects.{name}", "says nothing; a good value: {mode: block}"


def _kinds(
    setting: str, place: Redaction | Override, own: frozenset[str], denied: Collection[str]
) -> Iterator[tuple[str, str]]:
    there = known.ENTITIES | known.ENTITIES_LATER | own
    for entity, said in place.entities.items():
        if entity not in there:
            yield f"{setting}.entities.{entity}", unknown(entity, own)
        elif entity in denied and action_of(said) in ("off", "log"):
            yield (
                f"{setting}.entities.{entity}",
                "is what redaction.deny always masks; good values: redact, hash, block",
            )
    for at, each in enumerate(place.allow):
        if each.entity is not None and each.entity not in there:
            yield f"{setting}.allow[{at}].entity", unknown(each.entity, own)
    for at, each in enumerate(place.deny):
        if each.entity in known.ENTITIES | known.ENTITIES_LATER:
            text = "is a kind of value that is known already; give what is always masked a name of its own"
            yield f"{setting}.deny[{at}].entity", f"{text}, such as PROJECT_NAME"


def kinds_of_own(settings: Settings) -> frozenset[str]:
    """The kinds of value that the user's recognisers and lists bring."""
    redaction = settings.redaction
    denied = [*redaction.deny, *(each for override in redaction.projects.values() for each in override.deny)]
    names = {each.entity or OWN for each in denied} | {each.name for each in redaction.recognizers}
    return frozenset(names - known.ENTITIES - known.ENTITIES_LATER)


def _takes(pattern: str, other: str) -> bool:
    """Whether all that the other pattern matches, this one matches; not all of that is seen."""
    if "?" in pattern and "*" in other:
        return pattern == other
    return fnmatch.fnmatchcase(other, pattern)


def _cases(settings: Settings) -> list[tuple[str, str]]:
    wrong: list[tuple[str, str]] = []
    names: set[str] = set()
    own = kinds_of_own(settings)
    for at, case in enumerate(settings.tests):
        if case.name in names:
            wrong.append((f"tests[{at}].name", "is the name of another case; give each its own"))
        names.add(case.name)
        wrong += [
            (f"tests[{at}].expect.masked[{number}]", unknown(entity, own))
            for number, entity in enumerate(case.expect.masked or ())
            if entity not in known.ENTITIES | known.ENTITIES_LATER | own
        ]
        wanted = case.expect.provider
        if wanted is not None and wanted not in settings.providers:
            wrong.append((f"tests[{at}].expect.provider", f"names no provider; {_meant(wanted, settings)}"))
    return wrong
