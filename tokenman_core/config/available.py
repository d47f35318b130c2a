"""What this version does not do yet: for each such setting the values that are accepted all the same, and what is told.

Every setting is accepted at its default or switched off. Any other value would promise what nobody keeps, so it ends
the start; a default that is not kept yet is told at every start.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tokenman_core import ner
from tokenman_core.config import known
from tokenman_core.config.models import Redaction, Settings
from tokenman_core.config.redacting import Override, action_of

LATER = "is not available in this version"


@dataclass(frozen=True)
class Gap:
    """`setting` is accepted at its default and at `off`; `told` is what its default lacks, "" if it means nothing."""

    setting: str
    told: str = ""
    off: tuple[Any, ...] = ()
    keep: str = "leave it out"


GAPS: tuple[Gap, ...] = (
    Gap("tls.cert"),
    Gap("tls.key"),
    Gap("intercept.passthrough"),
    Gap("injection", "detection comes later; nothing is scanned", keep="good values: mode: log, mode: off"),
    Gap("compaction.prompt_cache", "the report comes later", ("off",), "good values: suggest, off"),
    Gap("compaction.minify_json", keep="good value: off"),
    Gap("compaction.whitespace", keep="good value: off"),
    Gap("compaction.history.keep_turns", keep="good value: 0"),
    Gap("compaction.heartbeat", keep="good value: off"),
    Gap("state.url"),
    Gap("ledger.url"),
    Gap("ledger.bodies", keep="good value: off"),
    Gap("inspect.plain", keep="good value: false"),
    Gap("telemetry.otel.endpoint"),
    Gap("telemetry.otel.propagate"),
    Gap("telemetry.otel.sample"),
)

# Groups are accepted as a whole also when they are switched off: what else they say then means nothing.
_SWITCHED_OFF: Mapping[str, Callable[[Settings], bool]] = {
    "injection": lambda settings: settings.injection.mode == "off",
}

_DEFAULT = Settings()


def refusals(settings: Settings) -> list[tuple[str, str]]:
    """(setting, what to tell) for each thing that was asked for and that this version does not do."""
    found = [
        (gap.setting, f"{LATER}; {gap.keep}")
        for gap in GAPS
        if not _asks_nothing(gap, settings) and _value(settings, gap.setting) != _value(_DEFAULT, gap.setting)
    ]
    if settings.redaction.ner != "off" and ner.model_folder(settings.redaction.ner) is None:
        found.append(("redaction.ner", f"there is no installed spaCy model {settings.redaction.ner}; {ner.HOW}"))
    places: list[tuple[str, Redaction | Override]] = [("redaction", settings.redaction)]
    places += [(f"redaction.projects.{name}", override) for name, override in settings.redaction.projects.items()]
    found += [
        (f"{place}.entities.{entity}", f"the detection of it {LATER}; good value: off")
        for place, it in places
        for entity, said in it.entities.items()
        if entity in known.ENTITIES_LATER and action_of(said) != "off"
    ]
    for setting, address in (("listen", settings.listen), ("admin.listen", settings.admin.listen)):
        if not address.loopback:
            found.append((setting, f"a listener beyond loopback {LATER}; good value: 127.0.0.1:{address.port}"))
    return found


def lacking(settings: Settings) -> list[str]:
    """One line for each setting in force whose meaning is not kept yet: `injection: detection comes later; …`."""
    told = [f"{gap.setting}: {gap.told}" for gap in GAPS if gap.told and not _asks_nothing(gap, settings)]
    return told + [
        f"providers.{name}.dialect: {provider.dialect} is not read as such yet; every string of its calls is masked"
        for name, provider in settings.providers.items()
        if provider.dialect == "gemini"
    ]


def warnings(settings: Settings) -> tuple[str, ...]:
    """What is obeyed, and yet not what one would expect of the whole."""
    told: list[str] = []
    if settings.cache.scope == "shared" and settings.caches:
        told.append(
            "cache.scope: shared: a caller may get an answer that was made for another one; to keep them apart: caller"
        )
    keyed = [name for name, provider in settings.providers.items() if provider.key is not None]
    if keyed and settings.access.clients == "auto":
        names = ", ".join(keyed)
        told.append(
            f"access.clients: since a key of {names} is configured, every call needs a virtual key (tokenman clients add NAME); "
            "to let any program that reaches the port use it: clients: optional"
        )
    weaker = [name for name, override in settings.redaction.projects.items() if _weakens(override, settings.redaction)]
    if weaker:
        names = ", ".join(weaker)
        told.append(
            f"redaction.projects: {names}: less is masked there, and who has no virtual key with a project names his own"
        )
    return tuple(told)


def _weakens(override: Override, base: Redaction) -> bool:
    """Whether more leaves as it is where an override holds."""
    actions = [action_of(said) for said in override.entities.values()]
    spared = ("log", "off")
    return (
        (override.mode in spared and base.mode not in spared)
        or (override.secrets in spared and base.secrets not in spared)
        or any(action in spared for action in actions)
        or bool(override.allow)
        or (override.unreadable == "pass" and base.unreadable == "block")
    )


def _asks_nothing(gap: Gap, settings: Settings) -> bool:
    switched_off = _SWITCHED_OFF.get(gap.setting)
    if switched_off is not None:
        return switched_off(settings)
    return bool(gap.off) and _value(settings, gap.setting) in gap.off


def _value(settings: Settings, setting: str) -> Any:
    """What stands at a dotted name."""
    found: Any = settings
    for step in setting.split("."):
        found = getattr(found, step)
    return found
