"""Logins without many rights, names that look like something else, servers that lack what the backup's had."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from legal_store.backup import list_backups, make_backup
from legal_store.backup.catalog import change
from legal_store.backup.comparing import differences
from legal_store.backup.stores.local import LocalStore
from legal_store.errors import CheckFailedError, RefusedError, RestoreError
from legal_store.restore import Finding, Gate, RestorePlan, RestoreReport, drill, drop_previous, find_source, restore
from legal_store.restore.databases import server
from legal_store.restore.drill import failure
from tests.backup.conftest import contents, execute
from tests.conftest import Cluster

CASES = "CREATE TABLE cases (id integer PRIMARY KEY, title text); INSERT INTO cases VALUES (1, 'Dosar'), (2, NULL);"


@contextmanager
def _small(cluster: Cluster, name: str = "", owner: str = "") -> Iterator[dict[str, Any]]:
    """Yield parameters of a database with one small table; it goes at the end, and what restores made of it."""
    outside: dict[str, Any] = {**cluster.parameters, "dbname": "postgres"}
    name = name or f"small_{uuid.uuid4().hex[:8]}"
    execute(outside, f'CREATE DATABASE "{name}" {f"OWNER {owner}" if owner else ""}')
    small: dict[str, Any] = {**outside, "dbname": name, **({"user": owner} if owner else {})}
    execute(small, CASES)
    yield small
    with server({**outside, "dbname": name}) as opened:
        for left in opened.marked():
            if left.of == name:
                opened.drop(left.name)
    cluster.drop(name)


@pytest.fixture
def small(cluster: Cluster) -> Iterator[dict[str, Any]]:
    with _small(cluster) as parameters:
        yield parameters


def _restore(live: dict[str, Any], store: LocalStore, name: str, **more: Any) -> RestoreReport:
    source = find_source(name, store, None)
    return restore(RestorePlan(source=source, parameters=live, environment="test", typed=live["dbname"], **more))


def test_a_login_that_may_create_databases_and_no_more_restores_its_own(cluster: Cluster, store: LocalStore) -> None:
    outside = {**cluster.parameters, "dbname": "postgres"}
    role = f"app_{uuid.uuid4().hex[:8]}"
    execute(outside, f"CREATE ROLE {role} LOGIN CREATEDB")
    try:
        with _small(cluster, owner=role) as own:
            before = contents(own)
            made = make_backup(own, [store], environment="test", codec="zstd").manifest
            assert drill(store, made.name, own).manifest.proof.level == "proven"
            execute(own, "TRUNCATE cases")
            _restore(own, store, made.name)
            assert differences(before, contents(own)) == []
    finally:
        execute(outside, f"DROP ROLE IF EXISTS {role}")


def test_a_name_that_looks_like_a_connection_string_is_a_name(cluster: Cluster, store: LocalStore) -> None:
    with _small(cluster, name=f"host=nowhere {uuid.uuid4().hex[:8]}") as odd:
        before = contents(odd)
        made = make_backup(odd, [store], environment="test").manifest
        execute(odd, "TRUNCATE cases")
        _restore(odd, store, made.name)
        assert differences(before, contents(odd)) == []


def test_a_database_with_a_subscription_is_drilled_restored_and_dropped(
    small: dict[str, Any], store: LocalStore
) -> None:
    subscribe = "CREATE SUBSCRIPTION {} CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = 'a')"
    execute(small, subscribe.format(f"from_{small['dbname']}"))
    try:
        made = make_backup(small, [store], environment="test").manifest
        assert drill(store, made.name, small).manifest.proof.level == "proven"
        with pytest.raises(RestoreError):  # a staged one is dropped with it
            _restore(small, store, made.name, checks=[lambda restored: (_ for _ in ()).throw(RestoreError("no"))])
        with server(small) as opened:
            assert [found for found in opened.marked() if found.of == small["dbname"]] == []
        previous = _restore(small, store, made.name).previous
        drop_previous(small, str(previous))
    finally:
        execute(small, f"ALTER SUBSCRIPTION from_{small['dbname']} SET (slot_name = NONE)")
        execute(small, f"DROP SUBSCRIPTION from_{small['dbname']}")


def test_an_enabled_subscription_stands_in_the_way_of_a_swap_and_is_named(
    small: dict[str, Any], store: LocalStore
) -> None:
    made = make_backup(small, [store], environment="test").manifest
    name = f"from_{small['dbname']}"
    execute(small, f"CREATE SUBSCRIPTION {name} CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false)")
    execute(small, f"ALTER SUBSCRIPTION {name} ENABLE")
    try:
        with pytest.raises(RefusedError, match=f"enabled subscription {name}"):
            _restore(small, store, made.name)
    finally:
        execute(small, f"ALTER SUBSCRIPTION {name} DISABLE")
        execute(small, f"ALTER SUBSCRIPTION {name} SET (slot_name = NONE)")
        execute(small, f"DROP SUBSCRIPTION {name}")


def test_a_swap_whose_answer_was_lost_is_a_swap(small: dict[str, Any], store: LocalStore) -> None:
    """The connection ends between COMMIT and its answer: what the server did counts."""
    import psycopg2

    execute(small, "CREATE TABLE old ()")
    with server(small) as opened:
        execute({**small, "dbname": "postgres"}, f"CREATE DATABASE {small['dbname']}_new")
        committing = opened._in_one_transaction

        def commit_and_lose(statements: Any) -> None:
            committing(statements)
            raise psycopg2.OperationalError("server closed the connection unexpectedly")

        opened._in_one_transaction = commit_and_lose  # type: ignore[method-assign]
        opened.swap(small["dbname"], f"{small['dbname']}_new", f"{small['dbname']}_aside", "test")
    assert execute(small, "SELECT to_regclass('old')") == [(None,)]


@pytest.fixture
def granted(cluster: Cluster, small: dict[str, Any]) -> Iterator[str]:
    """A role that has rights in the small database."""
    role = f"reader_{small['dbname']}"
    execute(small, f"CREATE ROLE {role}; GRANT SELECT ON cases TO {role}")
    yield role
    assert execute(small, f"SELECT count(*) FROM pg_roles WHERE rolname = '{role}'") == [(0,)]


def test_a_drill_needs_no_roles_for_grants(small: dict[str, Any], store: LocalStore, granted: str) -> None:
    made = make_backup(small, [store], environment="test").manifest
    execute(small, f"DROP OWNED BY {granted}; DROP ROLE {granted}")
    assert drill(store, made.name, small).manifest.proof.level == "proven"


def test_what_a_server_lacks_is_not_the_backups_fault(small: dict[str, Any], store: LocalStore, granted: str) -> None:
    execute(small, f"CREATE POLICY theirs ON cases TO {granted} USING (true)")
    made = make_backup(small, [store], environment="test").manifest
    execute(small, f"DROP OWNED BY {granted}; DROP ROLE {granted}")
    with pytest.raises(RestoreError, match=f'says nothing about it: .*role "{granted}" does not exist'):
        drill(store, made.name, small)
    assert [one.manifest.proof.level for one in list_backups(store) if one.manifest] == ["made"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('pg_restore: error: connection to server on socket "x" failed: FATAL:  sorry, too many clients already', 3),
        ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", 3),
        ('ERROR:  could not extend file "base/1/2": No space left on device', 3),
        ('ERROR:  extension "vector" is not available', 3),
        ("FATAL:  terminating connection due to administrator command", 3),
        ("ERROR:  could not resize shared memory segment", 3),
        ('ERROR:  permission denied to create extension "vector"', 3),
        ('ERROR:  relation "cases" does not exist', 1),
        ('ERROR:  insert or update on table "tasks" violates foreign key constraint "x"', 1),
        ("ERROR:  syntax error at or near", 1),
    ],
)
def test_whose_fault_it_was_is_in_the_exit_code(said: str, kind: int) -> None:
    error = failure("backup-x", said)
    assert error.exit_code == kind
    assert said in str(error)


def test_what_was_never_restorable_is_the_backups_fault(small: dict[str, Any], store: LocalStore) -> None:
    execute(small, "CREATE FUNCTION fine(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true'")
    execute(small, "ALTER TABLE cases ADD CHECK (fine(title))")
    execute(small, "CREATE OR REPLACE FUNCTION fine(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT false'")
    made = make_backup(small, [store], environment="test").manifest
    with pytest.raises(CheckFailedError, match=r"does not restore: .*violates check constraint") as raised:
        drill(store, made.name, small)
    assert "Make a new backup" not in str(raised.value)


def test_a_backup_of_a_newer_server_is_not_drilled(small: dict[str, Any], store: LocalStore) -> None:
    made = make_backup(small, [store], environment="test").manifest
    newer = dataclasses.replace(made.source, server_version="99.1")
    change(store, made.name, None, lambda known: dataclasses.replace(known, source=newer))
    with pytest.raises(RefusedError, match="made by PostgreSQL 99"):
        drill(store, made.name, small)


def test_in_place_what_the_backup_does_not_know_stays_also_where_it_cannot_be_read(
    cluster: Cluster, store: LocalStore
) -> None:
    outside = {**cluster.parameters, "dbname": "postgres"}
    role = f"poor_{uuid.uuid4().hex[:8]}"
    execute(outside, f"CREATE ROLE {role} LOGIN")
    try:
        with _small(cluster, owner=role) as poor:
            made = make_backup(poor, [store], environment="test").manifest
            extra = "CREATE TABLE {0} (id serial PRIMARY KEY, of integer REFERENCES {0}); INSERT INTO {0} VALUES (1, 1)"
            execute(poor, extra.format("own"))
            execute({**outside, "dbname": poor["dbname"]}, extra.format("secret"))
            execute(poor, "TRUNCATE cases")
            report = _restore(poor, store, made.name, in_place=True)
            assert execute(poor, "SELECT count(*) FROM cases") == [(2,)]
            assert execute(poor, "SELECT * FROM own") == [(1, 1)]
            (mode,) = [gate for gate in report.gates if gate.name == "mode"]
            assert "what the backup does not know stays" in mode.result
    finally:
        execute(outside, f"DROP ROLE IF EXISTS {role}")


def test_in_place_a_failure_says_whether_it_was_committed(small: dict[str, Any], store: LocalStore) -> None:
    made = make_backup(small, [store], environment="test").manifest

    def failing(restored: Any) -> Finding:
        return Finding("contents", "", ["something is wrong"])

    def ending(restored: Any) -> Finding:
        restored.seen.rows("SELECT * FROM nowhere")
        raise AssertionError

    shown: list[Gate] = []
    for check, said in ((failing, "something is wrong"), (ending, "could not be compared")):
        source = find_source(made.name, store, None)
        plan = RestorePlan(source=source, parameters=small, environment="test", typed=small["dbname"], in_place=True)
        with pytest.raises(RestoreError, match=said) as raised:
            restore(dataclasses.replace(plan, checks=[check]), show=shown.append)
        assert "is committed; there is no safety backup" in raised.value.remedy
    assert [gate.remedy for gate in shown if gate.ok is False] == ["It is committed all the same."]

    execute(small, "CREATE VIEW titles AS SELECT title FROM cases")  # which keeps its table from being dropped
    execute(small, f"ALTER DATABASE {small['dbname']} SET legal_store.anonymized = '2026-01-01'")
    with pytest.raises(RestoreError, match="other objects depend on it") as raised:
        _restore(small, store, made.name, in_place=True)
    assert "is what it was before, but for the mark of anonymized rows" in raised.value.remedy
