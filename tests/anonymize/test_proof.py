"""What the proof sees, and what it takes for nobody's: no leak is missed, and healthy data is not refused."""

from __future__ import annotations

import json
import re
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from legal_store.anonymize import Rules, anonymize, new_key
from legal_store.anonymize.entities import Entities, is_identifier
from legal_store.anonymize.rules import Rule
from legal_store.anonymize.text import CELL, folded, recognised
from legal_store.anonymize.traces import Traces
from legal_store.config import Settings
from legal_store.errors import LeakError
from legal_store.generating import generate
from tests.anonymize.conftest import run
from tests.conftest import CHECKOUT


def kept(rules: Rules, *columns: str) -> Rules:
    """Return `rules` with these columns kept."""
    pairs = [tuple(column.split(".")) for column in columns]
    listed = {(table, column): Rule(table, column, None, {}, "sabotage") for table, column in pairs}
    return rules._replace(columns={**rules.columns, **listed})


def traces_of(*values: str, names: bool = False, **known: Any) -> Traces:
    traces = Traces(**known)
    for value in values:
        traces.add(value, "clients.name", names=names)
    return traces


SENTENCE = "Redactarea cererii de chemare în judecată"


def test_titles_of_the_product_and_neighbours_in_statistics_are_no_traces(demo: Any, rules: Rules) -> None:
    run(demo, "UPDATE tasks SET title = %s; UPDATE skills SET display_name = %s", SENTENCE, SENTENCE)
    courts = ["Tribunalul Cluj", "Judecătoria Alba Iulia"]
    run(demo, "UPDATE cases SET court_name = (%s::text[])[1 + get_byte(decode(md5(id::text), 'hex'), 0) %% 2]", courts)
    run(demo, "UPDATE documents SET title = (ARRAY[%s, %s])[version]", " ".join(courts), " ".join(reversed(courts)))
    run(demo, "UPDATE documents SET version = 2 WHERE id = (SELECT min(id::text)::uuid FROM documents); ANALYZE")
    proof = anonymize(demo, rules, new_key()).proof
    assert proof is not None and proof.passed


def test_a_leak_is_told_by_place_source_and_remedy_and_never_by_value(demo: Any, rules: Rules) -> None:
    run(demo, "UPDATE tasks SET title = %s; UPDATE cases SET court_name = %s", SENTENCE, SENTENCE)
    run(demo, "COMMENT ON TABLE cases IS 'Redactarea cererii de chemare în judecată'; ANALYZE")
    with pytest.raises(LeakError) as caught:
        anonymize(demo, rules, new_key())
    message = str(caught.value)
    for place in ("cases.court_name", "planner statistics of cases.court_name", "comments"):
        assert re.search(rf"- {place}: \d+ cells hold what was in tasks\.title", message)
    for remedy in ("a column that is kept: give it", "planner statistics: give", "comments, definitions and settings:"):
        assert remedy in message
    assert "Redactarea" not in message


def test_generated_firms_can_be_anonymized_as_the_readme_says(database_url: str, rules: Rules) -> None:
    """The path of the README: migrate, seed so many rows, anonymize."""
    generate(Settings.from_environ({"DATABASE_URL": database_url}), CHECKOUT / "seeds" / "synthetic", rows=2000)
    with closing(psycopg2.connect(database_url)) as connection:
        proof = anonymize(connection, rules, new_key()).proof
    assert proof is not None and proof.passed


@pytest.mark.parametrize("text", ["Ion Pop si Ana Rus", "d-nul POP, Ion", "ion_pop.pdf", "popion@firma.ro", "ANA RUS"])
def test_a_short_name_is_found_word_by_word(text: str) -> None:
    traces = traces_of("Ion Pop", names=True)
    traces.add_row(["Ana", "Rus"], "users")
    assert traces.found_in(text) and traces.source_in(text, masked=False)


@pytest.mark.parametrize("text", ["o mission popular", "Popa Ion", "ion sau pop", f"Ion {CELL} Pop", "Rusu Ana"])
def test_other_words_are_no_short_name(text: str) -> None:
    traces = traces_of("Ion Pop", names=True)
    traces.add_row(["Ana", "Rus"], "users")
    assert not traces.found_in(text)


