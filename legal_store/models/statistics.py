"""Running totals: sums over a log, kept in the row that the log belongs to, at O(1) per log row.

The log is never aggregated again: a statement's change to it (PostgreSQL's transition tables) is added to the
totals. Sums are exact under bulk loads, updates, deletes and concurrent sessions, because `total = total + x`
is evaluated under the row's lock; averages and rates are generated columns over them. Rows are locked in the
order of their keys, so that two bulk loads cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Mapping

from legal_store.schema.objects import Function, Trigger


def running_totals(function: str, owner: str, reference: str, totals: Mapping[str, str]) -> Function:
    """Return a trigger function that keeps `totals` in the rows of the table `owner`.

    `reference` is the log's column that holds the owner's id; `totals` maps a column of the owner to the
    expression over a log row that it is the sum of.
    """
    sums = ", ".join(f"sum(sign * ({value})) AS {name}" for name, value in totals.items())
    additions = ",\n            ".join(f"{name} = {owner}.{name} + change.{name}" for name in totals)
    zeros = ", ".join(f"{name} = 0" for name in totals)
    nothing = ", ".join("0" for _ in totals)
    changes = ", ".join(f"change.{name}" for name in totals)

    def open_changes(log: str) -> str:
        return (
            "OPEN changes FOR\n"
            f"            SELECT {reference} AS owner, {sums}\n"
            f"            FROM ({log}) AS log GROUP BY {reference} ORDER BY {reference};"
        )

    return Function(
        signature=f"{function}()",
        returns="trigger",
        body=f"""
DECLARE
    changes refcursor;
    change record;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        UPDATE {owner} SET {zeros};
        RETURN NULL;
    ELSIF TG_OP = 'INSERT' THEN
        {open_changes("SELECT 1 AS sign, * FROM added")}
    ELSIF TG_OP = 'DELETE' THEN
        {open_changes("SELECT -1 AS sign, * FROM removed")}
    ELSE
        {open_changes("SELECT 1 AS sign, * FROM added UNION ALL SELECT -1, * FROM removed")}
    END IF;
    LOOP
        FETCH changes INTO change;
        EXIT WHEN NOT FOUND;
        UPDATE {owner} SET
            {additions}
        WHERE id = change.owner AND ({changes}) <> ({nothing});
    END LOOP;
    CLOSE changes;
    RETURN NULL;
END
""",
    )


def on_every_change(trigger: str, function: Function) -> tuple[Trigger, ...]:
    """Return the triggers that run `function` after each statement that changes the log."""
    added, removed = "NEW TABLE AS added", "OLD TABLE AS removed"
    events = (
        (trigger, "INSERT", added),
        (f"{trigger}_updated", "UPDATE", f"{added} {removed}"),
        (f"{trigger}_deleted", "DELETE", removed),
        (f"{trigger}_truncated", "TRUNCATE", ""),
    )
    return tuple(
        Trigger(name, f"AFTER {event}", function.signature, each="STATEMENT", referencing=tables)
        for name, event, tables in events
    )
