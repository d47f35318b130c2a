"""The order of the chain, and where a user's own stage joins."""

from types import SimpleNamespace
from typing import Any

import pytest

from addons import chain
from tokenman_core.clock import SystemClock


async def llm_request(exchange: Any) -> None:
    return None


def stage(name: str = "", **more: Any) -> Any:
    return SimpleNamespace(name=name, llm_request=llm_request, **more)


def order(addons: list[Any], ours: list[Any]) -> list[Any]:
    return [link.stage for link in chain.arrange([*addons, *ours], ours, SystemClock()).links]


def test_a_users_stage_stands_after_compaction_and_before_caching() -> None:
    redaction, compaction, caching = stage("redaction"), stage("compaction"), stage("caching")
    mine = stage()
    assert order([mine], [caching, compaction, redaction]) == [redaction, compaction, mine, caching]


@pytest.mark.parametrize(("side", "at"), [("before", 0), ("after", 1)])
def test_after_and_before_move_a_users_stage(side: str, at: int) -> None:
    redaction, caching = stage("redaction"), stage("caching")
    mine = stage(**{side: "redaction"})
    assert order([mine], [redaction, caching]).index(mine) == at


def test_a_place_that_does_not_exist_is_an_error_that_names_those_that_do() -> None:
    with pytest.raises(chain.ChainError, match=r"no stage; there are access, ratelimit"):
        chain.arrange([stage(after="redacton")], [], SystemClock())


def test_addons_without_such_methods_are_no_stages() -> None:
    assert order([SimpleNamespace(request=print), stage()], [])[0].llm_request is llm_request
    assert len(order([SimpleNamespace(request=print)], [])) == 0


def test_a_stage_with_an_unknown_fail_mode_stops_all_calls() -> None:
    with pytest.raises(chain.ChainError, match="fails must be"):
        chain.arrange([stage(fails="maybe")], [], SystemClock())


def test_every_link_of_the_order_has_its_reason() -> None:
    assert all(reason for _, reason in chain.ORDER)
    assert len({name for name, _ in chain.ORDER}) == len(chain.ORDER)
