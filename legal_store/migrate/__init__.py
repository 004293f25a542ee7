"""Versioned migrations: the files, the ledger of what was applied, and the engine that applies them."""

from legal_store.migrate.runner import DeployReport, deploy, status

__all__ = ["DeployReport", "deploy", "status"]
