"""Rules that do not fit the database stop the run before the first row, all problems at once."""

from __future__ import annotations

from typing import Any

import pytest

from legal_store.anonymize import Rules, anonymize, new_key, parse_rules, plan
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


def test_a_check_that_new_values_break_is_refused_before_the_first_row(demo: Any, rules: Rules) -> None:
    run(demo, "ALTER TABLE clients ADD CONSTRAINT real_address CHECK (address !~ '^Demo')")
    with pytest.raises(RulesError, match="new values break real_address"):
        anonymize(demo, rules, new_key())


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"tabels": {}}, "[tabels] is not known"),
        ({"tables": {"users": {"id": "keep"}}}, "say why it may stay"),
        ({"tables": {"users": {"id": "keep: "}}}, "say why it may stay"),
        ({"tables": {"users": {"id": 3}}}, 'write "keep: reason"'),
        ({"proof": {"ordinary": []}}, "[proof] ordinary is not known"),
        ({"database": {"large_objects": "keep"}}, "only 'drop' is possible"),
    ],
)
def test_a_mistake_of_form_is_named(document: dict[str, Any], words: str) -> None:
    with pytest.raises(RulesError) as caught:
        parse_rules(document)
    assert words in str(caught.value)


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
