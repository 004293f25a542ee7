"""Firms with a few rows in every table, each row marked with its firm, so that a stray one is recognised anywhere."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import date
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extras import execute_values

ROWS = 3  # of each table, for each firm

# The tables of a firm, in an order in which rows can be inserted, with the column that carries the mark.
MARKED = {
    "firms": "name",
    "users": "first_name",
    "clients": "name",
    "cases": "title",
    "case_team": "role",
    "case_actors": "name",
    "documents": "title",
    "tasks": "title",
    "user_audit_logs": "new_value",
    "case_audit_logs": "action",
}
TABLES = tuple(MARKED)
_MARK = re.compile(r"<firm (\d+)>")


class LeakError(AssertionError):
    """Something of another firm was seen, changed, counted or referred to."""


class FirmRows:
    """One firm: its number, its id and the ids of the rows that it had from the start."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.mark = f"<firm {number}>"
        self.id = uuid.uuid4()
        self.ids: dict[str, list[uuid.UUID]] = {table: [uuid.uuid4() for _ in range(ROWS)] for table in TABLES}
        self.ids["firms"] = [self.id]

    def email(self, index: int) -> str:
        return f"user{index}@firm{self.number}.example"

    def pick(self, table: str, rng: random.Random) -> uuid.UUID:
        return rng.choice(self.ids[table])


class World:
    """All firms of one database, and what its owner knows about them."""

    def __init__(self, parameters: dict[str, Any], firms: int) -> None:
        self.parameters = parameters
        self.firms = [FirmRows(number) for number in range(firms)]
        self.number_of = {firm.id: firm.number for firm in self.firms}
        with self.owner() as cursor:
            cursor.execute("INSERT INTO skills (skill_id, display_name) VALUES ('drafting', 'Drafting')")
            for firm in self.firms:
                for table, rows in _rows(firm).items():
                    _insert(cursor, table, rows)

    def owner(self) -> Any:
        """Return a plain cursor of the schema's owner, in autocommit mode."""
        return _Owner(self.parameters)

    def inspect(self, value: Any, mine: FirmRows) -> None:
        """Raise LeakError when anything in `value`, however nested, is of another firm than `mine`."""
        for text in _texts(value):
            for number in _MARK.findall(text):
                if int(number) != mine.number:
                    raise LeakError(f"firm {mine.number} saw a row of firm {number}")
            for firm in self.firms:
                if firm is not mine and (str(firm.id) in text or firm.id.hex in text):
                    raise LeakError(f"firm {mine.number} saw the id of firm {firm.number}")

    def check(self, untouched: FirmRows) -> None:
        """Raise LeakError when a row has the mark of another firm, or anything about `untouched` has changed."""
        with self.owner() as cursor:
            for table, column in MARKED.items():
                firm_column = "id" if table == "firms" else "firm_id"
                cursor.execute(f"SELECT {firm_column}, {column} FROM {table}")
                for firm_id, text in cursor.fetchall():
                    if set(_MARK.findall(text)) != {str(self.number_of[firm_id])}:
                        raise LeakError(f"{table}: a row of firm {self.number_of[firm_id]} says {text!r}")
        if (now := self.digest(untouched)) != self.digests[untouched.number]:
            raise LeakError(f"rows of firm {untouched.number}, which nobody works for, have changed: {now}")

    def remember(self, untouched: FirmRows) -> None:
        self.digests = {untouched.number: self.digest(untouched)}

    def digest(self, firm: FirmRows) -> dict[str, tuple[Any, ...]]:
        """Return count and checksum of all that the firm has, by table."""
        found = {}
        with self.owner() as cursor:
            for table in TABLES:
                firm_column = "id" if table == "firms" else "firm_id"
                cursor.execute(
                    f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t.id)) FROM {table} t"
                    f" WHERE {firm_column} = %s",
                    (str(firm.id),),
                )
                found[table] = cursor.fetchone()
        return found


class _Owner:
    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters

    def __enter__(self) -> Any:
        self.connection = psycopg2.connect(**self.parameters)
        self.connection.autocommit = True
        psycopg2.extras.register_uuid(conn_or_curs=self.connection)
        return self.connection.cursor()

    def __exit__(self, *exception: object) -> None:
        self.connection.close()


def _rows(firm: FirmRows) -> dict[str, list[dict[str, Any]]]:
    ids, mark, today = firm.ids, firm.mark, date(2025, 1, 1)
    ours = {"firm_id": firm.id}
    rows: dict[str, list[dict[str, Any]]] = {
        "firms": [{"id": firm.id, "name": f"{mark}", "vat_id": f"RO{firm.number}"}],
    }
    for table in TABLES[1:]:
        rows[table] = [
            {"id": row_id, **ours, MARKED[table]: f"{mark} {index}"} for index, row_id in enumerate(ids[table])
        ]
    for index in range(ROWS):
        case, user, client = (ids[table][index] for table in ("cases", "users", "clients"))
        rows["users"][index] |= {"email": firm.email(index), "last_name": "X", "role": "Partner"}
        rows["cases"][index] |= {
            "case_number": f"C{firm.number}-{index}", "client_id": client, "type": "Civil", "opened_date": today
        }  # fmt: skip
        rows["case_team"][index] |= {"case_id": case, "user_id": user, "assigned_by_id": user}
        rows["case_actors"][index] |= {"case_id": case, "role": "Witness"}
        rows["documents"][index] |= {"case_id": case, "document_type": "Other", "created_by_id": user}
        rows["tasks"][index] |= {
            "case_id": case, "task_type": "Research", "assigned_to_id": user, "created_by_id": user
        }  # fmt: skip
        rows["user_audit_logs"][index] |= {"user_id": user, "admin_user_id": user, "action": "Activated"}
        rows["case_audit_logs"][index] |= {"case_id": case, "user_id": user}
    return rows


def _insert(cursor: Any, table: str, rows: list[dict[str, Any]]) -> None:
    columns = list(rows[0])
    statement = sql.SQL("INSERT INTO {} ({}) VALUES %s").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    execute_values(cursor, statement.as_string(cursor), [[row[column] for column in columns] for row in rows])


def _texts(value: Any) -> Iterator[str]:
    if value is None or isinstance(value, bool | int | float):
        return
    if isinstance(value, str | bytes | uuid.UUID):
        yield value.decode() if isinstance(value, bytes) else str(value)
    elif hasattr(value, "__data__"):  # a row of a model
        yield from _texts(value.__data__)
        yield from _texts(value.__rel__)
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))
    elif isinstance(value, Iterable):
        for item in value:
            yield from _texts(item)
    else:
        yield str(value)


def connected(parameters: dict[str, Any]) -> Any:
    """Return a plain connection, closed at the end of its `with` block."""
    return closing(psycopg2.connect(**parameters))
