"""An import from its gates to the swap: what it brings, what nobody ever sees, and that a failure changes nothing."""

from __future__ import annotations

import dataclasses
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from legal_store.anonymize import Report, Rules, mark_of
from legal_store.anonymize.rules import Rule
from legal_store.backup import MasterKey, Progress, generate_key, load, make_backup
from legal_store.backup.catalog import change
from legal_store.backup.manifest import Export
from legal_store.backup.stores.local import LocalStore
from legal_store.embedded.server import free_port
from legal_store.errors import (
    ConfigurationError,
    DamagedBackupError,
    LeakError,
    LegalStoreError,
    MigrationError,
    RefusedError,
    RestoreError,
)
from legal_store.importing import ImportReport, import_anonymized
from legal_store.restore import Gate, find_source, undo
from legal_store.restore.databases import server
from legal_store.restore.marks import BEFORE, QUARANTINE
from tests.anonymize.conftest import Exported, firms, kinds, look, run
from tests.conftest import CHECKOUT, Cluster

NAMES = "SELECT name FROM clients UNION SELECT email FROM users UNION SELECT first_name FROM users"


class At(Progress):
    """Calls a function at each step with the step's name."""

    def __init__(self, call: Callable[[str], object]) -> None:
        self.step = call  # type: ignore[method-assign, assignment]


def quarantine_of(target: dict[str, Any]) -> str | None:
    with server(target) as opened:
        found = [one.name for one in opened.marked() if (one.of, one.kind) == (target["dbname"], QUARANTINE)]
    return found[0] if found else None


def untouched(target: dict[str, Any]) -> bool:
    return firms(target) == ["Old"] and kinds(target) == []


def test_it_brings_all_rows_masked_proven_and_valid_and_can_be_undone(
    target: dict[str, Any], exported: Exported, rules: Rules
) -> None:
    gates: list[Gate] = []
    report: ImportReport = import_anonymized(exported.plan(target, rules), show=gates.append)
    made = load(exported.store, exported.name, exported.key)
    counted = {table.name.removeprefix("public."): table.rows for table in made.contents.tables}
    assert {table: counted[table] for table in report.anonymized.rows} == report.anonymized.rows
    assert report.anonymized.verdict == "proven" and report.anonymized.database == target["dbname"]
    assert report.validated["PASS"] > 100 and "FAIL" not in report.validated
    assert not exported.personal & {value for (value,) in look(target, NAMES)}
    with closing(psycopg2.connect(**target)) as connection:
        assert mark_of(connection) == report.anonymized.finished
    assert [gate.name for gate in gates if gate.ok is False] == []
    assert {"purpose", "backup", "contents", "migrations", "proof", "validation"} <= {gate.name for gate in gates}
    assert kinds(target) == [BEFORE]
    undo(target, typed=target["dbname"])
    assert firms(target) == ["Old"]


def test_an_encrypted_backup_is_taken_as_well(
    target: dict[str, Any], exported: Exported, seeded: str, rules: Rules, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path)
    made = make_backup({**target, "dbname": seeded}, [store], environment="production", master=exported.key)
    source = find_source(made.manifest.name, store, exported.key)
    assert import_anonymized(exported.plan(target, rules, source=source)).anonymized.verdict == "proven"
    assert firms(target) == ["Demo Firm 1"]


def test_an_older_export_is_migrated_in_quarantine(
    target: dict[str, Any], exported: Exported, rules: Rules, tmp_path: Path
) -> None:
    with_another(tmp_path, "CREATE INDEX another_idx ON cases (court_name)")
    report = import_anonymized(exported.plan(target, rules, migrations=tmp_path / "migrations"))
    assert report.migrations == ["20991231000000_another"]
    assert look(target, "SELECT count(*) FROM pg_indexes WHERE indexname = 'another_idx'") == [(1,)]


def with_another(folder: Path, statement: str) -> None:
    """Copy the migrations into a folder, and one more."""
    shutil.copytree(CHECKOUT / "migrations", folder / "migrations")
    text = f"def migrate(migrator, database, *, fake=False):\n    migrator.sql({statement!r})\n"
    (folder / "migrations" / "20991231000000_another.py").write_text(text)


@pytest.fixture
def stranger(target: dict[str, Any]) -> Iterator[str]:
    """A login that is neither the owner nor a superuser."""
    name = f"stranger_{target['dbname']}"
    with closing(psycopg2.connect(**target)) as connection:
        run(connection, f"CREATE ROLE {name} LOGIN")
    yield name
    with closing(psycopg2.connect(**target)) as connection:
        run(connection, f"DROP ROLE {name}")


