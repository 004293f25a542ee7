"""SQL that somebody wrote: transactions, settings, prepared statements, and what else a session holds."""

from __future__ import annotations

import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from peewee import DatabaseError
from psycopg2.extensions import TRANSACTION_STATUS_INERROR

import legal_store
from legal_store import db
from legal_store.errors import FirmScopeError, NotConnectedError
from tests.isolation.operations.worker import LONG, MODELS, Worker, operation
from tests.isolation.world import FirmRows, LeakError


@operation()
def sql_several_statements(w: Worker) -> Any:
    table = w.table()
    return w.run(f"SELECT 1; /* ; */ SELECT * FROM {table}")


@operation()
def sql_comments_and_control(w: Worker) -> Any:
    table = w.table()
    with db.atomic():
        found = w.run(f"-- COMMIT\n/* BEGIN */ SELECT * FROM {table}")
        w.run("SAVEPOINT s")
        found += w.run(f"SELECT * FROM {table}")
        w.run("/* back */ ROLLBACK TO SAVEPOINT s")
        found += w.run(f"SELECT * FROM {table}")
        w.run("RELEASE SAVEPOINT s")
    return found


@operation(refused=True)
def sql_after_a_commit_in_the_same_text(w: Worker) -> Any:
    """Settings of a transaction end with it; what follows runs with the connection's own: no firm."""
    if db.in_transaction():
        raise FirmScopeError("only where no transaction of others would be ended")
    w.run("BEGIN")
    try:
        return w.run(f"COMMIT; SELECT * FROM {w.table()}")
    finally:
        w.run("ROLLBACK")


@operation(refused=True)
def sql_after_a_failure_in_the_same_text(w: Worker) -> Any:
    with db.atomic():
        w.run("SAVEPOINT s")
        try:
            w.run("SELECT 1 / 0")
        except DatabaseError:
            return w.run(f"ROLLBACK TO SAVEPOINT s; SELECT * FROM {w.table()}")


@operation()
def sql_transaction_written_out(w: Worker) -> Any:
    if db.in_transaction():
        return None
    table = w.table()
    try:
        found = w.run(f"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM {table}")
        return found + w.run(f"SELECT * FROM {table}")
    finally:
        w.run("ROLLBACK")


@operation()
def sql_set_transaction(w: Worker) -> Any:
    if db.in_transaction():
        return None
    with db.atomic():
        w.run("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY")
        return w.run(f"SELECT * FROM {w.table()}")


@operation()
def sql_firm_set_by_hand(w: Worker) -> Any:
    """A statement that changes role or firm does so for itself; the next one starts from the scope again."""
    their = w.other.id
    statement = w.rng.choice(
        [
            f"SELECT set_config('legal_store.firm_id', '{their}', {w.rng.choice(['true', 'false'])})",
            f"SET legal_store.firm_id = '{their}'",
            f"SET LOCAL legal_store.firm_id = '{their}'",
            f"SET SESSION legal_store.firm_id = '{their}'",
            "SET ROLE none",
            "SET LOCAL ROLE none",
            "RESET ROLE",
            "RESET ALL",
            "SET SESSION AUTHORIZATION DEFAULT",
            "SELECT set_config('role', 'none', false)",
        ]
    )
    try:
        w.run(statement)
        return w.run(f"SELECT * FROM {w.table()}") + w.run(f"SELECT * FROM {w.table()}")
    finally:
        clean_up(w)


@operation(refused=True)
def sql_outside_any_scope_after_dirt(w: Worker) -> Any:
    """A session that somebody left with another role or firm gives nothing to code without a scope."""
    if db.in_transaction():
        raise FirmScopeError("only where no transaction of others would be ended")
    w.run(w.rng.choice(["SET ROLE none", f"SET legal_store.firm_id = '{w.other.id}'", "RESET ROLE"]))
    try:
        return contextvars.Context().run(run_on, db.connection(), f"SELECT * FROM {w.table()}")
    finally:
        clean_up(w)


def run_on(connection: Any, statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def clean_up(w: Worker) -> None:
    """Put the session right, as the pool does when a connection comes back."""
    if db.connection().get_transaction_status() != TRANSACTION_STATUS_INERROR:
        w.run("RESET ROLE; RESET legal_store.firm_id")


@operation()
def sql_prepared_statement(w: Worker) -> Any:
    table, name = w.table(), f"p{w.rng.randrange(10**9)}"
    w.run(f"PREPARE {name} AS SELECT * FROM {table}")
    found = w.run(f"EXECUTE {name}")
    w.kept["prepared"] = name
    with contextvars_of(w, w.rng.choice(w.own)):
        found_there = w.run(f"EXECUTE {name}")
        w.world.inspect(found_there, w.firm)
    w.run(f"DEALLOCATE {name}")
    return found


class contextvars_of:  # noqa: N801  (reads as a function)
    """The scope of another firm of the worker's own, as a request of that firm's would open it."""

    def __init__(self, worker: Worker, firm: FirmRows) -> None:
        self.worker, self.firm = worker, firm

    def __enter__(self) -> None:
        from legal_store.database import scope

        self.before = self.worker.firm
        self.token = scope._current.set(None)
        self.worker.firm = self.firm
        self.scope = legal_store.firm(self.firm.id)
        self.scope.__enter__()

    def __exit__(self, *exception: Any) -> None:
        from legal_store.database import scope

        self.scope.__exit__(*exception)
        scope._current.reset(self.token)
        self.worker.firm = self.before


@operation()
def sql_declared_cursor(w: Worker) -> Any:
    table = w.table()
    with db.atomic():
        w.run(f"DECLARE c CURSOR FOR SELECT * FROM {table}")
        found = w.run("FETCH 2 FROM c") + w.run("FETCH ALL FROM c")
        w.run("CLOSE c")
    return found


@operation()
def sql_scopes_take_turns_in_one_transaction(w: Worker) -> Any:
    table, found = w.table(), []
    with db.atomic():
        for firm in (w.firm, *w.own, w.firm):
            with contextvars_of(w, firm):
                rows = w.run(f"SELECT * FROM {table}") + list(MODELS[table].select().dicts())
                w.world.inspect(rows, firm)
                found.append(len(rows))
    assert all(found) or table in LONG
    return w.run(f"SELECT * FROM {table}")


@operation(needs_scope=False)
def sql_connection_lent_to_another_thread(w: Worker) -> Any:
    """It serves the thread that borrowed it only: a statement of another would fall into that one's transaction."""
    connection, table = db.connection(), w.table()

    def read() -> None:
        with legal_store.firm(w.firm.id), connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {table}")

    with ThreadPoolExecutor(1) as other:
        try:
            other.submit(read).result()
        except NotConnectedError:
            with legal_store.firm(w.firm.id):
                return w.run(f"SELECT * FROM {table}")
    raise LeakError("another thread could use the connection")


@operation()
def sql_find_what_the_last_borrower_left(w: Worker) -> Any:
    """A temporary table keeps the rows of a firm, until the pool resets the session."""

    def find_and_leave() -> Any:
        with db.connection_context():
            ((left,),) = w.run("SELECT to_regclass('pg_temp.left_behind') IS NOT NULL")
            found = w.run("SELECT * FROM left_behind") if left else []
            w.run("DROP TABLE IF EXISTS left_behind")
            w.run("CREATE TEMP TABLE left_behind AS SELECT * FROM clients")
            return found

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(contextvars.copy_context().run, find_and_leave).result()
