"""Clients, their cases, and all that happens in a case: dates follow its life, names recur in its documents."""

from __future__ import annotations

from typing import Any, NamedTuple

from legal_store.generating.draws import DAY
from legal_store.generating.logs import add_logs
from legal_store.generating.market import NULL, Firm, Market
from legal_store.generating.plan import PORTION_ROWS, Portion
from legal_store.generating.tables import Rows, count, no_rows
from legal_store.generating.vocabulary import Names, address, phone, slug
from legal_store.generating.writing import CaseWriter

SMALLEST_CASE = 6
"""Rows: the case, two parties, one lawyer, one change, and its client."""

_NUMBERS = PORTION_ROWS // 5  # of clients and of cases: more than a portion can hold
_COVERED_LIVES = ("Active", "OnHold", "Closed", "Archived")
_EXTENSIONS = (
    *[("pdf", "application/pdf")] * 6,
    *[("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document")] * 3,
    ("txt", "text/plain"),
)
_TEAM_ROLES = ("Lead", "Member", "Member", "Support")
_CHANGES = (
    ("FieldUpdated", "priority", "Medium", "High"),
    ("FieldUpdated", "judge_name", NULL, "-"),
    ("FieldUpdated", "next_hearing_date", NULL, "-"),
    ("DocumentAdded", NULL, NULL, NULL),
    ("DocumentAdded", NULL, NULL, NULL),
    ("TaskAssigned", NULL, NULL, NULL),
    ("TeamChanged", NULL, NULL, NULL),
    ("StatusChanged", "status", "Active", "OnHold"),
)
_WITH_VALUE = {"Civil", "Corporate", "Labor", "IntellectualProperty"}


def case_rows(market: Market, portion: Portion) -> Rows:
    """Return the rows of a portion of a firm: clients with their cases, and usage logs that make the number full."""
    return _Portion(market, portion).make()


class _Client(NamedTuple):
    id: str
    name: str
    language: str
    organization: bool


class _Case(NamedTuple):
    """What the rows of a case have in common; `opened` and `end` are days, between which its work is done."""

    id: str
    number: str
    language: str
    opened: int
    end: int
    is_over: bool
    title: str
    parties: dict[str, Any]
    cluster: int

    @property
    def last_second(self) -> int:
        return self.end * DAY + 64_000


