"""legal_store: the PostgreSQL and Redis side of a legal platform.

    from legal_store import db, Case, Document

Names are loaded when they are first asked for, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from legal_store.cache import cache_manager as cache_manager
    from legal_store.config import Settings as Settings
    from legal_store.config import settings as settings
    from legal_store.database import Database as Database
    from legal_store.database import all_firms as all_firms
    from legal_store.database import current_firm as current_firm
    from legal_store.database import db as db
    from legal_store.database import firm as firm
    from legal_store.database.health import check_database_health as check_database_health
    from legal_store.database.health import check_redis_health as check_redis_health
    from legal_store.errors import LegalStoreError as LegalStoreError
    from legal_store.models import *  # noqa: F403
    from legal_store.sessions import session_manager as session_manager

_HOMES = {
    "legal_store.cache": ("cache_manager",),
    "legal_store.config": ("Settings", "settings"),
    "legal_store.database": ("Database", "all_firms", "current_firm", "db", "firm"),
    "legal_store.database.health": ("check_database_health", "check_redis_health"),
    "legal_store.errors": ("LegalStoreError",),
    "legal_store.sessions": ("session_manager",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    value = getattr(import_module(_HOME_OF.get(name, "legal_store.models")), name, None)
    if value is None:
        raise AttributeError(f"legal_store has no {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    models = import_module("legal_store.models").__all__
    return sorted([*_HOME_OF, *models])
