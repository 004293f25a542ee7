"""A database in which a load has not ended: it is shown, nothing else is written there, and there is a way out."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from legal_store.config import Url
from legal_store.errors import SeedError
from legal_store.generating import generate, ledger
from legal_store.migrate.corrections import reset
from tests.conftest import MIGRATIONS, Cluster
from tests.generating.support import SYNTHETIC, half_loaded, query, settings_for, short_recipe

ROWS = 20_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return short_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def half_template(cluster: Cluster, template: str, folder: Path) -> Iterator[str]:
    name = cluster.create(template)
    half_loaded(cluster.url(name), folder, ROWS)
    yield name
    cluster.drop(name)


@pytest.fixture
def half(cluster: Cluster, half_template: str) -> Iterator[Url]:
    """A database of its own whose load was cut among its rows."""
    name = cluster.create(half_template)
    yield cluster.url(name)
    cluster.drop(name)


def execute(url: Url, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)


def load(url: Url, folder: Path, **options: Any) -> Any:
    return generate(settings_for(url), folder, **{"rows": ROWS, **options})


def test_a_reset_takes_the_notes_of_a_load_away(half: Url) -> None:
    reset(psycopg2.extensions.parse_dsn(half), MIGRATIONS, settings_for(half))
    assert query(half, "SELECT nspname FROM pg_namespace WHERE nspname = %s", (ledger.SCHEMA,)) == []
    assert load(half, SYNTHETIC, rows=1000).resumed_at == 0


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
    assert load(half, folder).resumed_at == ROWS


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
        load(database_url, folder, lock_seconds=1, say=told.append)
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
    assert load(half, folder).resumed_at == ROWS


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
    assert load(half, folder).resumed_at == ROWS


def interrupt() -> None:
    """Press Ctrl-C in a moment."""
    main = threading.main_thread().ident
    threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
