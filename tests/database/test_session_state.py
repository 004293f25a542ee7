"""No borrower finds anything that another one left in the session, and clean sessions cost no round trip."""

from __future__ import annotations

import datetime
import os
import uuid
from contextlib import suppress
from typing import Any

import peewee
import psycopg2
import psycopg2.extensions
import psycopg2.extras
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from peewee import fn
from psycopg2 import sql

from legal_store import Case, CaseStatus, Client, Document, Firm, Task, firm
from legal_store.database import Database
from legal_store.database import pooled as pooled_module
from legal_store.database.pooled import PooledConnection
from legal_store.database.traces import Trace, traces_of
from legal_store.errors import FirmScopeError
from tests.database.conftest import MakeDatabase

FULL_SWEEP = os.environ.get("LEGAL_STORE_SWEEP") == "full"

# Everything that a session can carry from one borrower to the next, and that the next one could notice.
STATE = """
SELECT pg_backend_pid(), session_user, current_user, current_setting('role'),
       (SELECT json_agg(name ORDER BY name) FROM pg_settings WHERE setting IS DISTINCT FROM reset_val),
       nullif(current_setting('app.leak', true), ''), nullif(current_setting('legal_store.firm_id', true), ''),
       (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
       (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
       (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors WHERE is_holdable),
       (SELECT count(*) FROM pg_listening_channels())
"""

LEAVING_TRACES = [
    "SET statement_timeout = '5s'",
    "SET SESSION work_mem = '1MB'",
    "set search_path to pg_catalog",
    "SELECT set_config('app.leak', 'firm-1', false)",
    "SELECT set_config('legal_store.firm_id', '1', false)",
    "SELECT 'x' AS \"set_config('a', 'b', true)\", set_config('app.leak', 'x', false)",
    "SELECT count(*), pg_catalog.set_config('app.leak', 'x', false)",
    "SELECT \"set_config\"('app.leak', 'x', false)",
    "WITH a AS (SELECT set_config('app.leak', 'x', false)) SELECT * FROM a",
    "SELECT 1; SET app.leak = 'x'",
    "/* SELECT 1 */ SET app.leak = 'x'",
    "BEGIN; SET app.leak = 'x'; COMMIT",
    "DO $$ BEGIN PERFORM set_config('app.leak', 'x', false); END $$",
    "SET ROLE none",
    "SET SESSION ROLE pg_monitor",
    "RESET ROLE; SET SESSION AUTHORIZATION legal_store_service",
    "CREATE TEMP TABLE leak (a int)",
    "SELECT 1 AS a INTO TEMPORARY leak2",
    "CREATE TEMP SEQUENCE leak3",
    "SELECT pg_advisory_lock(42)",
    "SELECT pg_try_advisory_lock_shared(43)",
    "PREPARE leak AS SELECT 1",
    "LISTEN leak",
    "DECLARE leak CURSOR WITH HOLD FOR SELECT 1",
    "EXPLAIN ANALYZE SELECT set_config('app.leak', 'x', false)",
    "SET default_transaction_read_only = on",
    "SET client_encoding = 'LATIN1'",
    "SET TIME ZONE 'UTC-5'",
    "SELECT U&\"\\0073et_config\"('app.leak', 'x', false)",
    "SELECT set_config('app.leak', 'x', false) -- , true)",
    "VALUES (set_config('app.leak', 'x', false))",
    "TABLE pg_am; SET app.leak = 'x'",
]
LEAVING_NONE = [
    "SELECT 1",
    "select count(*), max(setting) from pg_settings where name in ('a', 'b;c')",
    "SET LOCAL work_mem = '1MB'",
    "BEGIN; SET LOCAL app.leak = 'x'; COMMIT",
    "SELECT set_config('app.leak', 'x', true)",
    "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; ROLLBACK",
    "SELECT 'SET app.leak = 1', \"setting\" FROM pg_settings LIMIT 1",
    "SAVEPOINT a",  # fails outside a transaction, and that leaves nothing either
    "SELECT no_such_column",
    "BEGIN",
    "BEGIN; SELECT no_such_column",
]


def state_of(database: Database) -> list[Any]:
    return list(database.execute_sql(STATE).fetchone())


@pytest.mark.parametrize("statement", LEAVING_TRACES)
def test_what_leaves_a_trace_is_seen(statement: str) -> None:
    assert traces_of(statement) & Trace.STATE


@pytest.mark.parametrize("statement", LEAVING_NONE)
def test_what_leaves_none_costs_no_round_trip(statement: str) -> None:
    assert not traces_of(statement) & Trace.STATE


@pytest.mark.parametrize("statement", [b"SELECT 1", sql.SQL("SELECT 1"), object()])
def test_what_cannot_be_read_counts_as_a_trace(statement: object) -> None:
    assert traces_of(statement) & Trace.STATE