def test_nobody_else_gets_into_the_quarantine_and_everybody_into_what_is_swapped_in(
    target: dict[str, Any], exported: Exported, rules: Rules, stranger: str
) -> None:
    refused: dict[str, bool] = {}

    def try_the_door(step: str) -> None:
        # at "swap" it is masked, proven and validated, and has the grants of the live one
        if step != "swap" and (name := quarantine_of(target)):
            with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
                psycopg2.connect(**{**target, "dbname": name, "user": stranger})
            refused[step] = True

    import_anonymized(exported.plan(target, rules), progress=At(try_the_door))
    assert {"tables", "data", "check", "migrate", "mask users", "tidy", "validate", "settings"} <= refused.keys()
    assert look(target, "SELECT current_user", user=stranger) == [(stranger,)]


def test_who_may_connect_to_the_live_one_may_afterwards_and_nobody_else(
    target: dict[str, Any], exported: Exported, rules: Rules, stranger: str
) -> None:
    with closing(psycopg2.connect(**target)) as connection:
        run(connection, f"REVOKE ALL ON DATABASE {target['dbname']} FROM PUBLIC")
    import_anonymized(exported.plan(target, rules))
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(**{**target, "user": stranger})


def test_real_data_is_never_under_the_final_name(target: dict[str, Any], exported: Exported, rules: Rules) -> None:
    """Whoever looks, at each step and all the time, sees the old rows or masked ones."""
    seen: list[frozenset[str]] = []
    stop = threading.Event()

    def look_in(step: str = "") -> None:
        try:
            seen.append(frozenset(value for (value,) in look(target, "SELECT name FROM firms UNION " + NAMES)))
        except psycopg2.OperationalError as error:  # at the moment of the swap
            assert "does not exist" in str(error) or "terminat" in str(error), error

    def keep_looking() -> None:
        while not stop.is_set():
            look_in()

    watcher = threading.Thread(target=keep_looking)
    watcher.start()
    try:
        import_anonymized(exported.plan(target, rules), progress=At(look_in))
    finally:
        stop.set()
        watcher.join()
    look_in()
    assert len(seen) > 60 and not exported.personal & frozenset().union(*seen)
    assert seen[0] == {"Old"} and "Demo Firm 1" in seen[-1]
    assert len(set(seen)) == 2, "wholly old, or wholly masked"


def test_sabotaged_masking_rolls_back_and_drops_the_quarantine(
    target: dict[str, Any], exported: Exported, rules: Rules
) -> None:
    sabotaged = {**rules.columns, ("users", "email"): Rule("users", "email", None, {}, "sabotage")}
    with pytest.raises(LeakError, match=r"users\.email") as raised:
        import_anonymized(exported.plan(target, rules._replace(columns=sabotaged)))
    assert f"{target['dbname']} is what it was before" in raised.value.remedy
    assert isinstance(raised.value.report, Report) and raised.value.report.verdict == "failed"
    assert untouched(target)


@pytest.mark.parametrize("step", ["data", "migrate", "mask users", "validate"])
def test_a_cut_connection_at_any_time_changes_nothing(
    target: dict[str, Any], exported: Exported, rules: Rules, step: str
) -> None:
    def cut(now: str) -> None:
        if now == step:
            look(
                target,
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                f" AND backend_type = 'client backend' AND (datname = '{quarantine_of(target)}'"
                " OR pid = (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database ="
                " (SELECT oid FROM pg_database WHERE datname = 'postgres') LIMIT 1))",
            )

    with pytest.raises((LegalStoreError, psycopg2.Error)):
        import_anonymized(exported.plan(target, rules), progress=At(cut))
    assert untouched(target)


def test_a_migration_that_fails_changes_nothing(
    target: dict[str, Any], exported: Exported, rules: Rules, tmp_path: Path
) -> None:
    with_another(tmp_path, "SELECT 1 / 0")
    with pytest.raises(MigrationError, match="division by zero") as raised:
        import_anonymized(exported.plan(target, rules, migrations=tmp_path / "migrations"))
    assert "The quarantine is dropped" in raised.value.remedy
    assert untouched(target)


