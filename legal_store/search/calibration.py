"""Measures exact search and index on the data that is there, and sets when which is used."""

from __future__ import annotations

import itertools
import json
import math
import random
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
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

Progress = Callable[[str], None]


class Measured(NamedTuple):
    """One breadth of walks through the index: the median time of a search in the largest firm, and its recall@10.

    `recall` is the lower of two, beside exact search: that in the largest firm, and that among the `fewest` documents
    for which a walk of this breadth would be the way.
    """

    ef_search: int
    overfetch: int
    recall: float
    milliseconds: float
    fewest: int


class CalibrationReport(NamedTuple):
    """What was measured on the firm with the most embeddings, and what follows from it.

    `sure` says whether the recall that was asked for is reached with a confidence of 95 %.
    """

    firm_id: uuid.UUID
    documents: int
    exact_milliseconds: float
    measured: list[Measured]
    costs: Costs
    recall: float
    sure: bool
    exact_limit: int
    stored: bool


def calibrate(
    *, samples: int = 50, least_recall: float = 0.98, store: bool = True, progress: Progress = lambda message: None
) -> CalibrationReport:
    """Measure exact search and index, with `samples` queries for each set of documents, and store the costs.

    Times are taken in the largest firm. Recall is measured there and where it is hardest: among the fewest documents
    for which the index would be walked, of all that a search without filters, or with one for a case, a type or a
    status, looks among. Which these are follows from the costs, so that each breadth of a walk has its own.

    Every search of every process uses the costs within a minute. Chosen is the narrowest walk through the index whose
    recall@10 is `least_recall` with a confidence of 95 %, or the best there is. Needs the rights of the schema's
    owner. Raises SearchInputError when fewer than 100 documents of one firm have embeddings, when there is no index,
    or when so few samples could not show that recall.
    """
    _check_samples(samples, least_recall)
    known = server()
    if not known.indexed:
        raise SearchInputError("There is no cosine HNSW index to measure.", remedy="Run `invoke migrate.deploy`.")
    sets = _sets(least=max(samples, LEAST_DOCUMENTS))
    largest = _sample(known, _largest_firm(sets), samples, progress)
    walks = [_walk(known, largest, *breadth, progress) for breadth in BREADTHS]
    costs = _costs(largest, walks)
    measured = [
        _where_it_is_hardest(known, sets, walk, its_costs, samples, progress)
        for walk, its_costs in zip(walks, costs, strict=True)
    ]
    sure = [one for one in measured if least_that_is_sure(one.recall, samples * WANTED) >= least_recall]
    chosen = sure[0] if sure else max(measured, key=lambda one: one.recall)
    its_costs = costs[measured.index(chosen)]
    report = CalibrationReport(
        firm_id=largest.documents.firm_id,
        documents=largest.documents.size,
        exact_milliseconds=largest.milliseconds,
        measured=measured,
        costs=its_costs,
        recall=chosen.recall,
        sure=bool(sure),
        exact_limit=exact_limit(its_costs, known.documents, WANTED),
        stored=store,
    )
    if store:
        _store(report)
    return report


def least_that_is_sure(share: float, trials: int) -> float:
    """Return the share that is exceeded with a confidence of 95 % where `share` of `trials` was seen. Pure.

    The lower bound of Wilson's score interval (E. B. Wilson, 1927), one-sided.
    """
    z = 1.645
    middle = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return (middle - spread) / (1 + z * z / trials)


def _check_samples(samples: int, least_recall: float) -> None:
    if not 0 < least_recall < 1:
        raise SearchInputError(f"A recall of {least_recall} cannot be asked for.", remedy="Give one between 0 and 1.")
    if samples < 1 or least_that_is_sure(1.0, samples * WANTED) < least_recall:
        needed = next(n for n in itertools.count(1) if least_that_is_sure(1.0, n * WANTED) >= least_recall)
        raise SearchInputError(
            f"{samples} samples cannot show a recall of {least_recall}.", remedy=f"Give {needed} or more."
        )


class _Documents(NamedTuple):
    """Documents with embeddings that a search looks among: a firm's, or those of them that pass one filter."""

    firm_id: uuid.UUID
    filters: Filters
    size: int


class _Sample(NamedTuple):
    """Queries near documents, what is right for each, and the median time of an exact search."""

    documents: _Documents
    queries: list[str]
    right: Sequence[set[Any]]
    milliseconds: float


def _sets(least: int) -> list[_Documents]:
    """Return the sets of at least so many documents, the smallest first."""
    with all_firms(reason="search.calibrate counts documents with embeddings"):
        counted = db.execute_sql(
            "SELECT firm_id, case_id, document_type, status, count(*) FROM documents "
            "WHERE content_embedding IS NOT NULL "
            "GROUP BY GROUPING SETS ((firm_id), (firm_id, case_id), (firm_id, document_type), (firm_id, status)) "
            "ORDER BY count(*), firm_id, case_id, document_type, status"
        ).fetchall()
    most = counted[-1][-1] if counted else 0
    if most < least:
        raise SearchInputError(
            f"The largest firm has {most} documents with embeddings; {least} are needed to measure.",
            remedy="Run `invoke search.embed`, or calibrate where the data is.",
        )
    return [_Documents(firm_id, Filters(*filters), count) for firm_id, *filters, count in counted if count >= least]