def test_a_single_short_name_is_found_as_a_whole_masked_value() -> None:
    traces = traces_of("Ana", names=True)
    assert traces.found_in("Ana") and not traces.found_in("Ana are mere") and not traces.source_in("Ana", masked=False)


@pytest.mark.parametrize("form", ["{} P.F.A.", "PFA {}", "{} I.I.", "Întreprindere Individuală {}", "{} P. F. A."])
def test_a_sole_trader_is_a_person(form: str) -> None:
    traces = traces_of(form.format("Trandafir Zaharescu"), names=True)
    for text in ("d-na Zaharescu", "Zaharescu Trandafir", "trandafirzaharescu"):
        assert traces.source_in(text, masked=False)
    assert not traces.found_in("Întreprindere Individuală") and not traces.found_in("PFA")


def test_a_real_name_that_masks_are_dealt_from_is_found_in_kept_columns(demo: Any, rules: Rules) -> None:
    columns = {("users", name): Rule("users", name, name, {}, names=True) for name in ("first_name", "last_name")}
    dealt = rules._replace(columns={**rules.columns, **columns})
    run(demo, "UPDATE users SET first_name = 'Andra', last_name = 'Radulescu'")
    proof = anonymize(demo, dealt, new_key()).proof
    assert proof is not None and proof.passed
    run(demo, "UPDATE users SET first_name = 'Horia'; UPDATE cases SET court_name = 'Semnat: Horia'")
    with pytest.raises(LeakError, match=r"cases\.court_name: \d+ cells hold what was in users\.first_name"):
        anonymize(demo, dealt, new_key())


IBAN, CNP, PHONE = "RO49AAAA1B31007593840000", "1800101221144", "+40 720 555 055"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("iban", "RO49-AAAA-1B31-0075-9384-0000"),
        ("iban", "RO49 AAAA 1B31 0075 9384 0000".replace(" ", "\u00a0")),
        ("iban", IBAN.lower()),
        ("iban", f"cont_{IBAN.lower()}"),
        ("cui", "CIF 361579"),
        ("cui", "C.U.I.: 361579"),
        ("cui", "codul fiscal nr. RO361579"),
        ("phone", "07.22.34.56.99"),
        ("phone", "0722 34 56 77"),
        ("phone", "0722–345–678"),
        ("phone", "0722\u00a0345\u00a0678"),
        ("phone", "Tel0722345644"),
        ("phone", "+40 (0)722 345 678"),
        ("phone", "+49 30 1234567"),
        ("phone", "０７２２３４５６７８"),
        ("cnp", "1800101 221144"),
        ("cnp", "1-800101-22-1144"),
        ("cnp", CNP),
    ],
)  # fmt: skip
def test_a_number_is_recognised_however_it_is_written(kind: str, text: str) -> None:
    around = f"Avea contul abcd {text} avea 12 ani"
    assert [piece.kind for piece in recognised(around)] == [kind]
    cleaned = Entities(b"key").replaced(around, None)
    kept = [digit for digit in folded(text) if digit.isdigit()]
    assert [digit for digit in folded(cleaned) if digit.isdigit()][: len(kept)] != kept
    assert cleaned.startswith("Avea contul abcd ") and cleaned.endswith(" avea 12 ani")


@pytest.mark.parametrize(
    "text",
    [
        "07.03.2024 10:15", "02-03-2024 14:00", "0.712345678", "2024-01-15 10:15:30", "dosarul 1234/62/2024",
        "f0722345678a", "1850312089017", "v10.0722345678", "CIF 361578", "id12 abcd efgh ijkl mnop",
        "ad79c1e2f3a4b5c6d7e8f9a0", "30.000.000,00 lei", "550e8400-e29b-41d4-a716-446655440000",
    ],
)  # fmt: skip
def test_a_date_or_an_ordinary_number_is_nobodys(text: str) -> None:
    assert recognised(f"Termen {text} la instanță") == []


@pytest.mark.parametrize(
    "text", ["0720–555–055", "0720,555,055", "0720‑555‑055", "0720 555 055 12 mai", "12 0720.555.055", "(0720) 555-055"]
)
def test_a_known_phone_is_found_behind_any_separator_and_beside_other_numbers(text: str) -> None:
    assert traces_of(PHONE).source_in(text, masked=False)


