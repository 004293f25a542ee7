"""Firms and their people, and everything that the rows of a firm have in common."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from legal_store.generating.draws import DAY, Calendar, Draw
from legal_store.generating.embeddings import EmbeddingBank
from legal_store.generating.plan import Plan, generator_of
from legal_store.generating.recipe import Recipe
from legal_store.generating.tables import Rows, no_rows
from legal_store.generating.vocabulary import Names, phone, read_names, slug
from legal_store.models.documents import DocumentKind

NULL = r"\N"
_NEXT_ROLE = {"Paralegal": "Associate", "Associate": "Partner", "Partner": "Associate"}


class Catalogue(NamedTuple):
    """Ids of the rows that all firms share, those used most in front."""

    skills: tuple[str, ...]
    document_types: tuple[str, ...]
    templates: tuple[str, ...]


class Person(NamedTuple):
    """A user of a firm, as far as other rows refer to it."""

    id: str
    name: str
    role: str


class Firm(NamedTuple):
    """A firm, as far as other rows refer to it. Its most active people come first."""

    id: str
    vat_id: str
    people: tuple[Person, ...]
    workspaces: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Market:
    """Everything that rows are made from: what a process needs besides the number of a portion."""

    recipe: Recipe
    plan: Plan
    catalogue: Catalogue
    calendar: Calendar
    names: dict[str, Names]
    embeddings: EmbeddingBank
    _latest: dict[int, Firm] = field(default_factory=dict)
    """The firm that was asked for last: the portions of a firm follow each other."""

    @classmethod
    def of(cls, recipe: Recipe, plan: Plan, catalogue: Catalogue) -> Market:
        kinds = tuple(kind.value for kind in DocumentKind)
        return cls(recipe, plan, catalogue, Calendar(recipe), read_names(recipe), EmbeddingBank(kinds))

    def draw(self, *thread: object, covering: bool = False) -> Draw:
        """Return the random values of a thread of the story, which depend on the seed and its name only."""
        return Draw(generator_of(self.plan.seed, *thread), self.recipe, covering=covering)

    def firm(self, index: int) -> Firm:
        """Return a firm without its rows."""
        if index not in self._latest:
            self._latest.clear()
            self._latest[index] = _Head(self, index).make()[0]
        return self._latest[index]

    def identity(self, index: int) -> tuple[str, str]:
        """Return the id and the VAT id of a firm, without making the rest of it."""
        return _Head(self, index).identity()

    def head(self, index: int) -> Rows:
        """Return the rows of a firm and its people."""
        return _Head(self, index).make()[1]


class _Head:
    """Makes a firm, its users and what was changed about them."""

    def __init__(self, market: Market, index: int) -> None:
        self.market, self.index = market, index
        self.draw = market.draw("firm", index, covering=index == 0)
        self.size = market.plan.firms[index]
        self.names = market.names["ro"]
        self.rows = no_rows()
        self.founded = (market.calendar.first - self.draw.between(30, 700)) * DAY + 9 * 3600

    def make(self) -> tuple[Firm, Rows]:
        draw = self.draw
        firm_id, vat = self.identity()
        domain = self._firm_row(firm_id, vat)
        people = tuple(self._user_row(firm_id, domain, number) for number in range(self.size.users))
        for number in range(self.size.changes):
            self._change_row(firm_id, people, number)
        workspaces = tuple(str(uuid.UUID(int=draw.bits(128), version=4)) for _ in range(1 + len(people) // 12))
        return Firm(firm_id, vat, people, workspaces), self.rows

    def identity(self) -> tuple[str, str]:
        """Return id and VAT id of the firm: the first thing that is drawn."""
        return self.draw.id(self.founded), self._vat_id()

    def _vat_id(self) -> str:
        # one run of numbers for each seed, so that no two firms of a market share one
        start = generator_of(self.market.plan.seed, "vat").getrandbits(62)
        return f"RO{10**9 + (start + self.index) % (9 * 10**9)}"

    def _firm_row(self, firm_id: str, vat: str) -> str:
        draw, words = self.draw, self.market.recipe.words
        name = f"{draw.one_of(words['last_names'])} {draw.one_of(words['firm_forms'])}"
        domain = f"{slug(name)}-{vat[-7:]}.example"
        place = f"{draw.one_of(words['streets'])} {draw.between(1, 120)}, {draw.one_of(words['cities'])}"
        at = self._at(self.founded)
        self.rows["firms"].append(
            f"{firm_id}\t{at}\t{at}\t{name}\t{vat}\toffice@{domain}\t{phone(draw, 'ro')}\t{place}\thttps://{domain}"
        )
        return domain

    def _user_row(self, firm_id: str, domain: str, number: int) -> Person:
        draw, calendar = self.draw, self.market.calendar
        first, last = draw.one_of(self.names.first), draw.one_of(self.names.last)
        role = draw.choice("users.role") if number else "Partner"
        status = draw.choice("users.status") if number else "Active"
        joined = self.founded + draw.between(0, 25) * DAY
        user_id = draw.id(joined)
        azure = NULL if status == "Pending" else f"{uuid.UUID(int=draw.bits(128), version=4)}"
        active = NULL if status == "Pending" else self._at(calendar.today * DAY - int(draw.random() ** 4 * 400 * DAY))
        approves, manages = "ft"[role == "Partner"], "ft"[role != "Paralegal"]
        language = "en" if draw.random() < 0.1 else "ro"
        at = self._at(joined)
        self.rows["users"].append(
            f"{user_id}\t{at}\t{at}\t{firm_id}\t{slug(first)}.{slug(last)}.{number + 1}@{domain}\t{first}\t{last}\t"
            f'{role}\t{status}\t{azure}\t{{"language": "{language}"}}\t{active}\t{approves}\t{manages}'
        )
        return Person(user_id, f"{first} {last}", role)

    def _change_row(self, firm_id: str, people: tuple[Person, ...], number: int) -> None:
        draw = self.draw
        user = people[number % len(people)]
        action = draw.choice("user_audit_logs.action")
        old, new = _values_of_change(action, user.role)
        second = self.founded + draw.between(26 * DAY, 400 * DAY)
        at = self._at(second)
        self.rows["user_audit_logs"].append(
            f"{draw.id(second)}\t{at}\t{at}\t{firm_id}\t{user.id}\t{people[0].id}\t{action}\t{old}\t{new}\t{at}"
        )

    def _at(self, second: int) -> str:
        return self.market.calendar.moment(second)


def _values_of_change(action: str, role: str) -> tuple[str, str]:
    if action == "RoleChanged":
        return _NEXT_ROLE[role], role
    return ("Pending", "Active") if action == "Activated" else ("Active", "Inactive")


def rows_of(market: Market, portion: Any) -> Rows:
    """Return the rows of a portion, exactly as many as planned; the same whenever and wherever it is asked."""
    from legal_store.generating.cases import case_rows

    return market.head(portion.firm) if portion.part == 0 else case_rows(market, portion)
