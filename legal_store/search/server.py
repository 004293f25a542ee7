"""What the connected server is like, as far as vector search depends on it: read once a minute, not for each search."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

from legal_store.database import current_firm, db
from legal_store.errors import ConfigurationError
from legal_store.search.planning import Costs, default_costs
from legal_store.search.running import rows

# 0.8.2 to 0.8.4 fixed wrong results and corrupt HNSW indexes (pgvector's CHANGELOG)
LEAST_PGVECTOR = (0, 8, 4)
FRESH_FOR_S = 60.0
MOST_KNOWN = 10_000

_READ = """
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
       (SELECT ARRAY[pg_get_indexdef(i.indexrelid), c.reltuples::bigint::text]
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS a ON a.oid = c.relam
        WHERE i.indrelid = 'documents'::regclass AND i.indisvalid AND a.amname = 'hnsw'
          AND pg_get_indexdef(i.indexrelid) LIKE '%%cosine_ops%%'
        ORDER BY c.relname LIMIT 1),
       (SELECT ROW_TO_JSON(k) FROM (SELECT exact_row_us, index_start_us, index_row_us, ef_search, overfetch
        FROM search_calibrations ORDER BY measured_at DESC LIMIT 1) AS k)
"""


class Server(NamedTuple):
    """What the cosine index over the embeddings holds ("vector", "halfvec", empty without one), and its costs."""

    indexed: str
    documents: int
    costs: Costs


T = TypeVar("T")
_known: dict[tuple[Any, ...], tuple[float, Any]] = {}


def server() -> Server:
    """Return what is known of the server of `db`; asks it when that is older than a minute.

    Raises ConfigurationError when its pgvector is known to give wrong results.
    """
    return _read_lately(("server",), _read)


def firm_has_more_than(count: int) -> bool:
    """Say whether the scope's firm has more documents with an embedding than that, or had a minute ago."""
    return _read_lately((current_firm(), count), lambda: _firm_has_more_than(count))


def _read_lately(what: tuple[Any, ...], read: Callable[[], T]) -> T:
    key = (*what, db.database, *sorted((name, str(db.connect_params.get(name))) for name in ("host", "port")))
    read_at, found = _known.get(key, (-math.inf, None))
    if time.monotonic() - read_at > FRESH_FOR_S:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        found = read()
        _known[key] = (time.monotonic(), found)
    return cast("T", found)


def forget_server() -> None:
    """Have the next search ask the server again: after a calibration, or when its index was changed."""
    _known.clear()


def refuse_wrong_results(version: str | None) -> None:
    """Raise ConfigurationError for a version of pgvector with known wrong results."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version or "")[:3])
    if numbers < LEAST_PGVECTOR:
        raise ConfigurationError(
            f"This server's pgvector is {version or 'not installed'}; before 0.8.4 its HNSW indexes could lose rows "
            "or give wrong results.",
            remedy="Install pgvector 0.8.4 or later, run ALTER EXTENSION vector UPDATE, then "
            "REINDEX INDEX CONCURRENTLY documents_content_embedding_idx.",
        )


def _read() -> Server:
    version, index, costs = db.execute_sql(_READ).fetchone()
    refuse_wrong_results(version)
    definition, documents = index or ("", "0")
    indexed = "halfvec" if "halfvec_cosine_ops" in definition else "vector" if definition else ""
    return Server(indexed, int(documents), Costs(**costs) if costs else default_costs(int(documents)))


def _firm_has_more_than(count: int) -> bool:
    statement = "SELECT EXISTS (SELECT FROM documents WHERE firm_id = %s AND content_embedding IS NOT NULL OFFSET %s)"
    return bool(rows(statement, [current_firm(), count], {"enable_seqscan": "off"})[0][0])
