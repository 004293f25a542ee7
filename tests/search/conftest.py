"""A firm with documents, names and embeddings, and another that must never show."""

from __future__ import annotations

import datetime
import random
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from legal_store import Case, CaseActor, Client, Document, Firm, all_firms, firm
from legal_store.config import Settings, Url
from legal_store.database import db
from legal_store.search.server import forget_server

DIMENSIONS = 1536


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    forget_server()


@pytest.fixture
def service(database_url: Url) -> Iterator[Any]:
    """`legal_store.db` with a connection, outside any scope, as a service has it."""
    db.configure(Settings.from_environ({"DATABASE_URL": database_url}))
    with db.connection_context():
        yield db
    db.close_all()


class Office(NamedTuple):
    firm_id: uuid.UUID
    client: Client
    case: Case


def open_office(
    name: str, vat_id: str, *, client: str = "Betoane Prahova S.R.L.", case: str = "Dosar comercial"
) -> Office:
    """Make a firm with one client and one case; needs all_firms()."""
    created = Firm.create(name=name, vat_id=vat_id)
    customer = Client.create(firm=created, name=client)
    matter = Case.create(
        firm=created, client=customer, case_number=f"{vat_id}-1", title=case, type="Civil",
        opened_date=datetime.date(2024, 1, 1),
    )  # fmt: skip
    return Office(created.id, customer, matter)


@pytest.fixture
def offices(service: Any) -> tuple[Office, Office]:
    """Two firms with a client and a case of the same names each."""
    with all_firms(reason="test"):
        return open_office("Firma A", "RO1"), open_office("Firma B", "RO2")


def add_document(office: Office, title: str, content: str | None = None, **values: Any) -> Document:
    """Make a document in the office's case, in the scope of its firm."""
    with firm(office.firm_id):
        values = {"case": office.case, "document_type": "Contract", **values}
        return Document.create(title=title, content=content, **values)


def add_party(office: Office, name: str, role: str = "OpposingParty") -> CaseActor:
    with firm(office.firm_id):
        return CaseActor.create(case=office.case, role=role, name=name)


def axis(*weights: tuple[int, float]) -> list[float]:
    """Return a vector with the given weights on the given axes."""
    vector = [0.0] * DIMENSIONS
    for index, weight in weights:
        vector[index] = weight
    return vector


def near(random_source: random.Random, centre: list[float], spread: float) -> list[float]:
    return [value + random_source.gauss(0, spread) for value in centre]
