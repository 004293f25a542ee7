"""Whether a database shows any sign of being production."""

from __future__ import annotations

from typing import Any

from legal_store.config import mask_password

MARKER = "legal_store.environment"
_SIGNS = ("render.com", "production")


def production_signs(connection: Any, url: str, environment: str) -> list[str]:
    """Return every sign, in words without secrets: in the URL, in LEGAL_STORE_ENV, in the database's own marker."""
    signs = [f"the URL contains {sign!r}" for sign in _SIGNS if sign in mask_password(url).lower()]
    if environment == "production":
        signs.append("LEGAL_STORE_ENV is 'production'")
    with connection.cursor() as cursor:
        # from the catalog: start-up options of the session would hide it
        cursor.execute(
            "SELECT setting FROM pg_db_role_setting, unnest(setconfig) AS setting WHERE setrole = 0"
            " AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND setting = %s",
            (f"{MARKER}=production",),
        )
        if cursor.fetchone():
            signs.append(f"the database itself is marked: {MARKER} = 'production'")
    return signs
