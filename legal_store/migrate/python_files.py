"""Runs a migration file in peewee-migrate's format: `migrate(migrator, database, *, fake)` and `rollback`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peewee import PostgresqlDatabase
from peewee_migrate.migrator import Migrator

from legal_store.errors import MigrationError


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


def run_python_migration(connection: Any, path: Path, function: str) -> int:
    """Run `function` ("migrate" or "rollback") of the file over an open psycopg2 connection.

    Returns the number of operations. Raises MigrationError when the file lacks the function, and whatever the
    file's own code raises; the caller's transaction decides what is kept.
    """
    namespace: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), namespace)  # noqa: S102
    if function not in namespace:
        raise MigrationError(f"{path.name} has no function {function}().", remedy=f"Write {function}().")
    database = _OpenConnection(connection)
    migrator = Migrator(database)
    namespace[function](migrator, database, fake=False)
    steps = len(migrator.__ops__)
    migrator()
    return steps
