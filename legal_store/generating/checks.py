"""What is looked at before anything is written: production, other loads, and markets that are there."""

from __future__ import annotations

from typing import Any

from psycopg2 import sql
from psycopg2.errors import LockNotAvailable

from legal_store.config import Settings
from legal_store.errors import WrongUseError
from legal_store.generating.ledger import Run
from legal_store.generating.market import Catalogue, Market
from legal_store.generating.plan import Plan
from legal_store.generating.recipe import Recipe
from legal_store.generating.tables import CATALOGUE, COLUMNS
from legal_store.production import refuse_production

_LOCK = 7_236_110_943  # any number: held for the whole load, so that there is one at a time
_LOCK_PATIENCE = "3s"


def take_lock(cursor: Any) -> None:
    """Take the lock of loads until the connection ends. Raises WrongUseError when another load has it.

    Waits a little: the server needs up to half a second to notice that a load was killed.
    """
    cursor.execute("SET client_connection_check_interval = '500ms'")
    cursor.execute("SET lock_timeout = %s", (_LOCK_PATIENCE,))
    try:
        cursor.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
    except LockNotAvailable:
        raise WrongUseError("Another load is at work in this database.", remedy="Wait for it to end.") from None
    cursor.execute("RESET lock_timeout")


def refuse_production_with_rows(cursor: Any, settings: Settings) -> None:
    """Raise RefusedError for a production database in which any table holds rows."""
    for table in (*COLUMNS, *CATALOGUE):
        cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table)))
        if cursor.fetchone() == (True,):
            refuse_production(f"Adding invented data, where {table} holds rows,", settings)
            return


def refuse_other_run(found: Run, wanted: Run) -> None:
    """Raise WrongUseError when the unfinished run in the database is not the one that is wanted now."""
    if found == wanted:
        return
    edited = ", made before the recipe's files were edited," if found._replace(digest=wanted.digest) == wanted else ""
    raise WrongUseError(
        f"An unfinished load of the recipe {found.recipe!r} with seed {found.seed}, {found.firms:,} firms and "
        f"{found.rows:,} rows{edited} is in this database.",
        remedy=f"Go on with it: `invoke seed --set {found.recipe} --seed {found.seed} --scale {found.firms} "
        f"--rows {found.rows}`, with the files as they were; or start anew with `invoke migrate.reset`.",
    )


def is_there(cursor: Any, recipe: Recipe, plan: Plan) -> bool:
    """Say whether this market is in the database, as its first and last firm show, down to their last row.

    Raises WrongUseError if another one of its seed is.
    """
    market = Market.of(recipe, plan, Catalogue(("",), ("",), ("",)))
    ends = {0, len(plan.firms) - 1}
    expected = {market.firm(index).id: plan.firms[index].rows for index in ends}
    cursor.execute(_COUNT_FIRMS, (list(expected),))
    found = dict(cursor.fetchall())
    if found and found != expected:
        raise WrongUseError(
            f"This database holds firms that were generated with seed {plan.seed}, of another size or recipe.",
            remedy="Another --seed adds firms of its own; `invoke migrate.reset` starts anew.",
        )
    return bool(found)


_OF_FIRM = [table for table, columns in COLUMNS.items() if "firm_id" in columns]
_COUNT_FIRMS = f"""
SELECT replace(f.id::text, '-', ''), 1
    {"".join(f"+ (SELECT count(*) FROM {table} t WHERE t.firm_id = f.id)" for table in _OF_FIRM)}
    + (SELECT count(*) FROM document_type_instances i JOIN documents d ON d.id = i.document_id WHERE d.firm_id = f.id)
    + (SELECT count(*) FROM skill_usage_logs l JOIN users u ON u.id = l.user_id WHERE u.firm_id = f.id)
    + (SELECT count(*) FROM template_usage_logs l JOIN users u ON u.id = l.user_id WHERE u.firm_id = f.id)
FROM firms f WHERE f.id = ANY (%s::uuid[])
"""
