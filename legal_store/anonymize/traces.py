"""What real values leave behind where they survive, and whether any of it is in a text.

Traces live in memory only, and never in a report: what is found is named by its place, and by the column it is from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from legal_store.anonymize.text import (
    CELL,
    digit_runs,
    digits,
    each_word,
    folded,
    readings,
    recognised,
    squashed,
    words,
)
from legal_store.anonymize.vocabulary import LOREM

LEAST_SQUASHED = 8
LEAST_WORD = 4
LEAST_DIGITS = 7
WINDOW = 32  # characters of a long value by which it is recognised: memory grows with them
SENTENCE = 5  # words: shorter values are phrases that anybody may use
IN_MASKED, IN_KEPT = 1, 2  # where a trace must not be
NOWHERE = IN_MASKED | IN_KEPT
_COMPANY = re.compile(r"\b(s\.?c|s\.?r\.?l|s\.?a|p\.?f\.?a|i\.?i|s\.?n\.?c|ltd|gmbh|llc|inc)\b\.?", re.IGNORECASE)
_LOREM = squashed(folded(LOREM * 2))


class Mark(NamedTuple):
    """Where a trace must not be (IN_MASKED, IN_KEPT or both), and the column that it is from."""

    where: int
    source: str


class Phrases:
    """Squashed phrases with their marks, and the search for them in a squashed text."""

    def __init__(self) -> None:
        self._marks: dict[str, Mark] = {}
        self._lengths: tuple[int, ...] = ()
        self._heads: Any = None

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, joined: str, mark: Mark) -> None:
        if len(joined) >= LEAST_SQUASHED and not joined.isdigit():
            middle = max(0, (len(joined) - WINDOW) // 2)
            phrase = joined[middle : middle + WINDOW]
            known = self._marks.get(phrase, mark)
            self._marks[phrase] = mark if known.where | mark.where == mark.where else known._replace(where=NOWHERE)
            self._heads = None

    def source_in(self, joined: str, where: int) -> str:
        """Return the source of a phrase in `joined` that must not be `where`, "" if there is none."""
        for end, _ in self._searcher().iter(joined) if self._marks else ():
            start = end + 1 - LEAST_SQUASHED
            for length in self._lengths:
                mark = self._marks.get(joined[start : start + length])
                if mark is not None and mark.where & where:
                    return mark.source
        return ""

    def _searcher(self) -> Any:
        """Return the automaton of the phrases' first characters: one of whole phrases would be many times as large."""
        import ahocorasick

        if self._heads is None:
            self._lengths = tuple({len(phrase) for phrase in self._marks})
            self._heads = ahocorasick.Automaton(ahocorasick.STORE_LENGTH)
            for head in {phrase[:LEAST_SQUASHED] for phrase in self._marks}:
                self._heads.add_word(head)
            self._heads.make_automaton()
        return self._heads


def _without_number(word: str) -> str:
    """Return `word` without a short number at its end, as in "act17"."""
    bare = word.rstrip("0123456789")
    return bare if len(word) - len(bare) < LEAST_DIGITS else word


