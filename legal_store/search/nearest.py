"""The call that finds the documents nearest to a vector: all of them compared, or the index with a way back."""

from __future__ import annotations

from typing import Any, NamedTuple

from legal_store.search.inputs import Filters
from legal_store.search.planning import exact_limit
from legal_store.search.server import Server, firm_has_more_than

# beyond so many documents of others on the way, comparing all of one's own is cheaper
MAX_SCAN_TUPLES = 20_000


class Arm(NamedTuple):
    """A function that finds documents, as a table in SQL, with what it needs."""

    sql: str
    parameters: list[Any]
    settings: dict[str, Any]


def nearest(server: Server, vector: str, metric: str, filters: Filters, wanted: int) -> Arm:
    """Return the call for `wanted` documents nearest to `vector`, in the notation of pgvector.

    It has that many rows wherever so many documents with an embedding pass the filters: what the index brings too few
    of is compared instead. An index serves cosine distance only; the other metrics are always compared.
    """
    costs, index_of = server.costs, (server.indexed or None) if metric == "cosine" else None
    arguments, values = filters.arguments()
    compare_up_to = exact_limit(costs, server.documents, wanted)
    if index_of and not values and firm_has_more_than(compare_up_to):
        compare_up_to = 0  # nothing to count
    call = f"search_nearest(%s, %s, %s, %s, %s, %s{arguments})"
    parameters = [vector, metric, wanted, wanted + costs.overfetch, compare_up_to, index_of, *values]
    settings = {
        "hnsw.ef_search": costs.ef_search,
        "hnsw.iterative_scan": "relaxed_order",
        "hnsw.max_scan_tuples": MAX_SCAN_TUPLES,
    }
    return Arm(call, parameters, settings)
