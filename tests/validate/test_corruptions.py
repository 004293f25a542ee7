"""Every seeded corruption is found by the check that is about it, and a healthy database passes all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from legal_store.config import Settings, Url
from legal_store.database import all_firms, db
from legal_store.seeding import seed
from legal_store.validate import Status, all_checks, fix, mending, validate
from tests.conftest import CHECKOUT, MIGRATIONS, Cluster

CHECKS = all_checks(MIGRATIONS)
# past every trigger and foreign key, as a load with triggers switched off does
UNCHECKED = "SET LOCAL session_replication_role = replica;"
EARLY = "tasks completed before they were made"
NOWHERE = "'00000000-0000-4000-8000-000000000000'"

# each within a transaction that is taken back: the demo database stays as it is
CORRUPTIONS = [
    ("DROP EXTENSION pg_trgm CASCADE", "extensions"),
    ("DROP TABLE case_actors", "required tables and columns"),
    ("ALTER TABLE documents DROP COLUMN mime_type", "required tables and columns"),
    ("ALTER TABLE cases RENAME COLUMN judge_name TO judge", "required tables and columns"),
    ("ALTER TABLE tasks DROP CONSTRAINT tasks_completed_at_check", "constraints"),
    ("ALTER TABLE users DROP CONSTRAINT users_email_key", "constraints"),
    ("ALTER TABLE documents DROP CONSTRAINT documents_case_id_fkey", "constraints"),
    (
        "ALTER TABLE tasks DROP CONSTRAINT tasks_case_id_fkey; ALTER TABLE tasks ADD CONSTRAINT tasks_case_id_fkey"
        " FOREIGN KEY (case_id, firm_id) REFERENCES cases (id, firm_id) NOT VALID",
        "constraints",
    ),
    (f"{UNCHECKED} UPDATE documents SET case_id = {NOWHERE} WHERE version > 1", "references: documents.case_id"),
    (f"{UNCHECKED} UPDATE documents SET created_by_id = {NOWHERE}", "references: documents.created_by_id"),
    (f"{UNCHECKED} UPDATE tasks SET case_id = {NOWHERE}", "references: tasks.case_id"),
    (f"{UNCHECKED} UPDATE tasks SET assigned_to_id = {NOWHERE}", "references: tasks.assigned_to_id"),
    (f"{UNCHECKED} UPDATE cases SET client_id = {NOWHERE}", "references: cases.client_id"),
    (f"{UNCHECKED} UPDATE users SET firm_id = {NOWHERE}", "references: users.firm_id"),
    (f"{UNCHECKED} UPDATE case_team SET user_id = uuid_generate_v4()", "references: case_team.user_id"),
    (f"{UNCHECKED} UPDATE case_actors SET case_id = {NOWHERE}", "references: case_actors.case_id"),
    (f"{UNCHECKED} UPDATE case_audit_logs SET case_id = {NOWHERE}", "references: case_audit_logs.case_id"),
    (f"{UNCHECKED} UPDATE user_audit_logs SET admin_user_id = {NOWHERE}", "references: user_audit_logs.admin_user_id"),
    (f"{UNCHECKED} DELETE FROM skills", "references: skill_versions.skill_id"),
    (f"{UNCHECKED} DELETE FROM skills", "references: skill_usage_logs.skill_id"),
    (f"{UNCHECKED} DELETE FROM romanian_templates", "references: template_usage_logs.template_id"),
    (f"{UNCHECKED} DELETE FROM document_type_registry", "references: document_type_instances.registry_id"),
    (
        f"{UNCHECKED} INSERT INTO firms (name, vat_id) VALUES ('Other', 'RO9');"
        " UPDATE documents SET firm_id = (SELECT id FROM firms WHERE vat_id = 'RO9')",
        "references: documents.case_id",
    ),
    (
        "ALTER TABLE cases DROP CONSTRAINT cases_status_check; UPDATE cases SET status = 'Lost'",
        "enumerations: cases.status",
    ),
    ("ALTER TABLE users DROP CONSTRAINT users_role_check; UPDATE users SET role = 'Boss'", "enumerations: users.role"),
    (
        "ALTER TABLE tasks DROP CONSTRAINT tasks_task_type_check; UPDATE tasks SET task_type = 'Nap'",
        "enumerations: tasks.task_type",
    ),
    (
        "ALTER TABLE document_type_registry DROP CONSTRAINT document_type_registry_mapping_status_check;"
        " UPDATE document_type_registry SET mapping_status = 'maybe'",
        "enumerations: document_type_registry.mapping_status",
    ),
    (
        "ALTER TABLE cases DROP CONSTRAINT cases_closed_has_date_check; UPDATE cases SET closed_date = NULL",
        "rules: cases.closed_has_date",
    ),
    (
        "ALTER TABLE cases DROP CONSTRAINT cases_closed_after_opened_check;"
        " UPDATE cases SET closed_date = opened_date - 1",
        "rules: cases.closed_after_opened",
    ),
    (
        "ALTER TABLE tasks DROP CONSTRAINT tasks_completed_at_check; UPDATE tasks SET completed_at = NULL",
        "rules: tasks.completed_at",
    ),
    (
        "ALTER TABLE documents DROP CONSTRAINT documents_version_check; UPDATE documents SET version = 0",
        "rules: documents.version",
    ),
    (
        "ALTER TABLE skill_usage_logs DROP CONSTRAINT skill_usage_logs_tokens_used_check;"
        " UPDATE skill_usage_logs SET tokens_used = -1",
        "rules: skill_usage_logs.tokens_used",
    ),
    (
        "ALTER TABLE template_usage_logs DROP CONSTRAINT template_usage_logs_user_satisfaction_score_check;"
        f" {UNCHECKED} UPDATE template_usage_logs SET user_satisfaction_score = 6",
        "rules: template_usage_logs.user_satisfaction_score",
    ),
    (
        "ALTER TABLE users DROP CONSTRAINT users_email_lowercase_check; UPDATE users SET email = upper(email)",
        "rules: users.email_lowercase",
    ),
    (
        "ALTER TABLE users DROP CONSTRAINT users_email_key; UPDATE users SET email = 'same@demo.ro'",
        "duplicates: users_email_key",
    ),
    (
        "ALTER TABLE cases DROP CONSTRAINT cases_firm_id_case_number_key; UPDATE cases SET case_number = 'CASE-1'",
        "duplicates: cases_firm_id_case_number_key",
    ),
    (
        "ALTER TABLE clients DROP CONSTRAINT clients_firm_id_name_key; UPDATE clients SET name = 'X'",
        "duplicates: clients_firm_id_name_key",
    ),
    (
        "DROP INDEX skill_versions_one_current_idx; UPDATE skill_versions SET is_current = true",
        "duplicates: skill_versions_one_current_idx",
    ),
    ("UPDATE skill_versions SET is_current = false", "skills without a current version"),
    ("UPDATE skills SET usage_count = usage_count + 1", "statistics: skills"),
    ("UPDATE skills SET tokens_saved_total = tokens_saved_total - 1", "statistics: skills"),
    (f"{UNCHECKED} DELETE FROM skill_usage_logs", "statistics: skills"),
    ("UPDATE romanian_templates SET usage_count = usage_count + 7", "statistics: romanian_templates"),
    (f"{UNCHECKED} UPDATE template_usage_logs SET user_satisfaction_score = 1", "statistics: romanian_templates"),
    ("UPDATE users SET last_active = now() + interval '2 days'", "future timestamps: users"),
    (f"{UNCHECKED} UPDATE documents SET created_at = now() + interval '2 days'", "future timestamps: documents"),
    ("UPDATE skill_usage_logs SET executed_at = now() + interval '2 days'", "future timestamps: skill_usage_logs"),
    (f"{UNCHECKED} UPDATE cases SET updated_at = created_at - interval '1 day'", "times in order: cases"),
    ("ALTER TABLE cases DISABLE TRIGGER update_cases_updated_at", "disabled triggers"),
    ("DROP TRIGGER update_skill_stats_on_usage ON skill_usage_logs", "triggers and policies"),
    ("DROP POLICY firm_isolation ON documents", "triggers and policies"),
    ("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'cases_firm_id_type_idx'::regclass", "invalid indexes"),
    ("ALTER TABLE cases ENABLE REPLICA TRIGGER update_cases_updated_at", "disabled triggers"),
    (f"{UNCHECKED} UPDATE case_actors SET updated_at = created_at - interval '1 day'", "times in order: case_actors"),
    (
        "UPDATE cases SET opened_date = '2099-01-01', closed_date = NULL WHERE status = 'Active'",
        "future timestamps: cases",
    ),
    ("UPDATE cases SET closed_date = current_date + 30 WHERE status = 'Closed'", "future timestamps: cases"),
    ("UPDATE tasks SET due_date = 'infinity'", "readable times: tasks"),
    ("UPDATE cases SET next_hearing_date = '0044-03-15 12:00+00 BC'", "readable times: cases"),
    ("ALTER TABLE users ALTER role DROP NOT NULL; UPDATE users SET role = NULL", "required values: users"),
    (
        "ALTER TABLE documents DROP CONSTRAINT documents_pkey CASCADE; ALTER TABLE documents ALTER id DROP NOT NULL;"
        " UPDATE documents SET id = NULL",
        "required values: documents",
    ),
    (
        "ALTER TABLE skills ALTER usage_count DROP NOT NULL; UPDATE skills SET usage_count = NULL",
        "statistics: skills",
    ),
    ("UPDATE tasks SET completed_at = created_at - interval '1 hour' WHERE completed_at IS NOT NULL", EARLY),
    ("UPDATE skill_usage_logs SET user_id = uuid_generate_v4()", "loose references: skill_usage_logs.user_id"),
    (
        "UPDATE document_type_instances SET document_id = uuid_generate_v4()",
        "loose references: document_type_instances.document_id",
    ),
    (
        f"UPDATE document_patterns SET document_sources = document_sources || {NOWHERE}::uuid",
        "loose references: document_patterns.document_sources",
    ),
    (f"UPDATE romanian_templates SET created_by = {NOWHERE}", "loose references: romanian_templates.created_by"),
    (
        "INSERT INTO _migrations (id, migration_name, checksum, applied_by, tool_version, position)"
        " OVERRIDING SYSTEM VALUE VALUES (uuid_generate_v4(), '', '', '', '', 99999)",
        "sequences",
    ),
    ("UPDATE pg_database SET datcollversion = '0.1' WHERE datname = current_database()", "collation version"),
    ("ALTER ROLE legal_store_service SET session_replication_role = replica", "settings"),
    (
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET legal_store.firm_id = %L', current_database(), 'x'); END $$",
        "settings",
    ),
    ("DELETE FROM _migrations WHERE migration_name LIKE '%add_search'", "migrations"),
    ("UPDATE _migrations SET finished_at = NULL, logs = 'no' WHERE migration_name LIKE '%add_search'", "migrations"),
    ("UPDATE _migrations SET migration_name = '20990101000000_unknown' WHERE migration_name LIKE '001%'", "migrations"),
    ("UPDATE _migrations SET checksum = '', normalized_checksum = '' WHERE migration_name LIKE '001%'", "migrations"),
    ("ALTER TABLE tasks ALTER actual_hours TYPE numeric(9, 2)", "drift"),
    ("ALTER TABLE cases ALTER status SET DEFAULT 'Closed'", "drift"),
    ("ALTER TABLE users ALTER role DROP NOT NULL", "drift"),
    ("DROP INDEX cases_firm_id_type_idx", "drift"),
    (
        "CREATE OR REPLACE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NEW; END'",
        "drift",
    ),
    (
        "ALTER TABLE tasks DROP CONSTRAINT tasks_actual_hours_check,"
        " ADD CONSTRAINT tasks_actual_hours_check CHECK (true)",
        "drift",
    ),
    (
        "ALTER TABLE case_team DROP CONSTRAINT case_team_user_id_fkey, ADD CONSTRAINT case_team_user_id_fkey"
        " FOREIGN KEY (user_id, firm_id) REFERENCES users (id, firm_id) ON DELETE RESTRICT",
        "drift",
    ),
    ("ALTER TABLE search_calibrations SET UNLOGGED", "drift"),
    ("CREATE VIEW everything AS SELECT * FROM clients", "drift"),
    ("ALTER TABLE clients DISABLE ROW LEVEL SECURITY", "isolation"),
    ("ALTER POLICY firm_isolation ON cases USING (true)", "isolation"),
    (
        "CREATE OR REPLACE FUNCTION current_firm_id() RETURNS uuid LANGUAGE plpgsql STABLE PARALLEL SAFE"
        " AS 'BEGIN RETURN NULL; END'",
        "isolation",
    ),
    ("CREATE VIEW everything AS SELECT * FROM clients", "isolation"),
    ("GRANT SELECT ON clients TO public", "isolation"),
]


@pytest.fixture(scope="module")
def demo(cluster: Cluster, template: str) -> Iterator[str]:
    """The name of a database with the demo firm in it, for cloning."""
    with cluster.database(template) as name:
        db.configure(Settings.from_environ({"DATABASE_URL": cluster.url(name)}))
        with db.connection_context(), all_firms(reason="test"):
            seed(db, CHECKOUT / "seeds")
        db.close_all()
        yield name


@pytest.fixture(scope="module")
def shared(cluster: Cluster, demo: str) -> Iterator[Any]:
    """A connection to a copy that stays healthy: what is done there is taken back."""
    with cluster.database(demo) as name, closing(cluster.connect(name)) as connection:
        yield connection


@pytest.fixture
def healthy(cluster: Cluster, demo: str) -> Iterator[Any]:
    """A connection to a fresh copy of the demo database."""
    with cluster.database(demo) as name, closing(cluster.connect(name)) as connection:
        yield connection


def corrupt(connection: Any, statements: str) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL allow_system_table_mods = on; {statements}")


def failures(connection: Any) -> set[str]:
    return {result.name for result in validate(connection, CHECKS).failures}


def test_a_healthy_database_passes_everything(shared: Any) -> None:
    report = validate(shared, CHECKS)
    assert [(r.name, r.message, r.examples) for r in report.results if r.status in (Status.FAIL, Status.WARN)] == []
    assert report.rows["documents"] == 20
    assert len(report.results) > 100


@pytest.mark.parametrize(("statements", "check"), CORRUPTIONS, ids=[f"{c} {i}" for i, (_, c) in enumerate(CORRUPTIONS)])
def test_a_corruption_is_found(shared: Any, statements: str, check: str) -> None:
    (asked,) = [known for known in CHECKS if known.name == check]
    with shared.cursor() as cursor:
        try:
            assert asked.run(cursor).status in (Status.PASS, Status.SKIP)
            cursor.execute(f"SET LOCAL allow_system_table_mods = on; {statements}")
            found = asked.run(cursor)
            undecided = check == EARLY or check.startswith("loose references")
            assert found.status is (Status.WARN if undecided else Status.FAIL)
            assert 0 < min(found.offenders, 5) <= len(found.examples)
        finally:
            shared.rollback()


def test_a_finding_says_how_many_and_names_a_few(shared: Any) -> None:
    (asked,) = [known for known in CHECKS if known.name == "references: tasks.case_id"]
    with shared.cursor() as cursor:
        try:
            cursor.execute(f"{UNCHECKED} UPDATE tasks SET case_id = {NOWHERE}")
            found = asked.run(cursor)
        finally:
            shared.rollback()
    assert (found.offenders, len(found.examples)) == (30, 5)


def test_drift_and_isolation_name_each_object(shared: Any) -> None:
    with shared.cursor() as cursor:
        try:
            cursor.execute(
                "DROP INDEX cases_firm_id_type_idx; ALTER TABLE cases ALTER title DROP NOT NULL, ADD note text;"
                " ALTER TABLE clients DISABLE ROW LEVEL SECURITY"
            )
            found = {check.name: check.run(cursor).examples for check in CHECKS if check.name in ("drift", "isolation")}
        finally:
            shared.rollback()
    assert found["drift"] == (
        "column cases.note is not expected",
        "column cases.title differs",
        "index cases.cases_firm_id_type_idx is missing",
        "table clients differs",
    )
    assert found["isolation"][0].startswith("clients: row-level security is off.")


def test_nothing_is_written_by_checking(healthy: Any) -> None:
    corrupt(healthy, "UPDATE skills SET usage_count = usage_count + 1")
    validate(healthy)
    assert "statistics: skills" in failures(healthy)


def test_what_is_safe_to_mend_is_mended(healthy: Any) -> None:
    broken = {
        "statistics: skills": "UPDATE skills SET usage_count = usage_count + 1",
        "statistics: romanian_templates": f"{UNCHECKED} DELETE FROM template_usage_logs",
        "disabled triggers": "ALTER TABLE cases DISABLE TRIGGER update_cases_updated_at",
        "sequences": "SELECT setval(pg_get_serial_sequence('_migrations', 'position'), 1)",
        "invalid indexes": "UPDATE pg_index SET indisvalid = false"
        " WHERE indexrelid = 'cases_firm_id_type_idx'::regclass",
        "constraints": "ALTER TABLE tasks DROP CONSTRAINT tasks_case_id_fkey; ALTER TABLE tasks ADD CONSTRAINT"
        " tasks_case_id_fkey FOREIGN KEY (case_id, firm_id) REFERENCES cases (id, firm_id) ON DELETE CASCADE NOT VALID",
    }
    corrupt(healthy, "; ".join(broken.values()))
    report = validate(healthy, CHECKS)
    assert {result.name for result in report.failures} == {*broken, "drift"}
    assert {(mending.check, mending.done) for mending in fix(healthy, report)} == {(name, True) for name in broken}
    assert failures(healthy) == set()


def test_one_that_cannot_be_mended_is_named_and_stops_no_other(healthy: Any) -> None:
    corrupt(
        healthy,
        "ALTER TABLE clients ADD CONSTRAINT a_broken CHECK (name = '') NOT VALID;"
        " ALTER TABLE tasks DROP CONSTRAINT tasks_case_id_fkey; ALTER TABLE tasks ADD CONSTRAINT tasks_case_id_fkey"
        " FOREIGN KEY (case_id, firm_id) REFERENCES cases (id, firm_id) ON DELETE CASCADE NOT VALID;"
        " UPDATE skills SET usage_count = usage_count + 1",
    )
    found = {mending.object: mending for mending in fix(healthy, validate(healthy))}
    assert {name: mending.done for name, mending in found.items()} == {
        "clients.a_broken": False,
        "tasks.tasks_case_id_fkey": True,
        "rows": True,
    }
    assert "CheckViolation" in found["clients.a_broken"].what
    assert not {"constraints", "statistics: skills"} & failures(healthy)


def test_triggers_of_foreign_keys_are_switched_on_again_too(healthy: Any) -> None:
    corrupt(
        healthy,
        "ALTER TABLE cases DISABLE TRIGGER ALL; ALTER TABLE tasks ENABLE REPLICA TRIGGER update_tasks_updated_at",
    )
    off = "SELECT count(*) FROM pg_trigger WHERE tgenabled <> 'O'"
    with healthy, healthy.cursor() as cursor:
        cursor.execute(off)
        (before,) = cursor.fetchone()
    report = validate(healthy)
    done = fix(healthy, report)
    assert len(done) == before == next(r.offenders for r in report.failures if r.name == "disabled triggers")
    assert any(mending.object.endswith("of the foreign key tasks_case_id_fkey") for mending in done)
    assert failures(healthy) == set()


def test_what_waits_for_a_lock_is_given_up_and_said(
    healthy: Any, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "LOCK_TIMEOUT", "100ms")
    corrupt(healthy, "ALTER TABLE cases DISABLE TRIGGER update_cases_updated_at")
    with closing(cluster.connect(healthy.info.dbname)) as other:
        other.cursor().execute("LOCK TABLE cases IN ROW EXCLUSIVE MODE")
        (left,) = fix(healthy, validate(healthy))
    assert not left.done and left.what.startswith("LockNotAvailable")


def test_what_a_broken_off_rebuild_left_is_dropped(healthy: Any) -> None:
    corrupt(
        healthy,
        "CREATE INDEX cases_firm_id_type_idx_ccnew ON cases (firm_id, type);"
        " UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'cases_firm_id_type_idx_ccnew'::regclass",
    )
    assert [done.what for done in fix(healthy, validate(healthy))] == ["DROP INDEX"]
    assert failures(healthy) == set()


def test_what_is_corrupt_on_disk_is_found_by_amcheck(healthy: Any) -> None:
    corrupt(healthy, "CREATE EXTENSION amcheck")
    assert failures(healthy) == set()
    # an index over a function whose result changes later disagrees with its table
    corrupt(
        healthy,
        "CREATE FUNCTION turned(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1';"
        " CREATE INDEX turned_idx ON documents (turned(title));"
        " CREATE OR REPLACE FUNCTION turned(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT reverse($1)';"
        # rows older than all that the table says it holds: VACUUM may have forgotten whether they were committed
        " UPDATE pg_class SET relfrozenxid = pg_current_xact_id()::xid WHERE relname = 'tasks'",
    )
    assert {"index corruption", "table corruption", "drift"} == failures(healthy)


def test_without_amcheck_corruption_is_skipped_with_the_reason(shared: Any) -> None:
    outcomes = [result for result in validate(shared).results if result.name.endswith("corruption")]
    assert [outcome.status for outcome in outcomes] == [Status.SKIP, Status.SKIP]
    assert "CREATE EXTENSION amcheck" in outcomes[0].message


def test_an_empty_database_fails_and_says_what_is_missing(empty_database: Url) -> None:
    with closing(psycopg2.connect(empty_database)) as connection:
        found = {result.name for result in validate(connection).failures}
    assert {"extensions", "required tables and columns", "constraints", "isolation"} <= found
