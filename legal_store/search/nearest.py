"""The SQL that finds the documents nearest to a vector: all of them compared, or the index with a way back."""

from __future__ import annotations

from typing import Any, NamedTuple

from legal_store.models.documents import EMBEDDING_DIMENSIONS
from legal_store.search.inputs import Filters
from legal_store.search.planning import exact_limit
from legal_store.search.server import Server

OPERATORS = {"cosine": "<=>", "l2": "<->", "inner_product": "<#>"}
SCORES = {"cosine": "1 - nearest.distance", "l2": "-nearest.distance", "inner_product": "-nearest.distance"}
# beyond so many documents of others on the way, comparing all of one's own is cheaper
MAX_SCAN_TUPLES = 20_000

_CONDITIONS = (
    "row.case_id = ANY (%s::uuid[])",
    "row.document_type = ANY (%s::text[])",
    "row.status = ANY (%s::text[])",
    "row.created_at >= %s::timestamptz",
    "row.created_at < %s::timestamptz",
)


class Arm(NamedTuple):
    """Common table expressions that end in `nearest (id, distance)`, with what they need."""

    sql: str
    parameters: list[Any]
    settings: dict[str, Any]


def nearest(server: Server, firm: Any, vector: str, metric: str, filters: Filters, wanted: int) -> Arm:
    """Return the arm for `wanted` documents nearest to `vector`, in the notation of pgvector.

    `nearest` has that many rows wherever so many documents with an embedding pass the filters: what the index brings
    too few of is compared instead. An index serves cosine distance only; the other metrics are always compared.
    """
    conditions, values = _conditions(firm, filters)
    distance = f"row.content_embedding {OPERATORS[metric]} (SELECT vector FROM asked_vector)"
    asked = f"asked_vector AS MATERIALIZED (SELECT %s::vector({EMBEDDING_DIMENSIONS}) AS vector)"
    if metric != "cosine" or not server.indexed:
        return Arm(f"{asked},\n{_compared('nearest', conditions, distance, wanted)}", [vector, *values], {})
    limit = exact_limit(server.costs, server.documents, wanted)
    walked = _walked(server, conditions, distance, wanted)
    enough = f"(SELECT count(*) FROM walked) >= {wanted}"
    sql = f"""{asked},
few AS MATERIALIZED (SELECT FROM documents AS row WHERE {conditions} LIMIT {limit + 1}),
walked AS MATERIALIZED ({walked.format(many=f"(SELECT count(*) FROM few) > {limit}")}),
{_compared("compared", f"{conditions} AND NOT {enough}", distance, wanted)},
nearest AS (SELECT * FROM compared UNION ALL SELECT * FROM walked WHERE {enough})"""
    return Arm(sql, [vector, *values, *values, *values], _settings(server))


def _walked(server: Server, conditions: str, distance: str, wanted: int) -> str:
    indexed = f"(row.{server.indexed.format(EMBEDDING_DIMENSIONS)})"
    asked = f"(SELECT vector{server.indexed.removeprefix('content_embedding').format(EMBEDDING_DIMENSIONS)}"
    return f"""
    SELECT id, distance FROM (
        SELECT row.id, {distance} AS distance FROM documents AS row WHERE {conditions} AND {{many}}
        ORDER BY {indexed} <=> {asked} FROM asked_vector) LIMIT {wanted + server.costs.overfetch}
    ) AS found ORDER BY distance, id LIMIT {wanted}"""


def _compared(name: str, conditions: str, distance: str, wanted: int) -> str:
    # "+ 0" keeps the index, which may miss some, out of it
    return f"""{name} AS MATERIALIZED (
    SELECT id, distance FROM (
        SELECT row.id, {distance} AS distance FROM documents AS row WHERE {conditions}
        ORDER BY ({distance}) + 0, row.id LIMIT {wanted}
    ) AS found WHERE distance <> 'NaN')"""


def _conditions(firm: Any, filters: Filters) -> tuple[str, list[Any]]:
    given = [(c, v) for c, v in zip(_CONDITIONS, filters.parameters(), strict=True) if v is not None]
    conditions = ["row.firm_id = %s", "row.content_embedding IS NOT NULL", *(condition for condition, _ in given)]
    return " AND ".join(conditions), [firm, *(value for _, value in given)]


def _settings(server: Server) -> dict[str, Any]:
    return {
        "hnsw.ef_search": server.costs.ef_search,
        "hnsw.iterative_scan": "relaxed_order",
        "hnsw.max_scan_tuples": MAX_SCAN_TUPLES,
        # the walk is wanted where it is asked for, whatever the estimates: an order that no sort makes
        "enable_sort": "off",
        # an index over the firm's documents serves the rest, however large its share of the table
        "enable_seqscan": "off",
        "jit": "off",
    }
