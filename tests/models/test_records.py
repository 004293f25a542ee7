"""What a model gives to Python code: keys, times, saving, relationships."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from peewee import fn

import legal_store
from legal_store import Case, CaseStatus, Client, Document, Firm, Task, User, UserRole


@pytest.fixture
def firm(database: Any) -> Firm:
    return Firm.create(name="Popescu și Asociații", vat_id="RO1")


@pytest.fixture
def case(firm: Firm) -> Case:
    client = Client.create(firm=firm, name="Țiriac S.A.")
    return Case.create(
        firm=firm,
        client=client,
        case_number="CASE-1",
        title="Litigiu comercial",
        type="Corporate",
        opened_date=datetime.date(2024, 1, 15),
    )


def test_a_new_object_is_inserted_by_save_although_its_id_is_set(database: Any) -> None:
    firm = Firm(name="Nouă", vat_id="RO2")
    assert firm.save() == 1
    assert Firm.get_by_id(firm.id).name == "Nouă"


@pytest.mark.parametrize("form", [lambda key: key, str, lambda key: key.hex], ids=["UUID", "text", "digits"])
def test_a_row_is_found_by_its_key_in_its_own_firm_alone(firm: Firm, case: Case, form: Callable[[Any], Any]) -> None:
    other = Firm.create(name="Alta", vat_id="RO2")
    assert Case.get_by_id(form(case.id)) == case  # in all_firms()
    with legal_store.firm(firm):
        found = Case.get_by_id(form(case.id))
        assert found.title == "Litigiu comercial" and found.client_id == case.client_id
        assert found.save() == 0, "it is known to be stored, and unchanged"
    with legal_store.firm(other), pytest.raises(Case.DoesNotExist):
        Case.get_by_id(form(case.id))


def test_what_postgresql_fills_is_there_after_saving(firm: Firm) -> None:
    assert firm.created_at == firm.updated_at
    assert firm.created_at.tzinfo is not None


def test_a_change_moves_updated_at_and_nothing_moves_created_at(firm: Firm) -> None:
    created = firm.created_at
    firm.name = "Altfel"
    firm.created_at = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    assert firm.save() == 1
    stored = Firm.get_by_id(firm.id)
    assert stored.updated_at > created
    assert stored.created_at == created
    assert firm.updated_at == stored.updated_at


def test_saving_without_a_change_writes_nothing(firm: Firm) -> None:
    updated = firm.updated_at
    assert firm.save() == 0
    assert Firm.get_by_id(firm.id).updated_at == updated


def test_two_changes_of_different_fields_do_not_overwrite_each_other(firm: Firm) -> None:
    mine, yours = Firm.get_by_id(firm.id), Firm.get_by_id(firm.id)
    mine.phone, yours.email = "021", "office@demo.ro"
    mine.save()
    yours.save()
    assert (Firm.get_by_id(firm.id).phone, Firm.get_by_id(firm.id).email) == ("021", "office@demo.ro")


def test_saving_a_row_that_is_gone_says_so(firm: Firm) -> None:
    Firm.delete().where(Firm.id == firm.id).execute()
    firm.name = "Fantomă"
    assert firm.save() == 0


def test_a_change_inside_a_document_or_list_is_saved(firm: Firm, case: Case) -> None:
    stored = Case.get_by_id(case.id)
    stored.metadata["instanță"] = "Tribunalul București"
    assert stored.save() == 1
    assert stored.save() == 0
    assert Case.get_by_id(case.id).metadata == {"instanță": "Tribunalul București"}


def test_many_objects_are_created_at_once(firm: Firm) -> None:
    clients = [Client(firm=firm, name="A"), Client(firm=firm, name="B", contact_info={"tel": "021"})]
    Client.bulk_create(clients, batch_size=1)
    assert all(client.created_at is not None for client in clients)
    clients[0].name = "C"
    assert clients[0].save() == 1
    assert {client.name: client.contact_info for client in Client.select()} == {"C": {}, "B": {"tel": "021"}}


@pytest.mark.parametrize(
    "read",
    [
        lambda: Case.get(),
        lambda: Case.select(Case, fn.LOWER(Case.title).alias("lowered")).get(),
        lambda: Case.select(Case, Client).join(Client).get(),
        lambda: Case.raw("SELECT * FROM cases").execute()[0],
    ],
)
def test_a_row_is_known_and_unchanged_however_it_was_read(firm: Firm, case: Case, read: Callable[[], Case]) -> None:
    found = read()
    assert found == case and found.dirty_fields == [] and found.save() == 0
    assert (found.client, found.firm_id, found.title) == (case.client, firm.id, "Litigiu comercial")
    assert getattr(found, "lowered", "litigiu comercial") == "litigiu comercial"
    found.title = "Another title"
    assert found.save() == 1 and Case.get_by_id(case.id).title == "Another title"


def test_deleting_with_dependents_is_left_to_the_foreign_keys(firm: Firm, case: Case) -> None:
    Document.create(firm=firm, case=case, title="Contract", document_type="Contract")
    assert case.delete_instance(recursive=True) == 1
    assert Document.select().count() == 0


def test_a_firm_has_no_backref_that_leads_nowhere() -> None:
    assert not hasattr(Firm, "firm_record")


def test_relationships_read_like_sentences(firm: Firm, case: Case) -> None:
    user = User.create(firm=firm, email="Ana@Demo.ro", first_name="Ana", last_name="Pop", role=UserRole.PARTNER)
    Document.create(firm=firm, case=case, title="Contract", document_type="Contract", created_by=user)
    Task.create(firm=firm, case=case, title="Citește", task_type="Research", assigned_to=user)
    assert [document.title for document in case.documents] == ["Contract"]
    assert [task.title for task in user.assigned_tasks] == ["Citește"]
    assert [found.case_number for found in firm.cases] == ["CASE-1"]
    assert Document.get().created_by.full_name == "Ana Pop"


def test_an_address_is_found_however_it_is_typed(firm: Firm) -> None:
    User.create(firm=firm, email=" Ana@Demo.RO ", first_name="Ana", last_name="Pop", role="Partner")
    assert User.get(User.email == "ANA@demo.ro").email == "ana@demo.ro"


def test_values_keep_their_types(firm: Firm, case: Case) -> None:
    case.value, case.metadata = Decimal("12345678901.25"), {"părți": ["ș", "ț"]}
    case.next_hearing_date = datetime.datetime(2026, 3, 1, 9, 30, tzinfo=datetime.UTC)
    case.save()
    stored = Case.get_by_id(case.id)
    assert stored.value == Decimal("12345678901.25")
    assert stored.metadata == {"părți": ["ș", "ț"]}
    assert stored.status is CaseStatus.ACTIVE
    assert stored.next_hearing_date == case.next_hearing_date


def test_an_embedding_comes_back_and_is_ordered_by_distance(firm: Firm, case: Case) -> None:
    for title, head in (("near", 1.0), ("far", -1.0)):
        Document.create(
            firm=firm, case=case, title=title, document_type="Other", content_embedding=[head] + [0.1] * 1535
        )
    wanted = [1.0] + [0.1] * 1535
    ranked = Document.select().order_by(Document.content_embedding.cosine_distance(wanted))
    assert [document.title for document in ranked] == ["near", "far"]
    assert len(ranked[0].content_embedding) == 1536
