"""The pool plan: the table that operators know, and never more than the server has."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legal_store.errors import ConfigurationError
from legal_store.monitor.plan import ServerLimits, pool_plan


@pytest.mark.parametrize(("instances", "size"), [(2, 10), (3, 6), (4, 5)])
def test_the_table_of_twenty_connections(instances: int, size: int) -> None:
    plan = pool_plan(ServerLimits(20), instances=instances)
    assert (plan.pool_size, plan.enough) == (size, True) and plan.total <= 20


@pytest.mark.parametrize("instances", [5, 6, 10, 20])
def test_from_five_instances_on_a_larger_tier(instances: int) -> None:
    plan = pool_plan(ServerLimits(20), instances=instances)
    assert not plan.enough and "larger server" in plan.warnings[0]
    assert pool_plan(ServerLimits(100), instances=instances).enough


def test_never_more_than_the_server_has() -> None:
    """Brute force over everything that goes into the plan."""
    tried = 0
    for max_connections in (1, 5, 20, 97, 100):
        for taken in (0, 3, 30):
            for granted in (None, 1, 20, 500):
                limits = ServerLimits(max_connections, 3, 2, taken, granted)
                for instances in range(1, 13):
                    for workers in (1, 2, 4, 9):
                        for surge in (0.0, 0.25, 1.0, 2.5):
                            plan = pool_plan(limits, instances=instances, workers=workers, surge=surge)
                            assert plan.total <= max(0, max_connections - 5 - taken)
                            assert granted is None or plan.total <= granted
                            assert plan.processes >= instances * workers
                            tried += 1
    assert tried == 11_520


@given(st.integers(1, 1000), st.integers(1, 50), st.integers(1, 16), st.integers(1, 64), st.integers(1, 4))
def test_warns_below_the_bound_where_threads_can_wait_for_each_other_for_ever(
    connections: int, instances: int, workers: int, threads: int, each: int
) -> None:
    plan = pool_plan(
        ServerLimits(connections), instances=instances, workers=workers, threads=threads, connections_per_thread=each
    )
    may_deadlock = 0 < plan.pool_size < threads * (each - 1) + 1
    assert any("Deadlock" in warning for warning in plan.warnings) == may_deadlock


def test_warns_of_deploys_and_of_a_pooler() -> None:
    plan = pool_plan(ServerLimits(100, pooler=True), instances=4)
    assert any("with --surge 1 the pool size is 12" in warning for warning in plan.warnings)
    assert any("max_client_conn" in warning for warning in plan.warnings)


@pytest.mark.parametrize("numbers", [{"instances": 0}, {"surge": -1.0}, {"surge": math.nan}, {"surge": math.inf}])
def test_impossible_numbers_are_refused(numbers: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        pool_plan(ServerLimits(100), **{"instances": 1, **numbers})
