"""Who makes embeddings: a protocol, the built-in provider that works offline, and plugins by entry point.

A package adds one by an entry point in the group `legal_store.embeddings`: a name and a callable without arguments
that returns a provider. Its vectors may be shorter than the database's (zeros are added, which changes no angle),
never longer.
"""

from __future__ import annotations

import math
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Protocol

from legal_store.errors import ConfigurationError, SearchError
from legal_store.models.searching import EMBEDDING_DIMENSIONS
from legal_store.search.minilm import MiniLm

ENTRY_POINT_GROUP = "legal_store.embeddings"


class EmbeddingProvider(Protocol):
    """Turns texts into vectors. `name` says provider, model and version: another name means other vectors."""

    name: str
    max_characters: int

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text, in order."""


def provider(name: str) -> EmbeddingProvider:
    """Return the provider of that name: `ngrams`, `minilm`, or one that an installed package brings.

    Raises ConfigurationError for a name that is unknown, taken twice, or whose package cannot be loaded.
    """
    plugins = [entry for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name == name]
    if len(plugins) + (name in _BUILT_IN) > 1:
        packages = ", ".join(entry.value for entry in plugins)
        raise ConfigurationError(f"Two embedding providers are called {name!r}: {packages}.", remedy="Uninstall one.")
    if plugins:
        return _loaded(plugins[0])
    if name not in _BUILT_IN:
        known = ", ".join(sorted({*_BUILT_IN, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))}))
        raise ConfigurationError(f"There is no embedding provider {name!r}.", remedy=f"Installed are {known}.")
    return _BUILT_IN[name]()


def embed_query(provider: EmbeddingProvider, text: str) -> list[float]:
    """Return the vector of a query for semantic() and hybrid(): by the provider that embedded the documents.

    Raises SearchError when the provider gives nothing that can be compared.
    """
    return fitted(provider.embed([text]), provider)[0]


def fitted(vectors: Sequence[Sequence[float]], provider: EmbeddingProvider) -> list[list[float]]:
    """Return the vectors at length 1 with zeros added up to the database's dimensions.

    Raises SearchError for a vector that is too long, not finite or zero.
    """
    return [_fitted(vector, provider.name) for vector in vectors]


def _fitted(vector: Sequence[float], name: str) -> list[float]:
    norm = math.sqrt(sum(value * value for value in vector))
    if len(vector) > EMBEDDING_DIMENSIONS or not math.isfinite(norm) or norm == 0:
        raise SearchError(
            f"The embedding provider {name} gave a vector of {len(vector)} dimensions and length {norm}.",
            remedy=f"At most {EMBEDDING_DIMENSIONS} finite numbers, not all zero, can be stored.",
        )
    return [value / norm for value in vector] + [0.0] * (EMBEDDING_DIMENSIONS - len(vector))


def _loaded(entry: object) -> EmbeddingProvider:
    try:
        made: EmbeddingProvider = entry.load()()  # type: ignore[attr-defined]
    except Exception as error:
        raise ConfigurationError(
            f"The embedding provider {entry!r} cannot be loaded: {error!r}.", remedy="Correct or uninstall it."
        ) from error
    return made


class HashedNgrams:
    """Hashed character n-grams: near are texts that share words and parts of words. It knows no meaning.

    Deterministic, without a model and without a network: for demos, tests and first steps. Each word of a text, in
    lower case and without diacritics, counts with its 3- to 5-letter parts; each part is hashed to one of 1536
    dimensions with a sign (feature hashing: Weinberger et al., ICML 2009), with the logarithm of how often it occurs.
    """

    name = "legal_store-ngrams-1"
    max_characters = 100_000

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return fitted([_hashed(_features(text)) for text in texts], self)


_WORD_WEIGHT = 2.0


def _features(text: str) -> dict[str, float]:
    words = re.findall(r"\w+", _without_marks(text))
    counts: Counter[str] = Counter()
    for word in words:
        padded = f"<{word}>"
        counts[padded] += 1
        for size in (3, 4, 5):
            counts.update(padded[at : at + size] for at in range(len(padded) - size + 1))
    weights = {part: 1 + math.log(count) for part, count in counts.items()}
    for word in set(words):
        weights[f"<{word}>"] *= _WORD_WEIGHT
    return weights or {f"<{text}>": 1.0}


def _without_marks(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.lower())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _hashed(features: dict[str, float]) -> list[float]:
    vector = [0.0] * EMBEDDING_DIMENSIONS
    for part, weight in features.items():
        value = zlib.crc32(part.encode("utf-8", "surrogatepass"))
        vector[value % EMBEDDING_DIMENSIONS] += weight if value & 0x8000_0000 else -weight
    # every part may have met its opposite
    return vector if any(vector) else [1.0, *vector[1:]]


_BUILT_IN: dict[str, Callable[[], EmbeddingProvider]] = {"ngrams": HashedNgrams, "minilm": MiniLm}
