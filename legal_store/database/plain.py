"""A connection beside the pool, for operations: the login itself, no scope, no limits but those it is given."""

from __future__ import annotations

from typing import Any


def connect(parameters: dict[str, Any]) -> Any:
    """Return a psycopg2 connection. Raises ServerUnavailableError that says why there is none and what to do."""
    import psycopg2

    try:
        return psycopg2.connect(**parameters)
    except psycopg2.OperationalError as error:
        from legal_store.database.explain import connection_failure
        from legal_store.database.target import describe_target

        raise connection_failure(error, describe_target(parameters)) from None
