"""The catalog sees every single change of a schema, and nothing where there is none."""

from __future__ import annotations

import hashlib
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from legal_store.config import Url
from legal_store.embedded import client_program
from legal_store.migrate import deploy
from legal_store.migrate.drift import find_drift
from legal_store.schema import catalog
from legal_store.schema.catalog import differences, read_catalog
from tests.conftest import MIGRATIONS, Cluster

# one property each; the first word says what kind of object is expected to differ
MUTATIONS = {
    "column type": "ALTER TABLE cases ALTER court_name TYPE varchar(200)",
    "column type modifier": "ALTER TABLE cases ALTER value TYPE numeric(16, 2)",
    "column vector dimensions": "ALTER TABLE documents ALTER content_embedding TYPE vector(768)",
    "column default": "ALTER TABLE cases ALTER priority SET DEFAULT 'Low'",
    "column default dropped": "ALTER TABLE cases ALTER priority DROP DEFAULT",
    "column not null": "ALTER TABLE cases ALTER court_name SET NOT NULL",
    "column nullable": "ALTER TABLE cases ALTER title DROP NOT NULL",
    "column added": "ALTER TABLE cases ADD COLUMN extra int",
    "column dropped": "ALTER TABLE cases DROP COLUMN judge_name",
    "column renamed": "ALTER TABLE cases RENAME judge_name TO judge",
    "column collation": 'ALTER TABLE cases ALTER court_name TYPE text COLLATE "C"',
    "column identity": "ALTER TABLE cases ADD COLUMN n int GENERATED ALWAYS AS IDENTITY",
    "column generated expression": "ALTER TABLE skills ALTER effectiveness_score"
    " SET EXPRESSION AS (COALESCE(round(99.0 * successful_count / NULLIF(usage_count, 0), 2), 0))",
    "column storage": "ALTER TABLE cases ALTER description SET STORAGE EXTERNAL",
    "column compression": "ALTER TABLE cases ALTER description SET COMPRESSION pglz",
    "column statistics": "ALTER TABLE cases ALTER title SET STATISTICS 500",
    "column options": "ALTER TABLE cases ALTER title SET (n_distinct = 100)",
    "table added": "CREATE TABLE extra ()",
    "table dropped": "DROP TABLE case_actors",
    "table options": "ALTER TABLE cases SET (fillfactor = 70)",
    "table unlogged": "ALTER TABLE case_actors SET UNLOGGED",
    "table row security off": "ALTER TABLE cases DISABLE ROW LEVEL SECURITY",
    "table row security forced": "ALTER TABLE cases FORCE ROW LEVEL SECURITY",
    "table replica identity": "ALTER TABLE cases REPLICA IDENTITY FULL",
    "constraint check": "ALTER TABLE cases DROP CONSTRAINT cases_closed_after_opened_check,"
    " ADD CONSTRAINT cases_closed_after_opened_check CHECK (closed_date > opened_date)",
    "constraint check not valid": "ALTER TABLE cases DROP CONSTRAINT cases_closed_after_opened_check,"
    " ADD CONSTRAINT cases_closed_after_opened_check CHECK (closed_date >= opened_date) NOT VALID",
    "constraint foreign key action": "ALTER TABLE cases DROP CONSTRAINT cases_firm_id_fkey,"
    " ADD CONSTRAINT cases_firm_id_fkey FOREIGN KEY (firm_id) REFERENCES firms (id) ON DELETE CASCADE",
    "constraint deferrable": "ALTER TABLE cases ALTER CONSTRAINT cases_firm_id_fkey DEFERRABLE",
    "constraint unique dropped": "ALTER TABLE cases DROP CONSTRAINT cases_firm_id_case_number_key",
    "constraint renamed": "ALTER TABLE cases RENAME CONSTRAINT cases_firm_id_fkey TO cases_firm",
    "constraint exclusion": "ALTER TABLE cases ADD CONSTRAINT one EXCLUDE (title WITH =)",
    "index dropped": "DROP INDEX cases_firm_id_type_idx",
    "index method": "DROP INDEX documents_content_embedding_idx;"
    " CREATE INDEX documents_content_embedding_idx ON documents USING ivfflat (content_embedding vector_cosine_ops)",
    "index operator class": "DROP INDEX documents_content_embedding_idx;"
    " CREATE INDEX documents_content_embedding_idx ON documents USING hnsw (content_embedding vector_l2_ops)",
    "index options": "ALTER INDEX cases_firm_id_type_idx SET (fillfactor = 50)",
    "index condition": "DROP INDEX tasks_firm_id_open_due_idx;"
    " CREATE INDEX tasks_firm_id_open_due_idx ON tasks (firm_id, due_date)",
    "index order": "DROP INDEX cases_firm_id_type_idx;"
    " CREATE INDEX cases_firm_id_type_idx ON cases (firm_id DESC, type)",
    "index invalid": "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'cases_firm_id_type_idx'::regclass",
    "index replica identity": "ALTER TABLE cases REPLICA IDENTITY USING INDEX cases_pkey",
    "trigger dropped": "DROP TRIGGER update_cases_updated_at ON cases",
    "trigger disabled": "ALTER TABLE cases DISABLE TRIGGER update_cases_updated_at",
    "trigger event": "CREATE OR REPLACE TRIGGER update_cases_updated_at BEFORE UPDATE OF title ON cases"
    " FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()",
    "function body": "CREATE OR REPLACE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql"
    " AS $$ BEGIN RETURN NEW; END $$",
    "function security": "ALTER FUNCTION current_firm_id() SECURITY DEFINER",
    "function volatility": "ALTER FUNCTION current_firm_id() VOLATILE",
    "function setting": "ALTER FUNCTION current_firm_id() SET search_path = public",
    "policy dropped": "DROP POLICY firm_isolation ON cases",
    "policy condition": "ALTER POLICY firm_isolation ON cases USING (true)",
    "policy check": "ALTER POLICY firm_isolation ON cases WITH CHECK (true)",
    "policy role": "ALTER POLICY firm_isolation ON cases TO legal_store_service",
    "policy permissive": "DROP POLICY firm_isolation ON cases;"
    " CREATE POLICY firm_isolation ON cases AS RESTRICTIVE USING (firm_id = (SELECT current_firm_id()))"
    " WITH CHECK (firm_id = (SELECT current_firm_id()))",
    "grant revoked": "REVOKE DELETE ON cases FROM legal_store_service",
    "grant to all": "GRANT SELECT ON cases TO public",
    "grant on a column": "GRANT UPDATE (version) ON skills TO public",
    "grant on a function": "REVOKE EXECUTE ON FUNCTION current_firm_id() FROM public",
    "view query": "CREATE OR REPLACE VIEW template_candidates WITH (security_invoker = true) AS"
    " SELECT * FROM template_candidates_before",
    "view option": "ALTER VIEW template_candidates SET (security_invoker = false)",
    "view dropped": "DROP VIEW template_candidates",
    "materialized view added": "CREATE MATERIALIZED VIEW extra AS SELECT 1 AS one",
    "rule added": "CREATE RULE extra AS ON INSERT TO case_actors DO ALSO NOTHING",
    "sequence added": "CREATE SEQUENCE extra",
    "enum added": "CREATE TYPE extra AS ENUM ('a')",
    "domain added": "CREATE DOMAIN extra AS int CHECK (VALUE > 0)",
    "composite type added": "CREATE TYPE extra AS (a int)",
    "statistics added": "CREATE STATISTICS extra ON status, type FROM cases",
    "extension dropped": "CREATE EXTENSION btree_gist",
    "comment on a table": "COMMENT ON TABLE cases IS 'x'",
    "comment on a column": "COMMENT ON COLUMN cases.title IS 'x'",
    "comment on an index": "COMMENT ON INDEX cases_firm_id_type_idx IS 'x'",
    "comment on a constraint": "COMMENT ON CONSTRAINT cases_firm_id_fkey ON cases IS 'x'",
    "comment on a trigger": "COMMENT ON TRIGGER update_cases_updated_at ON cases IS 'x'",
    "comment on a policy": "COMMENT ON POLICY firm_isolation ON cases IS 'x'",
    "comment on a function": "COMMENT ON FUNCTION current_firm_id() IS 'x'",
}


