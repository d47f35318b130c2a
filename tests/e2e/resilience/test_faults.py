"""The table of faults, through the real proxy: what a provider does wrong, and what a program feels of it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.core.net.fakes import Authority
from tests.e2e.harness import Proxy
from tests.e2e.resilience import cases, table
from tests.e2e.resilience.cases import Case, Got
from tests.e2e.resilience.house import metric, recorded, until
from tests.e2e.resilience.table import Fault, Late
from tests.e2e.resilience.upstreams import Upstreams, Version
from tokenman_core.ledger import LedgerReader, Row


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_each_fault_at_each_attempt_is_felt_as_little_as_can_be(
    authority: Authority, tmp_path: Path, version: Version
) -> None:
    """And leaves one row in the ledger, and one error of the right kind where the client saw one."""
    rows = [*cases.rows(version, "whole", authority), *cases.rows(version, "stream", authority)]
    too_late = list(cases.late(version, authority))
    assert len(rows) > 400
    assert len(too_late) > 5
    rows.sort(
        key=lambda case: not (case.fault.deadlines or getattr(case.fault, "least", 0))
    )  # those that wait begin first
    every = [*too_late, *rows]
    with Upstreams() as them:
        proxy = cases.start(tmp_path, every, them, authority)
        got = cases.make_all(proxy, every)
        late, others = got[: len(too_late)], got[len(too_late) :]
        found = [*cases.failures(too_late, late, cases.check_late), *cases.failures(rows, others)]
        assert not found, f"{len(found)} of {len(every)}:\n" + "\n".join(found)
        check_records(proxy, too_late, late, rows, others)
        proxy.stop()


def check_records(
    proxy: Proxy, too_late: list[Case], late: Sequence[Any], rows: list[Case], others: Sequence[Any]
) -> None:
    count = len(too_late) + len(rows)
    until(lambda: recorded(proxy) >= count)
    assert recorded(proxy) == count
    reader, errors, wrong = LedgerReader(proxy.data / "ledger.db"), Counter[str](), []

    def row_of(answer: Got) -> Row:
        found = reader.row(answer.headers["x-tokenman-request-id"])
        assert found is not None
        return found

    for case, answer in zip(rows, others, strict=True):
        assert isinstance(case.fault, Fault)
        row, final = row_of(answer), case.fault.final
        wanted = table.expected(case.fault, case.which, len(case.upstreams))
        told, error = (answer.status, "") if wanted.answered is not None else final.recorded
        errors[f'type="{error}"'] += bool(error)
        found = (row.status, row.attempts, row.error, row.stream, row.provider)
        if found != (
            told,
            wanted.attempts,
            error,
            case.mode == "stream",
            answer.headers["x-tokenman-provider"],
        ):
            wrong.append(f"{case.name}: {found}")
    for case, answer in zip(too_late, late, strict=True):
        assert isinstance(case.fault, Late)
        row = row_of(answer)
        errors[f'type="{case.fault.error}"'] += 1
        # What it has used is known from its first event: that much is billed.
        if (row.status, row.outcome, row.error, row.usage.input) != (200, "broken", case.fault.error, 12):
            wrong.append(f"{case.name}: {row}")
    assert not wrong, "\n".join(wrong)
    assert +metric(proxy, "tokenman_errors_total") == +errors
    assert sum(metric(proxy, "tokenman_requests_total").values()) == count
    assert not +metric(proxy, "tokenman_active_requests")