def test_a_parameter_that_may_become_sql_counts_as_a_trace() -> None:
    evil = psycopg2.extensions.AsIs("set_config('app.leak', 'x', false)")
    assert traces_of("SELECT %s", (evil,)) & Trace.STATE
    assert traces_of("SELECT %s", ([1, [evil]],)) & Trace.STATE
    assert traces_of("SELECT %(a)s", {"a": evil}) & Trace.STATE
    assert not traces_of("SELECT %s, %s, %s, %s", (1, "a", None, [uuid.uuid4(), psycopg2.extras.Json({})]))


@settings(max_examples=2_000 if FULL_SWEEP else 60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(LEAVING_TRACES + LEAVING_NONE), min_size=1, max_size=6), st.booleans(), st.booleans())
@example(["SET ROLE none"], False, False)
@example(["BEGIN", "SET app.leak = 'x'"], False, False)
@example(["BEGIN; SELECT no_such_column", "RESET ROLE; SET SESSION AUTHORIZATION legal_store_service"], False, False)
def test_no_borrower_finds_what_another_left(
    pooled: MakeDatabase, statements: list[str], in_transaction: bool, fail: bool
) -> None:
    database = pooled(size=1, trusted_for=1e6)
    with database.connection_context():
        pristine = state_of(database)
    context = database if in_transaction else database.connection_context()
    refusals = (peewee.PeeweeException, FirmScopeError)  # the second: several statements in a failed transaction
    with suppress(*refusals, ZeroDivisionError), context:
        for statement in statements:
            try:
                database.execute_sql(statement)
            except refusals:
                if in_transaction:
                    raise
        if fail:
            raise ZeroDivisionError
    with database.connection_context():
        assert state_of(database) == pristine
    database.close_all()


@pytest.mark.parametrize(
    ("target", "name", "replacement"),
    [
        (PooledConnection, "make_as_new", lambda self, within: True),
        (PooledConnection, "note", lambda self, traces: None),
        (pooled_module, "RESET_SESSION", "SELECT 1"),
    ],
)
def test_what_is_left_is_found_once_a_part_of_the_reset_is_missing(
    pooled: MakeDatabase, monkeypatch: pytest.MonkeyPatch, target: Any, name: str, replacement: Any
) -> None:
    database = pooled(size=1)
    with database.connection_context():
        pristine = state_of(database)
    monkeypatch.setattr(target, name, replacement)
    with database.connection_context():
        database.execute_sql("SET app.leak = 'x'")
    with database.connection_context():
        assert state_of(database) != pristine


def test_settings_of_the_driver_do_not_travel(pooled: MakeDatabase) -> None:
    database = pooled(size=1)

    def change(how: str) -> None:
        with database.connection_context():
            connection = database.connection()
            if how == "encoding":
                connection.set_client_encoding("LATIN1")
            elif how == "session":
                connection.set_session(readonly=True, isolation_level="SERIALIZABLE")
            elif how == "autocommit":
                connection.autocommit = False
            elif how == "factory":
                with pytest.raises(FirmScopeError):
                    connection.cursor(cursor_factory=psycopg2.extras.DictCursor).execute("SET app.leak = 'x'")
            elif how == "named":
                with database.atomic(), pytest.raises(FirmScopeError):
                    connection.cursor(name="c", withhold=True).execute("SELECT 1")

    with database.connection_context():
        pristine = state_of(database)
    for how in ("encoding", "session", "autocommit", "factory", "named"):
        change(how)
        with database.connection_context():
            connection = database.connection()
            assert state_of(database)[1:] == pristine[1:], how
            assert (connection.autocommit, connection.encoding, connection.readonly) == (True, "UTF8", None), how


def test_an_open_transaction_is_rolled_back(pooled: MakeDatabase) -> None:
    database = pooled(size=1)
    with database.connection_context():
        database.execute_sql("BEGIN")
        database.execute_sql("SELECT pg_advisory_xact_lock(1)")
    with database.connection_context():
        status = database.connection().get_transaction_status()
        assert status == psycopg2.extensions.TRANSACTION_STATUS_IDLE
        assert state_of(database)[8] == 0


def test_the_work_of_models_needs_no_reset(database: Any) -> None:
    """The statements that models make are recognised as traceless, so that returning costs nothing."""
    record = Firm.create(name="Popescu", vat_id="RO1")
    with firm(record), database.atomic():
        client = Client.create(firm=record, name="Ionescu")
        case = Case.create(firm=record, client=client, case_number="1", title="A", type="Corporate",
                           opened_date=datetime.date(2024, 1, 15))  # fmt: skip
        Document.create(firm=record, case=case, title="Cerere", document_type="Pleading")
        Case.update(title="B").where(Case.id == case.id).execute()
        with suppress(ZeroDivisionError), database.atomic():
            Task.delete().execute()
            raise ZeroDivisionError
        query = Case.select(Case, Client).join(Client).where(Case.status.in_([CaseStatus.ACTIVE, CaseStatus.CLOSED]))
        assert [found.client.name for found in query.order_by(Case.opened_date.desc()).limit(10)] == ["Ionescu"]
        assert Case.select(fn.COUNT(Case.id), fn.MAX(fn.LOWER(Case.title))).group_by(Case.type).exists()
    assert not database.connection().traces & Trace.STATE
