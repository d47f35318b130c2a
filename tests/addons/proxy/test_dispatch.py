"""The remembered dispatch means what the stock one means."""

from typing import Any

import pytest
from mitmproxy import exceptions, hooks
from mitmproxy.http import HTTPFlow
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook
from mitmproxy.test import tflow

from addons.proxy.dispatch import remember


@pytest.fixture
async def master() -> Master:
    made = Master(Options())
    remember(made)
    return made


def addon(name: str, log: list[str], **more: Any) -> Any:
    made = type(name, (), {"name": name, **more})()
    if "request" not in more:
        made.request = lambda flow: log.append(name)
    return made


async def fire(master: Master) -> HTTPFlow:
    flow = tflow.tflow()
    await master.addons.handle_lifecycle(HttpRequestHook(flow))
    return flow


async def test_hooks_run_in_the_order_of_the_chain_children_behind_their_parents(master: Master) -> None:
    log: list[str] = []
    parent = addon("parent", log)
    parent.addons = [addon("child", log)]
    master.addons.add(parent, addon("second", log))
    await fire(master)
    assert log == ["parent", "child", "second"]


async def test_addons_that_come_and_go_are_seen(master: Master) -> None:
    log: list[str] = []
    first, second = addon("first", log), addon("second", log)
    master.addons.add(first)
    await fire(master)
    master.addons.add(second)
    master.addons.remove(first)
    await fire(master)
    assert log == ["first", "second"]


async def test_halt_ends_the_hook_for_all_and_an_error_only_for_the_addon(
    master: Master, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []

    def fails(self: Any, flow: HTTPFlow) -> None:
        raise RuntimeError("odd")

    def halts(self: Any, flow: HTTPFlow) -> None:
        raise exceptions.AddonHalt

    master.addons.add(addon("fails", log, request=fails), addon("after", log), addon("halts", log, request=halts))
    master.addons.add(addon("never", log))
    await fire(master)
    assert log == ["after"]
    assert "odd" in caplog.text


async def test_async_hooks_are_awaited_and_update_follows_a_flow_hook(master: Master) -> None:
    log: list[str] = []

    async def request(self: Any, flow: HTTPFlow) -> None:
        log.append("async")

    def update(self: Any, flows: list[HTTPFlow]) -> None:
        log.append(f"update {len(flows)}")

    master.addons.add(addon("late", log, request=request, update=update))
    await fire(master)
    assert log == ["async", "update 1"]


async def test_what_listens_to_changes_is_told(master: Master) -> None:
    told: list[int] = []
    other = Master(Options())
    remember(other, lambda: told.append(1))
    other.addons.add(addon("any", []))
    assert told
    before = len(told)
    remember(other, lambda: told.append(2))
    await other.addons.trigger_event(hooks.RunningHook())
    assert len(told) == before


async def test_halt_does_not_keep_a_sealed_addon_from_its_hooks(master: Master) -> None:
    log: list[str] = []

    def halt(_: object, flow: HTTPFlow) -> None:
        raise exceptions.AddonHalt

    master.addons.add(addon("halting", log, request=halt), addon("other", log), addon("door", log, sealed=True))
    await fire(master)
    assert log == ["door"]


async def test_a_sealed_addon_is_not_removed(master: Master) -> None:
    log: list[str] = []
    door, other = addon("door", log, sealed=True), addon("other", log)
    master.addons.add(door, other)
    master.addons.remove(other)
    for removal in (lambda: master.addons.remove(door), master.addons.clear):
        with pytest.raises(ValueError, match="not removed"):
            removal()
    await fire(master)
    assert log == ["door"]
