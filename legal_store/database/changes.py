"""What was written, told to those who asked once it is committed, and never what was rolled back.

Models note each change with the database. Inside a transaction it waits on the connection's list; a savepoint notes
how long the list was, and its rollback cuts the list there, so that it is exact however they are nested. After COMMIT
the list goes to the subscribers; nothing that they do can make a committed write look failed.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

from peewee import _savepoint
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR

from legal_store.errors import OperationFailedError

# by name, not imported: what is told lies above this module. Each is `module:function`, called with a list of changes
SUBSCRIBERS = ["legal_store.cache.events:after_commit"]

_logger = logging.getLogger("legal_store.changes")


class Change(NamedTuple):
    """One write. `subject` is the model ("case"), `verb` created, updated or deleted.

    `keys`: its id and references by column, empty where a query wrote many rows; `fields`: what an update changed;
    `firm_id`: None when it is not known; `of_firm`: False where rows belong to no firm.
    """

    subject: str
    verb: str
    keys: Mapping[str, Any]
    fields: tuple[str, ...] = ()
    firm_id: uuid.UUID | None = None
    of_firm: bool = True


class ChangeTracking:
    """A part of Database: keeps the changes of the open transaction of each connection."""

    def note_change(self, change: Change) -> None:
        """Tell the subscribers of `change` after the commit; at once outside a transaction."""
        if self._transaction_status() == TRANSACTION_STATUS_IDLE:
            tell([change])
        else:
            self._noted().append(change)

    def begin(self, *arguments: Any, **options: Any) -> None:
        self._noted().clear()
        super().begin(*arguments, **options)  # type: ignore[misc]

    def commit(self) -> None:
        """Commit, then tell the subscribers. Raises OperationFailedError where the error of a statement was caught:
        PostgreSQL would answer COMMIT with a silent ROLLBACK."""
        if self._transaction_status() == TRANSACTION_STATUS_INERROR:
            raise OperationFailedError(
                "Nothing of this transaction was written: an error in it was caught, and PostgreSQL had aborted it.",
                remedy="Put a statement that may fail into `with db.atomic():`, inside the `try:`.",
            )
        noted = self._noted()
        changes = list(noted)
        super().commit()  # type: ignore[misc]
        noted.clear()
        if changes:
            tell(changes)

    def rollback(self) -> None:
        self._noted().clear()
        super().rollback()  # type: ignore[misc]

    def savepoint(self) -> Any:
        return TrackedSavepoint(self)

    def _noted(self) -> list[Change]:
        state = self._state  # type: ignore[attr-defined]
        if not hasattr(state, "noted_changes"):
            state.noted_changes = []
        changes: list[Change] = state.noted_changes
        return changes

    def _transaction_status(self) -> int:
        return int(self.connection().get_transaction_status())  # type: ignore[attr-defined]


class TrackedSavepoint(_savepoint):
    """A savepoint whose rollback takes back the changes that were noted since it began."""

    def _begin(self) -> None:
        super()._begin()  # type: ignore[misc]
        self._length = len(self.db._noted())

    def rollback(self, begin: bool = True) -> None:
        del self.db._noted()[self._length :]
        super().rollback(begin)


def tell(changes: list[Change]) -> None:
    """Hand committed changes to every subscriber. Never raises."""
    for name in SUBSCRIBERS:
        module, _, function = name.partition(":")
        try:
            getattr(import_module(module), function)(changes)
        except Exception:
            _logger.exception("%s could not be told of %d changes", name, len(changes))