def test_each_single_mutation_is_found_and_named(database_url: Url) -> None:
    missed = []
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        before = read_catalog(connection)
        for what, statement in MUTATIONS.items():
            if what == "view query":
                cursor.execute("CREATE VIEW template_candidates_before AS SELECT * FROM template_candidates")
                cursor.execute("SELECT pg_get_viewdef('template_candidates'::regclass)")
                query = cursor.fetchone()[0].rstrip("; ")
                statement = statement.replace("SELECT * FROM template_candidates_before", query + " LIMIT 1")
            cursor.execute(statement)
            found = differences(before, read_catalog(connection))
            kinds = ("materialized view", "composite type", what.partition(" ")[0])
            if not any(difference.kind in kinds for difference in found):
                missed.append((what, found))
            connection.rollback()
    assert len(MUTATIONS) >= 70
    assert missed == []


@pytest.mark.parametrize(
    "statement", ["ANALYZE", "VACUUM FULL", "REINDEX SCHEMA public", "CLUSTER cases USING cases_pkey"]
)
def test_upkeep_is_no_drift(statement: str, connection: Any) -> None:
    before = read_catalog(connection)
    with connection.cursor() as cursor:
        cursor.execute(statement)
        if statement.startswith("CLUSTER"):
            cursor.execute("ALTER TABLE cases SET WITHOUT CLUSTER")
    assert differences(before, read_catalog(connection)) == []
    assert find_drift(connection) == []


