"""The linter finds each mistake that somebody could make, and nothing in our own schema."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from legal_store.database import db
from legal_store.isolation import Finding, check_isolation, check_service
from tests.conftest import CHECKOUT
from tests.isolation.conftest import Host
from tests.isolation.world import connected

ACCESS = """
CREATE FUNCTION titles_like(wanted text) RETURNS SETOF text LANGUAGE sql STABLE SECURITY DEFINER
{attributes} AS $$ SELECT title FROM cases WHERE {firm} AND title % wanted $$;
{rights}
"""
PINNED = "SET search_path = public, pg_temp"
LIMITED = "firm_id = (SELECT current_firm_id())"
SERVICES_ONLY = (
    "REVOKE EXECUTE ON FUNCTION titles_like FROM PUBLIC;GRANT EXECUTE ON FUNCTION titles_like TO legal_store_service;"
)
PLAIN_TABLE = "CREATE TABLE {} (id uuid PRIMARY KEY{}); GRANT SELECT ON {} TO legal_store_service;"
FIRM_TABLE = """
CREATE TABLE notes (id uuid NOT NULL, firm_id uuid {null} {reference}, body text, {keys});
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY firm_isolation ON notes USING (firm_id = (SELECT current_firm_id()))
    WITH CHECK (firm_id = (SELECT current_firm_id()));
GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO legal_store_service;
"""


def notes(null: str = "NOT NULL", reference: str = "REFERENCES firms", keys: str = "PRIMARY KEY (id, firm_id)") -> str:
    return FIRM_TABLE.format(null=null, reference=reference, keys=keys)


def access(attributes: str = PINNED, firm: str = LIMITED, rights: str = SERVICES_ONLY) -> str:
    return ACCESS.format(attributes=attributes, firm=firm, rights=rights)


def policy(using: str, check: str = "") -> str:
    return f"DROP POLICY firm_isolation ON documents; CREATE POLICY p ON documents USING ({using}) {check}"


CHECKED = "WITH CHECK (firm_id = (SELECT current_firm_id()))"
UNSET = "firm_id = (SELECT nullif(current_setting('legal_store.firm_id', true), '')::uuid)"

MISTAKES = {
    # tables
    "row security is off": ("ALTER TABLE cases DISABLE ROW LEVEL SECURITY", "row-security-off", "cases"),
    "no policy": ("DROP POLICY firm_isolation ON cases", "no-policy", "cases"),
    "a new table without anything": (
        "CREATE TABLE notes (id uuid PRIMARY KEY, firm_id uuid)", "row-security-off", "notes"
    ),
    "a new table without a firm": (PLAIN_TABLE.format("notes", "", "notes"), "no-firm", "notes"),
    "a table in another schema": (
        "CREATE SCHEMA extra; CREATE TABLE extra.notes (id uuid, firm_id uuid)", "row-security-off", "extra.notes"
    ),
    "the firm may be null": (notes(null="", keys="UNIQUE (id, firm_id)"), "firm-optional", "notes"),
    "the firm need not exist": (notes(reference=""), "firm-unknown", "notes"),
    "a rewrite rule": (
        "CREATE RULE hide AS ON DELETE TO cases DO INSTEAD UPDATE cases SET status = 'Archived'",
        "rewrite-rule", "cases",
    ),
    # policies
    "no check": (policy(LIMITED), "policy-without-check", "documents.p"),
    "everything is visible": (policy("true", CHECKED), "policy-condition", "documents.p"),
    "everything may be written": (policy(LIMITED, "WITH CHECK (true)"), "policy-condition", "documents.p"),
    "an unset firm is not refused": (policy(UNSET, CHECKED), "policy-condition", "documents.p"),
    "asked once per row": (policy("firm_id = current_firm_id()", CHECKED), "policy-per-row", "documents.p"),
    "a second policy opens the table": (
        "CREATE POLICY all_of_them ON tasks USING (true)", "policy-condition", "tasks.all_of_them"
    ),
    "only for reading": (
        "DROP POLICY firm_isolation ON tasks; CREATE POLICY p ON tasks FOR SELECT"
        " USING (firm_id = (SELECT current_firm_id()))", "policy-partial", "tasks.p",
    ),
    "for another role": ("ALTER POLICY firm_isolation ON tasks TO CURRENT_USER", "policy-partial",
                         "tasks.firm_isolation"),
    "the wrong column": (policy("id = (SELECT current_firm_id())", CHECKED), "policy-condition", "documents.p"),
    # keys and references
    "no index leads with the firm": (notes(keys="UNIQUE (body, firm_id)"), "no-firm-index", "notes"),
    "a key over all firms": ("CREATE UNIQUE INDEX c ON clients (email)", "key-ignores-firm", "clients.c"),
    "a key over an expression": ("CREATE UNIQUE INDEX c ON clients (lower(name))", "key-ignores-firm", "clients.c"),
    "an exclusion over all firms": (
        "CREATE EXTENSION btree_gist; ALTER TABLE clients ADD CONSTRAINT c EXCLUDE USING gist (email WITH =)",
        "key-ignores-firm", "clients.c",
    ),
    "an exclusion of other firms' rows": (
        "CREATE EXTENSION btree_gist;"
        " ALTER TABLE clients ADD CONSTRAINT c EXCLUDE USING gist (firm_id WITH <>, email WITH =)",
        "key-ignores-firm", "clients.c",
    ),
    "a primary key without the firm": (notes(keys="PRIMARY KEY (id)"), "key-ignores-firm", "notes.notes_pkey"),
    "a reference without the firm": (
        "CREATE UNIQUE INDEX k ON cases (id); ALTER TABLE documents ADD CONSTRAINT r FOREIGN KEY (case_id)"
        " REFERENCES cases (id)", "reference-ignores-firm", "documents.r",
    ),
    "a reference from outside": (
        PLAIN_TABLE.format("notes", ", firm uuid CONSTRAINT r REFERENCES firms", "notes"),
        "reference-from-outside", "notes.r",
    ),
    "a reference that clears the firm": (
        "ALTER TABLE tasks ADD CONSTRAINT r FOREIGN KEY (assigned_to_id, firm_id) REFERENCES users (id, firm_id)"
        " ON DELETE SET NULL", "reference-clears-firm", "tasks.r",
    ),
    # ways around
    "a view with its owner's rights": ("CREATE VIEW v AS SELECT * FROM cases", "view-as-owner", "v"),
    "a view of a view": (
        "CREATE VIEW v WITH (security_invoker) AS SELECT * FROM cases; CREATE VIEW w AS SELECT * FROM v",
        "view-as-owner", "w",
    ),
    "a materialized view": (
        "CREATE MATERIALIZED VIEW m AS SELECT * FROM cases; GRANT SELECT ON m TO legal_store_service",
        "materialized-view", "m",
    ),
    "an open search path": (access(""), "definer-search-path", "titles_like(wanted text)"),
    "temporary tables first": (
        access("SET search_path = public"), "definer-search-path", "titles_like(wanted text)"
    ),
    "a function for everybody": (access(rights=""), "definer-for-everybody", "titles_like(wanted text)"),
    "a function of any body": (access(), "function-unreviewed", "titles_like(wanted text)"),
    "a trigger with its owner's rights": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NEW; END'",
        "function-unreviewed", "f()",
    ),
    "a procedure with its owner's rights": (
        "CREATE PROCEDURE p() LANGUAGE sql SECURITY DEFINER AS 'UPDATE cases SET title = title'",
        "function-unreviewed", "p()",
    ),
    "a function that sets the firm": (
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql SET legal_store.firm_id = 'x' AS 'SELECT count(*) FROM cases'",
        "function-unreviewed", "f()",
    ),
    "a function that sets the role": (
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql SET role = none AS 'SELECT count(*) FROM cases'",
        "function-unreviewed", "f()",
    ),
    "a function that is shown rows first": (
        "CREATE FUNCTION f(text) RETURNS boolean LANGUAGE plpgsql LEAKPROOF AS"
        " 'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END'", "function-unreviewed", "f(text)",
    ),
    "a declared function with another body": (
        "CREATE OR REPLACE FUNCTION record_role_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = public, pg_temp AS 'BEGIN RETURN NEW; END'", "function-changed", "record_role_change()",
    ),
    "a declared function with another setting": (
        "ALTER FUNCTION search_contents(tsquery, integer) SET legal_store.firm_id = 'x'",
        "function-changed", "search_contents(query tsquery, at_most integer)",
    ),
    "a function of somebody else": (
        access() + "ALTER FUNCTION titles_like OWNER TO pg_monitor", "definer-owner", "titles_like(wanted text)"
    ),
    "the firm's function changed": (
        "CREATE OR REPLACE FUNCTION current_firm_id() RETURNS uuid LANGUAGE sql AS"
        " $$ SELECT nullif(current_setting('legal_store.firm_id', true), '')::uuid $$",
        "firm-function", "current_firm_id()",
    ),
    **{
        f"the firm's function: {change}": (
            f"ALTER FUNCTION current_firm_id() {change}", "firm-function", "current_firm_id()"
        )
        for change in (
            "SET legal_store.firm_id = '00000000-0000-0000-0000-000000000001'", "SET search_path = public",
            "SECURITY DEFINER", "IMMUTABLE", "VOLATILE", "STRICT", "LEAKPROOF", "PARALLEL UNSAFE",
            "OWNER TO pg_monitor",
        )
    },
    # the role of services, in a transaction that is rolled back: it belongs to the whole server
    "a role above the policies": ("ALTER ROLE legal_store_service BYPASSRLS", "role-powers", "legal_store_service"),
    "a superuser": ("ALTER ROLE legal_store_service SUPERUSER", "role-powers", "legal_store_service"),
    "a member of the owner's role": (
        "CREATE ROLE r; GRANT r TO legal_store_service", "role-member", "legal_store_service"
    ),
    "a table of the service's own": ("ALTER TABLE tasks OWNER TO legal_store_service", "role-owns", "tasks"),
    "truncate": ("GRANT TRUNCATE ON cases TO legal_store_service", "right-beyond-policies", "cases"),
    "a right of everybody": ("GRANT SELECT ON cases TO PUBLIC", "right-of-everybody", "cases"),
    "one column for everybody": ("GRANT SELECT (title) ON cases TO PUBLIC", "right-of-everybody", "cases"),
    "tables made by services": (
        "GRANT CREATE ON SCHEMA public TO legal_store_service", "right-beyond-policies", "schema public"
    ),
    "a role that is missing": ("ALTER ROLE legal_store_service RENAME TO another", "no-role", "legal_store_service"),
}  # fmt: skip


@pytest.fixture
def owner(shared_database: dict[str, Any]) -> Iterator[Any]:
    with connected(shared_database) as connection:
        yield connection


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(owner: Any, mistake: str) -> None:
    statement, rule, name = MISTAKES[mistake]
    with owner.cursor() as cursor:
        cursor.execute(statement)
    assert (rule, name) in {(finding.rule, finding.object) for finding in check_isolation(owner)}


def test_a_right_table_view_and_access_function_are_no_mistakes(owner: Any) -> None:
    with owner.cursor() as cursor:
        cursor.execute(notes())
        cursor.execute("CREATE VIEW v WITH (security_invoker = true) AS SELECT * FROM notes")
        cursor.execute("CREATE EXTENSION btree_gist")
        cursor.execute("ALTER TABLE notes ADD CONSTRAINT c EXCLUDE USING gist (firm_id WITH =, body WITH =)")
        cursor.execute(access())
        cursor.execute(statement_of(check_isolation(owner)))
    assert check_isolation(owner) == []


def test_the_function_of_the_documents_is_no_mistake(owner: Any) -> None:
    text = (CHECKOUT / "docs" / "isolation.md").read_text(encoding="utf-8")
    with owner.cursor() as cursor:
        cursor.execute(text.partition("```sql\n")[2].partition("```")[0])
    assert check_isolation(owner) == []


EVASIONS = {  # each reads the rows of all firms, and each holds the words that keep them apart
    "or true": f"SELECT title FROM cases WHERE {LIMITED} OR true",
    "not": f"SELECT title FROM cases WHERE NOT ({LIMITED})",
    "a literal": f"SELECT title FROM cases WHERE title <> '{LIMITED}'",
    "union": f"SELECT title FROM cases WHERE {LIMITED} UNION ALL SELECT title FROM cases",
    "one of two tables": f"SELECT title FROM cases c LEFT JOIN clients d ON d.{LIMITED}",
    "written by the way": f"WITH u AS (UPDATE cases SET title = title RETURNING *) SELECT title FROM u WHERE {LIMITED}",
}


@pytest.mark.parametrize("evasion", EVASIONS)
def test_a_review_counts_for_the_definition_that_was_read_and_no_other(owner: Any, evasion: str) -> None:
    with owner.cursor() as cursor:
        cursor.execute(access())
        cursor.execute(statement_of(check_isolation(owner)))
        cursor.execute(
            "CREATE OR REPLACE FUNCTION titles_like(wanted text) RETURNS SETOF text LANGUAGE sql STABLE"
            f" SECURITY DEFINER {PINNED} AS $body$ {EVASIONS[evasion]} $body$"
        )
    assert [finding.rule for finding in check_isolation(owner)] == ["function-unreviewed"]


def test_a_review_does_not_count_after_a_change_of_settings(owner: Any) -> None:
    with owner.cursor() as cursor:
        cursor.execute(access())
        cursor.execute(statement_of(check_isolation(owner)))
        cursor.execute("ALTER FUNCTION titles_like SET legal_store.firm_id = 'x'")
    assert [finding.rule for finding in check_isolation(owner)] == ["function-unreviewed"]


def statement_of(found: list[Finding]) -> str:
    """The statement that the only finding shows, as somebody would paste it; the comment may say more."""
    (finding,) = found
    statement = finding.remedy.partition("say so: ")[2].rstrip(".")
    assert statement.startswith("COMMENT ON ROUTINE titles_like(text) IS 'legal_store: reviewed ")
    return statement.removesuffix("'") + ", by the partners'"


def test_our_own_schema_has_none(host: Host) -> None:
    with connected(host.owner_parameters) as connection:
        assert check_isolation(connection) == []
    with db.connection_context():
        assert check_service(db.connection()) == []


def test_every_exception_of_our_own_schema_is_in_it(owner: Any) -> None:
    """An exception that nothing needs any more must go."""
    from legal_store.isolation.catalog import read_catalog
    from legal_store.isolation.check import declared
    from legal_store.isolation.rules import findings

    bare = declared()._replace(keys_across_firms={}, shared_tables={}, operations_tables={})
    found = findings(read_catalog(owner, bare.service_role), bare)
    exempt = {finding.object.rpartition(".")[2] for finding in found}
    operations = set(declared().operations_tables)
    keys = {f"{table}_pkey" for table in operations}
    assert exempt == set(declared().keys_across_firms) | set(declared().shared_tables) | operations | keys


def test_a_service_that_connects_as_the_owner_is_found(embedded_host: Host) -> None:
    with connected(embedded_host.owner_parameters) as connection:
        rules = {finding.rule for finding in check_service(connection)}
    assert rules == {"service-role", "service-bypasses", "service-owns"}


def test_a_service_with_a_firm_of_its_own_or_without_row_security_is_found(embedded_host: Host) -> None:
    with connected(embedded_host.owner_parameters) as connection, connection.cursor() as cursor:
        cursor.execute("SET ROLE legal_store_service; SET legal_store.firm_id = 'x'; SET row_security = off")
        rules = {finding.rule for finding in check_service(connection)}
    assert rules == {"service-firm", "service-row-security"}


def test_a_finding_says_what_to_do(owner: Any) -> None:
    with owner.cursor() as cursor:
        cursor.execute("ALTER TABLE cases DISABLE ROW LEVEL SECURITY")
    (finding,) = check_isolation(owner)
    assert str(finding) == (
        "cases: row-level security is off. ALTER TABLE cases ENABLE ROW LEVEL SECURITY. (row-security-off)"
    )


def run_task(host: Host, *arguments: str) -> Any:
    environment = os.environ | {"DATABASE_URL": str(host.settings.database_url)}
    command = [sys.executable, "-m", "invoke", "isolation.check", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)


def test_the_task_ends_with_1_where_there_is_a_mistake(embedded_host: Host) -> None:
    clean = run_task(embedded_host)
    assert (clean.returncode, clean.stdout) == (0, "No way from one firm to another was found.\n"), clean.stderr
    with connected(embedded_host.owner_parameters) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("DROP POLICY firm_isolation ON cases")
    found = run_task(embedded_host, "--json")
    assert found.returncode == 1
    assert [(finding["rule"], finding["object"]) for finding in json.loads(found.stdout)] == [("no-policy", "cases")]
    assert "1 mistakes in the isolation of firms." in found.stderr


def test_the_task_says_when_there_is_no_server(embedded_host: Host) -> None:
    host = Host("none", type(embedded_host.settings.database_url)("postgresql://u:p@127.0.0.1:1/x?sslmode=disable"))
    finished = run_task(host)
    assert finished.returncode == 3
    assert "the server cannot be reached" in finished.stderr
