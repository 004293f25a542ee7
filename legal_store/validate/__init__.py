"""Is the data sound? Every rule that the models declare and every promise of the domain, checked on what is there.

`validate(connection)` runs all checks in one read-only snapshot and returns a report; `fix` mends what failed and is
safe to mend. declared.py derives checks from the models, domain.py holds the promises that no constraint can state,
server.py looks at PostgreSQL's own objects, and packages add theirs through the entry-point group "legal_store.checks".
"""

from legal_store.validate.checks import Check, Outcome, Remedy, Status, failed, no_rows, passed, skipped
from legal_store.validate.mending import Mending, fix
from legal_store.validate.run import Report, all_checks, validate

__all__ = [
    "Check",
    "Mending",
    "Outcome",
    "Remedy",
    "Report",
    "Status",
    "all_checks",
    "failed",
    "fix",
    "no_rows",
    "passed",
    "skipped",
    "validate",
]
