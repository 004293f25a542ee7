"""What masking changes, and all that it leaves as it was."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest
from psycopg2 import sql

from legal_store.anonymize import Rules, anonymize, mark_of, new_key, planning, preview, strategies
from legal_store.anonymize.rules import Rule
from legal_store.errors import OperationFailedError, RulesError
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


NUMBERS = '{"kept": [12345678901234567890.123456789012345, 1.10, 1e5, -0.0, 99999999999999999999], "x": "y"}'
LONG = '{"x": "y", "kept": ' + "1" * 5001 + "}"
DEEP = "[" * 3000 + '"Vasilica Onofrei"' + "]" * 3000
SURROGATE = r'{"kept": "\ud800", "x": "y"}'
JSONS = [  # as jsonb and json before, and after; json keeps the text of its numbers
    ("null", '{"a": "x"}', "null", '{"a": "[redacted]"}'),
    (None, '{"a": "x"}', None, '{"a": "[redacted]"}'),
    ("null", "null", "null", "null"),
    (None, None, None, None),
    ('"x"', "null", '"[redacted]"', "null"),
    ("{}", NUMBERS, "{}", NUMBERS.replace("y", "[redacted]")),
    (LONG, None, LONG.replace("y", "[redacted]"), None),
    (DEEP, DEEP, '"[redacted]"', '"[redacted]"'),
    ("{}", SURROGATE, "{}", '"[redacted]"'),
]


def test_what_is_masked_in_json_and_arrays_and_what_stays_as_it_was(demo: Any, rules: Rules) -> None:
    run(demo, "CREATE TABLE holders (id int GENERATED ALWAYS AS IDENTITY, one jsonb, other json, list text[])")
    for one, other, *_ in JSONS:
        run(demo, "INSERT INTO holders (one, other) VALUES (%s, %s)", one, other)
    run(demo, "UPDATE holders SET list = '{{Mihai Gheorghiță,NULL},{c,d}}' WHERE id = 1")
    columns = {("holders", "id"): Rule("holders", "id", None, {}, "a number")}
    for name in ("one", "other"):
        columns["holders", name] = Rule("holders", name, "json", {"paths": {"kept": "keep"}}, "")
    columns["holders", "list"] = Rule("holders", "list", "array", {}, "")
    anonymize(demo, rules._replace(columns={**rules.columns, **columns}), new_key())
    held = run(demo, "SELECT one::text, other::text FROM holders ORDER BY id")
    assert held == [(one, other) for *_, one, other in JSONS]
    assert run(demo, "SELECT list::text FROM holders WHERE id = 1") == [
        ("{{[redacted],NULL},{[redacted],[redacted]}}",)
    ]


CONSTRAINTS = """
COMMENT ON INDEX cases_search_words_idx IS 'for the search'; ALTER TABLE users DISABLE TRIGGER USER;
ALTER TABLE clients ADD CONSTRAINT late UNIQUE (phone, id) INCLUDE (name) WITH (fillfactor = 70)
    DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE clients ADD CONSTRAINT strict UNIQUE NULLS NOT DISTINCT (email, id);
ALTER TABLE clients ADD CONSTRAINT apart EXCLUDE USING hash (name WITH =) WHERE (name <> '') DEFERRABLE;
COMMENT ON CONSTRAINT apart ON clients IS 'it''s apart'; COMMENT ON INDEX late IS 'late';
CREATE UNIQUE INDEX mirrored ON clients (name, id); ALTER TABLE clients REPLICA IDENTITY USING INDEX mirrored;
CREATE INDEX places ON clients (lower(address)); ALTER INDEX places ALTER COLUMN 1 SET STATISTICS 250;
ALTER TABLE clients CLUSTER ON clients_firm_id_name_key;
CREATE TABLE texts (one text STORAGE EXTERNAL, two text COMPRESSION pglz); INSERT INTO texts VALUES ('a', 'b');
"""
STORAGE = """
SELECT attrelid::regclass, attname, attstorage, attcompression, attstattarget FROM pg_attribute
WHERE attrelid = ANY (ARRAY(SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace))
  AND attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum
"""
INDEXES = """
SELECT c.relname, pg_get_indexdef(c.oid), i.indisclustered, i.indisreplident, i.indimmediate, c.reloptions,
       k.conname, pg_get_constraintdef(k.oid), k.condeferrable, k.condeferred, obj_description(k.oid, 'pg_constraint'),
       obj_description(c.oid, 'pg_class'), t.relreplident,
       ARRAY(SELECT attstattarget FROM pg_attribute WHERE attrelid = c.oid ORDER BY attnum)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.contype <> 'f'
WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1
"""


def test_the_schema_is_the_same_afterwards(demo: Any, rules: Rules) -> None:
    run(demo, CONSTRAINTS)
    before, indexes, storage = read_catalog(demo), run(demo, INDEXES), run(demo, STORAGE)
    kept = {("texts", name): Rule("texts", name, None, {}, "a test") for name in ("one", "two")}
    anonymize(demo, rules._replace(columns={**rules.columns, **kept}), new_key())
    assert differences(before, read_catalog(demo)) == []
    demo.rollback()
    assert run(demo, INDEXES) == indexes
    assert run(demo, STORAGE) == storage


def test_a_second_run_works_beside_the_masks_of_the_first(demo: Any, rules: Rules) -> None:
    anonymize(demo, rules, new_key())
    for table, columns, values in (
        ("clients", "name", "'New'"),
        ("users", "email, first_name, last_name, role", "'new@firma.ro', 'New', 'One', 'Associate'"),
    ):
        first = "'00000000-0000-4000-8000-000000000001'"
        run(demo, f"INSERT INTO {table} (id, firm_id, {columns}) SELECT {first}, id, {values} FROM firms")
    # rows are numbered in the order of their file: the one that is last now was the first
    moved = run(demo, "UPDATE users SET role = role WHERE email = 'demo1@example.com' RETURNING id")
    assert anonymize(demo, rules, new_key()).proof.passed  # type: ignore[union-attr]
    assert run(demo, "SELECT id FROM users WHERE email = 'demo6@example.com'") == moved


def test_values_that_collide_after_all_are_explained_without_showing_any(demo: Any, rules: Rules) -> None:
    run(demo, "CREATE UNIQUE INDEX some_phones ON clients (phone) WHERE length(phone) = 1")
    run(demo, "UPDATE clients SET phone = NULL; UPDATE clients SET phone = chr(64 + n::int) FROM"
              " (SELECT id, row_number() OVER () AS n FROM clients) AS c WHERE c.id = clients.id;"
              " INSERT INTO clients (firm_id, name, phone) SELECT id, 'C' || n, chr(200 + n) FROM firms,"
              " generate_series(1, 20) n")  # fmt: skip
    with pytest.raises(OperationFailedError) as caught:
        anonymize(demo, rules, new_key())
    for words in ("clients: new values collide in some_phones", "phone (digits)", "numbered", "rolled back"):
        assert words in str(caught.value)
    assert "Key (" not in str(caught.value) and run(demo, "SELECT count(*) FROM clients WHERE phone = 'A'") == [(1,)]


def test_a_table_and_one_that_inherits_from_it_do_not_mix(demo: Any, rules: Rules) -> None:
    run(demo, "CREATE TABLE vip_clients () INHERITS (clients)")
    run(demo, 'UPDATE clients SET contact_info = \'{"parent": "x"}\'')
    run(
        demo,
        "INSERT INTO vip_clients (id, firm_id, name, contact_info, created_at, updated_at)"
        " SELECT gen_random_uuid(), firm_id, 'Vip ' || name, jsonb_build_object('k' || row_number() OVER (), 1),"
        " now(), now() FROM ONLY clients",
    )
    run(demo, "DELETE FROM vip_clients WHERE contact_info ? 'k1'")  # PostgreSQL writes it anew along with its parent
    keys = run(demo, "SELECT id, jsonb_object_keys(contact_info) FROM vip_clients ORDER BY 1")
    child = {("vip_clients", column): rule for (table, column), rule in rules.columns.items() if table == "clients"}
    report = anonymize(demo, rules._replace(columns={**rules.columns, **child}), new_key())
    assert report.rows["clients"] == report.changed["clients"] == report.rows["vip_clients"] + 1 > 1
    assert run(demo, "SELECT DISTINCT contact_info::text FROM ONLY clients") == [('{"parent": "[redacted]"}',)]
    assert run(demo, "SELECT id, jsonb_object_keys(contact_info) FROM vip_clients ORDER BY 1") == keys
    assert run(demo, "SELECT count(*) FROM vip_clients WHERE contact_info::text !~ '^{\"k[0-9]+\": 0}$'") == [(0,)]


def test_columns_may_have_any_name(demo: Any, rules: Rules) -> None:
    names = ("row", "value", "t", "k", "converted", "masked_row", 'a"b')
    quoted = [sql.Identifier(name).as_string(demo) for name in names]
    run(demo, f"ALTER TABLE clients ADD dealt numeric, {', '.join(f'ADD {name} jsonb' for name in quoted)}")
    filled = ", ".join(f"{name} = jsonb_build_object('x', 'Trandafir')" for name in quoted)
    run(demo, f"UPDATE clients SET dealt = 7, {filled}")
    more = {("clients", name): Rule("clients", name, "json", {}) for name in names}
    more["clients", "dealt"] = Rule("clients", "dealt", "shuffle", {})
    anonymize(demo, rules._replace(columns={**rules.columns, **more}), new_key())
    masked = run(demo, f"SELECT DISTINCT dealt, {', '.join(quoted)} FROM clients")
    assert masked == [(7, *[{"x": "[redacted]"}] * len(names))]


def test_what_writes_meanwhile_is_named_with_its_table(demo: Any, rules: Rules) -> None:
    run(demo, "CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
              " INSERT INTO firms (name, vat_id)"
              " VALUES (gen_random_uuid()::text, 'RO' || floor(random() * 1e8)); END $$;"
              " CREATE EVENT TRIGGER noting ON ddl_command_end WHEN TAG IN ('CREATE INDEX')"
              " EXECUTE FUNCTION note()")  # fmt: skip
    with pytest.raises(OperationFailedError, match=r"lost or gained in firms: 1 became \d+\. Everything") as caught:
        anonymize(demo, rules, new_key())
    assert "clients" not in str(caught.value)


def test_a_partitioned_table_can_be_kept(demo: Any, rules: Rules) -> None:
    run(demo, "CREATE TABLE logs (at date, what text) PARTITION BY RANGE (at);"
              "CREATE TABLE logs_2024 PARTITION OF logs FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');"
              "INSERT INTO logs VALUES ('2024-05-05', 'x'); CREATE TABLE names (of clients)")  # fmt: skip
    kept = {place: Rule(*place, None, {}, "a test") for place in (("logs", "at"), ("logs", "what"), ("names", "of"))}
    both = rules._replace(columns={**rules.columns, **kept})
    with pytest.raises(RulesError, match=r"clients cannot be written anew: its row type is the type of names.of"):
        anonymize(demo, both, new_key())
    run(demo, "ALTER TABLE names DROP of, ADD of skills")
    report = anonymize(demo, both, new_key())
    assert report.rows["logs"] == 1 and report.untidied == (
        "skills could not be written anew: its row type is the type of names.of",
    )
    masked = rules._replace(columns={**both.columns, ("logs", "what"): Rule("logs", "what", "redact", {})})
    with pytest.raises(RulesError, match="logs is partitioned: it can only be kept"):
        anonymize(demo, masked, new_key())


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


def raising(value: str, *given: object) -> str:
    raise KeyError(value)


def no_text(value: str, *given: object) -> object:
    return object()


@pytest.mark.parametrize(
    ("convert", "error", "message"),
    [
        (
            raising,
            OperationFailedError,
            r"^A value of case_actors\.notes \(free_text\) could not be converted \(KeyError\)\."
            r" Everything was rolled back\. Correct the strategy;"
            r" `invoke --debug anonymize` shows where, and may show the value\.$",
        ),
        (
            no_text,
            RulesError,
            r"case_actors: masking it ends with programming error \(can't adapt type 'object'\); masked there: .*notes",
        ),
    ],
)
def test_a_strategy_that_is_broken_is_named_and_the_value_is_not(
    demo: Any, rules: Rules, monkeypatch: pytest.MonkeyPatch, convert: Any, error: type, message: str
) -> None:
    run(demo, "UPDATE case_actors SET notes = 'Trandafirescu'")
    known = {**strategies(), "free_text": strategies()["free_text"]._replace(convert=convert)}
    monkeypatch.setattr(planning, "strategies", lambda: known)
    with pytest.raises(error, match=message) as caught:
        anonymize(demo, rules, new_key())
    assert "Trandafirescu" not in str(caught.value)


def test_rules_of_a_table_rest_and_come_back(demo: Any, rules: Rules) -> None:
    run(demo, "CREATE RULE also AS ON UPDATE TO clients DO ALSO"
              " UPDATE cases SET priority = 'Low' WHERE client_id = OLD.id;"
              " ALTER TABLE clients ENABLE ALWAYS RULE also")  # fmt: skip
    before = run(demo, "SELECT id, priority FROM cases ORDER BY id")
    assert anonymize(demo, rules, new_key()).verdict == "proven"
    assert run(demo, "SELECT id, priority FROM cases ORDER BY id") == before
    assert run(demo, "SELECT ev_enabled FROM pg_rewrite WHERE rulename = 'also'") == [("A",)]


def test_the_database_says_that_it_was_anonymized(demo: Any, rules: Rules) -> None:
    assert mark_of(demo) is None
    report = anonymize(demo, rules, new_key())
    assert mark_of(demo) == report.finished


def test_generated_columns_and_materialized_views_follow(demo: Any, rules: Rules) -> None:
    run(
        demo,
        "ALTER TABLE clients ADD COLUMN words text GENERATED ALWAYS AS (lower(name)) STORED;"
        "CREATE INDEX words_idx ON clients (words);"
        "CREATE MATERIALIZED VIEW names AS SELECT name FROM clients; CREATE VIEW between AS SELECT * FROM names;"
        "CREATE MATERIALIZED VIEW a_copy AS SELECT * FROM between;"
        "CREATE MATERIALIZED VIEW empty AS SELECT * FROM a_copy WITH NO DATA",
    )
    anonymize(demo, rules, new_key())
    assert run(demo, "SELECT count(*) FROM clients WHERE words <> lower(name) OR words !~ '^demo client'") == [(0,)]
    assert run(demo, "SELECT count(*) FROM a_copy WHERE name !~ '^Demo Client'") == [(0,)]
    assert run(demo, "SELECT relispopulated FROM pg_class WHERE relname = 'empty'") == [(False,)]


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
