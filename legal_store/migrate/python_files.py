"""Migration files in peewee-migrate's format: `migrate(migrator, database, *, fake)` and `rollback`."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

import psycopg2
from peewee import PostgresqlDatabase
from peewee_migrate.migrator import Migrator
from playhouse.migrate import Operation

from legal_store.errors import LegalStoreError, MigrationError
from legal_store.migrate.files import Migration
from legal_store.migrate.steps import Step, irreversible, no_way_back, sql_steps


class StepMigrator(Migrator):
    """peewee-migrate's Migrator, whose SQL without parameters becomes one operation for each statement."""

    def sql(self, sql: str, *params: Any) -> None:
        if params:
            super().sql(sql, *params)
        else:
            self.__ops__.extend(sql_steps(sql))

    def step(self, step: Step) -> None:
        """Add an operation of our own."""
        self.__ops__.append(step)


class _OpenConnection(PostgresqlDatabase):
    """A Peewee database over a connection that is already open, inside the caller's transaction.

    SQL without parameters goes to the server as it is, so that a plain % needs no doubling.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__("migration", autoconnect=False)
        self._given = connection
        self.connect()

    def _connect(self) -> Any:
        return self._given

    def _close(self, conn: Any) -> None:
        pass

    def execute_sql(self, sql: str, params: Sequence[Any] | None = None, *_: Any) -> Any:
        cursor = self.cursor()
        cursor.execute(sql, params or None)
        return cursor


def over_connection(connection: Any) -> PostgresqlDatabase:
    """Return a Peewee database that works on an open psycopg2 connection, in its transaction."""
    return _OpenConnection(connection)


def collect_steps(connection: Any, migration: Migration, function: str) -> list[Step]:
    """Call `function` ("migrate" or "rollback") of the file and return the operations that it asked for, as steps.

    SQL that the function runs on `database` itself happens now, in the caller's transaction. Raises MigrationError
    when the file lacks the function, or its own code raises or exits; errors of the server as they are.
    """
    try:
        return _collected(connection, migration, function)
    except (LegalStoreError, psycopg2.Error):
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(migration.path)]
        place = f"{migration.path.name}, line {lines[-1]}," if lines else migration.path.name
        raise MigrationError(
            f"{place} raised {type(error).__name__}: {error}.", remedy="Correct the file and run the command again."
        ) from error


def _collected(connection: Any, migration: Migration, function: str) -> list[Step]:
    namespace: dict[str, Any] = {"__name__": migration.name, "__file__": str(migration.path)}
    exec(compile(migration.text, str(migration.path), "exec"), namespace)  # noqa: S102
    if function == "rollback" and (reason := namespace.get("irreversible")):
        raise irreversible(migration.path.name, reason)
    if function not in namespace:
        if function == "rollback":
            raise no_way_back(migration.path.name, "a function rollback()")
        raise MigrationError(f"{migration.path.name} has no function {function}().", remedy=f"Write {function}().")
    migrator = StepMigrator(over_connection(connection))
    namespace[function](migrator, migrator.__database__, fake=False)
    return [_as_step(operation) for operation in migrator.__ops__]


def _as_step(operation: Any) -> Step:
    if isinstance(operation, Step):
        return operation
    if isinstance(operation, Operation):
        return Step(f"{operation.method}{operation.args}", call=lambda _: operation.run())
    return Step(getattr(operation, "__qualname__", "an operation"), call=lambda _: operation())
