"""The one database object of a process."""

from __future__ import annotations

from legal_store.database.connection import Database

db = Database()
