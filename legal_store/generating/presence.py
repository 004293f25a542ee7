"""What of a market is in the database. Every firm is looked for and its rows are counted, down to the last table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg2 import sql

from legal_store.errors import SeedError, WrongUseError
from legal_store.generating import ledger
from legal_store.generating.market import Market, rows_of
from legal_store.generating.plan import Plan
from legal_store.generating.tables import COLUMNS

_SHOWN = 3


class Found(NamedTuple):
    """A market that is in the database: its rows by table, and how many were added to its firms since."""

    rows: Counter[str]
    added: int


def find_market(cursor: Any, market: Market) -> Found | None:
    """Return what there is of the market; None if it has no firm in the database.

    Raises WrongUseError where some of it is missing, or its firms are of another size or recipe.
    """
    wanted = [market.identity(index) for index in range(len(market.plan.firms))]
    if not _any_of(cursor, wanted):
        return None
    counts = count_rows(cursor, [firm for firm, _ in wanted])
    totals = [counts[firm].total() for firm, _ in wanted]
    planned = [size.rows for size in market.plan.firms]
    more = [index for index, (total, plan) in enumerate(zip(totals, planned, strict=True)) if total > plan]
    if all(map(int.__ge__, totals, planned)) and _is_of_plan(cursor, market, more[0] if more else 0):
        return Found(sum(counts.values(), Counter()), sum(totals) - sum(planned))
    raise WrongUseError(
        f"This database holds firms of seed {market.plan.seed}, but not as this recipe and size make them: "
        f"{_differences(wanted, totals, planned)}. Their rows were changed since, or made by another recipe or size.",
        remedy="Nothing was changed. Another --seed adds firms of its own; `invoke migrate.reset` starts anew.",
    )


def refuse_untrue_notes(cursor: Any, market: Market) -> None:
    """Raise SeedError when the tables hold less than the ledger of the load says."""
    noted, found = _noted_and_found(cursor, market)
    less = [(firm, table) for firm, tables in noted.items() for table in tables if found[firm][table] < tables[table]]
    if not less:
        return
    missing = sum(noted[firm][table] - found[firm][table] for firm, table in less)
    places = [f"{table} of firm {firm}" for firm, table in less]
    raise SeedError(
        f"Of the rows that this load has written, {missing:,} are gone: {_some(places)}. It cannot be completed.",
        remedy="Put them back, or start anew with `invoke migrate.reset`.",
    )


def count_rows(cursor: Any, firms: Sequence[str]) -> dict[str, Counter[str]]:
    """Return the rows of each of these firms by table, of those that are there."""
    found: dict[str, Counter[str]] = {firm: Counter() for firm in firms}
    for table in COLUMNS:
        cursor.execute(_COUNT.format(table=table, **_FIRM_OF.get(table, _OWN)), (list(firms),))
        for firm, rows in cursor.fetchall():
            found[firm][table] = rows
    return found


def _noted_and_found(cursor: Any, market: Market) -> tuple[dict[str, Counter[str]], dict[str, Counter[str]]]:
    """Read ledger and tables at one moment: a process of a killed run may still write to both."""
    cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    try:
        noted = {market.identity(index)[0]: counts for index, counts in _noted(cursor, market.plan).items()}
        return noted, count_rows(cursor, list(noted))
    finally:
        cursor.execute("ROLLBACK")


def _noted(cursor: Any, plan: Plan) -> dict[int, Counter[str]]:
    """Return what the ledger says about each firm: its rows by table. Logs of people who are not written yet, which
    can be while there are no references, are left out: nothing else says whose they are."""
    notes = ledger.portion_notes(cursor)
    with_people = {plan.portions[number].firm for number, _, _ in notes if plan.portions[number].part == 0}
    noted: dict[int, Counter[str]] = {}
    for number, _, counts in notes:
        firm = plan.portions[number].firm
        seen = {table: rows for table, rows in counts.items() if firm in with_people or table not in _LOGS}
        noted.setdefault(firm, Counter()).update(seen)
    return noted


def _any_of(cursor: Any, wanted: Sequence[tuple[str, str]]) -> bool:
    cursor.execute(
        "SELECT EXISTS (SELECT FROM firms WHERE id = ANY (%s::uuid[]) OR vat_id = ANY (%s))",
        ([firm for firm, _ in wanted], [vat for _, vat in wanted]),
    )
    return bool(cursor.fetchone()[0])


def _is_of_plan(cursor: Any, market: Market, index: int) -> bool:
    """Say whether the rows of a firm are those of the plan, as its last portion shows."""
    last = [portion for portion in market.plan.portions if portion.firm == index][-1]
    for table, lines in rows_of(market, last).items():
        ids = [line.partition("\t")[0] for line in lines]
        cursor.execute(
            sql.SQL("SELECT count(*) FROM {} WHERE id = ANY (%s::uuid[])").format(sql.Identifier(table)), (ids,)
        )
        if cursor.fetchone() != (len(ids),):
            return False
    return True


def _differences(wanted: Sequence[tuple[str, str]], totals: Sequence[int], planned: Sequence[int]) -> str:
    places = [
        f"firm {firm} has {total:,} rows instead of {plan:,}" if total else f"firm {firm} is missing"
        for (firm, _), total, plan in zip(wanted, totals, planned, strict=True)
        if total != plan
    ]
    return _some(places) or "other rows, as many"


def _some(places: Sequence[str]) -> str:
    rest = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return ", ".join(places[:_SHOWN]) + rest


_COUNT = """
SELECT replace(({firm})::text, '-', ''), count(*) FROM {table} AS t {joined} WHERE {firm} = ANY (%s::uuid[]) GROUP BY 1
"""
_OWN = {"firm": "t.firm_id", "joined": ""}
_OF_USER = {"firm": "u.firm_id", "joined": "JOIN users AS u ON u.id = t.user_id"}
_LOGS = ("skill_usage_logs", "template_usage_logs")
_FIRM_OF = {
    "firms": {"firm": "t.id", "joined": ""},
    "document_type_instances": {"firm": "d.firm_id", "joined": "JOIN documents AS d ON d.id = t.document_id"},
    **dict.fromkeys(_LOGS, _OF_USER),
}
