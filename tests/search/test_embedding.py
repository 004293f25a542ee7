"""Documents get their vectors: in batches, again when they change, and a cut-off run goes on where it was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legal_store import Document, all_firms, firm, search
from legal_store.errors import ConfigurationError, SearchError
from legal_store.search.embedding import chunks_of
from legal_store.search.providers import HashedNgrams, fitted
from tests.search.conftest import DIMENSIONS, Office, add_document, axis


class Counting:
    """A provider that counts, and fails when it is told to."""

    name = "counting-1"
    max_characters = 50

    def __init__(self, fails_at: int | None = None) -> None:
        self.texts: list[str] = []
        self.fails_at = fails_at

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.texts += texts
        if self.fails_at is not None and len(self.texts) > self.fails_at:
            raise ConnectionError("no answer")
        return [[1.0, float(len(text))] for text in texts]


def embedded(office: Office) -> set[str]:
    with firm(office.firm_id):
        return {row.title for row in Document.select().where(Document.content_embedding.is_null(False))}


def test_every_document_of_every_firm_is_embedded_once(offices: tuple[Office, Office]) -> None:
    for number in range(7):
        add_document(offices[number % 2], f"d{number}", "text")
    told: list[tuple[int, int]] = []
    report = search.embed_documents(HashedNgrams(), batch=3, progress=lambda done, total: told.append((done, total)))
    assert (report.embedded, report.chunks, report.changed_meanwhile) == (7, 7, 0)
    assert told == [(3, 7), (6, 7), (7, 7)]
    assert search.embed_documents(HashedNgrams()).embedded == 0
    assert embedded(offices[0]) | embedded(offices[1]) == {f"d{number}" for number in range(7)}


def test_one_firm_can_be_embedded_in_its_own_scope(offices: tuple[Office, Office]) -> None:
    add_document(offices[0], "ours")
    add_document(offices[1], "theirs")
    assert search.embed_documents(HashedNgrams(), firm_id=offices[0].firm_id).embedded == 1
    assert (embedded(offices[0]), embedded(offices[1])) == ({"ours"}, set())


def test_a_changed_document_is_embedded_again_and_an_unchanged_one_is_not(offices: tuple[Office, Office]) -> None:
    office, _ = offices
    first, _second = add_document(office, "a", "penalități"), add_document(office, "b", "chirie")
    search.embed_documents(HashedNgrams())
    with firm(office.firm_id):
        first.content = "moștenire"
        first.save()
    counting = HashedNgrams()
    assert search.embed_documents(counting).embedded == 1
    with firm(office.firm_id):
        best = search.semantic(HashedNgrams().embed(["moștenirea"])[0], limit=1)[0]
    assert best.id == first.id


def test_a_vector_that_a_service_brought_stays_unless_renewed(offices: tuple[Office, Office]) -> None:
    office, _ = offices
    add_document(office, "a", content_embedding=axis((0, 1)))
    assert search.embed_documents(HashedNgrams()).embedded == 0
    assert search.embed_documents(HashedNgrams(), renew=True).embedded == 1


def test_another_provider_embeds_again(offices: tuple[Office, Office]) -> None:
    add_document(offices[0], "a")
    search.embed_documents(HashedNgrams())
    assert search.embed_documents(Counting()).embedded == 1


def test_a_run_that_was_cut_off_goes_on_where_it_was(offices: tuple[Office, Office]) -> None:
    office, _ = offices
    for number in range(6):
        add_document(office, f"d{number}")
    with pytest.raises(SearchError, match=r"no answer.*4 documents of this run are embedded and kept"):
        search.embed_documents(Counting(fails_at=5), batch=2)
    kept = embedded(office)
    assert len(kept) == 4
    again = Counting()
    assert search.embed_documents(again, batch=2).embedded == 2
    assert set(again.texts) == {f"d{number}" for number in range(6)} - kept


def test_a_document_edited_while_its_text_was_away_waits_for_the_next_run(offices: tuple[Office, Office]) -> None:
    office, _ = offices
    document = add_document(office, "before")

    class Slow(Counting):
        def embed(self, texts: Sequence[str]) -> list[list[float]]:
            Document.update(title="after").where(Document.id == document.id).execute()
            return super().embed(texts)

    assert search.embed_documents(Slow()).changed_meanwhile == 1
    assert embedded(office) == set()
    assert search.embed_documents(Counting()).embedded == 1


def test_a_long_document_is_embedded_in_chunks_and_its_vector_has_length_one(offices: tuple[Office, Office]) -> None:
    office, _ = offices
    add_document(office, "Title", "A sentence that goes on. " * 10)
    counting = Counting()
    report = search.embed_documents(counting)
    assert report.chunks == len(counting.texts) > 5
    assert all(text.startswith("Title\n") and len(text) <= 50 for text in counting.texts)
    with all_firms(reason="test"):
        vector = list(Document.get().content_embedding)
    assert math.sqrt(sum(value * value for value in vector)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("vector", [[0.0, 0.0], [math.nan], [math.inf], [1.0] * (DIMENSIONS + 1)])
def test_a_provider_that_gives_unusable_vectors_is_named(vector: list[float]) -> None:
    with pytest.raises(SearchError, match="counting-1 gave a vector"):
        fitted([vector], Counting())


def test_a_provider_that_loses_a_text_is_refused(offices: tuple[Office, Office]) -> None:
    class Losing(Counting):
        def embed(self, texts: Sequence[str]) -> list[list[float]]:
            return super().embed(texts)[1:]

    add_document(offices[0], "a")
    with pytest.raises(SearchError, match="gave 0 vectors for 1 texts"):
        search.embed_documents(Losing())


def test_an_unknown_provider_is_named_with_those_that_are_there() -> None:
    with pytest.raises(ConfigurationError, match=r"no embedding provider 'gpt'.*ngrams"):
        search.provider("gpt")


def test_a_package_can_bring_a_provider_but_not_take_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    def installed(*entries: tuple[str, str]) -> Any:
        points = [EntryPoint(name, value, "legal_store.embeddings") for name, value in entries]
        return lambda group: [point for point in points if point.group == group]

    monkeypatch.setattr("legal_store.search.providers.entry_points", installed(("count", f"{__name__}:Counting")))
    assert search.provider("count").name == "counting-1"
    monkeypatch.setattr("legal_store.search.providers.entry_points", installed(("ngrams", f"{__name__}:Counting")))
    with pytest.raises(ConfigurationError, match="Two embedding providers are called 'ngrams'"):
        search.provider("ngrams")
    monkeypatch.setattr("legal_store.search.providers.entry_points", installed(("gone", "nowhere:Provider")))
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        search.provider("gone")


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_hashed_ngrams_are_the_same_each_time_and_of_length_one(texts: list[str]) -> None:
    first, second = HashedNgrams().embed(texts), HashedNgrams().embed(texts)
    assert first == second
    for vector in first:
        assert len(vector) == DIMENSIONS
        assert math.sqrt(sum(value * value for value in vector)) == pytest.approx(1)


def test_hashed_ngrams_put_forms_of_a_word_near_and_other_words_far() -> None:
    asked, near, far = HashedNgrams().embed(["penalitățile contractului", "contract cu penalitati", "moștenire"])
    assert dot(asked, near) > 0.4 > 0.1 > abs(dot(asked, far))


def dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


@given(st.text(max_size=60), st.text(max_size=400), st.integers(min_value=10, max_value=120))
def test_chunks_are_short_enough_and_lose_nothing_but_space(title: str, content: str, room: int) -> None:
    chunks = chunks_of(title, content, room)
    assert all(len(chunk) <= room for chunk in chunks)
    head = title[: room // 2]
    bodies = "".join(chunk[len(head) :] for chunk in chunks)
    assert "".join(bodies.split()) == "".join(content.split())
