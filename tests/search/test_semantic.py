"""Documents by the direction of their embeddings; always as many as asked for where so many exist."""

from __future__ import annotations

import datetime
import math
import random
from typing import Any

import pytest

from legal_store import Case, firm, search
from legal_store.database import db
from legal_store.search import server as known
from tests.search.conftest import DIMENSIONS, Office, add_document, axis


def test_scores_are_those_of_the_metric(offices: tuple[Office, Office]) -> None:
    office, _ = offices
    for title, vector in (("same", axis((0, 2))), ("half", axis((0, 1), (1, 1))), ("opposite", axis((0, -1)))):
        add_document(office, title, content_embedding=vector)
    with firm(office.firm_id):
        cosine = {hit.title: hit.score for hit in search.semantic(axis((0, 1)))}
        l2 = {hit.title: hit.score for hit in search.semantic(axis((0, 1)), metric="l2")}
        inner = {hit.title: hit.score for hit in search.semantic(axis((0, 1)), metric="inner_product")}
    assert cosine == pytest.approx({"same": 1.0, "half": math.sqrt(0.5), "opposite": -1.0})
    assert l2 == pytest.approx({"same": -1.0, "half": -1.0, "opposite": -2.0})
    assert inner == pytest.approx({"same": 2.0, "half": 1.0, "opposite": -1.0})
    assert list(inner) == ["same", "half", "opposite"]


def test_documents_without_an_embedding_or_of_another_firm_are_not_found(offices: tuple[Office, Office]) -> None:
    office, other = offices
    add_document(office, "none")
    add_document(other, "theirs", content_embedding=axis((0, 1)))
    with firm(office.firm_id):
        assert search.semantic(axis((0, 1))) == []
        assert search.semantic(axis((0, 1)), case=other.case) == []


def test_equal_distances_are_ordered_by_id(offices: tuple[Office, Office]) -> None:
    office, _ = offices
    ids = [add_document(office, "same", content_embedding=axis((0, 1))).id for _ in range(5)]
    with firm(office.firm_id):
        assert [hit.id for hit in search.semantic(axis((0, 1)), limit=5)] == sorted(ids)


def test_every_filter_holds(offices: tuple[Office, Office]) -> None:
    office, _ = offices
    with firm(office.firm_id):
        second = Case.create(
            client=office.client, case_number="2", title="t", type="Civil", opened_date=datetime.date(2024, 1, 1)
        )
    add_document(office, "a", content_embedding=axis((0, 1)), status="Filed")
    add_document(office, "b", content_embedding=axis((0, 1)), document_type="Motion")
    add_document(office, "c", content_embedding=axis((0, 1)), case=second)
    now = datetime.datetime.now(datetime.UTC)
    hour = datetime.timedelta(hours=1)

    def titles(**filters: Any) -> set[str]:
        with firm(office.firm_id):
            return {hit.title for hit in search.semantic(axis((0, 1)), **filters)}

    assert titles() == {"a", "b", "c"}
    assert titles(status="Filed") == {"a"}
    assert titles(document_type=["Motion", "Brief"]) == {"b"}
    assert titles(case=second) == {"c"}
    assert titles(case=[second.id, str(office.case.id)], status=["Draft"]) == {"b", "c"}
    assert titles(created_from=now - hour, created_before=now + hour) == {"a", "b", "c"}
    assert titles(created_before=now - hour) == titles(created_from=now + hour) == set()
    assert titles(case=[]) == set()


def test_the_index_brings_all_that_exist_even_behind_a_thousand_of_another_firm(
    offices: tuple[Office, Office], connection: Any
) -> None:
    office, other = offices
    source = random.Random(3)
    fill(other, 1_000, lambda: axis((0, 1), (source.randrange(1, DIMENSIONS), 0.2)))
    fill(office, 25, lambda: axis((1, 1), (source.randrange(2, DIMENSIONS), 0.5)))
    prefer_index(connection, ef_search=1)
    with firm(office.firm_id):
        assert len({hit.id for hit in search.semantic(axis((0, 1)), limit=20)}) == 20
        assert len(search.semantic(axis((0, 1)), limit=50)) == 25


