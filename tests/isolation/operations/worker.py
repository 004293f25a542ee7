"""Who carries out operations, and the list of them all."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg2
from peewee import DatabaseError, DoesNotExist

from legal_store import (
    Case,
    CaseActor,
    CaseAuditLog,
    CaseTeamMember,
    Client,
    Document,
    Firm,
    Task,
    User,
    UserAuditLog,
    db,
)
from legal_store.errors import FirmScopeError
from tests.isolation.world import MARKED, TABLES, FirmRows, LeakError, World

MODELS: dict[str, Any] = {
    model._meta.table_name: model
    for model in (Firm, User, Client, Case, CaseTeamMember, CaseActor, Document, Task, UserAuditLog, CaseAuditLog)
}
CHANGEABLE = tuple(table for table in TABLES if table not in ("firms", "user_audit_logs", "case_audit_logs"))
REFUSALS = (FirmScopeError, DatabaseError, psycopg2.Error, DoesNotExist)
LONG = {"documents", "tasks", "case_actors", "case_team"}  # nothing refers to their rows


class Worker:
    """Works for its own firms, one at a time, and knows the ids of all the others."""

    def __init__(self, world: World, own: list[FirmRows], seed: int) -> None:
        self.world = world
        self.own = own
        self.firm = own[0]
        self.rng = random.Random(seed)
        self.kept: dict[str, Any] = {}

    @property
    def other(self) -> FirmRows:
        """Any firm but the one it works for now, be it another one of its own."""
        return self.rng.choice([firm for firm in self.world.firms if firm is not self.firm])

    def table(self, tables: tuple[str, ...] = TABLES) -> str:
        return self.rng.choice(tables)

    def theirs(self, table: str) -> uuid.UUID:
        return self.other.pick(table, self.rng)

    def mine(self, table: str) -> uuid.UUID:
        return self.firm.pick(table, self.rng)

    def text(self) -> str:
        return f"{self.firm.mark} {self.rng.randrange(1000)}"

    def run(self, statement: str, *parameters: Any) -> Any:
        cursor = db.execute_sql(statement, parameters or None)
        return cursor.fetchall() if cursor.description else cursor.rowcount


class Operation(NamedTuple):
    name: str
    run: Callable[[Worker], Any]
    refused: bool
    orm: bool
    needs_scope: bool


OPERATIONS: list[Operation] = []


def operation(*, refused: bool = False, orm: bool = False, needs_scope: bool = True) -> Callable[..., Any]:
    def declare(run: Callable[[Worker], Any]) -> Callable[[Worker], Any]:
        OPERATIONS.append(Operation(run.__name__, run, refused, orm, needs_scope))
        return run

    return declare


def nothing(count: int) -> None:
    if count:
        raise LeakError(f"{count} rows of another firm were changed")


def firm_column(table: str) -> str:
    return "id" if table == "firms" else "firm_id"


def firm_field(model: Any) -> str:
    return str(model.firm_column)


def marked_field(table: str) -> str:
    return MARKED[table]


def db_of(model: Any) -> Any:
    return model._meta.database
