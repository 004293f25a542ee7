"""Is the data sound? Every rule that the models declare and every promise of the domain, checked on what is there.

`validate(connection)` runs all checks in one read-only snapshot and returns a report. declared.py derives checks from
the models, domain.py holds the promises that no constraint can state, server.py looks at PostgreSQL's own objects,
and packages add theirs through the entry-point group "legal_store.checks".
"""

from legal_store.validate.checks import Check, Outcome, Status, failed, passed, skipped
from legal_store.validate.run import Report, all_checks, fix, validate

__all__ = [
    "Check",
    "Outcome",
    "Report",
    "Status",
    "all_checks",
    "failed",
    "fix",
    "passed",
    "skipped",
    "validate",
]