class Traces:
    """What real values leave behind where they survive, each with the column that it is from.

    Strong traces point to somebody: names and the words of them, addresses, numbers of persons, sentences. They must
    be nowhere. Weak ones are masked values of a few words ("Employment contract"): they must be in no masked column,
    but say nothing about anybody where a kept column has the same words; so are sentences that are a whole value of
    the product's own text (`product`, squashed).
    """

    def __init__(self, ordinary: Iterable[str] = (), product: frozenset[str] = frozenset()) -> None:
        self._ordinary = _words_of(ordinary)
        self._product = product
        self._words: dict[str, str] = {}
        self._digits: dict[str, str] = {}
        self._phrases = Phrases()
        self._weak_cells: dict[str, str] = {}
        self._exact: dict[str, str] = {}
        self.left_out = 0

    def __len__(self) -> int:
        exact = len(self._digits) + len(self._weak_cells) + len(self._exact)
        return len(self._words) + len(self._phrases) + exact

    def add(self, value: str, source: str, *, names: bool = False) -> None:
        """Take up a whole value; with `names`, each word of a person's name as well."""
        self.add_personal(value, source)
        plain = folded(value)
        joined = squashed(plain).replace(CELL, "")
        if self._is_ordinary(plain, joined):
            self.left_out += 1
        elif names:
            self._add_name(value, words(plain), source)
        else:
            self._add_text(joined, len(words(plain)), source)

    def add_personal(self, text: str, source: str) -> None:
        """Take up the addresses and numbers of persons within a text."""
        for piece in recognised(text):
            joined = squashed(folded(piece.text))
            ours = piece.text.lower().endswith("example.com")
            if piece.kind == "iban" or (piece.kind == "email" and not ours):
                self._phrases.add(joined, Mark(NOWHERE, source))
            elif piece.kind in ("cnp", "phone"):
                self._add_digits(joined, source)
        number = digits(text)
        if len(number) >= LEAST_DIGITS and len(number) * 2 > len(text):
            self._add_digits(number, source)

    def add_exact(self, value: str, source: str) -> None:
        """Take up a value that is one whole cell, such as a UUID."""
        self._exact[value] = source

    def add_row(self, names: list[str], source: str) -> None:
        """Take up the names of one row together, in both orders, as in an address made of them."""
        joined = ["".join(words(folded(name))) for name in names if name]
        if len(joined) > 1 and not set(joined) <= self._ordinary:
            self._phrases.add("".join(joined), Mark(NOWHERE, source))
            self._phrases.add("".join(reversed(joined)), Mark(NOWHERE, source))

    def found_in(self, text: str) -> bool:
        """Say whether a real value is recognisable in any reading of `text`, the value of a masked column."""
        return bool(self.source_in(text, masked=True))

    def source_in(self, text: str, *, masked: bool) -> str:
        """Return the column of a real value that is recognisable in any reading of `text`, "" if there is none.

        In a `masked` column weak traces count as well.
        """
        where = IN_MASKED if masked else IN_KEPT
        return next(filter(None, (self._source_in_plain(folded(reading), where) for reading in readings(text))), "")

    def source_of(self, value: str) -> str:
        """Return the column that had `value` as a whole cell (see add_exact), "" if none had."""
        return self._exact.get(value, "")

    def _is_ordinary(self, plain: str, joined: str) -> bool:
        """Say whether all words are ordinary, or the text is a piece of lorem ipsum, which may end within a word."""
        if joined[: len(_LOREM) // 2] in _LOREM:
            return True
        return all(word in self._ordinary for word in map(_without_number, each_word(plain)) if word)

    def _source_in_plain(self, plain: str, where: int) -> str:
        found = words(plain)
        joined = squashed(plain)
        return (
            _source_of_any(self._words, found)
            or (_source_of_any(self._digits, digit_runs(plain)) if self._digits else "")
            or (_source_of_any(self._weak_cells, joined.split(CELL)) if where == IN_MASKED else "")
            or self._phrases.source_in(joined, where)
        )

    def _add_digits(self, number: str, source: str) -> None:
        self._digits[number[-9:] if 9 < len(number) < 13 else number] = source

    def _add_text(self, joined: str, count: int, source: str) -> None:
        if joined in self._product:
            self._weak_cells[joined] = source
        elif len(joined) > 2 * WINDOW:
            for start in (0, (len(joined) - WINDOW) // 2, len(joined) - WINDOW):
                self._phrases.add(joined[start : start + WINDOW], Mark(NOWHERE, source))
        elif count > 1:
            self._phrases.add(joined, Mark(NOWHERE if count >= SENTENCE else IN_MASKED, source))
        else:
            self._weak_cells[joined] = source

    def _add_name(self, value: str, found: list[str], source: str) -> None:
        mark = Mark(NOWHERE, source)
        self._phrases.add("".join(found), mark)
        if len(found) > 1:
            self._phrases.add("".join(words(folded(_COMPANY.sub(" ", value)))), mark)
            self._phrases.add("".join(reversed(found)), mark)
        if not _COMPANY.search(value) and len(found) <= 4:
            bare = {folded(word) for word in value.split() if word.islower()}
            own = (word for word in found if len(word) >= LEAST_WORD and word not in self._ordinary)
            # a word in small letters beside others is no name: "Cabinet de avocat Ionescu"
            self._words.update((word, source) for word in own if len(found) == 1 or word not in bare)


def _words_of(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in words(folded(text))}


def _source_of_any(sources: dict[str, str], found: Iterable[str]) -> str:
    if sources.keys().isdisjoint(found):
        return ""
    return next(sources[each] for each in found if each in sources)
