"""Promises of the domain that no constraint can state: statistics against their logs, times in order."""

from __future__ import annotations

from collections.abc import Iterator

from legal_store.validate.checks import Check, no_rows

_SKILLS = """
SELECT s.id, coalesce(l.uses, 0) AS uses, coalesce(l.successes, 0) AS successes, coalesce(l.saved, 0) AS saved
FROM skills AS s LEFT JOIN (
    SELECT skill_id, count(*) AS uses, count(*) FILTER (WHERE success) AS successes,
           sum(tokens_saved) FILTER (WHERE success) AS saved
    FROM skill_usage_logs GROUP BY skill_id
) AS l ON l.skill_id = s.id
"""
_TEMPLATES = """
SELECT t.id, coalesce(l.uses, 0) AS uses, coalesce(l.rated, 0) AS rated, coalesce(l.total, 0) AS total
FROM romanian_templates AS t LEFT JOIN (
    SELECT template_id, count(*) AS uses, count(user_satisfaction_score) AS rated,
           sum(user_satisfaction_score) AS total
    FROM template_usage_logs GROUP BY template_id
) AS l ON l.template_id = t.id
"""


def checks_of_domain() -> Iterator[Check]:
    """Yield the checks that are written by hand."""
    yield no_rows(
        "statistics: skills",
        "skills whose totals differ from their usage log",
        f"SELECT s.id FROM skills s JOIN ({_SKILLS}) AS l USING (id)"  # noqa: S608
        " WHERE (s.usage_count, s.successful_count, s.tokens_saved_total) <> (l.uses, l.successes, l.saved)",
        fix="UPDATE skills AS s SET usage_count = l.uses, successful_count = l.successes, tokens_saved_total = l.saved"  # noqa: S608
        f" FROM ({_SKILLS}) AS l WHERE l.id = s.id"
        " AND (s.usage_count, s.successful_count, s.tokens_saved_total) <> (l.uses, l.successes, l.saved)",
    )
    yield no_rows(
        "statistics: romanian_templates",
        "templates whose totals differ from their usage log",
        f"SELECT t.id FROM romanian_templates t JOIN ({_TEMPLATES}) AS l USING (id)"  # noqa: S608
        " WHERE (t.usage_count, t.rated_count, t.satisfaction_total) <> (l.uses, l.rated, l.total)",
        fix="UPDATE romanian_templates AS t SET usage_count = l.uses, rated_count = l.rated,"  # noqa: S608
        f" satisfaction_total = l.total FROM ({_TEMPLATES}) AS l WHERE l.id = t.id"
        " AND (t.usage_count, t.rated_count, t.satisfaction_total) <> (l.uses, l.rated, l.total)",
    )
    for table in ("firms", "users", "clients", "cases", "documents", "tasks"):
        yield no_rows(
            f"times in order: {table}",
            f"rows of {table} were changed before they were made",
            f"SELECT id FROM {table} WHERE updated_at < created_at",  # noqa: S608
        )
    yield no_rows(
        "skills without a current version",
        "active skills that have versions, none of which is current",
        "SELECT s.id FROM skills s WHERE s.is_active AND EXISTS (SELECT FROM skill_versions v WHERE v.skill_id = s.id)"
        " AND NOT EXISTS (SELECT FROM skill_versions v WHERE v.skill_id = s.id AND v.is_current)",
    )
