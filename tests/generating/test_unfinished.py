"""A database in which a load has not ended: it is shown, nothing else is written there, and there is a way out."""

from __future__ import annotations

import dataclasses
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from invoke import Context
from invoke.exceptions import Exit
from psycopg2.extensions import parse_dsn

from legal_store.backup import latest
from legal_store.backup.stores.local import LocalStore
from legal_store.config import Url
from legal_store.errors import RefusedError, SeedError
from legal_store.generating import generate, ledger, loading, locks
from legal_store.migrate.corrections import reset
from legal_store.monitor.checkup import checkup
from legal_store.monitor.overview import overview
from legal_store.ops.backup import backup
from legal_store.ops.demo import demo
from legal_store.ops.seed import seed
from legal_store.restore import RestorePlan, find_source, restore
from tests.conftest import MIGRATIONS, Cluster, set_variables
from tests.generating.support import SYNTHETIC, half_loaded, query, settings_for, short_recipe

SIZE = {"rows": 2500, "firms": 3}


@pytest.fixture(scope="module", autouse=True)
def few_rows_and_short_tries() -> Iterator[None]:
    """Indexes go for a small load too, and a try for a lock is over sooner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locks, "TRY_MS", 250)
        patch.setattr(locks, "_PAUSE_S", 0.1)
        patch.setattr(loading, "REBUILD_FROM_ROWS", SIZE["rows"])
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return short_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def half_template(cluster: Cluster, template: str, folder: Path) -> Iterator[str]:
    with cluster.database(template) as name:
        half_loaded(cluster.url(name), folder, **SIZE)
        yield name


@pytest.fixture
def half(cluster: Cluster, half_template: str) -> Iterator[Url]:
    """A database of its own whose load was cut among its rows."""
    with cluster.database(half_template) as name:
        yield cluster.url(name)


def execute(url: Url, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)


def load(url: Url, folder: Path, **options: Any) -> Any:
    return generate(settings_for(url), folder, **{**SIZE, **options})


def test_a_reset_takes_the_notes_of_a_load_away(half: Url) -> None:
    reset(parse_dsn(half), MIGRATIONS, settings_for(half))
    assert query(half, "SELECT nspname FROM pg_namespace WHERE nspname = %s", (ledger.SCHEMA,)) == []
    assert load(half, SYNTHETIC).resumed_at == 0


def test_notes_that_the_tables_do_not_bear_out_are_not_believed(half: Url, folder: Path) -> None:
    execute(half, "TRUNCATE firms CASCADE")
    before = query(half, f"SELECT count(*) FROM {ledger.SCHEMA}.portion")
    with pytest.raises(SeedError, match=r"rows that this load has written, [\d,]+ are gone.*migrate.reset"):
        load(half, folder)
    assert query(half, "SELECT count(*) FROM firms") == [(0,)]
    assert query(half, f"SELECT count(*) FROM {ledger.SCHEMA}.portion") == before


def test_rows_that_go_while_a_load_ends_are_missed(half: Url, folder: Path) -> None:
    def delete(stage: str, done: int, total: int) -> None:
        if stage == "statistics" and not done:
            execute(half, "DELETE FROM tasks WHERE id = (SELECT id FROM tasks LIMIT 1)")

    with pytest.raises(SeedError, match="1 are gone: tasks of firm"):
        load(half, folder, progress=delete)


def test_an_unfinished_load_is_shown_with_the_command_that_goes_on(half: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    command = "`invoke seed --set synthetic --seed 1 --scale 3 --rows 2500`"
    lines = {line.topic: line for line in overview(settings_for(half))}
    checks = {check.what: check for check in checkup(settings_for(half))}
    line, check = lines["unfinished load"], checks["unfinished load"]
    assert (line.state, check.state) == ("bad", "bad")
    assert re.search(r"2,500 rows has not ended, \d+ indexes and constraints are missing", line.text)
    assert command in line.text and command in check.remedy
    set_variables(monkeypatch, DATABASE_URL=half, REDIS_URL="redis://localhost")
    before = query(half, "SELECT count(*) FROM users")
    for task in (seed, demo):
        with pytest.raises(Exit, match=r"demo.* has to wait: .*has not ended.*invoke seed") as caught:
            task(Context())
        assert caught.value.code == 2
    assert query(half, "SELECT count(*) FROM users") == before


def test_a_load_that_runs_is_not_called_bad(database_url: Url, folder: Path) -> None:
    seen: list[Any] = []

    def look(stage: str, done: int, total: int) -> None:
        if not seen:
            seen.extend(line for line in overview(settings_for(database_url)) if line.topic == "unfinished load")

    load(database_url, folder, progress=look)
    assert seen[0].state == "look" and "is at work" in seen[0].text and "Wait for its end" in seen[0].text


def test_a_backup_of_an_unfinished_load_is_told_and_takes_no_good_ones_place_unnoticed(
    half: Url, database_url: Url, folder: Path, tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    good: dict[str, Any] = parse_dsn(database_url)
    set_variables(monkeypatch, DATABASE_URL=half, LEGAL_STORE_BACKUP_DIR=str(tmp_path))
    backup(Context())
    assert re.search("warning: a load of recipe .* has not ended", capfd.readouterr().err)
    store = LocalStore(tmp_path)
    plan = RestorePlan(
        source=find_source(latest(store).name, store, None),
        parameters=good, environment="development", typed=good["dbname"], jobs=1,
    )  # fmt: skip
    with pytest.raises(RefusedError, match=r"complete: a load .* had not ended.*--unfinished-load"):
        restore(plan)
    meant = dataclasses.replace(plan, unfinished_load=True)
    report = restore(meant)
    assert load(database_url, folder).resumed_at > 0
    cluster.drop(str(report.previous))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            "INSERT INTO users (firm_id, email, first_name, last_name, role) "
            "SELECT firm_id, email, 'A', 'B', 'Partner' FROM users LIMIT 1",
            (r"users_\w+ of users cannot be put back: several rows have the same \(\w*\(?email", "HAVING count"),
        ),
        (
            "INSERT INTO clients (firm_id, name) VALUES (gen_random_uuid(), 'C')",
            (r"clients_firm_id_fkey of clients cannot be put back: the \(firm_id\) of some rows refers", "EXCEPT"),
        ),
    ],
)
def test_rows_in_the_way_of_a_key_are_told_with_a_query_that_finds_them(
    half: Url, folder: Path, wrong: str, told: tuple[str, str]
) -> None:
    execute(half, wrong)
    with pytest.raises(SeedError, match=told[0]) as caught:
        load(half, folder)
    finds = caught.value.remedy.partition("with ")[2].partition(";")[0]
    assert told[1] in finds
    ((value, *_),) = query(half, finds)
    assert str(value) not in str(caught.value)
    table = "clients" if "clients" in wrong else "users"
    execute(
        half,
        f"DELETE FROM {table} WHERE ctid = (SELECT ctid FROM {table} WHERE "
        f"{'firm_id' if table == 'clients' else 'lower(email)'}::text = '{value}' "
        "ORDER BY created_at DESC LIMIT 1)",
    )
    assert load(half, folder).resumed_at == SIZE["rows"]


@pytest.fixture
def reader(database_url: Url) -> Iterator[Any]:
    """A session that has read in a transaction and stays open, as a forgotten psql does."""
    with closing(psycopg2.connect(database_url, application_name="forgotten psql")) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM cases")
        yield connection


def test_an_open_transaction_is_named_and_nothing_is_lost(database_url: Url, folder: Path, reader: Any) -> None:
    told: list[str] = []
    with pytest.raises(SeedError, match=r"in use.*forgotten psql, idle in transaction\) on cases.*db.connections"):
        load(database_url, folder, lock_seconds=0.5, say=told.append)
    assert told == [f"waiting for process {reader.info.backend_pid} (forgotten psql, idle in transaction) on cases; "
                    "Ctrl-C ends this"]  # fmt: skip
    assert query(database_url, "SELECT nspname FROM pg_namespace WHERE nspname = %s", (ledger.SCHEMA,)) == []
    assert query(database_url, "SELECT count(*) > 50 FROM pg_index WHERE indrelid > 16384") == [(True,)]


def test_readers_get_through_while_a_load_waits(database_url: Url, folder: Path, reader: Any) -> None:
    reads: list[Any] = []

    def read_and_let_go() -> None:
        for _ in range(8):  # some of them meet a try of the load
            reads.extend(query(database_url, "SET statement_timeout = '2s'; SELECT count(*) FROM firms"))
            time.sleep(0.1)
        reader.rollback()

    load(database_url, folder, say=lambda line: threading.Thread(target=read_and_let_go).start())
    assert reads == [(0,)] * 8


@pytest.mark.parametrize("lock", ["SELECT count(*) FROM cases", "UPDATE firms SET name = name"])
def test_a_load_that_gives_up_at_its_end_is_gone_on_with(half: Url, folder: Path, lock: str) -> None:
    with closing(psycopg2.connect(half)) as other:

        def hold(at: str, done: int, total: int) -> None:
            if at == "indexes" and not done:
                other.cursor().execute(lock)

        with pytest.raises(SeedError, match="still waits for process"):
            load(half, folder, lock_seconds=0.5, progress=hold)
    assert load(half, folder).resumed_at == SIZE["rows"]


def test_ctrl_c_is_heard_while_a_load_waits(database_url: Url, folder: Path, reader: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(database_url, folder, say=lambda line: interrupt())
    reader.rollback()
    assert load(database_url, folder).resumed_at == 0


def test_ctrl_c_is_heard_while_indexes_are_made(half: Url, folder: Path) -> None:
    with closing(psycopg2.connect(half)) as other:

        def hold(at: str, done: int, total: int) -> None:
            if at == "indexes" and not done:
                other.cursor().execute("UPDATE firms SET name = name")

        with pytest.raises(KeyboardInterrupt):
            load(half, folder, progress=hold, say=lambda line: interrupt())
    assert load(half, folder).resumed_at == SIZE["rows"]


def interrupt() -> None:
    """Press Ctrl-C in a moment."""
    main = threading.main_thread().ident
    threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
