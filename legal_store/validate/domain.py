"""Promises of the domain that no constraint can state: statistics against their logs, ids without a foreign key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from legal_store.schema.fields import ListField
from legal_store.seeding.tables import TABLES
from legal_store.validate.checks import Check, Status, no_rows

_SKILLS = """
SELECT skill_id AS id, count(*) AS usage_count, count(*) FILTER (WHERE success) AS successful_count,
       coalesce(sum(tokens_saved) FILTER (WHERE success), 0) AS tokens_saved_total
FROM skill_usage_logs GROUP BY skill_id
"""
_TEMPLATES = """
SELECT template_id AS id, count(*) AS usage_count, count(user_satisfaction_score) AS rated_count,
       coalesce(sum(user_satisfaction_score), 0) AS satisfaction_total
FROM template_usage_logs GROUP BY template_id
"""


def checks_of_domain() -> Iterator[Check]:
    """Yield the checks that are written by hand."""
    yield _statistics("skills", _SKILLS, ("usage_count", "successful_count", "tokens_saved_total"))
    yield _statistics("romanian_templates", _TEMPLATES, ("usage_count", "rated_count", "satisfaction_total"))
    yield no_rows(
        "skills without a current version",
        "active skills that have versions, none of which is current",
        "SELECT s.id FROM skills s WHERE s.is_active AND EXISTS (SELECT FROM skill_versions v WHERE v.skill_id = s.id)"
        " AND NOT EXISTS (SELECT FROM skill_versions v WHERE v.skill_id = s.id AND v.is_current)",
    )
    yield no_rows(
        "tasks completed before they were made",
        "tasks were completed before they were made: wrong, or entered later without their created_at",
        "SELECT id FROM tasks WHERE completed_at < created_at",
        otherwise=Status.WARN,
    )
    for table in TABLES:
        for column, target in table.refers.items():
            yield _loose_reference(table.name, column, target._meta.table_name, table.fields[column])


def _statistics(table: str, log: str, totals: tuple[str, ...]) -> Check:
    """`log` is the query that counts the log: an id of `table`, and what each of `totals` should be."""
    wanted = ", ".join(f"coalesce(l.{total}, 0) AS {total}" for total in totals)
    differs = " OR ".join(f"t.{total} IS DISTINCT FROM w.{total}" for total in totals)
    wrong = f"(SELECT o.id, {wanted} FROM {table} o LEFT JOIN ({log}) l USING (id)) w WHERE w.id = t.id AND ({differs})"  # noqa: S608
    corrections = ", ".join(f"{total} = w.{total}" for total in totals)
    return no_rows(
        f"statistics: {table}",
        f"rows of {table} have totals that differ from their usage log",
        f"SELECT t.id FROM {table} t, {wrong}",  # noqa: S608
        fix=f"UPDATE {table} t SET {corrections} FROM {wrong}",  # noqa: S608
    )


def _loose_reference(table: str, column: str, target: str, field: Any) -> Check:
    """Ids without a foreign key may outlive the row that they name, so that one that names none is not yet wrong."""
    named = f"unnest(t.{column}) AS named(id)" if isinstance(field, ListField) else f"(SELECT t.{column}) AS named(id)"
    return no_rows(
        f"loose references: {table}.{column}",
        f"rows of {table} name a row of {target} that is not there: deleted since, or never there",
        f"SELECT DISTINCT t.id FROM {table} t CROSS JOIN LATERAL {named} LEFT JOIN {target} o ON o.id = named.id"  # noqa: S608
        " WHERE named.id IS NOT NULL AND o.id IS NULL",
        otherwise=Status.WARN,
    )
