"""Embeds documents: in batches, each kept as soon as it is made, so that a run can be cut off and taken up again.

Whether a document waits is in its row: `embedded_with` names the provider and the hash of the text that its vector
was made of, and PostgreSQL keeps the hash of the present text. A vector without `embedded_with` came from a service
and is left alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from legal_store.database import all_firms, db, firm
from legal_store.errors import LegalStoreError, SearchError, SearchInputError
from legal_store.search.providers import EmbeddingProvider, fitted

_PENDING = "(content_embedding IS NULL OR embedded_with <> %(provider)s || ':' || content_hash)"
_RENEWED = "embedded_with IS DISTINCT FROM %(provider)s || ':' || content_hash"
_NEXT = """
SELECT id, firm_id, title, content, content_hash FROM documents
WHERE id > %(after)s AND (%(firm)s::uuid IS NULL OR firm_id = %(firm)s::uuid) AND {pending}
ORDER BY id LIMIT %(batch)s
"""
_COUNT = """
SELECT count(*) FROM documents WHERE (%(firm)s::uuid IS NULL OR firm_id = %(firm)s::uuid) AND {pending}
"""
_STORE = """
UPDATE documents AS row
SET content_embedding = made.vector, embedded_with = %(provider)s || ':' || made.hash
FROM unnest(%(ids)s::uuid[], %(firms)s::uuid[], %(hashes)s::text[], %(vectors)s::text[]::vector[])
     AS made (id, firm_id, hash, vector)
WHERE row.id = made.id AND row.firm_id = made.firm_id AND row.content_hash = made.hash
"""


class EmbedReport(NamedTuple):
    """What a run did. Documents `changed_meanwhile` were edited while their text was at the provider; they wait."""

    provider: str
    embedded: int
    chunks: int
    changed_meanwhile: int


def embed_documents(
    provider: EmbeddingProvider,
    *,
    firm_id: uuid.UUID | None = None,
    batch: int = 50,
    renew: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> EmbedReport:
    """Embed the documents that have no embedding or changed since, of one firm or, without `firm_id`, of all.

    A document longer than the provider takes is cut into chunks; its vector is the mean of theirs, weighted by
    length, at length 1. `renew` also replaces what other providers or services brought. `progress` is told how many
    are done, and of how many, after each batch. Writes one transaction for each batch of `batch` documents. Raises
    SearchError when the provider fails; what was embedded before stays.
    """
    if batch < 1:
        raise SearchInputError(f"batch={batch} is not possible.", remedy="Give a whole number of 1 or more.")
    parameters = {"provider": provider.name, "firm": None if firm_id is None else str(firm_id), "batch": batch}
    pending = _RENEWED if renew else _PENDING
    with _scope(firm_id):
        total = db.execute_sql(_COUNT.format(pending=pending), parameters).fetchone()[0]
        embedded = chunks = read = 0
        for documents in _batches(_NEXT.format(pending=pending), parameters):
            vectors, pieces = _embedded(provider, documents, embedded)
            embedded += _store(provider.name, documents, vectors)
            chunks, read = chunks + pieces, read + len(documents)
            progress(read, max(total, read))
    return EmbedReport(provider.name, embedded, chunks, read - embedded)


def chunks_of(title: str, content: str | None, max_characters: int) -> list[str]:
    """Return the text of a document in pieces of at most `max_characters`, each under its title. Pure.

    Pieces end at the end of a paragraph, a sentence or a word where there is one in their second half.
    """
    title, rest = title[: max_characters // 2], (content or "").strip()
    room = max(1, max_characters - len(title) - 1)
    pieces = []
    while rest:
        end = len(rest) if len(rest) <= room else _end(rest, room)
        pieces.append(rest[:end].strip())
        rest = rest[end:].lstrip()
    return [f"{title}\n{piece}" for piece in pieces] or [title]


def _end(text: str, room: int) -> int:
    for separator in ("\n\n", "\n", ". ", " "):
        at = text.rfind(separator, room // 2, room)
        if at >= 0:
            return at + len(separator)
    return room


def _scope(firm_id: uuid.UUID | None) -> AbstractContextManager[Any]:
    return all_firms(reason="embedding documents") if firm_id is None else firm(firm_id)


def _batches(statement: str, parameters: dict[str, Any]) -> Iterator[list[tuple[Any, ...]]]:
    after = uuid.UUID(int=0)
    while True:
        documents = list(db.execute_sql(statement, {**parameters, "after": str(after)}).fetchall())
        if not documents:
            return
        yield documents
        after = documents[-1][0]


def _embedded(
    provider: EmbeddingProvider, documents: list[tuple[Any, ...]], done: int
) -> tuple[list[list[float]], int]:
    texts = [chunks_of(title, content, provider.max_characters) for _, _, title, content, _ in documents]
    flat = [chunk for chunks in texts for chunk in chunks]
    try:
        vectors = fitted(provider.embed(flat), provider)
        if len(vectors) != len(flat):
            raise SearchError(f"{provider.name} gave {len(vectors)} vectors for {len(flat)} texts.")
    except LegalStoreError:
        raise
    except Exception as error:
        raise SearchError(
            f"The embedding provider {provider.name} failed: {error!r}.",
            remedy=f"{done} documents of this run are embedded and kept; run it again to go on.",
        ) from error
    iterator = iter(vectors)
    means = [_mean([(len(chunk), next(iterator)) for chunk in chunks]) for chunks in texts]
    return fitted(means, provider), len(flat)


def _mean(weighted: list[tuple[int, list[float]]]) -> list[float]:
    if len(weighted) == 1:
        return weighted[0][1]
    mean = [sum(weight * value for weight, value in zip((w for w, _ in weighted), values, strict=True))
            for values in zip(*(vector for _, vector in weighted), strict=True)]  # fmt: skip
    return mean if any(mean) else weighted[0][1]


def _store(provider: str, documents: list[tuple[Any, ...]], vectors: list[list[float]]) -> int:
    ids, firms, _, _, hashes = zip(*documents, strict=True)
    written = {
        "provider": provider,
        "ids": [str(value) for value in ids],
        "firms": [str(value) for value in firms],
        "hashes": list(hashes),
        "vectors": ["[" + ",".join(f"{value:.9g}" for value in vector) + "]" for vector in vectors],
    }
    with db.atomic():
        return int(db.execute_sql(_STORE, written).rowcount)