def test_what_the_walk_does_not_reach_is_compared(
    offices: tuple[Office, Office], connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    office, other = offices
    source = random.Random(4)
    fill(other, 400, lambda: axis((0, 1), (source.randrange(1, DIMENSIONS), 0.2)))
    fill(office, 30, lambda: axis((0, -1), (source.randrange(1, DIMENSIONS), 0.2)))
    prefer_index(connection, ef_search=1)
    monkeypatch.setattr("legal_store.search.nearest.MAX_SCAN_TUPLES", 1)
    with firm(office.firm_id):
        assert len(search.semantic(axis((0, 1)), limit=10)) == 10


def test_a_firm_that_has_shrunk_since_it_was_counted_gets_all_it_has(
    offices: tuple[Office, Office], connection: Any
) -> None:
    from legal_store import Document

    office, _ = offices
    source = random.Random(5)
    fill(office, 40, lambda: axis((0, 1), (source.randrange(1, DIMENSIONS), 0.2)))
    prefer_index(connection, ef_search=10)
    with firm(office.firm_id):
        assert len(search.semantic(axis((0, 1)), limit=10)) == 10
        assert known.firm_has_more_than(10)
        kept = {document.id for document in Document.select(Document.id).limit(4)}
        Document.delete().where(Document.id.not_in(kept)).execute()
        assert {hit.id for hit in search.semantic(axis((0, 1)), limit=10)} == kept


def prefer_index(connection: Any, ef_search: int) -> None:
    """Store a calibration by which comparing is so dear that only what must be is compared."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO search_calibrations (documents, exact_row_us, index_start_us, index_row_us, ef_search, "
            "overfetch, recall) VALUES (0, 1e9, 1, 1, %s, 0, 1)",
            [ef_search],
        )
    known.forget_server()


def fill(office: Office, count: int, vector: Any) -> None:
    """Add documents with embeddings by one statement for each hundred."""
    from legal_store import Document

    with firm(office.firm_id):
        rows = [
            {"firm": office.firm_id, "case": office.case, "title": f"d{number}", "document_type": "Brief",
             "content_embedding": vector()}
            for number in range(count)
        ]  # fmt: skip
        for at in range(0, count, 100):
            Document.insert_many(rows[at : at + 100]).execute()


def test_settings_are_back_after_a_search_inside_a_transaction(offices: tuple[Office, Office]) -> None:
    office, _ = offices
    add_document(office, "a", content_embedding=axis((0, 1)))
    names = ("statement_timeout", "enable_sort", "hnsw.ef_search", "pg_trgm.word_similarity_threshold")

    def current() -> Any:
        return db.execute_sql("SELECT " + ", ".join(f"current_setting('{name}', true)" for name in names)).fetchone()

    with firm(office.firm_id):
        search.hybrid("a b c", axis((0, 1)))
        before = current()
        with db.atomic():
            search.hybrid("abc", axis((0, 1)))
            assert current() == before
        assert current() == before


@pytest.mark.parametrize("version", [None, "0.5.1", "0.8.0", "0.8.3"])
def test_versions_with_known_wrong_results_are_refused(version: str | None) -> None:
    from legal_store.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match=r"0\.8\.4"):
        known.refuse_wrong_results(version)


@pytest.mark.parametrize("version", ["0.8.4", "0.8.6", "0.10", "1.0.0"])
def test_later_versions_are_accepted(version: str) -> None:
    known.refuse_wrong_results(version)


def test_an_index_of_half_precision_serves_when_it_is_the_one_there(
    offices: tuple[Office, Office], connection: Any
) -> None:
    office, _ = offices
    source = random.Random(6)
    fill(office, 60, lambda: axis((0, 1), (source.randrange(1, DIMENSIONS), source.random())))
    with firm(office.firm_id):
        exact = search.semantic(axis((0, 1)), limit=10)
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX documents_content_embedding_idx")
        cursor.execute(
            "CREATE INDEX half ON documents USING hnsw ((content_embedding::halfvec(1536)) halfvec_cosine_ops)"
        )
    prefer_index(connection, ef_search=100)
    assert "halfvec" in known.server().indexed
    with firm(office.firm_id):
        assert search.semantic(axis((0, 1)), limit=10) == exact
