"""Versioned migrations: the files, the ledger of what was applied, and the engine that applies them."""

from legal_store.migrate.deploy import DeployReport, deploy, history, status

__all__ = ["DeployReport", "deploy", "history", "status"]
