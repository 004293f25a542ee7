"""Undo: the database that a restore put aside becomes the live one again; and the end of those kept long enough."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from legal_store.backup.progress import SILENT, Progress
from legal_store.backup.snapshot import connect
from legal_store.errors import RefusedError
from legal_store.restore import gates
from legal_store.restore.databases import server
from legal_store.restore.marks import BEFORE, Marked, name_for

KEEP_PREVIOUS = timedelta(days=7)


class UndoReport(NamedTuple):
    """What an undo did: `brought_back` is live now, what was live is `put_aside` (another undo swaps them again)."""

    database: str
    brought_back: str
    put_aside: str
    unavailable_seconds: float


def undo(
    parameters: dict[str, Any], *, typed: str | None, production: bool = False, progress: Progress = SILENT
) -> UndoReport:
    """Swap the newest database that a restore put aside back into place, in one transaction.

    Raises RefusedError where there is none or the database's name was not typed, RestoreError when the swap fails;
    the live database is then what it was.
    """
    database = str(parameters["dbname"])
    with server(parameters) as opened, opened.locked(database):
        progress.step("look")
        gates.Checklist().add(gates.confirmation(database, typed, production=production))
        gates.Checklist().add(gates.open_sessions(opened, database))
        kept = [found for found in opened.marked() if found.kind == BEFORE and found.of == database]
        if not kept:
            raise RefusedError(
                f"No restore of {database} can be undone: there is no database that one has put aside.",
                remedy="Restore the safety backup that it made: see `invoke backup.list`.",
            )
        aside = name_for(database, BEFORE)
        progress.step("swap")
        unavailable = opened.swap(database, kept[0].name, aside, f"undo of {kept[0].origin}")
        progress.step("swapped")
    connect(parameters).close()
    return UndoReport(database, kept[0].name, aside, round(unavailable, 3))


def previous_databases(parameters: dict[str, Any]) -> list[Marked]:
    """Return the databases that restores have put aside on this server, newest first."""
    with server(parameters) as opened:
        return [found for found in opened.marked() if found.kind == BEFORE]


def drop_previous(parameters: dict[str, Any], name: str) -> None:
    """Drop one of them. Raises RefusedError for any database that a restore did not put aside."""
    with server(parameters) as opened:
        opened.drop(name)


def expired(previous: list[Marked], now: datetime, keep: timedelta = KEEP_PREVIOUS) -> list[Marked]:
    """Return those that were put aside longer ago than `keep`."""
    return [found for found in previous if now - found.at > keep]
