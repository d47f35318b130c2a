"""A storm of faults at fifty calls side by side leaves nothing behind: no descriptor, no task, no call without a record."""

from pathlib import Path

from tests.e2e.resilience.house import metric, until
from tests.e2e.resilience.storm import House, Storm
from tests.e2e.resilience.upstreams import Upstreams


def test_a_storm_of_faults_leaves_nothing_behind(tmp_path: Path) -> None:
    storm = Storm(seed=20261124)
    with Upstreams() as them:
        house = House(tmp_path, them, storm)
        house.blow(3)
        before = house.held()
        house.blow(14)
        assert not storm.wrong, storm.wrong[:5]
        assert storm.seen["good"] > 100, storm.seen
        assert storm.seen["told in the stream"] > 5, storm.seen
        assert storm.seen["left"] > 10, storm.seen
        assert storm.seen["went stale"] <= storm.seen["told in the stream"] // 4 + 5, storm.seen
        until(lambda: not house.held().beyond(before))
        assert house.held().memory - before.memory < 40
        assert not +metric(house.proxy, "tokenman_active_requests")
        rows = house.rows()
        assert len(rows) == len(set(rows)), "one row a call"
        assert len(storm.ids) == len(set(storm.ids))
        assert len(rows) <= storm.calls  # a client that left before its request was there made none
        assert sum(metric(house.proxy, "tokenman_requests_total").values()) == len(rows)
        house.proxy.stop()
