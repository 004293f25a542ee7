"""How good the order of the hits is, on a labelled set in two languages."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import pytest

from legal_store import Document, firm, search
from legal_store.search.providers import HashedNgrams
from tests.search.conftest import Office
from tests.search.labelled import ENGLISH, ROMANIAN, Language, Question, papers_and_questions

ARMS = ("fuzzy", "text", "semantic")


def ndcg_at_10(found: Sequence[Any], answers: frozenset[Any]) -> float:
    """Return the normalised discounted cumulative gain of the first ten, every answer counting the same."""
    gain = sum(1 / math.log2(place + 2) for place, one in enumerate(found[:10]) if one in answers)
    best = sum(1 / math.log2(place + 2) for place in range(min(10, len(answers))))
    return gain / best


@pytest.mark.parametrize(("language", "factor"), [(ROMANIAN, 1.05), (ENGLISH, 1.02)], ids=["ro", "en"])
def test_hybrid_orders_better_than_each_of_its_arms(
    offices: tuple[Office, Office], language: Language, factor: float
) -> None:
    office, _ = offices
    papers, questions = papers_and_questions(language, 500, 90)
    rows = [{"firm": office.firm_id, "case": office.case, "document_type": "Other", "title": paper.title,
             "content": paper.content} for paper in papers]  # fmt: skip
    with firm(office.firm_id):
        Document.insert_many(rows).execute()
        place_of = {
            row.title + row.content: row.id for row in Document.select(Document.id, Document.title, Document.content)
        }
    ids = [place_of[paper.title + paper.content] for paper in papers]
    provider = HashedNgrams()
    search.embed_documents(provider, firm_id=office.firm_id, batch=400)
    vectors = provider.embed([question.text for question in questions])

    def quality(weights: dict[str, float]) -> float:
        def of(question: Question, vector: list[float]) -> float:
            hits = search.hybrid(question.text, vector, weights=weights)
            return ndcg_at_10([hit.id for hit in hits], frozenset(ids[at] for at in question.answers))

        with firm(office.firm_id):
            return statistics.mean(of(q, v) for q, v in zip(questions, vectors, strict=True))

    single = {arm: quality({other: float(other == arm) for other in ARMS}) for arm in ARMS}
    together = quality({})
    assert together >= factor * max(single.values()), {**single, "hybrid": together}
