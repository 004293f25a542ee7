"""What masking changes, and all that it leaves as it was."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest

from legal_store.anonymize import Rules, anonymize, mark_of, new_key, preview
from legal_store.anonymize.rules import Rule
from legal_store.errors import OperationFailedError
from legal_store.schema.catalog import differences, read_catalog
from tests.anonymize.conftest import run

KEPT = "SELECT md5(string_agg(k::text, '' ORDER BY k)) FROM (SELECT {} FROM {}) AS k"


def test_names_and_addresses_become_those_of_the_description(demo: Any, rules: Rules) -> None:
    anonymize(demo, rules, new_key())
    users = run(demo, "SELECT first_name, last_name, email FROM users ORDER BY email")
    assert users == [("Demo", f"User {n}", f"demo{n}@example.com") for n in range(1, len(users) + 1)]
    assert {name.rsplit(" ", 1)[0] for (name,) in run(demo, "SELECT name FROM clients")} == {"Demo Client"}
    assert run(demo, "SELECT count(*) FROM documents WHERE content !~ '^[a-zA-Z ,.]+$'") == [(0,)]


def test_keys_dates_enumerations_and_numbers_stay(demo: Any, rules: Rules) -> None:
    kept = [
        ("users", "id, firm_id, role, status, created_at, updated_at, last_active"),
        ("cases", "id, client_id, status, type, priority, opened_date, closed_date, value, updated_at"),
        ("documents", "id, case_id, document_type, status, length(content), file_size_bytes, updated_at"),
        ("case_audit_logs", "id, case_id, user_id, action, timestamp, old_value IS NULL"),
        ("skills", "id, usage_count, successful_count, updated_at"),
    ]
    before = [run(demo, KEPT.format(columns, table)) for table, columns in kept]
    anonymize(demo, rules, new_key())
    assert [run(demo, KEPT.format(columns, table)) for table, columns in kept] == before


def test_json_null_stays_what_it_is_beside_json_that_changes(demo: Any, rules: Rules) -> None:
    held = [("null", '{"a": "x"}'), (None, '{"a": "x"}'), ("null", "null"), (None, None), ('"x"', "null")]
    run(demo, "CREATE TABLE holders (id int GENERATED ALWAYS AS IDENTITY, one jsonb, other json)")
    for row in held:
        run(demo, "INSERT INTO holders (one, other) VALUES (%s, %s)", *row)
    columns = {("holders", "id"): Rule("holders", "id", None, {}, "a number")}
    columns |= {("holders", name): Rule("holders", name, "json", {}, "") for name in ("one", "other")}
    anonymize(demo, rules._replace(columns={**rules.columns, **columns}), new_key())
    masked = '{"a": "[redacted]"}'
    assert run(demo, "SELECT one::text, other::text FROM holders ORDER BY id") == [
        ("null", masked), (None, masked), ("null", "null"), (None, None), ('"[redacted]"', "null"),
    ]  # fmt: skip


def test_the_schema_is_the_same_afterwards(demo: Any, rules: Rules) -> None:
    before = read_catalog(demo)
    run(demo, "COMMENT ON INDEX cases_search_words_idx IS 'for the search'; ALTER TABLE users DISABLE TRIGGER USER")
    before = read_catalog(demo)
    demo.rollback()
    anonymize(demo, rules, new_key())
    assert differences(before, read_catalog(demo)) == []
    demo.rollback()
    comment = run(demo, "SELECT obj_description('cases_search_words_idx'::regclass)")
    assert comment == [("for the search",)]


def test_a_second_run_works_as_well(demo: Any, rules: Rules) -> None:
    anonymize(demo, rules, new_key())
    assert anonymize(demo, rules, new_key()).proof.passed  # type: ignore[union-attr]


def test_a_log_that_is_append_only_is_so_again(demo: Any, rules: Rules) -> None:
    anonymize(demo, rules, new_key())
    with pytest.raises(psycopg2.errors.RestrictViolation):
        run(demo, "UPDATE case_audit_logs SET old_value = 'x'")


def test_a_preview_changes_nothing(demo: Any, rules: Rules) -> None:
    before = run(demo, KEPT.format("*", "users"))
    shown = preview(demo, rules, new_key())
    assert {sample.table for sample in shown.samples} >= {"users", "clients"}
    assert all("UPDATE" in statement for statement in shown.statements)
    assert run(demo, KEPT.format("*", "users")) == before


def test_the_report_compares_before_and_after(demo: Any, rules: Rules) -> None:
    report = anonymize(demo, rules, new_key())
    figures = {item.column: item for item in report.figures}
    assert figures["users.email"].different == (5, 5)
    assert figures["documents.content"].characters[0] == figures["documents.content"].characters[1]
    shortest, longest = ([lengths[end] for lengths in figures["users.last_name"].lengths or ()] for end in (0, -1))
    assert shortest[1] == longest[1] == len("User 1")
    kept = {item.column: item for item in report.distributions}
    assert kept["cases.status"].before == kept["cases.status"].after
    assert sum(kept["cases.status"].before.values()) == report.rows["cases"]
    (users,) = [item for item in report.anonymity if item.table == "users"]
    assert users.k >= 1 and users.alone <= users.groups <= 5
    assert report.rows["documents"] == 20 and report.untidied == () and report.verdict == "proven"


def test_a_kept_column_that_changes_rolls_everything_back(
    demo: Any, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    from legal_store.anonymize import run as module

    masked = module.mask

    def careless(cursor: Any, *given: Any) -> int:
        cursor.execute("SET LOCAL session_replication_role = replica; UPDATE cases SET priority = 'Low'")
        cursor.execute("SET LOCAL session_replication_role = origin")
        return masked(cursor, *given)

    monkeypatch.setattr(module, "mask", careless)
    with pytest.raises(OperationFailedError, match="are to be kept were changed in: cases"):
        anonymize(demo, rules, new_key())
    assert run(demo, "SELECT count(*) FROM users WHERE first_name = 'Demo'") == [(0,)]


def test_the_database_says_that_it_was_anonymized(demo: Any, rules: Rules) -> None:
    assert mark_of(demo) is None
    report = anonymize(demo, rules, new_key())
    assert mark_of(demo) == report.finished


def test_generated_columns_and_materialized_views_follow(demo: Any, rules: Rules) -> None:
    run(
        demo,
        "ALTER TABLE clients ADD COLUMN words text GENERATED ALWAYS AS (lower(name)) STORED;"
        "CREATE INDEX words_idx ON clients (words);"
        "CREATE MATERIALIZED VIEW names AS SELECT name FROM clients",
    )
    anonymize(demo, rules, new_key())
    assert run(demo, "SELECT count(*) FROM clients WHERE words <> lower(name) OR words !~ '^demo client'") == [(0,)]
    assert run(demo, "SELECT count(*) FROM names WHERE name !~ '^Demo Client'") == [(0,)]


def test_a_session_in_the_way_is_named_and_nothing_is_changed(
    demo: Any, demo_url: str, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    from legal_store.anonymize import run as module

    monkeypatch.setattr(module, "LOCK_TIMEOUT", "200ms")
    other = psycopg2.connect(demo_url)
    other.cursor().execute("SELECT * FROM users")
    with pytest.raises(OperationFailedError, match="could not be locked"):
        anonymize(demo, rules, new_key())
    other.close()
    assert run(demo, "SELECT count(*) FROM users WHERE first_name = 'Demo'") == [(0,)]
