"""Names of people, companies and addresses, Romanian from the recipe, English from mimesis."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from legal_store.generating.draws import Draw
from legal_store.generating.recipe import Recipe

_ENGLISH_NAMES = 400
_ENGLISH_STREETS = 200
_ENGLISH_CITIES = ("London", "Manchester", "Bristol", "Leeds", "Edinburgh", "Dublin", "Boston", "Chicago")
_ENGLISH_FORMS = ("Ltd", "LLP", "plc", "& Sons Ltd", "Partners LLP", "Holdings Ltd")


class Names(NamedTuple):
    """What names of one language are made of."""

    first: tuple[str, ...]
    last: tuple[str, ...]
    companies: tuple[tuple[str, ...], ...]
    """Lists whose elements, one of each, make a company's name."""
    streets: tuple[str, ...]
    cities: tuple[str, ...]

    def person(self, number: int, start: int = 0) -> str:
        """Return the name with that number. From any `start`, no two numbers have the same name: pairs are used up
        first, then they get a numeral."""
        return _numbered((self.first, self.last), number, start)

    def company(self, number: int, start: int = 0) -> str:
        return _numbered(self.companies, number, start)


def read_names(recipe: Recipe) -> dict[str, Names]:
    """Return the names of each language. The English ones are the same for every seed of one mimesis version."""
    words = recipe.words
    companies = (words["trades"], words["places"], words["company_forms"])
    romanian = Names(words["first_names"], words["last_names"], companies, words["streets"], words["cities"])
    return {"ro": romanian, "en": _english_names()}


def _english_names() -> Names:
    from mimesis import Address, Person
    from mimesis.locales import Locale

    person, address = Person(Locale.EN_GB, seed=1), Address(Locale.EN_GB, seed=1)
    first = _distinct(person.first_name() for _ in range(_ENGLISH_NAMES))
    last = _distinct(person.last_name() for _ in range(_ENGLISH_NAMES))
    streets = _distinct(f"{address.street_name()} {address.street_suffix()}" for _ in range(_ENGLISH_STREETS))
    # made of family names: mimesis' companies are real ones, which should not be parties of invented cases
    return Names(first, last, (last, last, _ENGLISH_FORMS), streets, _ENGLISH_CITIES)


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(v for v in values if not set(v) & set('\t\n\r\\"')))


def _numbered(parts: tuple[tuple[str, ...], ...], number: int, start: int) -> str:
    total = math.prod(map(len, parts))
    again, index = divmod(number, total)
    # a step that shares no factor with the total visits every combination once, in an order that looks random
    index = (index + start) * _step(total) % total
    chosen = []
    for part in parts:
        index, position = divmod(index, len(part))
        chosen.append(part[position])
    name = " ".join(chosen)
    return f"{name} {again + 1}" if again else name


@lru_cache
def _step(total: int) -> int:
    step = int(total * 0.6180339887) or 1
    while math.gcd(step, total) != 1:
        step += 1
    return step


def slug(name: str) -> str:
    """Return `name` in plain lower-case letters and hyphens, as in an address."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def phone(draw: Draw, language: str) -> str:
    """Return a telephone number; the English ones are from the range kept for fiction."""
    if language == "en":
        return f"+44 7700 900{draw.between(0, 999):03}"
    return f"+40 7{draw.between(20, 89)} {draw.between(0, 999):03} {draw.between(0, 999):03}"


def address(draw: Draw, names: Names) -> str:
    return f"{draw.one_of(names.streets)} {draw.between(1, 180)}, {draw.one_of(names.cities)}"
