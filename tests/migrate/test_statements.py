"""Where a statement ends, as PostgreSQL's own client sees it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legal_store.errors import MigrationError
from legal_store.migrate.files import normalized_checksum, split_sql
from legal_store.migrate.statements import normalized, split_statements

WHOLE = [
    "SELECT 'a;b'",
    "SELECT E'a\\';b'",
    "SELECT 'it''s; fine'",
    'SELECT 1 AS "a;b"',
    "SELECT $$a;b$$",
    "SELECT $tag$ $$ ; $other$ ; $tag$",
    "SELECT 1 -- a;b\n + 2",
    "SELECT /* a; /* nested; */ b; */ 1",
    "SELECT U&'\\0061;'",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END",
    "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b)",
    "DO $do$ BEGIN IF true THEN NULL; END IF; END $do$",
    "SELECT a$b, $1 FROM x",
    "SELECT 100 % 7, 'x' LIKE 'a%'",
    "SELECT 'ă;ț' AS ș",
]


@pytest.mark.parametrize("statement", WHOLE)
def test_a_semicolon_inside_something_ends_nothing(statement: str) -> None:
    assert [found.text for found in split_statements(f"{statement};\nSELECT 2;")] == [statement, "SELECT 2"]


def test_statements_know_their_lines_and_empty_ones_are_none() -> None:
    found = split_statements("-- head\n;;\nSELECT 1;\n\n  SELECT\n2\n;", first_line=10)
    assert [(statement.line, statement.text) for statement in found] == [(12, "SELECT 1"), (14, "SELECT\n2")]
    assert split_statements("-- nothing\n/* at all */") == []


@pytest.mark.parametrize(
    ("text", "what"), [("SELECT 'a", "quote"), ("/* a", "comment"), ("$x$ a $y$", "quote \\$x\\$")]
)
def test_what_never_ends_is_named_with_its_line(text: str, what: str) -> None:
    with pytest.raises(MigrationError, match=f"The {what} that begins on line 3 never ends"):
        split_statements(f"SELECT 1;\n\n{text}")


@given(st.lists(st.sampled_from(WHOLE), max_size=6))
def test_joined_statements_come_apart_again(statements: list[str]) -> None:
    assert [found.text for found in split_statements(";\n".join(statements))] == statements


@given(st.text(alphabet="ab'\"$;-/*()\n \\", max_size=40))
def test_any_text_is_split_or_refused_and_never_loops(text: str) -> None:
    try:
        split_statements(text)
    except MigrationError:
        return


def test_a_formatter_changes_nothing_that_counts() -> None:
    assert normalized("SELECT  a,b -- x\nFROM t") == normalized("SELECT a , b\n  FROM /* y */ t")
    assert normalized("SELECT 'a  b'") != normalized("SELECT 'a b'")
    assert normalized("SELECT 12") != normalized("SELECT 1 2")
    assert normalized("SELECT a >= b") != normalized("SELECT a > = b")


def test_a_formatter_of_python_changes_nothing_that_counts() -> None:
    def of(text: str) -> str:
        return normalized_checksum(text, python=True)

    one = "def migrate(m):\n    m.sql('a')\n"
    assert of(one) == of("# head\ndef migrate(m):  # why\n\n  m.sql( 'a' )\n")
    assert of(one) != of("def migrate(m):\n    m.sql('b')\n")
    assert of("if a:\n    b()\nc()\n") != of("if a:\n    b()\n    c()\n")


def test_up_and_down_parts_and_their_lines() -> None:
    parts = split_sql("-- head\n-- migrate:up\nSELECT 1;\n\\quit\n-- migrate:down\nSELECT 2;\n")
    assert parts.up.text.strip() == "SELECT 1;"
    assert parts.down.text.strip() == "SELECT 2;"
    assert [s.line for s in split_statements(parts.down.text, first_line=parts.down.first_line)] == [6]
    with pytest.raises(MigrationError, match="`-- migrate:up` stands twice"):
        split_sql("-- migrate:up\n-- migrate:up\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CREATE TABLE a ();\n-- migrate:down\nDROP TABLE a;", "SQL before `-- migrate:down`"),
        ("CREATE TABLE a ();\n-- migrate:up\nCREATE TABLE b ();", "SQL before `-- migrate:up`"),
        *(
            (f"CREATE TABLE a ();\n{marker}\nDROP TABLE a;", f"'{marker.strip()}' is no marker")
            for marker in (
                "--migrate:down",
                " -- migrate:down",
                "-- Migrate:Down",
                "-- migrate: down",
                "-- migrate:off",
            )
        ),
    ],
)
def test_sql_that_a_wrong_marker_would_lose_or_run_is_refused(text: str, message: str) -> None:
    with pytest.raises(MigrationError, match=message):
        split_sql(text)


def test_a_comment_about_migrating_is_no_marker() -> None:
    assert split_sql("-- transaction: off\n/* why */\n-- migrate:up\n-- migrate: all rows\nSELECT 1;").down.text == ""
