"""Embeddings that cluster by case and by type of document, without the cost of 1,536 random numbers for each.

A vector is put together from 24 segments of 64 numbers, taken from a bank of 512 segments whose numbers are normal
with variance 1/1536, so that vectors have a length near 1. Twelve segments follow from the case, six from the type of
document, six are the document's own. Cosine similarity is then about 0.75 for documents of one case and type, 0.5
for those of one case, 0.25 for those of one type, and 0 else.
"""

from __future__ import annotations

from legal_store.generating.draws import Draw
from legal_store.generating.plan import generator_of
from legal_store.models.searching import EMBEDDING_DIMENSIONS

SEGMENTS = 24
OF_CASE, OF_TYPE = 12, 6
_WIDTH = EMBEDDING_DIMENSIONS // SEGMENTS
_BANK = 512


class EmbeddingBank:
    """The segments, as text. The same for every seed."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        source = generator_of(0, "embeddings")
        deviation = EMBEDDING_DIMENSIONS**-0.5
        self._bank = [",".join(f"{source.gauss(0, deviation):.4f}" for _ in range(_WIDTH)) for _ in range(_BANK)]
        self._of_type = {kind: [source.randrange(_BANK) for _ in range(OF_TYPE)] for kind in kinds}

    def vector(self, draw: Draw, case_number: int, kind: str) -> str:
        """Return the text of a vector for a document of that kind in the case with that (any) number."""
        bank = self._bank
        # a small linear congruential walk gives each case segments of its own, whatever the order of work
        segments = []
        state = case_number
        for _ in range(OF_CASE):
            state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
            segments.append(bank[state >> 55])
        segments += [bank[number] for number in self._of_type[kind]]
        segments += [bank[draw.bits(9)] for _ in range(SEGMENTS - OF_CASE - OF_TYPE)]
        return f"[{','.join(segments)}]"