class _Portion:
    """Makes the rows of one portion."""

    def __init__(self, market: Market, portion: Portion) -> None:
        self.market, self.portion = market, portion
        self.recipe, self.calendar = market.recipe, market.calendar
        self.firm: Firm = market.firm(portion.firm)
        self.covering = portion.firm == 0 and portion.part == 1
        self.draw = market.draw("cases", portion.firm, portion.part, covering=self.covering)
        self.name_start = portion.firm * 7919
        self.number = (portion.part - 1) * _NUMBERS
        self.rows = no_rows()
        self.case_count = 0

    def make(self) -> Rows:
        room = self.portion.rows - int(self.portion.rows * self.recipe.shares["usage_log_share"])
        client_count = 0
        while room >= SMALLEST_CASE:
            client = self._client(self.number + client_count)
            client_count += 1
            room -= 1
            for _ in range(self.draw.tail("cases_per_client")):
                if room < SMALLEST_CASE:
                    break
                room -= self._case(client, room)
        add_logs(self.market, self.firm, self.draw, self.rows, self.portion.rows - count(self.rows))
        return self.rows

    def _client(self, serial: int) -> _Client:
        draw = self.draw
        language = "en" if draw.happens("english_share") else "ro"
        names = self.market.names[language]
        organization = draw.random() < 0.55
        name = (names.company if organization else names.person)(serial, self.name_start)
        second = (self.calendar.first - draw.between(1, 300)) * DAY + 36_000
        client_id, at = draw.id(second), self.calendar.moment(second)
        mail = f"contact@{slug(name)}.example"
        contact = f'{{"preferred": "{draw.one_of(("email", "phone", "post"))}", "language": "{language}"}}'
        self.rows["clients"].append(
            f"{client_id}\t{at}\t{at}\t{self.firm.id}\t{name}\t{contact}\t{address(draw, names)}\t{mail}\t"
            f"{phone(draw, language)}"
        )
        return _Client(client_id, name, language, organization)

    def _case(self, client: _Client, room: int) -> int:
        """Add a case with at most `room` rows. Return how many it has."""
        before = count(self.rows)
        case = self._case_row(client)
        room -= 1
        actors = min(self.draw.tail("actors_per_case"), room - 2)
        self._actors(case, client, actors)
        team = min(self.draw.tail("team_per_case"), len(self.firm.people), room - actors - 1)
        self._team(case, team)
        room -= actors + team + 1
        documents = min(self.draw.tail("documents_per_case"), room // 2)
        room -= documents + self._documents(case, documents)
        tasks = min(self.draw.tail("tasks_per_case"), room)
        for _ in range(tasks):
            self._task(case)
        self._changes(case, 1 + min(self.draw.tail("changes_per_case") - 1, room - tasks))
        return count(self.rows) - before

    def _case_row(self, client: _Client) -> _Case:
        draw, day = self.draw, self.calendar.day
        status, opened, closed = self._life()
        kind = draw.choice("cases.type")
        parties = self._parties(client, opened)
        self.case_count += 1
        parties["case_number"] = number = f"CASE-{day(opened)[:4]}-{self.number + self.case_count:05}"
        title = draw.one_of(self.recipe.matters[client.language][kind]).format_map(parties)
        second = opened * DAY + 9 * 3600
        case_id, at = draw.id(second), self.calendar.moment(second)
        worth = f"{draw.tail('case_value')}.{draw.between(0, 99):02}" if kind in _WITH_VALUE else NULL
        hearing = NULL
        if status == "Active" and draw.random() < 0.5:
            hearing = self.calendar.moment((self.calendar.today + draw.between(1, 120)) * DAY + 7 * 3600)
        self.rows["cases"].append(
            f"{case_id}\t{at}\t{at}\t{self.firm.id}\t{number}\t{title}\t{client.id}\t{status}\t{kind}\t"
            f"{draw.choice('cases.priority')}\t{title}. {parties['court']}.\t{day(opened)}\t"
            f"{day(closed) if closed else NULL}\t{worth}\t{parties['court']}\t{parties['judge']}\t{hearing}\t"
            f'{{"language": "{client.language}", "chamber": {draw.between(1, 9)}}}'
        )
        end = closed or self.calendar.today - 1
        return _Case(case_id, number, client.language, opened, end, closed is not None, title, parties, draw.bits(60))

    def _life(self) -> tuple[str, int, int | None]:
        """Return status, day of opening and day of closing of a case."""
        draw, today = self.draw, self.calendar.today
        if self.covering and self.case_count < len(_COVERED_LIVES):
            status = _COVERED_LIVES[self.case_count]
            return (status, today - 100, None) if self.case_count < 2 else (status, today - 190, today - 90)
        opened = today - 2 - int(draw.random() ** 1.3 * (today - self.calendar.first - 2))
        closed = opened + draw.tail("case_days")
        if closed >= today - 1:
            return ("OnHold" if draw.random() < 0.14 else "Active"), opened, None
        archived = today - closed > 365 and draw.random() < 0.8
        return ("Archived" if archived else "Closed"), opened, closed

    def _parties(self, client: _Client, opened: int) -> dict[str, Any]:
        draw, words = self.draw, self.recipe.words
        names = self.market.names[client.language]
        other = draw.bits(14)
        return {
            "client": client.name,
            "opponent": names.company(other) if client.organization else names.person(other),
            "lawyer": draw.early_one_of(self.firm.people).name,
            "witness": names.person(draw.bits(13)),
            "expert": self.market.names["ro"].person(draw.bits(13)),
            "judge": self.market.names["ro"].person(draw.bits(13)),
            "court": draw.one_of(words["courts"]),
            "city": draw.one_of(words["cities"]),
            "amount": f"{draw.tail('case_value'):,}".replace(",", "."),
            "date": self.calendar.day(opened - draw.between(5, 300)),
        }

    def _actors(self, case: _Case, client: _Client, number: int) -> None:
        draw = self.draw
        names: Names = self.market.names[case.language]
        second = case.opened * DAY + 10 * 3600
        at = self.calendar.moment(second)
        for position in range(number):
            role = ("Client", "OpposingParty")[position] if position < 2 else draw.choice("case_actors.role")
            name = case.parties.get(_NAMED_ROLES.get(role, ""), "") or names.person(draw.bits(14))
            firm = names.company(draw.bits(14)) if role in ("OpposingCounsel", "Expert") else NULL
            self.rows["case_actors"].append(
                f"{draw.id(second)}\t{at}\t{at}\t{self.firm.id}\t{case.id}\t{role}\t{name}\t{firm}\t"
                f"{slug(name)}@mail.example\t{phone(draw, case.language)}\t{address(draw, names)}\t{NULL}"
            )

    def _team(self, case: _Case, number: int) -> None:
        draw = self.draw
        second = case.opened * DAY + 11 * 3600
        at = self.calendar.moment(second)
        assigned_by = self.firm.people[0].id
        for position, person in enumerate(draw.sample(self.firm.people, number)):
            role = _TEAM_ROLES[min(position, 3)]
            self.rows["case_team"].append(
                f"{draw.id(second)}\t{at}\t{at}\t{self.firm.id}\t{case.id}\t{person.id}\t{role}\t{at}\t{assigned_by}"
            )

    def _documents(self, case: _Case, number: int) -> int:
        """Add documents. Return how many of them discovery has recognised, each in a row of its own."""
        writer = CaseWriter(self.recipe, case.language, case.parties)
        kind, title, version, recognised = "", "", 0, 0
        second = self._second(case)
        for _ in range(number):
            if version and self.draw.happens("new_version_share"):
                version += 1
                second = min(second + self.draw.between(1, 20) * DAY, case.last_second)
            else:
                kind, version, second = self.draw.choice("documents.document_type"), 1, self._second(case)
                title = f"{self.draw.one_of(self.recipe.titles[case.language][kind])} – {case.parties['client']}"
            document_id = self._document(case, writer, kind, title, version, second)
            if self.draw.happens("instance_share"):
                recognised += 1
                self._instance(document_id, second)
        return recognised

    def _document(self, case: _Case, writer: CaseWriter, kind: str, title: str, version: int, second: int) -> str:
        draw, moment = self.draw, self.calendar.moment
        document_id = draw.id(second)
        at, changed = moment(second), moment(max(second, min(second + draw.between(0, 6 * DAY), case.last_second)))
        heading = f"{title}. {case.parties['client']} / {case.parties['opponent']}. {case.number}, {at[:10]}."
        content, size = writer.content(draw, kind, heading)
        status = draw.choice("documents.status")
        if case.is_over and not self.covering:
            status = "Filed" if draw.random() < 0.7 else "Approved"
        extension, mime = draw.one_of(_EXTENSIONS)
        file_name = f"{kind.lower()}-{case.number.lower()}-{document_id[-8:]}-v{version}.{extension}"
        vector = NULL
        if draw.happens("embedding_share") or (self.covering and not self.rows["documents"]):
            vector = self.market.embeddings.vector(draw, case.cluster, kind)
        self.rows["documents"].append(
            f"{document_id}\t{at}\t{changed}\t{self.firm.id}\t{case.id}\t{title}\t{kind}\t{status}\t"
            f"{content}\t{file_name}\t{size * draw.between(3, 60)}\t{mime}\t"
            f"https://storage.example.com/{self.firm.id}/{case.number}/{file_name}\t{version}\t"
            f"{'ft'[draw.happens('ai_share')]}\t{draw.early_one_of(self.firm.people).id}\t{vector}\t"
            f'{{"pages": {1 + size // 2400}, "language": "{case.language}"}}'
        )
        return document_id

    def _instance(self, document_id: str, second: int) -> None:
        draw = self.draw
        seen = second + draw.between(60, 9000)
        self.rows["document_type_instances"].append(
            f"{draw.id(seen)}\t{document_id}\t{draw.early_one_of(self.market.catalogue.document_types)}\t"
            f"{1 - draw.random() ** 2 * 0.6:.4f}\t{self.calendar.moment(seen)}"
        )

    def _task(self, case: _Case) -> None:
        draw, moment = self.draw, self.calendar.moment
        kind, status = draw.choice("tasks.task_type"), draw.choice("tasks.status")
        if case.is_over and not self.covering:
            status = "Completed"
        second = self._second(case)
        done, worked = NULL, NULL
        estimated = draw.between(1, 60)
        if status == "Completed":
            finished = max(second, min(second + draw.between(3600, 25 * DAY), case.last_second))
            done, worked = moment(finished), str(max(1, estimated + draw.between(-20, 30)) / 4)
        title = draw.one_of(self.recipe.tasks[kind]).format(
            client=case.parties["client"],
            opponent=case.parties["opponent"],
            court=case.parties["court"],
            matter=case.title,
        )
        assigned = NULL if draw.random() < 0.06 else draw.early_one_of(self.firm.people).id
        at = moment(second)
        changed = at if done is NULL else done
        self.rows["tasks"].append(
            f"{draw.id(second)}\t{at}\t{changed}\t{self.firm.id}\t{case.id}\t{title}\t{case.number}\t{kind}\t{status}\t{draw.choice('tasks.priority')}\t{assigned}\t{draw.early_one_of(self.firm.people).id}\t"
            f"{self.calendar.day(second // DAY + draw.between(2, 45))}\t{estimated / 4}\t{worked}\t{done}"
        )

    def _changes(self, case: _Case, number: int) -> None:
        draw = self.draw
        second = case.opened * DAY + 9 * 3600 + 60
        change = ("Created", NULL, NULL, NULL)
        for _ in range(number):
            action, field_name, old, new = change
            at = self.calendar.moment(second)
            self.rows["case_audit_logs"].append(
                f"{draw.id(second)}\t{at}\t{at}\t{self.firm.id}\t{case.id}\t{draw.early_one_of(self.firm.people).id}\t"
                f"{action}\t{field_name}\t{old}\t{new}\t{at}"
            )
            second, change = self._second(case), draw.one_of(_CHANGES)

    def _second(self, case: _Case) -> int:
        """Return a moment of the working hours of a day in the life of the case."""
        draw = self.draw
        return (case.opened + int(draw.random() * (case.end - case.opened + 1))) * DAY + draw.between(32_400, 61_200)


_NAMED_ROLES = {"Client": "client", "OpposingParty": "opponent", "Witness": "witness", "Expert": "expert"}
