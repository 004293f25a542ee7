"""Measures exact search and index on the data that is there, and sets when which is used."""

from __future__ import annotations

import json
import random
import statistics
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from legal_store.database import all_firms, db, firm
from legal_store.errors import SearchInputError
from legal_store.search.inputs import Filters, checked_vector
from legal_store.search.meaning import nearest_ids
from legal_store.search.planning import Costs, exact_limit
from legal_store.search.server import Server, forget_server, server

WANTED = 10
LEAST_DOCUMENTS = 100
# from cheap to dear; the first that reaches the recall is taken
BREADTHS = ((40, 0), (40, 30), (100, 30), (200, 60), (400, 100), (1000, 200))
_ALWAYS_EXACT, _ALWAYS_INDEX = 1e-9, 1e12


class Measured(NamedTuple):
    """One way through the index: its recall@10 beside exact search, and the median time of a search."""

    ef_search: int
    overfetch: int
    recall: float
    milliseconds: float


class CalibrationReport(NamedTuple):
    """What was measured on the firm with the most embeddings, and what follows from it."""

    firm_id: uuid.UUID
    documents: int
    exact_milliseconds: float
    measured: list[Measured]
    costs: Costs
    recall: float
    exact_limit: int
    stored: bool


def calibrate(
    *,
    samples: int = 50,
    least_recall: float = 0.98,
    store: bool = True,
    progress: Callable[[str], None] = lambda message: None,
) -> CalibrationReport:
    """Measure exact search and index with `samples` queries near documents of the largest firm, and store the costs.

    Every search of every process uses them within a minute. Chosen is the narrowest walk through the index with a
    recall@10 of `least_recall`, or the best there is. Needs the rights of the schema's owner. Raises
    SearchInputError when fewer than 100 documents of one firm have embeddings, or there is no index.
    """
    known = server()
    if not known.indexed:
        raise SearchInputError("There is no cosine HNSW index to measure.", remedy="Run `invoke migrate.deploy`.")
    firm_id, count, queries = _queries(samples)
    with firm(firm_id):
        progress(f"exact search over {count} documents")
        exact_ms, right = _exact(known, firm_id, queries)
        measured = []
        for ef_search, overfetch in BREADTHS:
            progress(f"index with ef_search {ef_search}")
            measured.append(_measure(known, firm_id, queries, right, ef_search, overfetch))
            if measured[-1].recall >= least_recall and len(measured) > 2:
                break
    chosen = next((one for one in measured if one.recall >= least_recall), max(measured, key=lambda one: one.recall))
    costs = _costs(exact_ms, count, measured, chosen)
    report = CalibrationReport(
        firm_id, count, exact_ms, measured, costs, chosen.recall, exact_limit(costs, known.documents, WANTED), store
    )
    if store:
        _store(report)
    return report


def _queries(samples: int) -> tuple[uuid.UUID, int, list[str]]:
    with all_firms(reason="search.calibrate looks for the firm with the most embeddings"):
        largest = db.execute_sql(
            "SELECT firm_id, count(*) FROM documents WHERE content_embedding IS NOT NULL "
            "GROUP BY firm_id ORDER BY 2 DESC, 1 LIMIT 1"
        ).fetchone()
        if largest is None or largest[1] < LEAST_DOCUMENTS:
            raise SearchInputError(
                f"The largest firm has {largest[1] if largest else 0} documents with embeddings; {LEAST_DOCUMENTS} "
                "are needed to measure.",
                remedy="Run `invoke search.embed`, or calibrate where the data is.",
            )
        vectors = db.execute_sql(
            "SELECT content_embedding::text FROM documents WHERE firm_id = %s AND content_embedding IS NOT NULL "
            "ORDER BY md5(id::text) LIMIT %s",
            [largest[0], samples],
        ).fetchall()
    source = random.Random(1)  # noqa: S311  (no secret)
    return largest[0], largest[1], [_beside(json.loads(vector), source) for (vector,) in vectors]


def _beside(vector: list[float], source: random.Random) -> str:
    """Return a query near a document, as questions are: 0.9 along it, the rest in any direction."""
    noise = [source.gauss(0, 1) for _ in vector]
    length = sum(value * value for value in vector) ** 0.5
    noise_length = sum(value * value for value in noise) ** 0.5
    if length == 0:
        return checked_vector(noise)
    return checked_vector([0.9 * v / length + 0.436 * n / noise_length for v, n in zip(vector, noise, strict=True)])


def _exact(known: Server, firm_id: uuid.UUID, queries: list[str]) -> tuple[float, list[set[Any]]]:
    exact = known._replace(costs=known.costs._replace(exact_row_us=_ALWAYS_EXACT))
    times, right = _timed(exact, firm_id, queries)
    return statistics.median(times), right


def _measure(
    known: Server, firm_id: uuid.UUID, queries: list[str], right: list[set[Any]], ef_search: int, overfetch: int
) -> Measured:
    costs = known.costs._replace(exact_row_us=_ALWAYS_INDEX, ef_search=ef_search, overfetch=overfetch)
    times, found = _timed(known._replace(costs=costs), firm_id, queries)
    shares = [len(one & best) / max(1, len(best)) for one, best in zip(found, right, strict=True)]
    return Measured(ef_search, overfetch, statistics.mean(shares), statistics.median(times))


def _timed(known: Server, firm_id: uuid.UUID, queries: list[str]) -> tuple[list[float], list[set[Any]]]:
    nearest_ids(known, firm_id, queries[0], Filters(), WANTED, timeout_ms=0)  # warms the cache
    times, found = [], []
    for query in queries:
        began = time.perf_counter()
        ids = nearest_ids(known, firm_id, query, Filters(), WANTED, timeout_ms=0)
        times.append((time.perf_counter() - began) * 1000)
        found.append(set(ids))
    return times, found


def _costs(exact_ms: float, count: int, measured: list[Measured], chosen: Measured) -> Costs:
    first, last = measured[0], measured[-1]
    slope = 1000 * (last.milliseconds - first.milliseconds) / (last.ef_search - first.ef_search)
    return Costs(
        exact_row_us=1000 * exact_ms / count,
        index_start_us=1000 * chosen.milliseconds,
        index_row_us=max(1.0, slope),
        ef_search=chosen.ef_search,
        overfetch=chosen.overfetch,
    )


def _store(report: CalibrationReport) -> None:
    figures = {"exact_ms": report.exact_milliseconds, "measured": [one._asdict() for one in report.measured]}
    with all_firms(reason="search.calibrate stores what it measured"):
        db.execute_sql(
            "INSERT INTO search_calibrations (documents, exact_row_us, index_start_us, index_row_us, ef_search, "
            "overfetch, recall, figures) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [report.documents, *report.costs, report.recall, json.dumps(figures)],
        )
    forget_server()
