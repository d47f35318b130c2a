"""mitmproxy's hook dispatch with a memory: which functions a hook has is looked up when add-ons change, not at every event.

Stock dispatch walks all add-ons, about 36, twice for each hook of a flow; that is 39% of its time for a small call (measured
with py-spy, see bench/README.md). The meaning stays: order, `AddonHalt`, one failing add-on ends the hook for its own children
alone, async hooks are awaited. Two things change: a hook that an add-on grows after it was registered is not seen, and an add-on
that is `sealed` (a part of the door) cannot be kept from its hooks by another's `AddonHalt`, nor be removed.
"""

import inspect
import logging
import types
from collections.abc import Callable
from typing import Any

from mitmproxy import exceptions, flow, hooks
from mitmproxy.master import Master

from addons.proxy.internals import addonmanager

log = logging.getLogger("tokenman.dispatch")

Hook = Callable[..., Any]


def remember(master: Master, changed: Callable[[], None] = lambda: None) -> None:
    """Once for a master. `changed` is called whenever add-ons come or go."""
    manager = master.addons
    if "trigger_event" in vars(manager):
        return
    known: dict[str, tuple[tuple[bool, tuple[Hook, ...]], ...]] = {}

    def functions(name: str) -> tuple[tuple[bool, tuple[Hook, ...]], ...]:
        """One group for each add-on of the chain, itself and its children, and whether it is sealed."""
        groups = known.get(name)
        if groups is None:
            found = ((_sealed(top), _functions(top, name)) for top in manager.chain)
            groups = known[name] = tuple(group for group in found if group[1])
        return groups

    async def trigger_event(event: hooks.Hook) -> None:
        args = event.args()
        halted = False
        for sealed, group in functions(event.name):
            if halted and not sealed:
                continue
            try:
                with addonmanager.safecall():
                    for function in group:
                        result = function(*args)
                        if result is not None and inspect.isawaitable(result):
                            await result
            except exceptions.AddonHalt:
                halted = True

    async def handle_lifecycle(event: hooks.Hook) -> None:
        if functions(event.name):
            await trigger_event(event)
        if functions("update") and isinstance(message := event.args()[0], flow.Flow):
            await trigger_event(hooks.UpdateHook([message]))

    def forgetting(method: Hook) -> Hook:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            try:
                return method(*args, **kwargs)
            finally:
                known.clear()
                changed()

        return wrapped

    def keeping(method: Hook) -> Hook:
        def wrapped(*addons: Any) -> Any:
            if any(_sealed(addon) for addon in addons or manager.chain):
                raise ValueError("TokenMan's own add-ons are not removed")
            return method(*addons)

        return wrapped

    # mypy forbids assigning to a method; this replaces it on one instance only.
    setattr(manager, "trigger_event", trigger_event)  # noqa: B010
    setattr(manager, "handle_lifecycle", handle_lifecycle)  # noqa: B010
    for name in ("register", "add"):
        setattr(manager, name, forgetting(getattr(manager, name)))
    for name in ("remove", "clear"):
        setattr(manager, name, keeping(forgetting(getattr(manager, name))))


def _sealed(addon: object) -> bool:
    return getattr(addon, "sealed", False) is True


def _functions(top: object, name: str) -> tuple[Hook, ...]:
    found = []
    for addon in addonmanager.traverse([top]):
        function = getattr(addon, name, None)
        if callable(function):
            found.append(function)
        elif function is not None and not isinstance(function, types.ModuleType):
            log.error("add-on %s: %s is not callable", getattr(addon, "name", type(addon).__name__), name)
    return tuple(found)
