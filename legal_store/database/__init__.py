"""The connection to PostgreSQL that all models share, and whose data it may show.

`db` is made when it is first asked for: operations that connect beside it do not wait for Peewee to be imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from legal_store.database.scope import all_firms, current_firm, firm

if TYPE_CHECKING:
    from legal_store.database.connection import Database as Database
    from legal_store.database.shared import db as db

__all__ = ["Database", "all_firms", "current_firm", "db", "firm"]


def __getattr__(name: str) -> Any:
    if name not in ("Database", "db"):
        raise AttributeError(name)
    from legal_store.database.connection import Database
    from legal_store.database.shared import db

    globals().update(Database=Database, db=db)
    return globals()[name]
