"""Redis, Valkey or Redis Cluster: one connection that knows its time limits and explains its failures."""

from legal_store.keyvalue.connection import Connection, Limits, Script
from legal_store.keyvalue.health import Health

__all__ = ["Connection", "Health", "Limits", "Script"]
