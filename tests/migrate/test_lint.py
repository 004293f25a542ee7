"""Each unsafe form is found under its rule, its safe form is not, and a comment can turn a rule off."""

from __future__ import annotations

from pathlib import Path

import pytest

from legal_store.migrate.files import read_migrations
from legal_store.migrate.lint import Facts, lint, lint_migrations
from legal_store.migrate.statements import split_statements
from tests.conftest import MIGRATIONS
from tests.migrate.support import write

UNSAFE = [
    ("require-concurrent-index-creation", "CREATE INDEX i ON t (a)"),
    ("require-concurrent-index-creation", "CREATE UNIQUE INDEX i ON t (a)"),
    ("require-concurrent-index-deletion", "DROP INDEX i"),
    ("require-concurrent-reindex", "REINDEX INDEX i"),
    ("adding-foreign-key-constraint", "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES o"),
    ("constraint-missing-not-valid", "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)"),
    ("disallowed-unique-constraint", "ALTER TABLE t ADD CONSTRAINT u UNIQUE (a)"),
    ("adding-not-nullable-field", "ALTER TABLE t ALTER COLUMN a SET NOT NULL"),
    ("changing-column-type", "ALTER TABLE t ALTER a TYPE bigint"),
    ("adding-field-with-default", "ALTER TABLE t ADD a uuid DEFAULT gen_random_uuid()"),
    ("adding-field-with-default", "ALTER TABLE t ADD COLUMN a int GENERATED ALWAYS AS (b + 1) STORED"),
    ("adding-required-field", "ALTER TABLE t ADD a int NOT NULL"),
    ("renaming-column", "ALTER TABLE t RENAME a TO b"),
    ("renaming-column", "ALTER TABLE t RENAME COLUMN a TO b"),
    ("renaming-table", "ALTER TABLE t RENAME TO u"),
    ("ban-drop-column", "ALTER TABLE t DROP COLUMN a"),
    ("ban-drop-table", "DROP TABLE t"),
    ("ban-truncate-cascade", "TRUNCATE t CASCADE"),
    ("require-lock-timeout", "SET lock_timeout = 0"),
    ("require-concurrent-partition-detach", "ALTER TABLE t DETACH PARTITION p"),
    ("prefer-identity", "ALTER TABLE t ADD a bigserial"),
    ("identifier-too-long", f"CREATE TABLE {'x' * 64} ()"),
    ("vector-without-dimensions", "ALTER TABLE t ADD v vector"),
    ("vector-without-dimensions", "CREATE TABLE t (id int, v vector)"),
    ("vector-too-long-to-index", "CREATE TABLE t (v vector(3072))"),
    ("hnsw-build-memory", "CREATE INDEX CONCURRENTLY i ON t USING hnsw (v vector_cosine_ops)"),
]
SAFE = [
    "CREATE TABLE t (a int, v vector(1536), h halfvec(3072)); CREATE INDEX i ON t (a);"
    " ALTER TABLE t ALTER a SET NOT NULL",
    "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES o NOT VALID",
    "ALTER TABLE t VALIDATE CONSTRAINT f",
    "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID",
    "ALTER TABLE t ADD CONSTRAINT u UNIQUE USING INDEX i",
    "ALTER TABLE t ADD a int; ALTER TABLE t ADD b int NOT NULL DEFAULT 0",
    "ALTER TABLE t RENAME CONSTRAINT a TO b",
    "ALTER TABLE t DROP CONSTRAINT c; ALTER TABLE t ALTER a DROP NOT NULL; ALTER TABLE t ALTER a DROP DEFAULT",
    "CREATE FUNCTION f(v vector) RETURNS int LANGUAGE sql AS 'SELECT 1'",
]


def rules(text: str, *, transactional: bool = False, facts: Facts = Facts()) -> list[str]:  # noqa: B008
    return [finding.rule for finding in lint("x", split_statements(text), transactional=transactional, facts=facts)]


@pytest.mark.parametrize(("rule", "statement"), UNSAFE)
def test_an_unsafe_form_is_found(rule: str, statement: str) -> None:
    assert rules(statement) == [rule]


@pytest.mark.parametrize("text", SAFE)
def test_a_safe_form_is_not(text: str) -> None:
    assert rules(text) == []


def test_concurrently_inside_a_transaction_is_an_error() -> None:
    statement = "CREATE INDEX CONCURRENTLY i ON t (a)"
    assert rules(statement, transactional=True) == ["ban-concurrent-index-creation-in-transaction"]
    assert rules(statement) == []


def test_a_small_table_may_be_locked_and_a_big_one_not() -> None:
    statement = "CREATE INDEX i ON t (a)"
    assert rules(statement, facts=Facts({"t": 8192})) == []
    assert rules(statement, facts=Facts({"t": 10**9})) == ["require-concurrent-index-creation"]


@pytest.mark.parametrize(
    "comment", ["-- lint-ignore: ban-drop-table", "-- squawk-ignore ban-drop-table", "-- lint-ignore"]
)
def test_a_comment_turns_a_rule_off_for_the_next_statement_only(comment: str) -> None:
    found = lint("x", split_statements(f"{comment}\nDROP TABLE a;\nDROP TABLE b;"), transactional=True)
    assert [(finding.rule, finding.line) for finding in found] == [("ban-drop-table", 3)]


def test_the_safe_form_is_written_out() -> None:
    (finding,) = lint("x", split_statements("DROP INDEX i"), transactional=True)
    assert "DROP INDEX CONCURRENTLY i" in finding.safe_form


PYTHON = """
import peewee as pw


def migrate(migrator, database, *, fake=False):
    class Note(pw.Model):
        text = pw.TextField()

    migrator.create_model(Note)
    migrator.add_index(Note, "text")
    migrator.add_index("case", "title")
    migrator.rename_field("case", "title", "heading")  # lint-ignore: renaming-column
    # lint-ignore: ban-drop-column
    migrator.remove_fields("case", "court")
    migrator.add_default("case", "court", "x")
    migrator.sql("ALTER TABLE cases ADD a int; DROP TABLE notes")


def rollback(migrator, database, *, fake=False):
    migrator.remove_model("note")
"""


def test_operations_of_python_files_are_read_too(tmp_path: Path) -> None:
    found = lint_migrations(read_migrations(write(tmp_path, a20250101000000_note_py=PYTHON)))
    assert [(finding.line, finding.rule) for finding in found] == [
        (11, "require-concurrent-index-creation"),
        (15, "adding-field-with-default"),
        (16, "ban-drop-table"),
    ]
    assert "safe.create_index" in str(found[0])


@pytest.mark.parametrize(("version", "form"), [(170000, "CHECK (a IS NOT NULL) NOT VALID"), (180000, "NOT NULL a NOT")])
def test_the_safe_form_is_one_that_the_server_knows(version: int, form: str) -> None:
    statement = split_statements("ALTER TABLE t ALTER a SET NOT NULL")
    (finding,) = lint("x", statement, transactional=True, facts=Facts(server_version=version))
    assert form in finding.safe_form


def test_the_migrations_of_this_package_are_clean() -> None:
    assert lint_migrations(read_migrations(MIGRATIONS)) == []
