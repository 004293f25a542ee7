"""What real values leave behind where they survive, and whether any of it is in a text.

Traces live in memory only, and never in a report: what is found is named by its place, and by the column it is from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from legal_store.anonymize.text import (
    CELL,
    digit_runs,
    digits,
    each_word,
    folded,
    is_reserved,
    readings,
    recognised,
    squashed,
    words,
)
from legal_store.anonymize.vocabulary import LOREM

LEAST_SQUASHED = 8
LEAST_WORD = 4
LEAST_DIGITS = 7
LEAST_NUMBER = 9  # digits of a number in a column of numbers: a phone's without its 0
WINDOW = 32  # characters of a long value by which it is recognised: memory grows with them
SENTENCE = 5  # words: shorter values are phrases that anybody may use
IN_MASKED, IN_KEPT = 1, 2  # where a trace must not be
NOWHERE = IN_MASKED | IN_KEPT
LEAST_SHORT_NAME = 5  # letters of a name of several words, of two letters and more each
_COMPANY = re.compile(r"\b(s\.?c|s\.?r\.?l|s\.?a|s\.?n\.?c|ltd|gmbh|llc|inc)\b\.?", re.IGNORECASE)
# what stands beside the name of a person who trades under it
_SOLE_TRADER = re.compile(
    r"\b(p\.? ?f\.? ?a|i\.? ?[if]|[iî]ntreprindere (individual|familial)[aă]|persoan[aă] fizic[aă] autorizat[aă])\b\.?",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]*:[0-9a-f:.]*[0-9a-f]")
_LOREM = squashed(folded(LOREM * 2))


class Mark(NamedTuple):
    """Where a trace must not be (IN_MASKED, IN_KEPT or both), and the column that it is from."""

    where: int
    source: str


@lru_cache  # hundreds of thousands of traces share a few marks
def _mark(where: int, source: str) -> Mark:
    return Mark(where, source)


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


class ShortNames:
    """Names such as "Ion Pop", too short to be looked for without the spaces between their words."""

    def __init__(self) -> None:
        self._by_first: dict[str, dict[tuple[str, ...], Mark]] = {}

    def __len__(self) -> int:
        return sum(len(names) for names in self._by_first.values())

    def add(self, name: list[str], mark: Mark) -> None:
        if len(name) > 1 and min(map(len, name)) > 1 and LEAST_SHORT_NAME <= len("".join(name)) < LEAST_SQUASHED:
            for form in (name, name[::-1], ["".join(name)], ["".join(name[::-1])]):
                self._by_first.setdefault(form[0], {})[tuple(form)] = mark

    def source_in(self, found: list[str], where: int) -> str:
        """Return the source of a name that is in `found`, word by word, and must not be `where`; "" if none is."""
        if self._by_first.keys().isdisjoint(found):
            return ""
        for place, word in enumerate(found):
            for name, mark in self._by_first.get(word, {}).items():
                if mark.where & where and tuple(found[place : place + len(name)]) == name:
                    return mark.source
        return ""


class Traces:
    """What real values leave behind where they survive, each with the column that it is from.

    Strong traces point to somebody: names and the words of them, addresses, numbers of persons, sentences. They must
    be nowhere. Weak ones are masked values of a few words ("Employment contract"): they must be in no masked column,
    but say nothing about anybody where a kept column has the same words; so are sentences that are a whole value of
    the product's own text (`product`, squashed). Words of `pools`, which masks are dealt from, are in masked columns
    whoever bears them, so they count in kept ones only. `ordinary` words count nowhere.
    """

    def __init__(
        self, ordinary: Iterable[str] = (), pools: Iterable[str] = (), product: frozenset[str] = frozenset()
    ) -> None:
        self._ordinary = _words_of(ordinary)
        self._pools = _words_of(pools) - self._ordinary
        self._product = product
        self._words: dict[str, str] = {}
        self._pool_words: dict[str, str] = {}
        self._short_names = ShortNames()
        self._digits: dict[str, str] = {}
        self._phrases = Phrases()
        self._weak_cells: dict[str, str] = {}
        self._exact: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        self.left_out = 0

    def __len__(self) -> int:
        exact = len(self._digits) + len(self._weak_cells) + len(self._exact) + len(self._addresses)
        return len(self._words) + len(self._pool_words) + len(self._short_names) + len(self._phrases) + exact

    def add(self, value: str, source: str, *, names: bool = False) -> None:
        """Take up a whole value; with `names`, each word of a person's name as well."""
        self.add_personal(value, source)
        plain = folded(value)
        joined = squashed(plain).replace(CELL, "")
        if self._is_ordinary(plain, joined):
            self.left_out += 1
        elif names:
            self._add_name(value, source)
        else:
            self._add_text(joined, words(plain), source)

    def add_personal(self, text: str, source: str) -> None:
        """Take up the addresses and numbers of persons within a text."""
        for piece in recognised(text):
            joined = squashed(folded(piece.text))
            if piece.kind == "iban" or (piece.kind == "email" and not is_reserved(piece.text)):
                self._phrases.add(joined, _mark(NOWHERE, source))
            elif piece.kind in ("cnp", "phone"):
                self._add_digits(joined, source)
        number = digits(text)
        if len(number) >= LEAST_DIGITS and len(number) * 2 > len(text):
            self._add_digits(number, source)

    def add_exact(self, value: str, source: str) -> None:
        """Take up a UUID: a whole cell, or anywhere in a text."""
        self._exact[value] = source
        self._phrases.add(squashed(value), _mark(NOWHERE, source))

    def add_address(self, value: str, source: str) -> None:
        """Take up an address of a network, or of a machine."""
        self._addresses[value.partition("/")[0]] = source

    def add_bytes(self, value: str, source: str) -> None:
        """Take up bytes in hexadecimal, as what they say."""
        for reading in readings(value):
            self.add(reading, source)

    def add_number(self, value: str, source: str) -> None:
        """Take up a number that is long enough to be a person's."""
        whole = value.partition(".")[0]
        if len(whole) >= LEAST_NUMBER and whole.isdigit() and not value.partition(".")[2].strip("0"):
            self._add_digits(whole, source)

    def add_row(self, names: list[str], source: str) -> None:
        """Take up the names of one row together, in both orders, as in an address made of them."""
        found = [found for name in names if name and (found := words(folded(name)))]
        joined = ["".join(one) for one in found]
        if len(joined) > 1 and not set(joined) <= self._ordinary:
            mark = self._mark_of([word for one in found for word in one], source)
            self._phrases.add("".join(joined), mark)
            self._phrases.add("".join(reversed(joined)), mark)
            self._short_names.add(joined, mark)

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
            or (_source_of_any(self._pool_words, found) if where == IN_KEPT else "")
            or self._short_names.source_in(found, where)
            or (_source_of_any(self._digits, digit_runs(plain)) if self._digits else "")
            or (_source_of_any(self._addresses, _ADDRESS.findall(plain)) if self._addresses else "")
            or (_source_of_any(self._weak_cells, joined.split(CELL)) if where == IN_MASKED else "")
            or self._phrases.source_in(joined, where)
        )

    def _add_digits(self, number: str, source: str) -> None:
        self._digits[number[-9:] if 9 < len(number) < 13 else number] = source

    def _add_text(self, joined: str, found: list[str], source: str) -> None:
        where = self._mark_of(found, source).where
        if joined in self._product:
            where &= IN_MASKED
        if len(joined) > 2 * WINDOW and where == NOWHERE:
            for start in (0, (len(joined) - WINDOW) // 2, len(joined) - WINDOW):
                self._phrases.add(joined[start : start + WINDOW], _mark(NOWHERE, source))
        elif len(found) > 1:
            self._phrases.add(joined, _mark(where if len(found) >= SENTENCE else where & IN_MASKED, source))
        elif where & IN_MASKED:
            self._weak_cells[joined] = source

    def _add_name(self, value: str, source: str) -> None:
        of_person = not _COMPANY.search(value)
        value = _SOLE_TRADER.sub(" ", value)
        found = words(folded(value))
        mark = self._mark_of(found, source)
        for form in (found, found[::-1], words(folded(_COMPANY.sub(" ", value)))):
            self._phrases.add("".join(form), mark)
            self._short_names.add(form, mark)
        if len(found) == 1 and len(found[0]) < LEAST_WORD and mark.where & IN_MASKED:
            self._weak_cells[found[0]] = source
        if of_person and len(found) <= 4:
            self._add_words(value, found, source)

    def _add_words(self, name: str, found: list[str], source: str) -> None:
        # a word in small letters beside others is no name: "Cabinet de avocat Ionescu"
        bare = {folded(word) for word in name.split() if word.islower()} if len(found) > 1 else set()
        for word in found:
            if len(word) >= LEAST_WORD and word not in self._ordinary and word not in bare:
                (self._pool_words if word in self._pools else self._words)[word] = source

    def _mark_of(self, found: list[str], source: str) -> Mark:
        dealt = bool(self._pools) and all(word in self._pools or word in self._ordinary for word in found)
        return _mark(IN_KEPT if dealt else NOWHERE, source)


def _words_of(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in words(folded(text))}


def _source_of_any(sources: dict[str, str], found: Iterable[str]) -> str:
    if sources.keys().isdisjoint(found):
        return ""
    return next(sources[each] for each in found if each in sources)
