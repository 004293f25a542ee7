"""Is the schema what its migrations made of it, and does it keep firms apart? Answers of the operations that know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from legal_store.isolation import check_isolation
from legal_store.migrate import Difference, find_drift, read_recorded, standing_of
from legal_store.validate.checks import Check, Outcome, failed, passed, skipped

_EACH = 50  # all are named, unless something is wrong as a whole
_WRONG = {
    "pending": "is pending",
    "interrupted": "was interrupted; the next deploy goes on with it",
    "failed": "failed, and nobody has said what is true",
    "edited": "was edited after it was applied",
    "missing": "is in the ledger, and its file is not there",
}


def checks_of_structure(migrations: Path | None) -> Iterator[Check]:
    """Yield the checks of migrations, drift and isolation. Files are compared only where their folder is given."""
    yield Check("migrations", "Are exactly these migrations applied?", lambda cursor: _migrations(cursor, migrations))
    yield Check("drift", "Is the schema as the migrations left it?", _drift)
    yield Check("isolation", "Is there no way from one firm to another?", _isolation)


def _migrations(cursor: Any, folder: Path | None) -> Outcome:
    if folder is None:
        return skipped("no folder of migrations was given to compare the ledger with")
    if not folder.is_dir():
        return skipped(f"the folder of migrations is not there: {folder}")
    found = standing_of(cursor, folder)
    wrong = [f"{name} {what}" for state, what in _WRONG.items() for name in getattr(found, state)]
    return (
        failed("migrations are not as they should be: `invoke migrate.status`", wrong, most=_EACH)
        if wrong
        else passed()
    )


def _drift(cursor: Any) -> Outcome:
    recorded = read_recorded(cursor)
    if recorded is None:
        return skipped("no migration has recorded the schema here; `invoke migrate.deploy` does")
    if not recorded.comparable:
        return skipped("another version of legal_store recorded the schema; `invoke migrate.deploy` records it anew")
    differing = [_named(difference) for difference in find_drift(cursor.connection)]
    if not differing:
        return passed()
    return failed("the schema is not as the migrations left it", differing, most=_EACH)


def _named(difference: Difference) -> str:
    what = "differs"
    if difference.found is None:
        what = "is missing"
    elif difference.expected is None:
        what = "is not expected"
    return f"{difference.kind} {difference.name} {what}"


def _isolation(cursor: Any) -> Outcome:
    found = [str(finding) for finding in check_isolation(cursor.connection)]
    return failed("firms could reach each other", found, most=_EACH) if found else passed()
