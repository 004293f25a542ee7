"""Connections that end and servers that refuse in the middle of a backup or restore: nothing half is left."""

from __future__ import annotations

from typing import Any

import pytest

from legal_store.backup import MasterKey, list_backups, make_backup
from legal_store.backup.comparing import differences
from legal_store.backup.progress import Progress
from legal_store.backup.stores.local import LocalStore
from legal_store.errors import BackupError, LegalStoreError, RestoreError
from legal_store.restore import RestorePlan, find_source, restore
from legal_store.restore.databases import server
from tests.backup.conftest import contents, execute


class Cutter(Progress):
    """Ends all sessions of a program in a database when the step `step` has begun or its first bytes have come."""

    def __init__(self, live: dict[str, Any], program: str, step: str, *, at_bytes: bool = False) -> None:
        self.live, self.program, self.wanted, self.at_bytes = live, program, step, at_bytes
        self.now = ""
        self.ended = 0

    def step(self, name: str) -> None:
        self.now = name

    def advance(self, done: int, total: int | None) -> None:
        if self.now == self.wanted and not self.ended:
            rows = execute(
                {**self.live, "dbname": "postgres"},
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{self.program}'",
            )
            self.ended = len(rows)


@pytest.fixture
def large(live: dict[str, Any]) -> dict[str, Any]:
    execute(live, "CREATE TABLE large AS SELECT n, md5(n::text) || repeat('x', 400) FROM generate_series(1, 60000) n")
    return live


def test_a_backup_whose_connection_is_cut_is_none(large: dict[str, Any], store: LocalStore, key: MasterKey) -> None:
    cutter = Cutter(large, "pg_dump", "dump")
    with pytest.raises(BackupError, match=r"terminat|PQgetCopyData\(\) failed"):
        make_backup(large, [store], environment="test", codec="zstd", master=key, progress=cutter)
    assert cutter.ended
    assert list_backups(store) == []
    assert store.objects() == {}
    assert not list(store.folder.glob("*.partial"))


def test_a_restore_whose_connection_is_cut_keeps_the_live_database(
    large: dict[str, Any], store: LocalStore, key: MasterKey
) -> None:
    made = make_backup(large, [store], environment="test", codec="zstd", master=key).manifest
    execute(large, "TRUNCATE events")
    before = contents(large)
    cutter = Cutter(large, "pg_restore", "data")
    source = find_source(made.name, store, key)
    plan = RestorePlan(source=source, parameters=large, environment="test", typed=large["dbname"], jobs=1)
    with pytest.raises(RestoreError, match=r"terminat|closed the connection"):
        restore(plan, progress=cutter)
    assert cutter.ended
    assert differences(before, contents(large)) == []
    with server(large) as opened:
        assert [found for found in opened.marked() if found.of == large["dbname"]] == []


def test_a_backup_damaged_after_its_check_does_not_go_live(
    large: dict[str, Any], store: LocalStore, key: MasterKey
) -> None:
    """Between the check and the loading somebody changes a byte: the loading looks again."""
    made = make_backup(large, [store], environment="test", codec="zstd", master=key).manifest
    before = contents(large)

    class Changer(Progress):
        def step(self, name: str) -> None:
            if name == "data":
                file = store.folder / made.data_file
                content = bytearray(file.read_bytes())
                content[-20] ^= 1
                file.write_bytes(content)

    source = find_source(made.name, store, key)
    plan = RestorePlan(source=source, parameters=large, environment="test", typed=large["dbname"])
    with pytest.raises(LegalStoreError, match="damaged"):
        restore(plan, progress=Changer())
    assert differences(before, contents(large)) == []
    with server(large) as opened:
        assert [found for found in opened.marked() if found.of == large["dbname"]] == []


def test_two_restores_of_one_database_do_not_meet(large: dict[str, Any], store: LocalStore) -> None:
    made = make_backup(large, [store], environment="test", codec="zstd").manifest
    source = find_source(made.name, store, None)
    plan = RestorePlan(source=source, parameters=large, environment="test", typed=large["dbname"])
    with server(large) as opened, opened.locked(large["dbname"]), pytest.raises(LegalStoreError, match="at work"):
        restore(plan)
