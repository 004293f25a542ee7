"""What `status`, `doctor` and the db tasks show, on real servers in good and in bad order."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import peewee
import psycopg2
import pytest
import redis

from legal_store import check_database_health, check_redis_health, embedded
from legal_store.backup.manifest import Export, Manifest, backup_name
from legal_store.backup.stores.local import LocalStore
from legal_store.config import Settings, Url
from legal_store.database import db, firm
from legal_store.errors import MigrationError, OperationFailedError, WrongUseError
from legal_store.migrate import deploy
from legal_store.monitor.checkup import checkup
from legal_store.monitor.ending import cancel_statement, end_session
from legal_store.monitor.inspection import blockers, connections, inspecting, sizes, slow
from legal_store.monitor.overview import last_backup, overview, remember_size
from legal_store.monitor.report import make_report
from legal_store.production import mark_production
from tests.backup.samples import put, sample_manifest
from tests.cli.conftest import Invoke, invoke  # noqa: F401  (a fixture)
from tests.conftest import CHECKOUT, MIGRATIONS, Cluster


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


def _found(settings: Settings, what: str) -> tuple[str, str]:
    [check] = [check for check in checkup(settings) if check.what == what]
    return check.state, check.found


def test_a_redis_without_room_is_bad(settings: Settings) -> None:
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        before = client.config_get("maxmemory*")
        client.config_set("maxmemory", 1)
        client.config_set("maxmemory-policy", "noeviction")
        try:
            assert _found(settings, "Redis") == ("bad", "the memory is full: writes are refused")
            [line] = [line for line in overview(settings) if line.topic == "Redis"]
            found = check_redis_health(settings)
        finally:
            for name in ("maxmemory", "maxmemory-policy"):
                client.config_set(name, before[name])
    assert line.state == "bad" and "writes are refused" in line.text
    assert not found.healthy and "the memory is full" in found.reason


def test_a_database_that_is_set_to_reading_only_is_bad(settings: Settings, connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        cursor.execute(f"ALTER DATABASE {cursor.fetchone()[0]} SET default_transaction_read_only = on")
    assert _found(settings, "PostgreSQL can be written") == ("bad", "default_transaction_read_only is on")
    db.configure(settings)
    found = check_database_health(db)
    db.close_all()
    assert found.status == "warn" and "nothing can be written" in found.reason


def test_a_database_that_says_otherwise_than_the_shell_is_shown(settings: Settings, connection: Any) -> None:
    assert _found(settings, "environment") == ("good", "development")
    mark_production(connection)
    found = _found(settings, "environment")
    assert found == ("look", "LEGAL_STORE_ENV says development, the database production")


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


@contextmanager
def blocked(settings: Settings, connection: Any) -> Iterator[int]:
    """A session that waits for `connection`, whose process id is yielded; it holds a lock on firms until the end."""
    with connection.cursor() as cursor, inspecting(settings) as waiting:
        cursor.execute("SET application_name = 'a report'; BEGIN")
        cursor.execute("LOCK TABLE firms")
        thread = threading.Thread(target=lambda: waiting.rows("SELECT count(*) FROM firms"))
        thread.start()
        try:
            with inspecting(settings) as looking:
                eventually(lambda: blockers(looking))
            yield connection.info.backend_pid
        finally:
            with suppress(psycopg2.Error):  # somebody may have ended it
                cursor.execute("ROLLBACK")
            thread.join()


def eventually(look: Callable[[], Any]) -> Any:
    """Return what `look` gives as soon as that is something."""
    deadline = time.monotonic() + 10
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found
    return found


def test_who_blocks_whom(settings: Settings, connection: Any) -> None:
    with blocked(settings, connection) as holder, inspecting(settings) as looking:
        (waiting,) = [row for row in connections(looking) if row["blocked_by"]]
        assert waiting["blocked_by"] == [holder]
        line = next(line for line in overview(settings) if line.topic == "blocked sessions")
        assert line.state == "bad" and line.text == f"{holder} blocks {waiting['pid']}"
        assert any("firms" in row["statement"] for row in slow(looking).statements)


def test_the_doctor_names_who_blocks_and_ending_that_session_helps(settings: Settings, connection: Any) -> None:
    with blocked(settings, connection) as holder:
        check = next(check for check in checkup(settings) if check.what == "blocked sessions")
        assert check.state == "bad" and f"session {holder} (" in check.found
        assert "a report, idle in transaction, in a transaction for 0 s, waits for Client) blocks" in check.found
        assert f"`invoke db.end {holder}`" in check.remedy
        refused = run_task(f"db.end {holder} --cancel", settings)
        assert refused.returncode == 2 and "is idle in transaction" in refused.stderr
        ended = run_task(f"db.end {holder}", settings)
        assert ended.returncode == 0, ended.stderr
        assert f"Ended session {holder} (" in ended.stdout and "a report" in ended.stdout
        assert "LOCK TABLE firms" in ended.stdout
        with pytest.raises(psycopg2.OperationalError):
            connection.cursor().execute("SELECT 1")
    assert next(check for check in checkup(settings) if check.what == "blocked sessions").state == "good"
    with connect_directly(settings) as other:
        told = json.loads(run_task(f"db.end --pid {other.info.backend_pid} --json", settings).stdout)
        assert told["pid"] == other.info.backend_pid and told["state"] == "idle"


@contextmanager
def connect_directly(settings: Settings, **more: str) -> Iterator[Any]:
    with closing(psycopg2.connect(settings.database_url, **more)) as opened:
        opened.autocommit = True
        yield opened


def test_only_sessions_of_this_database_can_be_ended(settings: Settings, cluster: Cluster) -> None:
    with closing(cluster.connect("postgres")) as elsewhere:
        pid = elsewhere.info.backend_pid
        finished = run_task(f"db.end {pid}", settings)
        assert finished.returncode == 2 and f"{pid} is no session of test_" in finished.stderr
        assert run_task("db.end one", settings).returncode == 2
        with inspecting(settings) as inspector, pytest.raises(WrongUseError, match="is no session of"):
            end_session(inspector, inspector.connection.info.backend_pid)
        elsewhere.cursor().execute("SELECT 1")


def test_a_login_without_the_right_is_told_so(settings: Settings, other_login: Url, connection: Any) -> None:
    told = pytest.raises(OperationFailedError, match=r"may not end session .* GRANT pg_signal_backend")
    with inspecting(replace(settings, database_url=other_login)) as inspector, told:
        end_session(inspector, connection.info.backend_pid)
    connection.cursor().execute("SELECT 1")


@pytest.mark.usefixtures("configured")
def test_a_statement_of_a_service_is_shown_without_the_settings_that_it_brings(settings: Settings) -> None:
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            with db, firm(uuid.uuid4()):
                db.execute_sql("SELECT 'the slow one',\n pg_sleep(30)")
        except peewee.OperationalError as error:
            failures.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    with inspecting(settings) as looking:
        running = "SELECT 'the slow one', pg_sleep(30)"
        (row,) = eventually(lambda: [row for row in connections(looking) if row["statement"] == running])
        assert any(one["statement"] == running for one in slow(looking).statements)
        line = next(line for line in overview(settings) if line.topic == "longest statement")
        assert line.text.endswith(running)
        cancelled = cancel_statement(looking, row["pid"])
    thread.join()
    assert cancelled.statement == running and cancelled.application == "legal_store"
    assert len(failures) == 1 and "cancel" in str(failures[0])


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


def test_backups_of_a_marked_database_are_found_from_a_shell_that_says_nothing(
    settings: Settings, store: LocalStore, connection: Any
) -> None:
    mark_production(connection)
    put(store, own_backup(replace(settings, environment="production"), "proven"))
    assert [line.state for line in overview(settings) if line.topic == "backup"] == ["good"]
    assert _found(settings, "backups")[0] == "good"


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


def test_a_report_of_nothing_that_runs_is_a_page_too(invoke: Invoke, tmp_path: Path) -> None:  # noqa: F811
    page = tmp_path / "page.html"
    finished = invoke("report", "--file", str(page), LEGAL_STORE_HOME=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "DATABASE_URL is not set, and no embedded PostgreSQL runs" in page.read_text()


def test_a_report_waits_once_for_a_server_that_does_not_answer(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        url = Url(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x?sslmode=disable&connect_timeout=2")
        report = make_report(replace(settings, database_url=url))
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
    assert report.lines[0].state == "bad" and len(report.lines) == 3 and report.checks


@pytest.fixture
def other_login(cluster: Cluster, database_url: Url) -> Iterator[Url]:
    """The URL of the database as a login that owns nothing and is no superuser."""
    name = f"login_{uuid.uuid4().hex[:12]}"
    with closing(cluster.connect("postgres")) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE ROLE {name} LOGIN")
        yield Url(re.sub(r"//[^@]*@", f"//{name}@", database_url))
        cursor.execute(f"DROP ROLE {name}")


def test_a_login_that_is_no_superuser_gets_what_it_may_see(settings: Settings, other_login: Url) -> None:
    limited = replace(settings, database_url=other_login)
    with inspecting(limited) as inspector:
        assert slow(inspector).source == "pg_stat_activity"
    report = make_report(limited)
    assert report.sizes and any(line.text.startswith("cannot be read") for line in report.lines)
    assert next(check for check in report.checks if check.what == "statement statistics").state == "look"


def test_a_part_of_a_report_that_cannot_be_read_is_a_line(settings: Settings, connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA elsewhere")
        cursor.execute("CREATE EXTENSION pg_stat_statements SCHEMA elsewhere")  # not in the search path
    report = make_report(settings)
    line = next(line for line in report.lines if line.topic == "statements")
    assert line.state == "look" and "cannot be read" in line.text and report.statements is None and report.sizes


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
