"""The script that one would write without a generator: mimesis for each value, insert_many for a thousand rows.

It makes as many rows of each table as the generator and fills the same columns, with contents of the same mean length,
but no story: dates, names and statuses of a case have nothing to do with each other, sizes have no tail.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any

from mimesis import Address, Datetime, Finance, Internet, Numeric, Person, Text
from mimesis.locales import Locale
from peewee import ForeignKeyField

from bench.peers import MODELS
from bench.servers import settings_for
from legal_store.config import Url
from legal_store.database import Database, all_firms
from legal_store.generating.tables import COLUMNS
from legal_store.schema.fields import EnumField, new_id

BATCH = 1000
_SENTENCES = 34  # 2.5 kB on average, like the contents that the generator makes
_EMBEDDED = 0.05
_FIXED = {"cases.status": "Active", "tasks.status": "Pending"}  # others need a date, by constraint
_EMPTY = ("closed_date", "completed_at")
_SHARED = ("skills", "document_type_registry", "romanian_templates")


def fill_with_mimesis(url: Url, counts: Mapping[str, int]) -> None:
    """Make so many rows of each table, and write them."""
    database = Database()
    database.configure(settings_for(url))
    with database.connection_context(), all_firms(reason="bench"), database.atomic():
        script = _Script(database)
        for table in COLUMNS:
            for start in range(0, counts.get(table, 0), BATCH):
                script.write(table, min(BATCH, counts[table] - start))
    database.close_all()


class _Script:
    def __init__(self, database: Any) -> None:
        self.database = database
        self.random = random.Random(1)
        self.when, self.numeric, self.text = Datetime(seed=1), Numeric(seed=1), Text(Locale.EN, seed=1)
        self.by_name = _values_by_name(self.text)
        self.firms: list[Any] = []
        self.of_firm: dict[tuple[str, Any], list[Any]] = {}
        self.members: set[tuple[Any, Any]] = set()
        for table in _SHARED:
            found = database.execute_sql(f"SELECT id FROM {table}").fetchall()
            self.of_firm[table, None] = [row_id for (row_id,) in found]

    def write(self, table: str, number: int) -> None:
        rows = [self._row(table, MODELS[table], turn) for turn in range(number)]
        for row in rows:
            self.of_firm.setdefault((table, row.get("firm")), []).append(row["id"])
        if table == "firms":
            self.firms += [row["id"] for row in rows]
        MODELS[table].insert_many(rows).execute(self.database)

    def _row(self, table: str, model: Any, turn: int) -> dict[str, Any]:
        firm = self._firm_for(table, turn)
        fields = [field for field in model._meta.sorted_fields if field.column_name in COLUMNS[table]]
        row = {field.name: self._value(table, field, firm) for field in fields}
        if table == "case_team":
            if (row["case"], row["user"]) in self.members:
                return self._row(table, model, turn)
            self.members.add((row["case"], row["user"]))
        return row

    def _firm_for(self, table: str, turn: int) -> Any:
        if table in ("users", "clients"):  # each firm gets some
            return self.firms[turn % len(self.firms)]
        while table != "firms":
            firm = self.random.choice(self.firms)
            if table in ("cases", "user_audit_logs") or (("cases", firm) in self.of_firm):
                return firm
        return None

    def _value(self, table: str, field: Any, firm: Any) -> Any:
        if field.name == "firm":
            return firm
        if isinstance(field, ForeignKeyField):
            target = field.rel_model._meta.table_name
            return self.random.choice(self.of_firm[target, None if target in _SHARED else firm])
        if isinstance(field, EnumField):
            return _FIXED.get(f"{table}.{field.name}") or self.random.choice(list(field.members))
        if field.name in _EMPTY:
            return None
        return self._plain(field)

    def _plain(self, field: Any) -> Any:
        kind = field.field_type
        if kind == "UUID":
            return new_id()  # the models' own default
        if kind == "TIMESTAMPTZ":
            return self.when.datetime(2020, 2025).replace(tzinfo=UTC)
        if kind == "DATE":
            return self.when.date(2020, 2025)
        if kind in ("INT", "BIGINT"):
            return self.numeric.integer_number(1, 5)
        if kind == "DECIMAL":
            return self.numeric.decimal_number(0, 1)
        if kind == "BOOL":
            return self.random.random() < 0.5
        if kind == "JSONB":
            return {"note": self.text.word()}
        if kind == "vector":
            return [self.random.gauss(0, 0.0255) for _ in range(1536)] if self.random.random() < _EMBEDDED else None
        return self.by_name.get(field.name, self.text.word)()


def _values_by_name(text: Text) -> dict[str, Callable[[], Any]]:
    person, address = Person(Locale.EN, seed=1), Address(Locale.EN, seed=1)
    finance, internet = Finance(Locale.EN, seed=1), Internet(seed=1)

    def unique(make: Callable[[], str]) -> Callable[[], str]:
        return lambda: f"{make()} {uuid.uuid4().hex[:12]}"

    return {
        "name": unique(person.full_name),
        "vat_id": unique(finance.company),
        "case_number": unique(text.word),
        "email": lambda: f"{uuid.uuid4().hex[:8]}.{person.email().lower()}",
        "first_name": person.first_name,
        "last_name": person.last_name,
        "phone": person.phone_number,
        "address": address.address,
        "website": internet.url,
        "organization": finance.company,
        "title": text.title,
        "description": text.sentence,
        "content": lambda: text.text(_SENTENCES),
        "judge_name": person.full_name,
        "court_name": finance.company,
        "file_name": internet.slug,
        "storage_url": internet.url,
        "mime_type": lambda: "application/pdf",
        "notes": text.sentence,
    }
