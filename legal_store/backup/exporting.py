"""Exports: encrypted copies of a database for `import-anonymized`, marked as personal data, of use for days only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from legal_store.backup.keys import MasterKey
from legal_store.backup.making import BackupReport, make_backup
from legal_store.backup.manifest import ZSTD, Export
from legal_store.backup.progress import SILENT, Progress
from legal_store.backup.stores import Store
from legal_store.errors import WrongUseError

DEFAULT_DAYS, MOST_DAYS = 7, 90


def export(
    parameters: dict[str, Any],
    stores: Sequence[Store],
    *,
    environment: str,
    master: MasterKey,
    days: int = DEFAULT_DAYS,
    progress: Progress = SILENT,
) -> BackupReport:
    """Write an encrypted copy of the database that psycopg2 `parameters` name into `stores`, and return the report.

    It is a backup whose manifest says that it holds personal data and that it expires in `days` (1 to 90): then
    `import-anonymized` refuses it, and `backup.prune` deletes it. No backup counts it in. The seal of the manifest
    covers the date. Raises WrongUseError, and what make_backup() raises.
    """
    if not 1 <= days <= MOST_DAYS:
        raise WrongUseError(
            f"An export expires after 1 to {MOST_DAYS} days, not {days}.", remedy="Make a new one then."
        )
    expires = datetime.now(UTC) + timedelta(days=days)
    marked = Export(personal_data=True, expires_at=expires.isoformat(timespec="seconds"))
    return make_backup(
        parameters, stores, environment=environment, codec=ZSTD, master=master, export=marked, progress=progress
    )