def _largest_firm(sets: list[_Documents]) -> _Documents:
    return [one for one in sets if one.filters == Filters()][-1]


def _sample(known: Server, documents: _Documents, samples: int, progress: Progress) -> _Sample:
    progress(f"exact search over {documents.size} documents")
    queries = _queries(documents, samples)
    always_exact = known._replace(costs=known.costs._replace(exact_row_us=_ALWAYS_EXACT))
    times, right = _timed(always_exact, documents, queries)
    return _Sample(documents, queries, right, statistics.median(times))


def _queries(documents: _Documents, samples: int) -> list[str]:
    case, document_type, status, *_ = documents.filters
    with all_firms(reason="search.calibrate takes documents as queries"):
        vectors = db.execute_sql(
            "SELECT content_embedding::text FROM documents WHERE firm_id = %s AND content_embedding IS NOT NULL "
            "AND coalesce(case_id = %s, true) AND coalesce(document_type = %s, true) AND coalesce(status = %s, true) "
            "ORDER BY md5(id::text) LIMIT %s",
            [documents.firm_id, case, document_type, status, samples],
        ).fetchall()
    source = random.Random(1)  # noqa: S311  (no secret)
    return [_beside(json.loads(vector), source) for (vector,) in vectors]


def _beside(vector: list[float], source: random.Random) -> str:
    """Return a query near a document, as questions are: 0.9 along it, the rest in any direction."""
    noise = [source.gauss(0, 1) for _ in vector]
    length = sum(value * value for value in vector) ** 0.5
    noise_length = sum(value * value for value in noise) ** 0.5
    if length == 0:
        return checked_vector(noise)
    return checked_vector([0.9 * v / length + 0.436 * n / noise_length for v, n in zip(vector, noise, strict=True)])


def _walk(known: Server, sample: _Sample, ef_search: int, overfetch: int, progress: Progress) -> Measured:
    progress(f"index with ef_search {ef_search}")
    costs = known.costs._replace(exact_row_us=_ALWAYS_INDEX, ef_search=ef_search, overfetch=overfetch)
    times, found = _timed(known._replace(costs=costs), sample.documents, sample.queries)
    recall = statistics.mean(len(one & best) / len(best) for one, best in zip(found, sample.right, strict=True))
    return Measured(ef_search, overfetch, recall, statistics.median(times), sample.documents.size)


def _timed(known: Server, documents: _Documents, queries: list[str]) -> tuple[list[float], list[set[Any]]]:
    def search(query: str) -> set[Any]:
        return set(nearest_ids(known, query, documents.filters, WANTED, timeout_ms=0))

    times, found = [], []
    with firm(documents.firm_id):
        search(queries[0])  # warms the cache
        for query in queries:
            began = time.perf_counter()
            found.append(search(query))
            times.append((time.perf_counter() - began) * 1000)
    return times, found


def _costs(largest: _Sample, walks: list[Measured]) -> list[Costs]:
    """Return what searching costs with each breadth of a walk."""
    first, last = walks[0], walks[-1]
    slope = 1000 * (last.milliseconds - first.milliseconds) / (last.ef_search - first.ef_search)
    return [
        Costs(
            exact_row_us=1000 * largest.milliseconds / largest.documents.size,
            index_start_us=1000 * walk.milliseconds,
            index_row_us=max(1.0, slope),
            ef_search=walk.ef_search,
            overfetch=walk.overfetch,
        )
        for walk in walks
    ]


def _where_it_is_hardest(
    known: Server, sets: list[_Documents], walk: Measured, costs: Costs, samples: int, progress: Progress
) -> Measured:
    """Return the walk with its recall among the fewest documents for which, at these costs, the index is walked."""
    limit = exact_limit(costs, known.documents, WANTED)
    fewest = next((one for one in sets if one.size > limit), None)
    if fewest is None:
        return walk
    sample = _sample(known, fewest, samples, progress)
    again = _walk(known, sample, walk.ef_search, walk.overfetch, progress)
    return walk._replace(recall=min(walk.recall, again.recall), fewest=fewest.size)


def _store(report: CalibrationReport) -> None:
    figures = {"exact_ms": report.exact_milliseconds, "measured": [one._asdict() for one in report.measured]}
    with all_firms(reason="search.calibrate stores what it measured"):
        db.execute_sql(
            "INSERT INTO search_calibrations (documents, exact_row_us, index_start_us, index_row_us, ef_search, "
            "overfetch, recall, figures) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [report.documents, *report.costs, report.recall, json.dumps(figures)],
        )
    forget_server()
