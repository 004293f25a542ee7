"""Is the data sound?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import Context

from legal_store.cli.render import print_json, print_table, say
from legal_store.cli.task import task

if TYPE_CHECKING:
    from legal_store.validate import Report


@task(
    "validate",
    help={
        "fix": "mend what is safe to mend, then check again",
        "verbose": "list passed checks too",
        "json": "print JSON",
    },
)
def validate(context: Context, fix: bool = False, verbose: bool = False, json: bool = False) -> None:
    """Check the data against every rule: PASS, FAIL or SKIP for each; exit code 1 on any FAIL."""
    from contextlib import closing

    from legal_store.config import settings
    from legal_store.database.plain import connect
    from legal_store.database.target import connection_parameters
    from legal_store.errors import CheckFailedError
    from legal_store.validate import fix as mend
    from legal_store.validate import validate as check

    with closing(connect(connection_parameters(settings()))) as connection:
        report = check(connection)
        if fix and report.failures:
            for name, done in mend(connection, report).items():
                say(f"mended {name}: {done}")
            report = check(connection)
    if json:
        print_json(report)
    else:
        _show(report, verbose)
    if report.failures:
        raise CheckFailedError(
            f"{len(report.failures)} of {len(report.results)} checks failed.",
            remedy="`--fix` mends what is safe to mend; `--json` has the counts and examples.",
        )


def _show(report: Report, verbose: bool) -> None:
    shown = [result for result in report.results if verbose or result.status != "PASS"]
    rows = [(r.name, r.status, r.offenders or "", r.message, ", ".join(r.examples)) for r in shown]
    if rows:
        print_table("Checks", ("check", "status", "count", "what", "for example"), rows)
    passed = sum(result.status == "PASS" for result in report.results)
    print(f"{passed} of {len(report.results)} checks passed, over {sum(report.rows.values()):,} rows.")
