"""The connection to PostgreSQL that all models share."""

from legal_store.database.connection import Database

db = Database()

__all__ = ["Database", "db"]
