"""The other ways of the driver to send something: COPY, bulk helpers, cursors, calls."""

from __future__ import annotations

import io
import uuid
from typing import Any

import psycopg2
from psycopg2.extras import DictCursor, RealDictCursor, execute_batch, execute_values

from legal_store import db
from legal_store.database.scope import ScopedCursor
from tests.isolation.operations.worker import LONG, Worker, operation
from tests.isolation.world import MARKED, LeakError


@operation()
def sql_copy_out(w: Worker) -> Any:
    table, file = w.table(), io.StringIO()
    with db.connection().cursor() as cursor:
        if w.rng.random() < 0.5:
            cursor.copy_expert(f"COPY {table} TO STDOUT", file)
        elif w.rng.random() < 0.5:
            cursor.copy_expert(f"COPY (SELECT * FROM {table}) TO STDOUT (FORMAT csv)", file)
        else:
            cursor.copy_to(file, table, columns=("id", MARKED[table]))
    assert file.getvalue() or table in LONG
    return file.getvalue()


@operation(refused=True)
def sql_copy_in(w: Worker) -> Any:
    file = io.StringIO(f"{uuid.uuid4()}\t{w.other.id}\t{w.text()}\n")
    with db.connection().cursor() as cursor:
        cursor.copy_from(file, "clients", columns=("id", "firm_id", "name"))


@operation()
def sql_bulk_helpers(w: Worker) -> Any:
    rows = [(str(w.firm.id), w.mine("cases"), w.text(), "Other") for _ in range(3)]
    statement = "INSERT INTO documents (firm_id, case_id, title, document_type) VALUES "
    with db.connection().cursor() as cursor:
        psycopg2.extras.register_uuid(conn_or_curs=cursor)
        if w.rng.random() < 0.4:
            return execute_values(cursor, f"{statement} %s RETURNING *", rows, fetch=True)
        if w.rng.random() < 0.5:
            return execute_batch(cursor, f"{statement} (%s, %s, %s, %s)", rows)
        return cursor.executemany(f"{statement} (%s, %s, %s, %s)", rows)


@operation(refused=True)
def sql_bulk_helper_for_their_firm(w: Worker) -> Any:
    rows = [(str(w.firm.id), w.text()), (str(w.other.id), w.text())]
    with db.connection().cursor() as cursor:
        execute_values(cursor, "INSERT INTO clients (firm_id, name) VALUES %s", rows)


@operation(refused=True)
def sql_other_cursors(w: Worker) -> Any:
    connection = db.connection()
    options = w.rng.choice([{"cursor_factory": DictCursor}, {"cursor_factory": RealDictCursor}, {"name": "c"}])
    cursor = connection.cursor(**options)
    cursor.execute(f"SELECT * FROM {w.table()}")
    return cursor.fetchall()


class ScopedDictCursor(ScopedCursor, RealDictCursor):
    pass


@operation()
def sql_derived_cursor(w: Worker) -> Any:
    with db.connection().cursor(cursor_factory=ScopedDictCursor) as cursor:
        cursor.execute(f"SELECT * FROM {w.table()}")
        return [dict(row) for row in cursor.fetchall()]


@operation()
def sql_call_a_function(w: Worker) -> Any:
    with db.connection().cursor() as cursor:
        cursor.callproc("current_firm_id")
        found = cursor.fetchall()
        cursor.callproc("row_security_active", [w.table()])
        if cursor.fetchall() != [(True,)]:
            raise LeakError("row-level security is not active")
        return found
