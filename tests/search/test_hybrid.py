"""Three rankings, fused."""

from __future__ import annotations

import math

import pytest

from legal_store import firm, search
from legal_store.database import db
from legal_store.database.traces import Trace
from legal_store.errors import SearchInputError
from tests.search.conftest import Office, add_document, axis


@pytest.fixture
def office(offices: tuple[Office, Office]) -> Office:
    office, other = offices
    add_document(office, "Contract beton", "livrare", content_embedding=axis((0, 1), (1, 0.1)))
    add_document(office, "Penalități", "contract de furnizare beton", content_embedding=axis((1, 1)))
    add_document(office, "Fără legătură", "altceva", content_embedding=axis((0, 1)))
    add_document(other, "Contract beton", "contract beton", content_embedding=axis((0, 1)))
    return office


def test_the_score_is_the_sum_of_weighted_reciprocal_ranks(office: Office) -> None:
    weights = {"fuzzy": 2.0, "text": 0.5, "semantic": 1.0}
    with firm(office.firm_id):
        hits = search.hybrid("contract beton", axis((0, 1)), weights=weights, explain=True)
    assert {hit.title for hit in hits} == {"Contract beton", "Penalități", "Fără legătură"}
    for hit in hits:
        assert hit.score == pytest.approx(sum(weights[arm] / (10 + place.rank) for arm, place in hit.arms.items()))
    best = hits[0]
    assert best.title == "Contract beton"
    assert {arm: place.rank for arm, place in best.arms.items()} == {"fuzzy": 1, "text": 2, "semantic": 2}
    assert best.arms["fuzzy"].score == pytest.approx(1.0)
    assert "fuzzy" not in next(hit for hit in hits if hit.title == "Fără legătură").arms


def test_documents_that_an_arm_cannot_tell_apart_share_the_last_of_their_places(office: Office) -> None:
    with firm(office.firm_id):
        hits = search.hybrid("contract beton", weights={"fuzzy": 0}, explain=True)
    assert [hit.arms["text"].rank for hit in hits] == [2, 2]
    assert [hit.id for hit in hits] == sorted(hit.id for hit in hits)


def test_a_rare_word_counts_more_than_a_common_one(office: Office) -> None:
    add_document(office, "Moștenire", "un testament")
    for _ in range(5):
        add_document(office, "Dosar", "un contract")
    with firm(office.firm_id):
        hits = search.hybrid("contract testament", weights={"fuzzy": 0}, explain=True)
    assert hits[0].title == "Moștenire"
    # 8 documents have one of the two words: 1 has the rare one, 7 the other
    assert [hit.arms["text"].score for hit in hits] == pytest.approx([math.log(9), *[math.log(1 + 8 / 7)] * 7])


def test_an_arm_without_weight_or_vector_is_left_out(office: Office) -> None:
    with firm(office.firm_id):
        without = search.hybrid("contract beton", explain=True)
        only_text = search.hybrid("contract", axis((0, 1)), weights={"fuzzy": 0, "semantic": 0}, explain=True)
    assert {arm for hit in without for arm in hit.arms} == {"fuzzy", "text"}
    assert {arm for hit in only_text for arm in hit.arms} == {"text"}
    assert search.Hit("document", without[0].id, "t", None, 1.0).arms == {}


def test_the_order_is_the_same_a_hundred_times(office: Office) -> None:
    for number in range(30):
        add_document(office, "Contract beton", "contract beton", content_embedding=axis((0, 1), (number % 3, 0.5)))
    with firm(office.firm_id):
        orders = {tuple(hit.id for hit in search.hybrid("contract beton", axis((0, 1)), limit=20)) for _ in range(100)}
    assert len(orders) == 1


@pytest.mark.parametrize("weights", [{"fuzy": 1}, {"fuzzy": -1}, {"text": float("nan")}, {"text": "1"}])
def test_impossible_weights_are_refused(office: Office, weights: dict[str, float]) -> None:
    with firm(office.firm_id), pytest.raises(SearchInputError, match="weights="):
        search.hybrid("contract", axis((0, 1)), weights=weights)


def test_no_arm_at_all_is_refused(office: Office) -> None:
    with firm(office.firm_id), pytest.raises(SearchInputError, match="No arm"):
        search.hybrid("contract", weights={"fuzzy": 0, "text": 0})


def test_a_search_leaves_nothing_that_the_pool_would_have_to_undo(office: Office) -> None:
    with firm(office.firm_id):
        search.semantic(axis((0, 1)))  # asks what the server is like, once a minute
        db.connection().traces = Trace.NONE
        assert search.hybrid("contract beton", axis((0, 1)), document_type="Contract")
        assert search.semantic(axis((0, 1)))
        assert search.text("beton", highlight=False)
    assert not db.connection().traces & Trace.STATE
