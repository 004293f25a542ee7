"""Content hashes depend on the rows alone: not on object ids, encodings, settings; and failures say their own cause."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from legal_store.backup import list_backups, make_backup
from legal_store.backup.catalog import change
from legal_store.backup.snapshot import snapshot
from legal_store.backup.stores.local import LocalStore
from legal_store.errors import LegalStoreError
from legal_store.restore import RestorePlan, drill, find_source, restore
from tests.backup.conftest import execute, restorable
from tests.conftest import Cluster

NAMES = """
CREATE TEXT SEARCH CONFIGURATION legal (COPY = english);
CREATE DOMAIN some_table AS regclass;
CREATE TYPE item AS (what regclass, title text, bytes bytea);
CREATE TABLE names (
    a regclass, b regclass[], c regconfig, d regtype, e some_table, f item, g regrole, h regproc, i regconfig[]);
INSERT INTO names VALUES ('names', '{names,pg_class}', 'legal', 'item', 'names', ('names', 'Dosar ăîâșț', '\\x00ff'),
                          current_user::regrole, 'now', '{legal,simple}');
"""
LEDGER = """
CREATE SCHEMA app;
CREATE TABLE {0}._migrations (migration_name text, finished_at timestamptz, rolled_back_at timestamptz);
INSERT INTO {0}._migrations VALUES ('1_{0}', now(), NULL);
"""
SETTINGS = (
    "search_path = app, public",
    "client_encoding = 'LATIN1'",
    "bytea_output = 'escape'",
    "quote_all_identifiers = on",
    "transaction_timeout = '50ms'",
)


@pytest.fixture
def small(cluster: Cluster) -> Iterator[dict[str, Any]]:
    with restorable(cluster, "template1") as parameters:
        yield parameters


def _set(parameters: dict[str, Any], *settings: str) -> None:
    for setting in settings:
        execute(parameters, f"ALTER DATABASE {parameters['dbname']} SET {setting}")


def test_names_of_objects_and_settings_of_a_database_are_restored(
    small: dict[str, Any], store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(small, NAMES)
    execute(small, LEDGER.format("app"))
    execute(small, LEDGER.replace("CREATE SCHEMA app;", "").format("public"))
    _set(small, *SETTINGS)
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN2")
    made = make_backup(small, [store], environment="test").manifest
    assert (made.contents.migration_head, made.contents.ledger_schema) == ("1_app", "app")
    monkeypatch.delenv("PGCLIENTENCODING")
    assert drill(store, made.name, small).manifest.proof.level == "proven"
    source = find_source(made.name, store, None)
    restore(RestorePlan(source=source, parameters=small, environment="test", typed=small["dbname"]))


def test_other_content_is_still_seen(small: dict[str, Any]) -> None:
    execute(small, NAMES)
    with snapshot(small) as seen:
        (before,) = seen.contents().tables
    execute(small, "UPDATE names SET a = 'pg_class'")
    with snapshot(small) as seen:
        (after,) = seen.contents().tables
    assert before.content != after.content


def test_backups_of_the_first_format_are_compared_as_they_were_made(small: dict[str, Any], store: LocalStore) -> None:
    execute(small, "CREATE TYPE pair AS (a integer, b text); CREATE TABLE t (n integer, two pair, of regclass)")
    execute(small, "INSERT INTO t SELECT n, (n, 'Dosar ă')::pair, 'pg_class' FROM generate_series(1, 99) n")
    row = 'ROW(int4send(n), two::text COLLATE "C", regclasssend(of))'
    ((content,),) = execute(small, f"SELECT sum(hash_record_extended({row}, 0))::text FROM t")
    made = make_backup(small, [store], environment="test").manifest
    (table,) = made.contents.tables
    assert table.content != content
    contents = dataclasses.replace(made.contents, tables=(dataclasses.replace(table, content=content),))
    change(store, made.name, None, lambda known: dataclasses.replace(known, format=1, contents=contents))
    assert drill(store, made.name, small).manifest.format == 1


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_in_another_encoding_is_backed_up(cluster: Cluster, store: LocalStore, encoding: str) -> None:
    name = f"test_encoding_{encoding.lower()}"
    server: dict[str, Any] = {**cluster.parameters, "dbname": "postgres"}
    execute(server, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    try:
        parameters = {**cluster.parameters, "dbname": name}
        execute(parameters, "CREATE TABLE t (title text)")
        execute(parameters, "INSERT INTO t VALUES (convert_from('\\xe9', getdatabaseencoding()))")
        made = make_backup(parameters, [store], environment="test").manifest
        assert (made.source.encoding, made.contents.tables[0].rows) == (encoding, 1)
        if encoding == "LATIN1":
            assert drill(store, made.name, parameters).manifest.proof.level == "proven"
    finally:
        cluster.drop(name)


def test_the_ledger_of_another_tool_is_a_table_like_others(small: dict[str, Any], store: LocalStore) -> None:
    execute(small, "CREATE TABLE _migrations (id integer, name text)")
    assert make_backup(small, [store], environment="test").manifest.contents.migration_head is None


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        ("GRANT SELECT ON t TO {0}; ALTER TABLE t ENABLE ROW LEVEL SECURITY", "row-level security"),
        ("REVOKE ALL ON t FROM {0}", "permission denied for table t"),
    ],
)
def test_a_backup_that_fails_says_its_first_cause(
    small: dict[str, Any], store: LocalStore, statement: str, cause: str
) -> None:
    role = f"reader_{small['dbname']}"
    execute(small, f"CREATE ROLE {role} LOGIN; CREATE TABLE t AS SELECT 1 AS n; {statement.format(role)}")
    try:
        with pytest.raises(LegalStoreError, match=cause) as raised:
            make_backup({**small, "user": role}, [store], environment="test")
        assert "snapshot" not in str(raised.value)
    finally:
        execute(small, f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert list_backups(store) == []


def test_locks_are_waited_for_as_long_as_pg_dump_waits(small: dict[str, Any]) -> None:
    with snapshot(small) as seen:
        assert seen.value("SHOW lock_timeout") == "1min"
