"""The connection to PostgreSQL that all models share, and whose data it may show."""

from legal_store.database.connection import Database
from legal_store.database.scope import all_firms, current_firm, firm

db = Database()

__all__ = ["Database", "all_firms", "current_firm", "db", "firm"]
