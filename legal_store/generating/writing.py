"""Contents of documents: clauses of the recipe with the names of the case in them."""

from __future__ import annotations

from typing import Any

from legal_store.generating.draws import Draw
from legal_store.generating.recipe import Recipe

NEWLINE = r"\n"
"""A line break as COPY's text format writes it; clauses themselves hold nothing that needs an escape."""

LARGEST = 50_000
"""Bytes: no content is longer."""


class CaseWriter:
    """Writes the documents of one case. Clauses are filled in once for each kind of document that the case has."""

    def __init__(self, recipe: Recipe, language: str, names: dict[str, Any]) -> None:
        self._clauses = recipe.clauses[language]
        self._names = names
        self._filled: dict[str, tuple[list[str], float]] = {}

    def content(self, draw: Draw, kind: str, heading: str) -> tuple[str, int]:
        """Return the content, escaped for COPY, and its length in bytes."""
        clauses, mean = self._filled.get(kind) or self._fill(kind)
        random, count = draw.random, len(clauses)
        wanted = max(1, round((draw.tail("content_length") - len(heading)) / mean))
        chosen = [clauses[int(random() * count)] for _ in range(wanted)]
        text = heading + NEWLINE + NEWLINE.join(chosen)
        size = len(text.encode()) - wanted  # an escaped line break is one byte in the database
        while size > LARGEST or (size < 200 and len(chosen) < 20):
            if size > LARGEST:
                del chosen[-max(1, len(chosen) // 20) :]
            else:
                chosen.append(clauses[int(random() * count)])
            text = heading + NEWLINE + NEWLINE.join(chosen)
            size = len(text.encode()) - len(chosen)
        return text, size

    def _fill(self, kind: str) -> tuple[list[str], float]:
        clauses = [clause.format_map(self._names) for clause in (*self._clauses[kind], *self._clauses["Any"])]
        filled = self._filled[kind] = (clauses, sum(map(len, clauses)) / len(clauses) + 1)
        return filled