def test_an_address_at_a_domain_that_ends_like_the_reserved_one_is_personal() -> None:
    assert traces_of("ion@realexample.com").found_in("scrie la ion@realexample.com")
    traces = Traces()
    traces.add_personal("ion@mail.example.com", "tasks.description")
    assert len(traces) == 0


def test_keys_of_json_that_are_data_are_replaced_and_their_shape_stays(demo: Any, rules: Rules) -> None:
    run(demo, "UPDATE users SET first_name = 'Zenobia', last_name = 'Kaufmann' WHERE role = 'Partner'")
    held = {
        "otilia@firma-reala.ro": "x",
        CNP: 1,
        PHONE: {"Otilia Marcus": True},
        "Zenobia": [],
        "home_phone": {"a b": 1},
    }
    run(demo, "UPDATE clients SET contact_info = %s", json.dumps(held))
    run(demo, "ALTER TABLE clients ADD tags text[] DEFAULT '{urgent matter,b}'")
    listed = {("clients", "tags"): Rule("clients", "tags", "array", {"items": "free_text"})}
    anonymize(demo, rules._replace(columns={**rules.columns, **listed}), new_key())
    ((masked, tags),) = run(demo, "SELECT DISTINCT contact_info::text, tags FROM clients")
    assert tags == ["urgent matter", "b"]
    shape = re.sub(r"key_[0-9a-f]{12}", "K", masked).replace('"[redacted]"', "R")
    assert sorted(re.findall(r"[^{},]+(?:\{[^}]*\})?", shape.strip("{}").replace(" ", ""))) == sorted(
        ['"K":R', '"K":0', '"K":{"K":true}', '"K":[]', '"home_phone":{"K":0}']
    )


@pytest.mark.parametrize("key", ["contact_email", "addressLine2", "x-ray", "_id", "Note"])
def test_a_key_that_a_program_chose_is_an_identifier(key: str) -> None:
    assert is_identifier(key)


@pytest.mark.parametrize("key", ["Ana Rus", "a@b.ro", "0722345678", "Ștefan", "IBAN_RO49AAAA1B31007593840000", ""])
def test_a_key_that_is_data_is_none(key: str) -> None:
    assert not is_identifier(key)


def test_old_and_new_values_of_a_log_stay_where_their_field_holds_nothing_personal(demo: Any, rules: Rules) -> None:
    planted = {
        "client": "Zenovia Rachieru", "judge_name": "Judecător Radu Câlnău", "status": "Active", "value": "3400000.00",
        "opened_date": "2024-01-15", "priority": "sunați-l pe Ion", "title": "Divorț", "next_hearing_date": None,
    }  # fmt: skip
    for field, value in planted.items():
        run(demo, "INSERT INTO case_audit_logs (firm_id, case_id, action, field_name, old_value, new_value)"
            " SELECT firm_id, id, 'Planted', %s, %s, %s FROM cases LIMIT 1", field, value, value)  # fmt: skip
    run(demo, "INSERT INTO user_audit_logs (firm_id, action, old_value, new_value)"
        " SELECT id, 'RoleChanged', 'Partner', 'Zenovia Rachieru' FROM firms")  # fmt: skip
    anonymize(demo, rules, new_key())
    logged = run(demo, "SELECT field_name, old_value, new_value FROM case_audit_logs WHERE action = 'Planted'")
    stays = {"status", "value", "opened_date", "next_hearing_date"}
    assert {field: old for field, old, _ in logged} == {
        field: value if field in stays else "[redacted]" for field, value in planted.items()
    }
    assert all(old == new for _, old, new in logged)
    newest = "SELECT old_value, new_value FROM user_audit_logs ORDER BY created_at DESC LIMIT 1"
    assert run(demo, newest) == [("Partner", "[redacted]")]


def test_a_former_name_in_a_log_is_found_in_kept_columns(demo: Any, rules: Rules) -> None:
    run(demo, "UPDATE cases SET court_name = 'la dl. Câlnău'")
    with pytest.raises(LeakError, match=r"cases\.court_name: \d+ cells hold what was in case_audit_logs\.old_value"):
        anonymize(demo, rules, new_key())
