"""What ended a load, in one paragraph: the first thing that went wrong, not what followed from it."""

from __future__ import annotations

import psycopg2

from legal_store.database.explain import statement_failure
from legal_store.errors import SeedError

AGAIN = "Run the same command again: it goes on from there and puts the indexes back."


def stopped(error: BaseException, doing: str) -> SeedError:
    """Return the error that says what ended the load while `doing` something, and how to go on."""
    first = first_failure(error)
    if not isinstance(first, psycopg2.Error):
        return SeedError(f"{doing} failed: {first!r}. What was committed stays.", remedy=AGAIN)
    failure = statement_failure(first, doing)
    return SeedError(f"{failure.message} What was committed stays.", remedy=f"{failure.remedy} {AGAIN}".strip())


def first_failure(error: BaseException) -> BaseException:
    """Return what PostgreSQL said where the driver only says that the connection is closed: that is found on
    rolling back, after the server has ended the session."""
    while isinstance(error, psycopg2.InterfaceError) and error.__context__ is not None:
        error = error.__context__
    return error
