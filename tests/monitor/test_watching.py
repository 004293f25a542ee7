"""What `status`, `doctor` and the db tasks show, on real servers in good and in bad order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from legal_store import embedded
from legal_store.backup.manifest import Export, Manifest, backup_name
from legal_store.backup.stores.local import LocalStore
from legal_store.config import Settings, Url
from legal_store.errors import MigrationError
from legal_store.migrate import deploy
from legal_store.monitor.checkup import checkup
from legal_store.monitor.inspection import connections, inspecting, sizes, slow
from legal_store.monitor.overview import last_backup, overview, remember_size
from legal_store.monitor.report import make_report
from tests.backup.samples import put, sample_manifest
from tests.conftest import CHECKOUT, MIGRATIONS


@pytest.fixture
def settings(servers: embedded.Servers, database_url: Url, tmp_path: Path) -> Settings:
    return Settings.from_environ(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": servers.redis.url,
            "LEGAL_STORE_HOME": str(tmp_path),
            "LEGAL_STORE_MIGRATIONS_DIR": str(MIGRATIONS),
            "LEGAL_STORE_BACKUP_DIR": str(tmp_path / "backups"),
        }
    )


def run_task(line: str, settings: Settings, **variables: object) -> subprocess.CompletedProcess[str]:
    """Run `invoke LINE` on the servers and folders of `settings`."""
    environment = {
        **os.environ,
        "DATABASE_URL": str(settings.database_url),
        "REDIS_URL": str(settings.redis_url),
        "LEGAL_STORE_HOME": str(settings.home),
        "LEGAL_STORE_MIGRATIONS_DIR": str(settings.migrations_dir),
        "LEGAL_STORE_BACKUP_DIR": str(settings.backup_dir),
        **{name: str(value) for name, value in variables.items()},
    }
    return subprocess.run(
        [sys.executable, "-m", "invoke", *line.split()],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_everything_in_good_order(settings: Settings) -> None:
    states = {line.topic: line.state for line in overview(settings)}
    assert states.pop("backup") == "look"
    assert set(states.values()) == {"good"}, states
    assert not [check for check in checkup(settings) if check.state == "bad"]


def test_events_that_nobody_tells_the_cache_are_noticed(settings: Settings, connection: Any) -> None:
    def line() -> Any:
        return next(line for line in overview(settings) if line.topic == "events for the cache")

    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO firms (name, vat_id) VALUES ('A', 'RO1'); UPDATE firms SET name = 'B'")
        assert line().state == "good" and line().values["waiting"] == 1
        cursor.execute("UPDATE cache_outbox SET created_at = now() - interval '3 hours'")
    assert line().state == "look" and "1 wait, the first for 3 h" in line().text and "cache.drain" in line().text


def test_servers_that_are_away_are_bad_and_the_rest_is_still_shown(tmp_path: Path) -> None:
    away = Settings.from_environ(
        {
            "DATABASE_URL": "postgresql://u:s3cret@127.0.0.1:1/x?sslmode=disable",
            "REDIS_URL": "redis://:s3cret@127.0.0.1:1/0",
            "LEGAL_STORE_BACKUP_DIR": str(tmp_path),
        }
    )
    lines = {line.topic: line for line in overview(away)}
    assert lines["PostgreSQL"].state == lines["Redis"].state == "bad" and "backup" in lines
    assert "s3cret" not in str(lines) and "s3cret" not in str(checkup(away))
    assert any(check.what == "PostgreSQL answers" and check.state == "bad" and check.remedy for check in checkup(away))


def test_an_empty_database_has_remedies(settings: Settings, empty_database: Url) -> None:
    bad = {
        check.what: check for check in checkup(replace(settings, database_url=empty_database)) if check.state == "bad"
    }
    assert bad["migrations"].remedy == "Run `invoke migrate.deploy`." and "extensions" in bad


def test_a_migration_that_failed_halfway_is_bad_until_somebody_says_what_is_true(
    settings: Settings, empty_database: Url, tmp_path: Path
) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "001_half.sql").write_text("-- transaction: off\nCREATE TABLE t (i int);\nSELECT 1 / 0;\n")
    broken = replace(settings, database_url=empty_database, migrations_dir=folder)
    with pytest.raises(MigrationError):
        deploy(psycopg2.extensions.parse_dsn(empty_database), folder)
    line = next(line for line in overview(broken) if line.topic == "migrations")
    check = next(check for check in checkup(broken) if check.what == "migrations")
    assert line.state == check.state == "bad" and "1 failed: 001_half" in check.found
    assert "invoke migrate.resolve" in line.text and "invoke migrate.resolve" in check.remedy
    told = run_task("migrate.status", broken)
    assert told.returncode == 1 and "1 failed" in told.stderr
    assert "migrate.resolve" in told.stderr and "migrate.deploy" not in told.stderr


def test_who_blocks_whom(settings: Settings, connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE firms")
        with inspecting(settings) as waiting, inspecting(settings) as looking:
            thread = threading.Thread(target=lambda: waiting.rows("SELECT count(*) FROM firms"))
            thread.start()
            holder = connection.info.backend_pid
            for _ in range(200):
                blocked = [row for row in connections(looking) if row["blocked_by"]]
                if blocked:
                    break
            assert blocked[0]["blocked_by"] == [holder]
            line = next(line for line in overview(settings) if line.topic == "blocked sessions")
            assert line.state == "bad" and str(holder) in line.text
            assert any("firms" in row["statement"] for row in slow(looking).statements)
            cursor.execute("ROLLBACK")
            thread.join()


def test_sizes_name_tables_and_indexes_in_bad_order(settings: Settings, connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE big AS SELECT i, repeat('x', 200) AS t FROM generate_series(1, 20000) i")
        cursor.execute("CREATE INDEX unused_one ON big (i)")
        cursor.execute("DELETE FROM big WHERE i % 10 <> 0")
        cursor.execute("ANALYZE big")
        cursor.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'unused_one'::regclass")
        with inspecting(settings) as inspector:
            found = sizes(inspector)
        table = found.tables[0]
        assert table["table"] == "big" and table["total_bytes"] > 4_000_000
        assert 0.7 * table["heap_bytes"] < table["bloat_bytes"] < table["heap_bytes"]
        assert [row["index"] for row in found.invalid_indexes] == ["unused_one"]
        cursor.execute("UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'unused_one'::regclass")
        with inspecting(settings) as inspector:
            assert "unused_one" in [row["index"] for row in sizes(inspector).unused_indexes]


def test_growth_is_told_by_what_was_remembered(tmp_path: Path) -> None:
    day = 86_400
    assert remember_size(tmp_path, "x", 1000, now=0) is None
    assert remember_size(tmp_path, "x", 3000, now=2 * day) == 1000
    assert remember_size(tmp_path, "other", 5, now=2 * day) is None
    assert remember_size(tmp_path / "missing", "x", 1, now=0) is None
    (tmp_path / "sizes.json").write_text("damaged")
    assert remember_size(tmp_path, "x", 1, now=0) is None


@pytest.fixture
def store(settings: Settings) -> LocalStore:
    return LocalStore(settings.backup_dir)


def own_backup(settings: Settings, proof: str = "made", *, hours: float = 1, safety: bool = False) -> Manifest:
    """A backup of the database of `settings`, made so many hours ago."""
    made = sample_manifest(datetime.now(UTC) - timedelta(hours=hours), proof, safety=safety)
    database = psycopg2.extensions.parse_dsn(settings.database_url)["dbname"]
    return replace(made, source=replace(made.source, database=database, environment=settings.environment))


@pytest.mark.parametrize(("proof", "state"), [("made", "look"), ("verified", "look"), ("proven", "good")])
def test_a_backup_counts_when_it_was_proven_to_restore(
    settings: Settings, store: LocalStore, proof: str, state: str
) -> None:
    put(store, own_backup(settings, proof))
    found, text, values = last_backup(settings)
    assert found == state and text.startswith("1 h 0 min ago") and values["proof"] == proof


def test_backups_of_others_and_what_restores_replaced_stand_in_for_none(settings: Settings, store: LocalStore) -> None:
    put(store, sample_manifest(datetime.now(UTC), "proven"))
    put(store, own_backup(settings, "proven", safety=True))
    assert last_backup(settings)[:2] == ("look", f"none of development {own_backup(settings).source.database} in "
                                         f"{settings.backup_dir}: `invoke backup`")  # fmt: skip
    export = Export(personal_data=True, expires_at="2999-01-01T00:00:00+00:00")
    put(store, replace(own_backup(settings, "proven", hours=2), export=export))
    assert "none of" in last_backup(settings)[1]


@pytest.mark.parametrize("damage", ["noted", "data gone", "manifest unreadable"])
def test_a_damaged_backup_is_told_and_does_not_count(settings: Settings, store: LocalStore, damage: str) -> None:
    put(store, own_backup(settings, "proven", hours=80))
    newest = own_backup(settings, "proven")
    name = backup_name(newest.source.environment, newest.source.database, newest.created)
    newest = replace(newest, name=name, data_file=f"{name}.dump")
    put(store, newest.with_failure("proven", "a byte was changed") if damage == "noted" else newest)
    if damage == "data gone":
        store.delete(newest.data_file)
    elif damage == "manifest unreadable":
        (store.folder / newest.file_name).write_text("{}")
    state, text, values = last_backup(settings)
    assert state == "look" and text.startswith("3 d 8 h ago, proven to restore; 1 damaged")
    assert values["damaged"] == [name]
    check = next(check for check in checkup(settings) if check.what == "backups")
    assert check.state == "look" and "1 damaged" in check.found and "invoke backup`" in check.remedy

    for file in store.folder.glob("backup-test-*"):
        file.unlink()
    assert "(1 is damaged)" in last_backup(settings)[1]
    verified = run_task("backup.verify", settings)
    assert verified.returncode == 3 and f"in {settings.backup_dir} (1 is damaged). See" in verified.stderr
    again = run_task(f"backup.verify --name {name}", settings)
    assert again.returncode == 1 and "no backup" not in again.stderr, "it is looked at again"


def test_a_report_holds_everything_but_what_is_being_asked(settings: Settings, connection: Any) -> None:
    secret = "'a name that nobody else may read'"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT {secret}")
        cursor.execute(f"/* {secret} */ SELECT 1; SET application_name = {secret}; RESET application_name")
    asking = threading.Thread(target=lambda: connection.cursor().execute(f"SELECT {secret}, pg_sleep(3)"))
    asking.start()
    report = make_report(settings)
    asking.join()
    assert len(report.connections) >= 1 and report.sizes and report.sizes.tables
    assert {"PostgreSQL", "Redis", "backup"} < {line.topic for line in report.lines} and report.checks
    assert "nobody else" not in repr(report)


def test_a_report_of_servers_that_are_away_says_so(tmp_path: Path) -> None:
    away = Settings.from_environ(
        {"DATABASE_URL": "postgresql://u:s3cret@127.0.0.1:1/x?sslmode=disable", "LEGAL_STORE_BACKUP_DIR": str(tmp_path)}
    )
    report = make_report(away)
    assert report.sizes is None and report.lines[0].state == "bad" and "s3cret" not in repr(report)


def test_a_report_is_a_page_for_its_owner_only(settings: Settings, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("")
    page.chmod(0o644)
    finished = run_task(f"report --file {page}", settings)
    assert finished.returncode == 0 and finished.stdout == f"{page}\n", finished.stderr
    assert page.stat().st_mode & 0o777 == 0o600 and "<h2>Tables, in bytes</h2>" in page.read_text()


@pytest.mark.parametrize(
    "task",
    ["status", "doctor", "health", "db.connections", "db.sizes", "db.slow", "db.pool-plan --instances 3", "report"],
)
def test_tasks_print_json_and_text(task: str, settings: Settings) -> None:
    for flag in ("", " --json"):
        finished = run_task(task + flag, settings)
        assert finished.returncode == 0 and finished.stdout, finished.stderr
        if flag:
            json.loads(finished.stdout)
