"""Embeddings are vectors of pgvector: stored, read back as numbers, and compared in a query."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from legal_store import Document
from legal_store.models.searching import EMBEDDING_DIMENSIONS
from tests.search.conftest import axis, open_office


def test_a_vector_is_stored_read_and_ordered_by_its_distance(database: Any) -> None:
    office = open_office("RO1", "RO1")
    for title, vector in (("near", axis((0, 2))), ("far", axis((1, 1)))):
        Document.create(
            firm=office.firm_id, case=office.case, title=title, document_type="Brief", content_embedding=vector
        )
    embedding, query = Document.content_embedding, axis((0, 1))
    for distance in (embedding.cosine_distance, embedding.l2_distance, embedding.max_inner_product):
        found = list(Document.select().order_by(distance(query)))
        assert [document.title for document in found] == ["near", "far"]
        assert found[0].content_embedding == axis((0, 2)) and len(found[0].content_embedding) == EMBEDDING_DIMENSIONS


def test_a_service_without_vectors_does_not_import_pgvector() -> None:
    code = "import sys; from legal_store import Case, Document; print('pgvector' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
