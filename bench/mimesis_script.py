"""The script that one would write without a generator: mimesis for each value, insert_many for a thousand rows.

It fills the tables that hold most rows, with contents of the same mean length as the generator's.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from mimesis import Address, Datetime, Finance, Numeric, Person, Text
from mimesis.locales import Locale

from bench.servers import settings_for
from legal_store.config import Url
from legal_store.database import Database, all_firms
from legal_store.models import Case, CaseAuditLog, CaseType, Client, Document, DocumentKind, Firm, Task, TaskType, User
from legal_store.models.users import UserRole

BATCH = 1000
_SHARES = {Client: 0.02, Case: 0.04, Document: 0.22, Task: 0.32, CaseAuditLog: 0.39}
_SENTENCES = 40  # of 60 letters: 2.5 kB


def fill_with_mimesis(url: Url, rows: int) -> None:
    """Make so many rows, and write them."""
    script = _Script()
    database = Database()
    database.configure(settings_for(url))
    with database.connection_context(), all_firms(reason="bench"), database.atomic():
        script.write(database, Firm, script.firms(max(1, rows // 5000)))
        script.write(database, User, script.users(rows // 100))
        for model, share in _SHARES.items():
            script.write(database, model, getattr(script, model._meta.table_name)(int(rows * share)))
    database.close_all()


class _Script:
    def __init__(self) -> None:
        self.person, self.address, self.text = (
            Person(Locale.EN, seed=1),
            Address(Locale.EN, seed=1),
            Text(Locale.EN, seed=1),
        )
        self.finance, self.numeric, self.when = Finance(Locale.EN, seed=1), Numeric(seed=1), Datetime(seed=1)
        self.random = random.Random(1)
        self.made: dict[Any, list[Any]] = {}

    def write(self, database: Any, model: Any, rows: Iterator[dict[str, Any]]) -> None:
        objects = [model(**row) for row in rows]
        self.made[model] = objects
        for start in range(0, len(objects), BATCH):
            model.insert_many([o.__data__ for o in objects[start : start + BATCH]]).execute(database)

    def firms(self, count: int) -> Iterator[dict[str, Any]]:
        for n in range(count):
            yield {"name": self.finance.company(), "vat_id": f"RO{n}", "address": self.address.address()}

    def users(self, count: int) -> Iterator[dict[str, Any]]:
        for n in range(count):
            yield {
                "firm": self.random.choice(self.made[Firm]),
                "email": f"{n}.{self.person.email()}".lower(),
                "first_name": self.person.first_name(),
                "last_name": self.person.last_name(),
                "role": self.random.choice(list(UserRole)),
            }

    def clients(self, count: int) -> Iterator[dict[str, Any]]:
        for n in range(count):
            yield {
                "firm": self.random.choice(self.made[Firm]),
                "name": f"{self.person.full_name()} {n}",
                "address": self.address.address(),
                "phone": self.person.phone_number(),
            }

    def cases(self, count: int) -> Iterator[dict[str, Any]]:
        for n in range(count):
            client = self.random.choice(self.made[Client])
            yield {
                "firm": client.firm_id,
                "client": client,
                "case_number": f"CASE-{n}",
                "title": self.text.title(),
                "type": self.random.choice(list(CaseType)),
                "opened_date": self.when.date(2020, 2025),
                "value": self.numeric.decimal_number(500, 90000),
                "judge_name": self.person.full_name(),
            }

    def documents(self, count: int) -> Iterator[dict[str, Any]]:
        for _ in range(count):
            case = self.random.choice(self.made[Case])
            yield {
                "firm": case.firm_id,
                "case": case,
                "title": self.text.title(),
                "document_type": self.random.choice(list(DocumentKind)),
                "content": self.text.text(_SENTENCES),
                "file_size_bytes": self.numeric.integer_number(1000, 5_000_000),
            }

    def tasks(self, count: int) -> Iterator[dict[str, Any]]:
        for _ in range(count):
            case = self.random.choice(self.made[Case])
            yield {
                "firm": case.firm_id,
                "case": case,
                "title": self.text.title(),
                "task_type": self.random.choice(list(TaskType)),
                "due_date": self.when.date(2024, 2026),
            }

    def case_audit_logs(self, count: int) -> Iterator[dict[str, Any]]:
        for _ in range(count):
            case = self.random.choice(self.made[Case])
            yield {
                "firm": case.firm_id,
                "case": case,
                "action": self.text.word(),
                "field_name": self.text.word(),
                "new_value": self.text.word(),
                "timestamp": self.when.datetime(2020, 2025).replace(tzinfo=UTC),
            }
