"""Random operations of one firm never see, change, count or refer to a row of another."""

from __future__ import annotations

import pytest

from tests.isolation.conftest import FULL, Host
from tests.isolation.fuzz import fuzz
from tests.isolation.operations import OPERATIONS
from tests.isolation.world import World

COUNT = 60_000 if FULL else 2_000  # on each of two hosts


@pytest.mark.sweep
@pytest.mark.timeout(3600)
def test_no_operation_reaches_another_firm(host: Host, world: World) -> None:
    report = fuzz(world, COUNT, seed=1)
    assert report.failures == []
    assert report.leaks == []
    assert report.total >= COUNT
    assert set(report.ran) == {operation.name for operation in OPERATIONS}