def test_dump_and_restore_is_no_drift(database_url: Url, empty_database: Url, tmp_path: Path) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE forms (a varchar(20) CHECK (a IN ('x', 'y')), b char(3) DEFAULT 'abc', c text[] DEFAULT '{}',"
            " d numeric CHECK (d BETWEEN 0 AND 1), e varchar(9) CHECK (e = ANY ('{p,q}')), f int GENERATED BY DEFAULT"
            " AS IDENTITY, g serial, h timestamptz DEFAULT CURRENT_TIMESTAMP, EXCLUDE USING btree (d WITH =))"
        )
        cursor.execute("CREATE INDEX forms_idx ON forms (lower(a), (d + 1) DESC NULLS LAST) WHERE a IN ('x', 'z')")
        cursor.execute("CREATE VIEW forms_view AS SELECT a, count(*) FROM forms WHERE a NOT IN ('x', 'y') GROUP BY 1")
        before = read_catalog(connection)
    dump = tmp_path / "dump"
    for command in (
        [str(client_program("pg_dump")), "-Fc", "-f", str(dump), "-d", str(database_url)],
        [str(client_program("pg_restore")), "--exit-on-error", "-d", str(empty_database), str(dump)],
    ):
        subprocess.run(command, check=True, capture_output=True)
    with closing(psycopg2.connect(empty_database)) as connection:
        assert [str(d) for d in differences(before, read_catalog(connection))] == []


def test_other_words_have_another_format() -> None:
    """A changed query with the old format would report drift on every database that was deployed before."""
    words = hashlib.sha256(catalog._QUERY.encode()).hexdigest()[:12]
    assert {catalog.CATALOG_FORMAT: words} == {1: "72fbfc68ce19"}


def test_a_restored_copy_can_be_deployed_to(database_url: Url, cluster: Cluster) -> None:
    with cluster.database(str(parse_dsn(database_url)["dbname"])) as name:
        assert deploy(dict(parse_dsn(cluster.url(name))), MIGRATIONS).applied == []
