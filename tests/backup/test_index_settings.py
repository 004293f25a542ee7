"""Memory and workers for building indexes: enough for the largest table, and never more than there is to share."""

from __future__ import annotations

from typing import Any

import pytest

from legal_store.restore import memory
from legal_store.restore.databases import Server, server
from tests.backup.conftest import contents, execute

GB = 1 << 30


@pytest.fixture
def opened(live: dict[str, Any]) -> Any:
    with server(live) as found:
        yield found


def test_the_largest_table_decides_how_much_memory(opened: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_memory_mb", lambda: 32 * 1024)
    monkeypatch.setattr(memory, "_shared_memory_mb", lambda: 16 * 1024)
    assert _memory(opened, 2, 100 << 20) == 200
    assert _memory(opened, 2, 100 * GB) == _memory(opened, 2, None) == 1024
    assert _memory(opened, 8, 100 * GB) == 512, "all jobs together take an eighth of the machine"
    ((configured,),) = opened.rows("SELECT pg_size_bytes(current_setting('maintenance_work_mem')) >> 20")
    assert _memory(opened, 64, 100 * GB) == _memory(opened, 2, 0) == configured, "never less than is configured"


def test_workers_only_where_what_they_share_has_room(opened: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_memory_mb", lambda: 32 * 1024)
    for shared, workers in ((64, "0"), (2048, "0"), (2049, "4")):
        monkeypatch.setattr(memory, "_shared_memory_mb", lambda shared=shared: shared)
        found = memory.settings_for_indexes(opened, 4, GB // 4)
        assert (found["maintenance_work_mem"], found["max_parallel_maintenance_workers"]) == ("512MB", workers)


def test_a_server_elsewhere_keeps_its_own_settings(opened: Server) -> None:
    elsewhere = Server(opened._connection, {**opened.parameters, "host": "db.example.org"})
    assert memory.settings_for_indexes(elsewhere, 2, GB) == {}


def test_the_largest_table_counts_its_long_values(live: dict[str, Any]) -> None:
    execute(live, "CREATE TABLE long AS SELECT string_agg(gen_random_uuid()::text, '') FROM generate_series(1, 100000)")
    assert contents(live).largest_table > 2_000_000


def _memory(opened: Server, jobs: int, largest_table: int | None) -> int:
    return int(memory.settings_for_indexes(opened, jobs, largest_table)["maintenance_work_mem"].removesuffix("MB"))
