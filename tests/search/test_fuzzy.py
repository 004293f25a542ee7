"""Names and titles are found as people type them."""

from __future__ import annotations

import pytest

from legal_store import firm, search
from tests.search.conftest import Office, add_document, add_party
from tests.search.names import full_names, with_one_typo


def titles(office: Office, text: str, **options: object) -> list[str]:
    with firm(office.firm_id):
        return [hit.title for hit in search.fuzzy(text, **options)]


def test_all_four_kinds_are_found_with_their_case(offices: tuple[Office, Office]) -> None:
    office, _ = offices
    document = add_document(office, "Contract beton Prahova")
    party = add_party(office, "Ion Prahoveanu")
    with firm(office.firm_id):
        found = {hit.kind: hit for hit in search.fuzzy("prahova")}
    assert set(found) == {"client", "document", "party"}
    assert (found["document"].id, found["document"].case_id) == (document.id, office.case.id)
    assert (found["party"].id, found["party"].case_id) == (party.id, office.case.id)
    assert found["client"].case_id is None
    with firm(office.firm_id):
        matter = search.fuzzy("dosar comercial")[0]
    assert (matter.kind, matter.id, matter.case_id) == ("case", office.case.id, office.case.id)
    assert matter.score == pytest.approx(1.0)


@pytest.mark.parametrize(
    "typed",
    [
        "Ștefănescu Țăran",
        "stefanescu taran",
        "Ştefănescu Ţăran",
        "ŞTEFĂNESCU",
        "taran stefanescu",
        "Stefnescu",
        "S\u0326tefănescu",
    ],
)
def test_diacritics_case_order_and_typing_errors_do_not_matter(offices: tuple[Office, Office], typed: str) -> None:
    office, _ = offices
    add_party(office, "Ștefănescu Țăran")
    add_party(office, "Georgescu Matei")
    assert titles(office, typed)[0] == "Ștefănescu Țăran"


@pytest.mark.parametrize(
    ("typed", "expected"), [("p", {"Popa Ilie", "Ilie Pop"}), ("Șt", {"Ștefan"}), ("i p", {"Ilie Pop"})]
)
def test_a_short_query_finds_words_that_begin_with_it(
    offices: tuple[Office, Office], typed: str, expected: set[str]
) -> None:
    office, _ = offices
    for name in ("Popa Ilie", "Ilie Pop", "Ștefan", "Capra"):
        add_party(office, name)
    assert set(titles(office, typed, kinds="party")) == expected


@pytest.mark.parametrize(
    "typed", ["%", "_", "\\", "%%", "'", '"', "100%_", "(", "--", "; DROP TABLE cases", "a' OR '1'='1"]
)
def test_operators_of_sql_and_of_patterns_are_only_characters(offices: tuple[Office, Office], typed: str) -> None:
    office, _ = offices
    add_party(office, "Popa Ilie")
    assert "Popa Ilie" not in titles(office, typed)


def test_the_best_hit_comes_first_and_the_limit_holds(offices: tuple[Office, Office]) -> None:
    office, _ = offices
    for name in ("Popescu Ion", "Popescu Ioan", "Popescu Ionela", "Popa Ion"):
        add_party(office, name)
    assert titles(office, "popescu ion", limit=3) == ["Popescu Ion", "Popescu Ionela", "Popescu Ioan"]


def test_a_case_limits_to_what_belongs_to_it(offices: tuple[Office, Office]) -> None:
    office, other = offices
    add_document(office, "Contract beton")
    assert titles(office, "contract beton", case=office.case) == ["Contract beton"]
    assert titles(office, "contract beton", case=other.case) == []


def test_another_firm_is_never_found(offices: tuple[Office, Office]) -> None:
    office, other = offices
    add_party(other, "Vasilescu Anca")
    assert titles(office, "Vasilescu Anca") == []
    assert titles(other, "Vasilescu Anca") == ["Vasilescu Anca"]


def test_a_changed_name_is_found_by_its_new_spelling_only(offices: tuple[Office, Office]) -> None:
    office, _ = offices
    party = add_party(office, "Vasilescu Anca")
    with firm(office.firm_id):
        party.name = "Dobrogeanu Mircea"
        party.save()
    assert titles(office, "vasilescu") == []
    assert titles(office, "dobrogeanu") == ["Dobrogeanu Mircea"]


def test_a_thousand_names_with_one_typing_error_are_found_in_the_first_three(offices: tuple[Office, Office]) -> None:
    office, _ = offices
    names = full_names(2_000)
    with firm(office.firm_id):
        from legal_store import CaseActor

        rows = [{"firm": office.firm_id, "case": office.case, "role": "Witness", "name": name} for name in names]
        CaseActor.insert_many(rows).execute()
        found = sum(
            any(hit.title == name for hit in search.fuzzy(with_one_typo(name, seed), limit=3))
            for seed, name in enumerate(names[:1_000])
        )
    assert found >= 970
