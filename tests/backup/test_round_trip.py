"""What comes back is what was there."""

from __future__ import annotations

from typing import Any

import pytest

from legal_store.backup import MasterKey, make_backup, open_store
from legal_store.backup.clients import child_environment, clients
from legal_store.backup.comparing import differences
from legal_store.backup.stores.local import LocalStore
from legal_store.errors import RefusedError
from legal_store.restore import RestorePlan, find_source, restore
from tests.backup.conftest import contents, execute, schema

RUIN = """
    DELETE FROM remarks; DELETE FROM notes; TRUNCATE events; DROP TABLE no_columns;
    SELECT setval('odd_numbers', 999); SELECT lo_unlink(424242);
"""


def _plan(live: dict[str, Any], source: Any, **more: Any) -> RestorePlan:
    return RestorePlan(source=source, parameters=live, environment="test", typed=live["dbname"], **more)


@pytest.mark.parametrize(
    ("codec", "encrypted"), [("pg_dump", False), ("pg_dump", True), ("zstd", True), ("gzip", False)]
)
def test_a_restore_brings_everything_back(
    live: dict[str, Any], store: LocalStore, key: MasterKey, codec: str, encrypted: bool
) -> None:
    before, definition = contents(live), schema(live)
    master = key if encrypted else None
    made = make_backup(live, [store], environment="test", codec=codec, master=master).manifest
    execute(live, RUIN)
    assert differences(before, contents(live))
    restore(_plan(live, find_source(made.name, store, master)))
    assert differences(before, contents(live)) == []
    assert schema(live) == definition


def test_a_restore_in_place_brings_everything_back(live: dict[str, Any], store: LocalStore, key: MasterKey) -> None:
    before = contents(live)
    made = make_backup(live, [store], environment="test", codec="zstd", master=key).manifest
    execute(live, "DELETE FROM remarks; TRUNCATE events; SELECT setval('odd_numbers', 999)")
    restore(_plan(live, find_source(made.name, store, key), in_place=True))
    assert differences(before, contents(live)) == []


@pytest.mark.parametrize("in_place", [False, True])
def test_real_rows_do_not_come_back_under_the_mark_of_anonymized_ones(
    live: dict[str, Any], store: LocalStore, in_place: bool
) -> None:
    made = make_backup(live, [store], environment="test").manifest
    execute(live, f"ALTER DATABASE {live['dbname']} SET legal_store.anonymized = '2026-01-01'")
    restore(_plan(live, find_source(made.name, store, None), in_place=in_place))
    settings = execute(live, "SELECT setconfig FROM pg_db_role_setting, pg_database AS d WHERE setdatabase = d.oid "
                             f"AND datname = '{live['dbname']}'")  # fmt: skip
    assert "anonymized" not in str(settings)


def test_owner_grants_settings_and_comment_of_the_database_are_carried_over(
    live: dict[str, Any], store: LocalStore
) -> None:
    name = live["dbname"]
    execute(
        live,
        f"""
        ALTER DATABASE {name} SET search_path = public, "Schemă cu spații";
        ALTER DATABASE {name} SET legal_store.environment = 'it''s a test';
        ALTER ROLE legal_store_service IN DATABASE {name} SET work_mem = '7MB';
        ALTER ROLE legal_store_service IN DATABASE {name} SET search_path = '';
        ALTER DATABASE {name} CONNECTION LIMIT 77;
        COMMENT ON DATABASE {name} IS 'ours';
        REVOKE CONNECT ON DATABASE {name} FROM PUBLIC;
        GRANT CONNECT ON DATABASE {name} TO legal_store_service WITH GRANT OPTION;
        """,
    )
    facts = f"""
        SELECT datdba, datconnlimit, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a),
               encoding, datcollate, datlocprovider, datlocale,
               shobj_description(oid, 'pg_database'),
               (SELECT array_agg(setconfig::text || setrole ORDER BY setrole) FROM pg_db_role_setting
                WHERE setdatabase = d.oid)
        FROM pg_database d WHERE datname = '{name}'
    """
    before = execute(live, facts)
    made = make_backup(live, [store], environment="test").manifest
    restore(_plan(live, find_source(made.name, store, None)))
    assert execute(live, facts) == before


@pytest.mark.parametrize("arguments", [["--format=custom"], ["--format=directory", "--jobs=2"], ["--format=tar"]])
def test_archives_that_pg_dump_made_are_restored(
    live: dict[str, Any], store: LocalStore, tmp_path: Any, arguments: Any
) -> None:
    import subprocess

    before = contents(live)
    archive = tmp_path / "archive"
    program = clients("pg_dump")[0].path
    subprocess.run([program, *arguments, f"--file={archive}"], env=child_environment(live), check=True)
    execute(live, RUIN)
    restore(_plan(live, find_source(str(archive), store, None)))
    assert differences(before, contents(live)) == []


@pytest.mark.parametrize("packed", [False, True])
def test_sql_files_are_restored_only_when_trusted(
    live: dict[str, Any], store: LocalStore, tmp_path: Any, packed: bool
) -> None:
    import gzip
    import subprocess

    before = contents(live)
    program = clients("pg_dump")[0].path
    text = subprocess.run([program], env=child_environment(live), check=True, capture_output=True).stdout
    file = tmp_path / ("dump.sql.gz" if packed else "dump.sql")
    file.write_bytes(gzip.compress(text) if packed else text)
    with pytest.raises(RefusedError, match="CVE-2025-8714"):
        find_source(str(file), store, None)
    execute(live, RUIN)
    restore(_plan(live, find_source(str(file), store, None, trust_sql=True)))
    assert differences(before, contents(live)) == []


def test_commands_planted_in_an_sql_file_do_not_run(live: dict[str, Any], store: LocalStore, tmp_path: Any) -> None:
    """They are refused before psql is started, which would stop at them as well."""
    import subprocess

    from legal_store.restore.databases import server

    program = clients("pg_dump")[0].path
    text = subprocess.run([program], env=child_environment(live), check=True, capture_output=True, text=True).stdout
    victim = tmp_path / "ran"
    file = tmp_path / "dump.sql"
    begin, middle, end = text.partition("SET statement_timeout = 0;")
    file.write_text(f"{begin}\\! touch {victim}\n{middle}{end}")
    before = contents(live)
    with pytest.raises(RefusedError, match="is a command to psql itself"):
        restore(_plan(live, find_source(str(file), store, None, trust_sql=True)))
    assert not victim.exists()
    assert differences(before, contents(live)) == []
    with server(live) as opened:
        assert [found for found in opened.marked() if found.of == live["dbname"]] == []


def test_one_backup_can_go_to_two_stores_at_once(live: dict[str, Any], store: LocalStore, tmp_path: Any) -> None:
    other = open_store(str(tmp_path / "other"))
    made = make_backup(live, [store, other], environment="test", codec="zstd").manifest
    assert store.objects() == other.objects()
    assert store.read(made.data_file) == other.read(made.data_file)
