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
    """Measure exact search and index, with `samples` queries each in two firms, and store the costs.

    The firms are the largest one and the smallest for which the index is walked.

    Every search of every process uses them within a minute. Chosen is the narrowest walk through the index whose
    recall@10 is `least_recall` with a confidence of 95 %, or the best there is. Needs the rights of the schema's
    owner. Raises SearchInputError when fewer than 100 documents of one firm have embeddings, when there is no index,
    or when so few samples could not show that recall.
    """
    _check_samples(samples, least_recall)
    known = server()
    if not known.indexed:
        raise SearchInputError("There is no cosine HNSW index to measure.", remedy="Run `invoke migrate.deploy`.")
    largest, *others = (_exact(known, one, progress) for one in _samples(known, samples))
    measured = []
    for ef_search, overfetch in BREADTHS:
        progress(f"index with ef_search {ef_search}")
        measured.append(_measure(known, [largest, *others], ef_search, overfetch))
        if _is_shown(measured[-1], samples, least_recall) and len(measured) > 2:
            break
    chosen = next(
        (one for one in measured if _is_shown(one, samples, least_recall)), max(measured, key=lambda one: one.recall)
    )
    firm_id, count, exact_ms = largest.firm_id, largest.documents, largest.milliseconds
    costs = _costs(exact_ms, count, measured, chosen)
    report = CalibrationReport(
        firm_id, count, exact_ms, measured, costs, chosen.recall, exact_limit(costs, known.documents, WANTED), store
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


def _is_shown(one: Measured, samples: int, least_recall: float) -> bool:
    return least_that_is_sure(one.recall, samples * WANTED) >= least_recall


def _check_samples(samples: int, least_recall: float) -> None:
    if not 0 < least_recall < 1:
        raise SearchInputError(f"A recall of {least_recall} cannot be asked for.", remedy="Give one between 0 and 1.")
    if samples < 1 or least_that_is_sure(1.0, samples * WANTED) < least_recall:
        needed = next(n for n in itertools.count(1) if least_that_is_sure(1.0, n * WANTED) >= least_recall)
        raise SearchInputError(
            f"{samples} samples cannot show a recall of {least_recall}.", remedy=f"Give {needed} or more."
        )


class _Sample(NamedTuple):
    """A firm, queries near its documents, and, once searched exactly, what is right and how long that took."""

    firm_id: uuid.UUID
    documents: int
    queries: list[str]
    right: Sequence[set[Any]] = ()
    milliseconds: float = 0.0


def _samples(known: Server, samples: int) -> list[_Sample]:
    """Return the largest firm and the smallest for which the index is walked: the smaller its share, the harder."""
    with all_firms(reason="search.calibrate looks for the firms with embeddings"):
        firms = db.execute_sql(
            "SELECT firm_id, count(*) FROM documents WHERE content_embedding IS NOT NULL "
            "GROUP BY firm_id ORDER BY 2 DESC, 1"
        ).fetchall()
        large = [found for found in firms if found[1] >= LEAST_DOCUMENTS]
        if not large:
            raise SearchInputError(
                f"The largest firm has {firms[0][1] if firms else 0} documents with embeddings; {LEAST_DOCUMENTS} "
                "are needed to measure.",
                remedy="Run `invoke search.embed`, or calibrate where the data is.",
            )
        limit = exact_limit(known.costs, known.documents, WANTED)
        walked = [found for found in large if found[1] > limit]
        chosen = dict.fromkeys((large[0], *walked[-1:]))
        return [_Sample(firm_id, count, _queries(firm_id, samples)) for firm_id, count in chosen]


def _queries(firm_id: uuid.UUID, samples: int) -> list[str]:
    vectors = db.execute_sql(
        "SELECT content_embedding::text FROM documents WHERE firm_id = %s AND content_embedding IS NOT NULL "
        "ORDER BY md5(id::text) LIMIT %s",
        [firm_id, samples],
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


def _exact(known: Server, sample: _Sample, progress: Callable[[str], None]) -> _Sample:
    progress(f"exact search over {sample.documents} documents")
    times, right = _timed(known._replace(costs=known.costs._replace(exact_row_us=_ALWAYS_EXACT)), sample)
    return sample._replace(right=right, milliseconds=statistics.median(times))


def _measure(known: Server, samples: list[_Sample], ef_search: int, overfetch: int) -> Measured:
    """Return the lowest recall of all samples, and the time of the first."""
    costs = known.costs._replace(exact_row_us=_ALWAYS_INDEX, ef_search=ef_search, overfetch=overfetch)
    timed = [_timed(known._replace(costs=costs), sample) for sample in samples]
    recall = min(_recall(found, sample.right) for (_, found), sample in zip(timed, samples, strict=True))
    return Measured(ef_search, overfetch, recall, statistics.median(timed[0][0]))


def _recall(found: list[set[Any]], right: Sequence[set[Any]]) -> float:
    return statistics.mean(len(one & best) / max(1, len(best)) for one, best in zip(found, right, strict=True))


def _timed(known: Server, sample: _Sample) -> tuple[list[float], list[set[Any]]]:
    times, found = [], []
    with firm(sample.firm_id):
        _search(known, sample.queries[0])  # warms the cache
        for query in sample.queries:
            began = time.perf_counter()
            ids = _search(known, query)
            times.append((time.perf_counter() - began) * 1000)
            found.append(set(ids))
    return times, found


def _search(known: Server, query: str) -> list[Any]:
    return nearest_ids(known, query, Filters(), WANTED, timeout_ms=0)


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