def test_data_that_is_not_valid_is_not_swapped_in(
    target: dict[str, Any], exported: Exported, cluster: Cluster, seeded: str, rules: Rules, tmp_path: Path
) -> None:
    with cluster.database(seeded) as name:
        production = {**target, "dbname": name}
        with closing(psycopg2.connect(**production)) as connection:
            run(connection, "ALTER TABLE users DISABLE TRIGGER USER; UPDATE users SET created_at = '2999-01-01'")
            run(connection, "ALTER TABLE users ENABLE TRIGGER USER")
        store = LocalStore(tmp_path)
        made = make_backup(production, [store], environment="production", master=exported.key)
    with pytest.raises(RestoreError, match="future timestamps: users"):
        import_anonymized(exported.plan(target, rules, source=find_source(made.manifest.name, store, exported.key)))
    assert untouched(target)


def test_production_is_refused(target: dict[str, Any], exported: Exported, rules: Rules) -> None:
    with pytest.raises(RefusedError, match="this is production"):
        import_anonymized(exported.plan(target, rules, production=True))
    assert untouched(target)


@pytest.mark.parametrize("typed", [None, "", "another"])
def test_another_name_than_the_database_is_refused(
    target: dict[str, Any], exported: Exported, rules: Rules, typed: str | None
) -> None:
    with pytest.raises(RefusedError, match="right database"):
        import_anonymized(exported.plan(target, rules, typed=typed))
    assert untouched(target)


class Copy:
    """A copy of the export that a test may spoil."""

    def __init__(self, exported: Exported, folder: Path) -> None:
        shutil.copytree(exported.store.folder, folder)
        self.store, self.key, self.name = LocalStore(folder), exported.key, exported.name
        self.data = folder / exported.data.name

    def source(self, key: MasterKey | None = None) -> Any:
        return find_source(str(self.data), self.store, key or self.key)

    def expire(self) -> None:
        made = load(self.store, self.name, self.key)
        past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat(timespec="seconds")
        expired = Export(personal_data=True, expires_at=past)
        change(self.store, made.name, self.key, lambda known: dataclasses.replace(known, export=expired))

    def damage(self) -> None:
        content = bytearray(self.data.read_bytes())
        content[len(content) // 2] ^= 1
        self.data.write_bytes(content)

    def cut_short(self) -> None:
        self.data.write_bytes(self.data.read_bytes()[:-1])

    def date_changed(self) -> None:
        manifest = self.data.with_name(f"{self.name}.manifest.json")
        made = load(self.store, self.name, self.key)
        assert made.export is not None
        text = manifest.read_text()
        assert made.export.expires_at in text
        manifest.write_text(text.replace(made.export.expires_at, "2999-01-01T00:00:00+00:00"))


def nowhere(target: dict[str, Any]) -> dict[str, Any]:
    """A server that nobody answers for: whoever asks it anything fails with another error."""
    return {**target, "host": "127.0.0.1", "port": free_port()}


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (Copy.expire, RefusedError, "expired"),
        (Copy.damage, DamagedBackupError, "changed or damaged"),
        (Copy.cut_short, DamagedBackupError, "bytes instead of"),
        (Copy.date_changed, DamagedBackupError, "its seal is wrong"),
    ],
)
def test_what_is_expired_or_damaged_is_refused_before_the_server_is_asked_anything(
    target: dict[str, Any], exported: Exported, rules: Rules, tmp_path: Path, spoil: Any, error: Any, message: str
) -> None:
    copy = Copy(exported, tmp_path / "copy")
    spoil(copy)
    with pytest.raises(error, match=message) as raised:
        import_anonymized(exported.plan(nowhere(target), rules, source=copy.source()))
    assert raised.value.remedy


def test_another_key_is_refused_before_the_server_is_asked_anything(exported: Exported, tmp_path: Path) -> None:
    another = generate_key(tmp_path / "another")
    with pytest.raises(ConfigurationError, match="does not open it"):
        find_source(str(exported.data), exported.store, another)


@pytest.mark.parametrize("kind", ["backup", "sql"])
def test_what_is_not_encrypted_is_refused_before_the_server_is_asked_anything(
    target: dict[str, Any], exported: Exported, rules: Rules, tmp_path: Path, kind: str
) -> None:
    store, wanted = LocalStore(tmp_path), str(tmp_path / "open")
    if kind == "backup":
        wanted = make_backup(target, [store], environment="production").manifest.name
    else:
        Path(wanted).write_text("SELECT 1;")
    source = find_source(wanted, store, exported.key, trust_sql=True)
    with pytest.raises(RefusedError, match="not encrypted"):
        import_anonymized(exported.plan(nowhere(target), rules, source=source))
