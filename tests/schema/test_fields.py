"""Keys, enumerations and references, without a server."""

from __future__ import annotations

import time
import uuid

import pytest

from legal_store import Case, CaseStatus, Document
from legal_store.schema.ddl import add_references, create_table
from legal_store.schema.fields import new_id


def test_new_ids_are_version_7_unique_and_ordered_by_time() -> None:
    first = [new_id() for _ in range(1_000)]
    time.sleep(0.002)
    later = new_id()
    assert len(set(first)) == 1_000
    assert all(made.version == 7 and made.variant == uuid.RFC_4122 for made in first)
    assert all(made < later for made in first)
    assert abs((later.int >> 80) / 1000 - time.time()) < 5


def test_an_unknown_enumeration_value_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="'Lost' is not a valid CaseStatus"):
        Case.status.db_value("Lost")
    assert Case.status.python_value("Closed") is CaseStatus.CLOSED


def test_a_firms_table_has_a_composite_key_and_composite_references() -> None:
    assert 'CONSTRAINT "documents_pkey" PRIMARY KEY (id, firm_id)' in create_table(Document)
    references = "\n".join(add_references(Document))
    assert 'FOREIGN KEY ("case_id", "firm_id") REFERENCES "cases" ("id", "firm_id") ON DELETE CASCADE' in references
    assert 'ON DELETE SET NULL ("created_by_id")' in references
