"""Rules that do not fit the database stop the run before the first row, all problems at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from legal_store.anonymize import Rules, anonymize, new_key, parse_rules, plan, preview, read_rules
from legal_store.anonymize.rules import Rule
from legal_store.anonymize.suggesting import suggestions
from legal_store.errors import RulesError
from tests.anonymize.conftest import run

TYPES = [
    "text", "varchar(40)", "char(8)", "citext_like", "integer", "bigint", "numeric(10,2)",
    "real", "boolean",
    "uuid", "date", "timestamptz", "interval", "json", "jsonb", "text[]", "uuid[]", "bytea", "tsvector", "vector(3)",
    "inet", "mood", "int4range", "xml", "point",
]  # fmt: skip


def with_rule(rules: Rules, table: str, column: str, strategy: str | None, **options: Any) -> Rules:
    return rules._replace(columns={**rules.columns, (table, column): Rule(table, column, strategy, options, "a test")})


@pytest.mark.parametrize("kind", TYPES)
def test_a_new_column_of_any_type_is_refused_by_name(demo: Any, rules: Rules, kind: str) -> None:
    run(demo, "CREATE DOMAIN citext_like AS text; CREATE TYPE mood AS ENUM ('sad', 'ok')")
    run(demo, f"ALTER TABLE documents ADD COLUMN fresh {kind}")
    before = run(demo, "SELECT md5(string_agg(d::text, '' ORDER BY id)) FROM documents d")
    with pytest.raises(RulesError, match=r"documents\.fresh .* is not listed; add .*: fresh = "):
        anonymize(demo, rules, new_key())
    assert run(demo, "SELECT md5(string_agg(d::text, '' ORDER BY id)) FROM documents d") == before


def test_a_new_table_is_refused_with_each_of_its_columns(demo: Any, rules: Rules) -> None:
    run(demo, "CREATE TABLE letters (id int PRIMARY KEY, sender text)")
    with pytest.raises(RulesError) as caught:
        plan(demo, rules)
    assert "letters.id" in str(caught.value) and "letters.sender" in str(caught.value)


def test_the_shipped_rules_fit_the_schema(demo: Any, rules: Rules) -> None:
    assert {item.table.name for item in plan(demo, rules).changing} >= {"users", "clients", "cases", "documents"}


WRONG = [
    ("users", "emial", "null", {}, "users has no column emial; is email meant?"),
    ("user", "email", "null", {}, "there is no table user"),
    ("users", "email", "nulll", {}, "there is no strategy 'nulll'; is null meant?"),
    ("users", "email", "numbered", {"fromat": "{n}"}, "has no option 'fromat'; is format meant?"),
    ("users", "email", "numbered", {"format": "x"}, "must hold {n} exactly once"),
    ("users", "email", "numbered", {}, "numbered needs format"),
    ("users", "email", "constant", {"value": "a@b.c"}, "users_email_key is unique"),
    ("users", "email", "redact", {}, "users_email_key is unique"),
    ("clients", "name", "first_name", {}, "clients_firm_id_name_key is unique"),
    ("users", "first_name", "null", {}, "gives NULL, and the column is NOT NULL"),
    ("users", "id", "keyed_uuid", {}, "keys are kept"),
    ("documents", "case_id", "random_uuid", {}, "keys are kept"),
    ("cases", "status", "redact", {}, "does not keep to the listed values"),
    ("cases", "opened_date", "lorem", {}, "cannot make date"),
    ("cases", "opened_date", "date_shift", {"per": "firm_id"}, "cases_closed_after_opened_check orders dates"),
    ("cases", "value", "date_shift", {"per": "id"}, "cannot make numeric"),
    ("cases", "next_hearing_date", "date_shift", {"per": "nobody"}, "per = 'nobody' is no column"),
    ("case_audit_logs", "old_value", "logged", {"field": "fiel"}, "field = 'fiel' is no column"),
    ("documents", "metadata", "json", {"paths": {"a": "scramble"}}, "scramble is no rule for a path"),
    ("users", "first_name", "first_name", {"locale": "xx"}, "there is no locale 'xx'"),
    ("skills", "effectiveness_score", "noise", {}, "is generated from other columns"),
    ("cases", "value", "noise", {"ratio": 0}, "ratio must be above 0"),
    ("cases", "next_hearing_date", "date_shift", {"per": "id", "days": 0}, "days must be 1 or more"),
    ("cases", "next_hearing_date", "date_shift", {"per": ["id"]}, "per must be one value"),
    ("users", "email", "numbered", {"format": 5}, "must hold {n} exactly once"),
    ("cases", "title", "constant", {"value": ["a"]}, "value must be one value"),
    ("romanian_templates", "civil_code_references", "array", {"items": "scramble"}, "items are 'redact'"),
]


@pytest.mark.parametrize(("table", "column", "strategy", "options", "words"), WRONG)
def test_a_rule_that_cannot_work_is_refused(
    demo: Any, rules: Rules, table: str, column: str, strategy: str, options: dict[str, Any], words: str
) -> None:
    wrong = with_rule(rules, table, column, strategy, **options)._replace(tables=rules.tables | {table})
    with pytest.raises(RulesError) as caught:
        plan(demo, wrong)
    assert words in str(caught.value)


def test_all_problems_are_named_at_once(demo: Any, rules: Rules) -> None:
    wrong = with_rule(with_rule(rules, "users", "email", "redact"), "users", "first_name", "null")
    with pytest.raises(RulesError, match=r"2 problems"):
        plan(demo, wrong)


def test_a_result_too_long_for_its_column_is_refused(demo: Any, rules: Rules) -> None:
    run(demo, "ALTER TABLE documents ADD COLUMN code varchar(20)")
    with pytest.raises(RulesError, match="may give 24 characters, and the column takes 20"):
        plan(demo, with_rule(rules, "documents", "code", "pseudonym"))


def test_a_unique_expression_needs_a_strategy_that_survives_it(demo: Any, rules: Rules) -> None:
    run(demo, "CREATE UNIQUE INDEX phones ON clients (lower(phone))")
    with pytest.raises(RulesError, match="phones is unique, and phone"):
        plan(demo, rules)


# a column of clients, its strategy, and what is said before the first row
# a column and its constraint, two values of it, its strategy, and what is said before the first row
REFUSED = [
    ("text CHECK (fresh <> 'x') NO INHERIT", ("5", "6"), "constant", "the new values break a0_fresh_check"),
    ("text CHECK (fresh ~ '@firma.ro')", ("ana@firma.ro", "ion@firma.ro"), "free_text", "values break a1_fresh_check"),
    ("an_address", ("ana@firma.ro", "ion@firma.ro"), "email", "(23514, constraint an_address_check, type an_address)"),
    ("numeric", ("5", "6"), "constant", "masking it ends with invalid text representation (22P02)"),
    ("text UNIQUE", ("ANA@firma.ro", "ana@firma.ro"), "email", "new values collide in a4_fresh_key, unique over fresh"),
    ("text UNIQUE", ("A", "B"), "digits", "new values collide in a5_fresh_key, unique over fresh"),
    ("text NOT NULL CHECK (fresh <> 'x') NOT ENFORCED", ("5", "6"), "constant", ""),
]


def test_what_the_server_would_refuse_later_is_refused_before_the_first_row(demo: Any, rules: Rules) -> None:
    run(demo, "CREATE DOMAIN an_address AS text CHECK (VALUE ~ '@firma.ro')")
    for place, (column, values, strategy, _) in enumerate(REFUSED):
        run(demo, f"CREATE TABLE a{place} (fresh {column}); INSERT INTO a{place} VALUES (%s), (%s)", *values)
        rules = with_rule(rules, f"a{place}", "fresh", strategy, **{"value": "x"} if strategy == "constant" else {})
    for act in (anonymize, preview):
        with pytest.raises(RulesError, match=r"6 problems") as caught:
            act(demo, rules, new_key())
        told = str(caught.value)
        for place, (_, values, strategy, words) in enumerate(REFUSED):
            assert words in told and not any(f"'{value}'" in told for value in values)
            assert (f"a{place}: " in told) == bool(words) and f"fresh ({strategy})" in told


def test_a_dot_in_a_name_makes_no_other_table_of_it(demo: Any, rules: Rules) -> None:
    run(demo, 'CREATE TABLE "a.b" (c text); INSERT INTO "a.b" VALUES (\'Vasilica Onofrei\')')
    anonymize(demo, with_rule(rules, "public.a.b", "c", "redact"), new_key())
    assert run(demo, 'SELECT c FROM "a.b"') == [("[redacted]",)]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"tabels": {}}, "[tabels] is not known"),
        ({"tables": {"users": {"id": "keep"}}}, "say why it may stay"),
        ({"tables": {"users": {"id": "keep: "}}}, "say why it may stay"),
        ({"tables": {"users": {"id": 3}}}, 'write "keep: reason"'),
        ({"proof": {"ordinary": []}}, "[proof] ordinary is not known"),
        ({"database": {"large_objects": "keep"}}, "only 'drop' is possible"),
        ({"tables": "x"}, "tables must be a section [tables], not 'x'"),
        ({"tables": {"users": 3}}, "tables.users must be a section"),
        ({"proof": 1}, "proof must be a section"),
        ({"database": "drop"}, "database must be a section"),
        ({"proof": {"quasi_identifiers": 3}}, "proof.quasi_identifiers must be a section"),
        ({"proof": {"quasi_identifiers": {"cases": 5}}}, "[proof.quasi_identifiers] cases must be a list of texts"),
        ({"proof": {"ordinary_words": 7}}, "ordinary_words must be a list of texts, not 7"),
        ({"proof": {"ordinary_words": [1, 2]}}, "ordinary_words must be a list of texts"),
    ],
)
def test_a_mistake_of_form_is_named(document: dict[str, Any], words: str) -> None:
    with pytest.raises(RulesError) as caught:
        parse_rules(document)
    assert words in str(caught.value)


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text('\ufeff[tables.users]\nid = "keep: a key"\n')
    assert ("users", "id") in read_rules(tmp_path / "rules.toml").columns


def test_suggestions_go_by_name_type_and_content(demo: Any, rules: Rules) -> None:
    run(demo, "ALTER TABLE users ADD COLUMN secret text, ADD COLUMN fax text, ADD COLUMN likes_tea boolean")
    run(demo, "UPDATE users SET secret = '1800101221144'")
    with demo.cursor() as cursor:
        assert suggestions(cursor, rules) == {
            "users": ['secret = "digits"', 'fax = "digits"', 'likes_tea = "keep: yes or no"']
        }


PERSONAL_COLUMNS = {
    "cnp numeric(13)": '"null"',
    "number numeric DEFAULT 1800101221144": '"null"',
    "telefon_fix bigint": '"permuted_number"',
    "line bigint DEFAULT 722345678": '"permuted_number"',
    "data_nasterii date": '{ strategy = "date_shift", per = "id", days = 180 }',
    "cnp_text text CHECK (length(cnp_text) IN (10, 13))": '"digits"',
    "code text CHECK (code IN ('a', 'b') OR length(code) = 13)": '"redact"',
    "amount numeric DEFAULT 100": '"keep: a number"',
    "mood text CHECK (mood IN ('so-so', 'fine (really)'))": '"keep: one of a few listed values"',
    "maybe varchar(9) CHECK (maybe IS NULL OR maybe IN ('yes', 'no'))": '"keep: one of a few listed values"',
}


def test_numbers_dates_and_checks_of_persons_are_not_suggested_to_be_kept(demo: Any, rules: Rules) -> None:
    run(demo, f"ALTER TABLE clients {', '.join(f'ADD {column}' for column in PERSONAL_COLUMNS)}")
    with demo.cursor() as cursor:
        assert suggestions(cursor, rules) == {
            "clients": [f"{column.split()[0]} = {line}" for column, line in PERSONAL_COLUMNS.items()]
        }
