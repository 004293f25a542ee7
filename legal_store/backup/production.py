"""Whether a database is a production one, by any of the signs that it can carry."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from legal_store.backup.snapshot import connect
from legal_store.errors import ServerUnavailableError

_SIGNS = ("render.com", "production")
_MARKER = "legal_store.environment"


def is_production(environment: str, url: str, parameters: dict[str, Any]) -> bool:
    """Say whether the environment's name, the URL, or the marker in the database itself says production.

    The marker is the database's setting legal_store.environment. A database that does not exist (it may be what is
    to be restored) is judged by the first two. Raises ServerUnavailableError.
    """
    host_and_name = f"{parameters.get('host', '')} {parameters.get('dbname', '')}".lower()
    if environment == "production" or any(sign in text for sign in _SIGNS for text in (url.lower(), host_and_name)):
        return True
    try:
        with closing(connect(parameters)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_setting(%s, true)", (_MARKER,))
            return bool(cursor.fetchone()[0] == "production")
    except ServerUnavailableError as error:
        if "there is no such database" in error.message:
            return False
        raise  # what is unknown is not taken for harmless
