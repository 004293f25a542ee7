"""What is said of statements whose session ended under them."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg2

from legal_store.config import Url
from legal_store.database.explain import statement_failure


def test_a_statement_whose_session_was_ended_is_told_with_what_became_of_it(connection: Any, database_url: Url) -> None:
    with closing(psycopg2.connect(database_url)) as ended, connection.cursor() as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (ended.info.backend_pid,))
        told = []
        for _ in range(2):  # the server says it, then the driver
            try:
                ended.cursor().execute("SELECT 1")
            except psycopg2.Error as error:
                told.append(statement_failure(error, "Masking").remedy)
    assert len(told) == 2 and all("what was not committed is undone" in remedy for remedy in told)


def test_a_connection_that_the_network_lost_is_told_in_the_same_way() -> None:
    lost = psycopg2.OperationalError("server closed the connection unexpectedly\n\tThis probably means the server ...")
    assert "what was not committed is undone" in statement_failure(lost, "A statement").remedy
