"""A connection beside the pool, for operations: the login itself, no scope, no limits but those it is given."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any


def connect(parameters: dict[str, Any]) -> Any:
    """Return a psycopg2 connection. Raises ServerUnavailableError that says why there is none and what to do."""
    import psycopg2

    try:
        return _connected(parameters)
    except psycopg2.OperationalError as error:
        from legal_store.database.explain import connection_failure
        from legal_store.database.target import describe_target

        raise connection_failure(error, describe_target(parameters)) from None


def _connected(parameters: dict[str, Any]) -> Any:
    """Connect in another thread: while libpq waits for a server, its own hears of no signal, not even Ctrl-C."""
    import psycopg2

    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(psycopg2.connect(**parameters))
        except BaseException as error:  # noqa: BLE001  (handed to the thread that waits)
            outcome.set_exception(error)

    threading.Thread(target=run, name="connect", daemon=True).start()
    return outcome.result()
