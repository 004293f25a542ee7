"""Restore: behind a checklist, into a new database, swapped in atomically, undone as easily; and the drill."""

from legal_store.restore.checks import DEFAULT_CHECKS, Check, Finding, Restored
from legal_store.restore.databases import drop_abandoned
from legal_store.restore.drill import DrillReport, drill
from legal_store.restore.gates import Gate, phrase
from legal_store.restore.restoring import RestorePlan, RestoreReport, restore
from legal_store.restore.sources import Source, find_source
from legal_store.restore.undo import UndoReport, drop_previous, expired, previous_databases, undo

__all__ = [
    "DEFAULT_CHECKS",
    "Check",
    "DrillReport",
    "Finding",
    "Gate",
    "RestorePlan",
    "RestoreReport",
    "Restored",
    "Source",
    "UndoReport",
    "drill",
    "drop_abandoned",
    "drop_previous",
    "expired",
    "find_source",
    "phrase",
    "previous_databases",
    "restore",
    "undo",
]
