"""Search by meaning: the documents whose embeddings are nearest to a vector."""

from __future__ import annotations

import uuid
from typing import Any

from legal_store.errors import SearchInputError
from legal_store.search.hits import Hit
from legal_store.search.inputs import Filters, checked_limit, checked_vector, firm_of_scope
from legal_store.search.nearest import nearest
from legal_store.search.running import rows
from legal_store.search.server import Server, server

SCORES = {"cosine": "1 - distance", "l2": "-distance", "inner_product": "-distance"}


def semantic(
    vector: Any,
    *,
    metric: str = "cosine",
    case: Any = None,
    document_type: Any = None,
    status: Any = None,
    created_from: Any = None,
    created_before: Any = None,
    limit: int = 10,
    timeout_ms: int | None = None,
) -> list[Hit]:
    """Return the firm's documents whose embeddings are nearest to `vector`, always `limit` where so many exist.

    `vector` is a sequence of 1536 numbers. `metric` is "cosine" (score 1 for the same direction, -1 for the
    opposite), "inner_product" (score: the product) or "l2" (score: minus the distance); for embeddings of length 1
    all three give the same order, and cosine is the one with an index. Small sets are compared exactly, larger ones
    through the index, with `invoke search.calibrate` to tell them apart.
    Read-only. Raises FirmScopeError, SearchInputError, SearchError, and ConfigurationError for a pgvector that is
    known to give wrong results.
    """
    firm_of_scope()
    filters = Filters(case, document_type, status, created_from, created_before)
    arm = nearest(server(), checked_vector(vector), checked_metric(metric), filters, checked_limit(limit))
    statement = f"SELECT id, title, case_id, {SCORES[metric]} FROM {arm.sql}"
    found = rows(statement, arm.parameters, arm.settings, timeout_ms=timeout_ms)
    return [Hit("document", *row) for row in found]


def nearest_ids(
    known: Server, vector: str, filters: Filters, wanted: int, *, timeout_ms: int | None = None
) -> list[uuid.UUID]:
    """Return the ids of the documents nearest to `vector`, by cosine, on a server of the given costs."""
    arm = nearest(known, vector, "cosine", filters, wanted)
    return [row[0] for row in rows(f"SELECT id FROM {arm.sql}", arm.parameters, arm.settings, timeout_ms=timeout_ms)]


def checked_metric(given: str) -> str:
    """Return the metric. Raises SearchInputError for one that is not known."""
    if given not in SCORES:
        raise SearchInputError(f"metric={given!r} is unknown.", remedy=f"Known are {', '.join(SCORES)}.")
    return given
