"""How good the order of the hits is, on a labelled set in two languages.

LEGAL_STORE_SWEEP=full adds ten sets that nothing was chosen by.
"""

from __future__ import annotations

import math
import os
import random
import statistics
import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from legal_store import Document, all_firms, firm, search
from legal_store.search.providers import HashedNgrams
from tests.search.conftest import open_office
from tests.search.labelled import ENGLISH, ROMANIAN, Language, Question, papers_and_questions

ARMS = ("fuzzy", "text", "semantic")
SETS = (11, *range(100, 110)) if os.environ.get("LEGAL_STORE_SWEEP") == "full" else (11,)
pytestmark = pytest.mark.sweep


def ndcg_at_10(found: Sequence[Any], answers: frozenset[Any]) -> float:
    """Return the normalised discounted cumulative gain of the first ten, every answer counting the same."""
    gain = sum(1 / math.log2(place + 2) for place, one in enumerate(found[:10]) if one in answers)
    best = sum(1 / math.log2(place + 2) for place in range(min(10, len(answers))))
    return gain / best


@pytest.mark.parametrize("language", [ROMANIAN, ENGLISH], ids=["ro", "en"])
def test_hybrid_orders_better_than_each_of_its_arms(service: Any, language: Language) -> None:
    each = [qualities(language, number) for number in SETS]
    mean = {search: statistics.mean(one[search] for one in each) for search in (*ARMS, "hybrid")}
    assert mean["hybrid"] >= 1.05 * max(mean[arm] for arm in ARMS), each


def qualities(language: Language, number: int) -> dict[str, float]:
    """Return the mean NDCG@10 of the labelled set of that number, for each arm alone and for all of them."""
    papers, questions = papers_and_questions(language, 500, 90, number)
    with all_firms(reason="test"):
        office = open_office("Firma", f"RO{number}")
    source = random.Random(number)
    rows = [{"id": uuid.UUID(int=source.getrandbits(128)), "firm": office.firm_id, "case": office.case,
             "document_type": "Other", "title": paper.title, "content": paper.content} for paper in papers]  # fmt: skip
    with firm(office.firm_id):
        Document.insert_many(rows).execute()
    provider = HashedNgrams()
    search.embed_documents(provider, firm_id=office.firm_id, batch=500)
    vectors = provider.embed([question.text for question in questions])

    def quality(weights: dict[str, float]) -> float:
        def of(question: Question, vector: list[float]) -> float:
            hits = search.hybrid(question.text, vector, weights=weights)
            return ndcg_at_10([hit.id for hit in hits], frozenset(rows[at]["id"] for at in question.answers))

        with firm(office.firm_id):
            return statistics.mean(of(q, v) for q, v in zip(questions, vectors, strict=True))

    single = {arm: quality({other: float(other == arm) for other in ARMS}) for arm in ARMS}
    return {**single, "hybrid": quality({})}
