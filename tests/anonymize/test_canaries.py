"""Canaries in 20 disguises, in every place: all are found when masking is sabotaged, none survives when it is not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from legal_store.anonymize import Rules, anonymize, new_key
from legal_store.anonymize.rules import Rule
from legal_store.anonymize.text import valid_cnp, valid_cui, valid_iban
from legal_store.anonymize.traces import Traces
from legal_store.errors import LeakError
from tests.anonymize.conftest import run
from tests.anonymize.disguises import CNP, EMAIL, IBAN, PERSON, PHONE, canaries

# where a canary can hide: an UPDATE of one row, and the column that must then be named
PLACES = {
    "cases.court_name": "UPDATE cases SET court_name = %(text)s",
    "cases.title": "UPDATE cases SET title = %(text)s",
    "cases.description": "UPDATE cases SET description = %(text)s",
    "cases.metadata": "UPDATE cases SET metadata = %(json)s",
    "case_team.role": "UPDATE case_team SET role = %(text)s",
    "case_actors.notes": "UPDATE case_actors SET notes = %(text)s",
    "clients.contact_info": "UPDATE clients SET contact_info = %(json)s",
    "documents.content": "UPDATE documents SET content = repeat('Text. ', 50) || %(text)s",
    "documents.file_name": "UPDATE documents SET file_name = %(text)s",
    "documents.storage_url": "UPDATE documents SET storage_url = 'https://x.ro/' || %(text)s",
    "tasks.description": "UPDATE tasks SET description = %(text)s",
    "case_audit_logs.old_value": "INSERT INTO case_audit_logs (firm_id, case_id, action, old_value)"
    " SELECT firm_id, id, 'x', %(text)s FROM cases LIMIT 1",
    "user_audit_logs.new_value": "INSERT INTO user_audit_logs (firm_id, action, new_value)"
    " SELECT id, 'Activated', %(text)s FROM firms",
    "romanian_templates.civil_code_references": "UPDATE romanian_templates SET civil_code_references = ARRAY[%(text)s]",
    "skill_usage_logs.input_data": "UPDATE skill_usage_logs SET input_data = %(json)s",
}
KNOWN = (
    "INSERT INTO clients (firm_id, name, email, phone, address)"
    " SELECT id, %s, %s, %s, %s FROM firms; INSERT INTO case_actors (firm_id, case_id, role, name, notes)"
    " SELECT firm_id, id, 'Client', %s, %s FROM cases LIMIT 1"
)


def plant_known(connection: Any) -> None:
    run(connection, KNOWN, PERSON, EMAIL, PHONE, f"CNP {CNP}, cont {IBAN}", PERSON, f"CNP {CNP}")


def known_traces() -> Traces:
    traces = Traces()
    for value in (EMAIL, PHONE, CNP, IBAN):
        traces.add(value, "a.b")
    traces.add(PERSON, "a.b", names=True)
    return traces


@pytest.mark.parametrize(("what", "text"), canaries())
def test_each_disguise_is_recognised(what: str, text: str) -> None:
    assert known_traces().found_in(f"Înainte {text} după")


@pytest.mark.parametrize("before", ["é", "„", "中文", "Иван", "\U0001d518\U00010348"])
def test_a_name_is_found_behind_characters_of_every_width(before: str) -> None:
    traces = Traces()
    traces.add_row(PERSON.split(), "a")
    squashed_name = PERSON.replace(" ", "")
    assert traces.found_in(f"{before}{squashed_name}") and not traces.found_in(f"{before}{squashed_name[:-1]}")


def test_ordinary_text_is_not_taken_for_a_canary() -> None:
    traces = known_traces()
    for text in ("Contract de închiriere", "0744 918 274", "1850312089017", "stefan@avocati.ro", "12.03.2024 10:15:00"):
        assert not traces.found_in(text)


def plant(connection: Any, place: str, texts: list[str]) -> None:
    """Put all texts into one place, together."""
    values = {"text": " | ".join(texts), "json": json.dumps({"a": [{"b": text} for text in texts]})}
    with connection, connection.cursor() as cursor:
        cursor.execute(PLACES[place], values)


@pytest.mark.parametrize("place", PLACES)
def test_a_canary_is_found_in_every_place_when_masking_is_sabotaged(demo: Any, rules: Rules, place: str) -> None:
    plant_known(demo)
    plant(demo, place, [canaries()[sum(map(ord, place)) % len(canaries())][1]])
    table, column = place.split(".")
    sabotaged = {**rules.columns, (table, column): Rule(table, column, None, {}, "sabotage")}
    before = run(demo, "SELECT name FROM clients ORDER BY 1")
    with pytest.raises(LeakError, match=place.replace(".", r"\.")):
        anonymize(demo, rules._replace(columns=sabotaged), new_key())
    assert run(demo, "SELECT name FROM clients ORDER BY 1") == before


HOLDERS = {
    "a_text": ("text", str),
    "a_varchar": ("varchar(2000)", str),
    "a_jsonb": ("jsonb", lambda text: json.dumps({"a": [{"b": text}]})),
    "a_json": ("json", lambda text: json.dumps({text: 1})),
    "an_array": ("text[]", lambda text: ["x", text]),
    "bytes": ("bytea", str.encode),
    "a_range": ("text_range", lambda text: '["' + text.replace("\\", "\\\\") + '",]'),
}


def test_every_disguise_is_found_in_every_type_that_can_hold_it(demo: Any, rules: Rules) -> None:
    plant_known(demo)
    run(demo, "CREATE TYPE text_range AS RANGE (subtype = text)")
    run(demo, f"CREATE TABLE holders ({', '.join(f'{name} {kind}' for name, (kind, _) in HOLDERS.items())})")
    with demo, demo.cursor() as cursor:
        for _, text in canaries():
            cursor.execute(
                f"INSERT INTO holders VALUES ({', '.join(f'%s::{kind}' for kind, _ in HOLDERS.values())})",
                [held(text) for _, held in HOLDERS.values()],
            )
    with pytest.raises(LeakError) as caught:
        anonymize(demo, kept(rules, "holders", HOLDERS), new_key())
    for name in HOLDERS:
        assert f"holders.{name}: {len(canaries())} cells" in str(caught.value)


@pytest.mark.parametrize("kind", ["bigint", "numeric"])
def test_a_number_of_a_person_is_found_in_a_column_of_numbers(demo: Any, rules: Rules, kind: str) -> None:
    plant_known(demo)
    run(demo, f"CREATE TABLE holders (number {kind}); INSERT INTO holders VALUES (744918273), ({CNP}), (17)")
    with pytest.raises(LeakError, match=r"holders\.number: 1 cells"):
        anonymize(demo, kept(rules, "holders", ["number"]), new_key())


def kept(rules: Rules, table: str, columns: Iterable[str]) -> Rules:
    """Return `rules` with a further table, all of it kept."""
    listed = {(table, column): Rule(table, column, None, {}, "sabotage") for column in columns}
    return rules._replace(columns={**rules.columns, **listed})


OUTSIDE = {
    "comments": ["COMMENT ON TABLE cases IS 'ask Ștefănel Brâncovici'"],
    "functions": [
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT 'Stefanel Brancovici' $$",
        "CREATE FUNCTION g() RETURNS text LANGUAGE sql RETURN 'Stefanel Brancovici'",
        "CREATE FUNCTION h(who text DEFAULT 'Stefanel Brancovici') RETURNS text LANGUAGE sql AS $$ SELECT who $$",
        "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql SET a.b = 'Brancovici' AS $$ BEGIN RETURN NEW; END $$",
    ],
    "views": ["CREATE VIEW v AS SELECT * FROM cases WHERE title = 'Stefanel Brancovici'"],
    "types": ["CREATE DOMAIN d AS text DEFAULT 'Brancovici'", "CREATE TYPE e AS ENUM ('Stefanel Brancovici')"],
    "triggers, policies and publications": [
        "CREATE TRIGGER t AFTER UPDATE ON cases FOR EACH ROW WHEN (NEW.title = 'Brancovici') EXECUTE FUNCTION t()",
        "CREATE POLICY p ON cases FOR INSERT WITH CHECK (title = 'Stefanel Brancovici')",
    ],
    "defaults, constraints and indexes": ["ALTER TABLE cases ALTER court_name SET DEFAULT 'Stefanel Brancovici'"],
    "extended statistics": ["CREATE STATISTICS s ON (title || 'Brancovici'), title FROM cases"],
    "foreign servers": [
        "CREATE FOREIGN DATA WRAPPER w",
        "CREATE SERVER r FOREIGN DATA WRAPPER w OPTIONS (host 'stefanel-brancovici')",
    ],
    # in capitals: the file of settings is of the whole server, and another test searches it
    "settings": [
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET a.c = %L', current_database(), 'BRANCOVICI'); END $$",
    ],
    "_migrations": ["UPDATE _migrations SET migration_name = 'stefanel_brancovici'"],
}


def test_a_canary_is_found_everywhere_outside_of_tables(demo: Any, rules: Rules) -> None:
    plant_known(demo)
    planted = {place: sum("rancovici" in statement.lower() for statement in each) for place, each in OUTSIDE.items()}
    planted["comments"], planted["_migrations"] = 1, run(demo, "SELECT count(*) FROM _migrations")[0][0]
    for statement in (statement for each in OUTSIDE.values() for statement in each):
        run(demo, statement)
    with pytest.raises(LeakError) as caught:
        anonymize(demo, rules, new_key())
    assert [place for place, cells in planted.items() if f"- {place}: {cells} cells" not in str(caught.value)] == []


HIDDEN = {
    "party": "('Ștefănel Brâncovici', 744918273)::real_estate_party",
    "bytes": r"'\xff00'::bytea || convert_to('cu Ștefănel Brâncovici', 'UTF8') || '\x00ff81'::bytea",
    "older_bytes": "convert_to('Semnat de Brâncovici la Cluj', 'WIN1250')",
    "of_a_masked_uuid": "(SELECT 'user ' || azure_ad_id || ' not found' FROM users LIMIT 1)",
    "of_a_masked_address": "'from 10.20.30.40, refused'",
    "of_a_masked_bigint": f"'nr. {CNP}'",
    "of_a_masked_name": "'la s.b@avocati-brasov.ro'",
}


def test_a_value_is_found_in_types_and_from_types_that_hide_it(demo: Any, rules: Rules) -> None:
    plant_known(demo)
    run(demo, "CREATE TYPE real_estate_party AS (name text, phone bigint)")
    run(demo, f"CREATE TABLE holders AS SELECT {', '.join(f'{value} AS {name}' for name, value in HIDDEN.items())}")
    run(demo, "CREATE TABLE secrets (address inet, number bigint, label name)")
    run(demo, f"INSERT INTO secrets VALUES ('10.20.30.40/8', {CNP[:3]}, 's.b@avocati-brasov.ro'), (NULL, {CNP}, NULL)")
    nulled = {("secrets", name): Rule("secrets", name, "null", {}) for name in ("address", "number", "label")}
    listed = kept(rules, "holders", HIDDEN)
    with pytest.raises(LeakError) as caught:
        anonymize(demo, listed._replace(columns={**listed.columns, **nulled}), new_key())
    assert [name for name in HIDDEN if f"- holders.{name}: 1 cells" not in str(caught.value)] == []


def test_no_canary_survives_in_any_masked_place_or_in_the_raw_files(demo: Any, demo_url: str, rules: Rules) -> None:
    # other tests' definitions stand in its file, which all databases of a server share
    run(
        demo,
        "CREATE EXTENSION pg_stat_statements; SELECT pg_stat_statements_reset(); DROP EXTENSION pg_stat_statements",
    )
    plant_known(demo)
    for place in set(PLACES) - {"cases.court_name", "case_team.role", "romanian_templates.civil_code_references"}:
        plant(demo, place, [text for _, text in canaries()])
    run(demo, "ALTER TABLE skills ADD gone text")
    run(demo, f"UPDATE skills SET gone = '{PERSON}'")
    run(demo, "ALTER TABLE skills DROP gone")
    run(demo, f"UPDATE skill_versions SET changelog = '{EMAIL}'")
    run(demo, "UPDATE skill_versions SET changelog = 'x'")
    with demo.cursor() as cursor:
        cursor.execute("SELECT lo_from_bytea(0, %s)", (PERSON.encode(),))
        demo.commit()
        cursor.execute("ANALYZE; CHECKPOINT")
        demo.commit()
        cursor.execute("SELECT current_setting('data_directory')")
        folder = Path(cursor.fetchone()[0])
    demo.commit()
    assert raw_hits(folder) != []
    report = anonymize(demo, rules, new_key())
    assert report.proof is not None and report.proof.passed and report.untidied == ()
    assert raw_hits(folder) == []


def raw_hits(folder: Path) -> list[str]:
    """Return which files of a server, but for its write-ahead log, hold a canary in one of its plain forms."""
    needles = [form.encode() for form in (PERSON, PERSON.split()[1], "Brancovici", "brancovici", EMAIL, CNP, IBAN)]
    files = [path for path in folder.rglob("*") if path.is_file() and "pg_wal" not in path.parts]
    return [str(path.relative_to(folder)) for path in files if any(needle in content_of(path) for needle in needles)]


def content_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # a running server removes files of its own
        return b""


def test_the_checksums_tell_numbers_of_persons_and_firms_from_others() -> None:
    assert valid_cnp(CNP) and not valid_cnp("1850312089017") and not valid_cnp("1851312089019")
    assert valid_iban(IBAN) and valid_iban("RO49 AAAA 1B31 0075 9384 0000") and not valid_iban(IBAN[:-1] + "1")
    assert valid_cui("RO 14399840") and not valid_cui("RO 14399841")
