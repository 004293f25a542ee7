"""Full text in two languages."""

from __future__ import annotations

import random
import string

import pytest

from legal_store import Case, Client, Document, firm, search
from legal_store.database import db
from legal_store.search.hits import Hit
from tests.search.conftest import Office, add_document

LEASE = "Contract de închiriere"
LEASE_TEXT = "Chiriașul datorează penalități pentru neplata chiriei; rezilierea contractului are loc de drept."
SUPPLY = "Supply agreement"
SUPPLY_TEXT = "Either party may terminate this agreement if deliveries are delayed by more than thirty days."


@pytest.fixture
def office(offices: tuple[Office, Office]) -> Office:
    office, other = offices
    add_document(office, LEASE, LEASE_TEXT, status="Draft")
    add_document(office, SUPPLY, SUPPLY_TEXT, status="Approved", document_type="Evidence")
    add_document(other, LEASE, LEASE_TEXT)
    return office


def found(office: Office, query: str, **options: object) -> list[Hit]:
    with firm(office.firm_id):
        return search.text(query, **options)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("rezilierea contract", {LEASE}),
        ("REZILIERE penalitatea", {LEASE}),
        ("terminated agreements", {SUPPLY}),
        ("delivery", {SUPPLY}),
        ("reziliere -penalitate", set()),
        ("agreement -lease", {SUPPLY}),
        ("chirie OR delivery", {LEASE, SUPPLY}),
        ('"rezilierea contractului"', {LEASE}),
        ('"contractului rezilierea"', set()),
        ("inchiriere", {LEASE}),
        ("rezilierea de contract", {LEASE}),
        ("contract' & | ! <-> :*", {LEASE}),
    ],
)
def test_words_are_found_in_any_form_in_both_languages(office: Office, query: str, expected: set[str]) -> None:
    assert {hit.title for hit in found(office, query)} == expected


def test_what_is_excluded_in_one_language_does_not_come_back_through_the_other(office: Office) -> None:
    assert found(office, "contract -penalitate") == []
    assert [hit.title for hit in found(office, "contract -agreement")] == [LEASE]


ROMANIAN_TEXT = "Părțile convin de comun acord la rezilierea contractelor."
ENGLISH_TEXT = "The parties agree on the termination of all deliveries."


def lexemes(office: Office, content: str) -> set[str]:
    document = add_document(office, "-", content)
    with firm(office.firm_id):
        statement = "SELECT tsvector_to_array(search_text) FROM documents WHERE id = %s"
        return set(db.execute_sql(statement, [document.id]).fetchone()[0])


def test_a_content_is_indexed_in_its_own_language(office: Office) -> None:
    in_romanian, in_english = lexemes(office, ROMANIAN_TEXT), lexemes(office, ENGLISH_TEXT)
    assert "contract" in in_romanian and "contractelor" not in in_romanian
    assert "deliveri" in in_english and "deliver" not in in_english
    assert lexemes(office, ROMANIAN_TEXT.upper()) == in_romanian


@pytest.mark.parametrize("content", [f"{ROMANIAN_TEXT}\n{ENGLISH_TEXT}", "Contractele: deliveries"])
def test_a_content_of_both_languages_or_of_neither_for_sure_is_indexed_in_both(office: Office, content: str) -> None:
    add_document(office, "Anexă", content)
    assert "Anexă" in {hit.title for hit in found(office, "contractelor", language="ro")}
    assert "Anexă" in {hit.title for hit in found(office, "delivery", language="en")}


def test_one_language_can_be_asked_for(office: Office) -> None:
    assert [hit.title for hit in found(office, "deliveries", language="en")] == [SUPPLY]
    assert [hit.title for hit in found(office, "penalitate", language="ro")] == [LEASE]


def test_the_matches_are_marked_as_they_were_written(office: Office) -> None:
    assert "<b>penalități</b>" in found(office, "penalitati")[0].highlight
    assert "<b>terminate</b>" in found(office, "terminated")[0].highlight
    assert found(office, "terminated", highlight=False)[0].highlight == ""


def test_a_title_weighs_more_than_a_content(office: Office) -> None:
    add_document(office, "Factură", "Conform unui contract de închiriere mai vechi.")
    assert [hit.title for hit in found(office, "închiriere")] == [LEASE, "Factură"]


def test_filters_hold(office: Office) -> None:
    assert [hit.title for hit in found(office, "contract OR agreement", status="Approved")] == [SUPPLY]
    assert [hit.title for hit in found(office, "contract OR agreement", document_type=["Contract"])] == [LEASE]


@pytest.mark.parametrize("alphabet", [string.ascii_lowercase, "абвгдежзийклмн", "漢字仮名交文書", "𐐨𐐩𐐪𐐫𐐬𐐭"])
def test_the_longest_contents_in_any_script_can_be_stored(office: Office, alphabet: str) -> None:
    source = random.Random(1)
    words = ["".join(source.choices(alphabet, k=source.randint(2, 12))) for _ in range(60_000)]
    document = add_document(office, "Arhivă", "încheiere " + " ".join(words))
    assert [hit.id for hit in found(office, "încheiere", highlight=False)] == [document.id]


@pytest.mark.parametrize("query", ["4821", "4821/3/2023", '"4821/3"', "dosarul 4821"])
def test_the_number_of_a_court_file_is_found_by_any_part(office: Office, query: str) -> None:
    document = add_document(office, "Încheiere", "Dosar nr. 4821/3/2023.")
    assert [hit.id for hit in found(office, query)] == [document.id]


def test_a_search_for_documents_leaves_computed_columns_at_the_server(office: Office) -> None:
    with firm(office.firm_id):
        statement = str(Document.select())
        alias = str(Document.alias("d").select())
        joined = str(Case.select(Case, Document).join(Document).select_extend(Client))
    for column in ("search_text", "search_words", "content_hash"):
        assert column not in statement
        assert column not in alias
        assert column not in joined
    assert db.table_exists("documents")
