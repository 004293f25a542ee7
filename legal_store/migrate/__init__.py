"""Versioned migrations: the files, the ledger of what was applied, and the engine that applies them."""

from legal_store.migrate.deploy import DeployReport, deploy, history, standing_of, status
from legal_store.migrate.drift import find_drift, read_recorded
from legal_store.schema.catalog import Difference

__all__ = ["DeployReport", "Difference", "deploy", "find_drift", "history", "read_recorded", "standing_of", "status"]
