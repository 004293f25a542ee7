"""Where a long step stands, kept in the ledger so that a killed one goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


class Checkpoint:
    """What an operation of a migration gets: the connection, and a place to note how far it came."""

    def __init__(
        self, connection: Any, attempt_id: str | None, step: int, checksum: str, say: Callable[[str], None]
    ) -> None:
        self.connection = connection
        self.say = say
        self._key = (attempt_id, step, checksum)

    @property
    def durable(self) -> bool:
        """False inside a migration that is one transaction: there is nothing to go on from."""
        return self._key[0] is not None

    def load(self) -> Any:
        """Return what was saved last, None at the beginning."""
        if not self.durable:
            return None
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT checkpoint FROM _migration_steps WHERE migration_id = %s AND step = %s", self._key[:2]
            )
            row = cursor.fetchone()
            return None if row is None else row[0]

    def save(self, value: Any) -> None:
        """Note `value` (anything JSON can hold), in the caller's transaction."""
        if not self.durable:
            return
        with self.connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO _migration_steps (migration_id, step, checksum, checkpoint) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (migration_id, step) DO UPDATE SET checkpoint = EXCLUDED.checkpoint",
                (*self._key, json.dumps(value)),
            )
