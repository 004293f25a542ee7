"""Search by meaning: the documents whose embeddings are nearest to a vector."""

from __future__ import annotations

import uuid
from typing import Any

from legal_store.errors import SearchInputError
from legal_store.search.hits import Hit
from legal_store.search.inputs import Filters, checked_limit, checked_vector, firm_of_scope
from legal_store.search.nearest import OPERATORS, SCORES, nearest
from legal_store.search.running import rows
from legal_store.search.server import Server, server


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
    firm = firm_of_scope()
    filters = Filters(case, document_type, status, created_from, created_before)
    arm = nearest(server(), firm, checked_vector(vector), checked_metric(metric), filters, checked_limit(limit))
    statement = f"""
WITH {arm.sql}
SELECT row.id, row.title, row.case_id, {SCORES[metric]} AS score
FROM nearest JOIN documents AS row ON row.id = nearest.id AND row.firm_id = %s
ORDER BY nearest.distance, row.id LIMIT {limit}"""
    found = rows(statement, [*arm.parameters, firm], arm.settings, timeout_ms=timeout_ms)
    return [Hit("document", *row) for row in found]


def nearest_ids(
    known: Server, firm: Any, vector: str, filters: Filters, wanted: int, *, timeout_ms: int | None = None
) -> list[uuid.UUID]:
    """Return the ids of the documents nearest to `vector`, by cosine, on a server of the given costs."""
    arm = nearest(known, firm, vector, "cosine", filters, wanted)
    statement = f"WITH {arm.sql}\nSELECT id FROM nearest ORDER BY distance, id LIMIT {wanted}"
    return [row[0] for row in rows(statement, arm.parameters, arm.settings, timeout_ms=timeout_ms)]


def checked_metric(given: str) -> str:
    """Return the metric. Raises SearchInputError for one that is not known."""
    if given not in OPERATORS:
        raise SearchInputError(f"metric={given!r} is unknown.", remedy=f"Known are {', '.join(OPERATORS)}.")
    return given
