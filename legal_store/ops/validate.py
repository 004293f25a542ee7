"""Is the data sound?"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

from invoke import Context

from legal_store.cli.render import print_json, print_table, say
from legal_store.cli.task import task

if TYPE_CHECKING:
    from legal_store.validate import Mending, Report


@task(
    "validate",
    help={
        "fix": "mend what is safe to mend, then check again",
        "verbose": "list passed checks too",
        "json": "print JSON",
    },
)
def validate(context: Context, fix: bool = False, verbose: bool = False, json: bool = False) -> None:
    """Check schema and data against every rule: PASS, WARN, FAIL or SKIP for each; exit code 1 on any FAIL."""
    from contextlib import closing

    from legal_store.config import settings
    from legal_store.database.plain import connect
    from legal_store.database.target import connection_parameters
    from legal_store.errors import CheckFailedError
    from legal_store.validate import all_checks
    from legal_store.validate import fix as mend
    from legal_store.validate import validate as check

    checks = all_checks(settings().migrations_dir)
    mendings: list[Mending] = []
    with closing(connect(connection_parameters(settings()))) as connection:
        report = check(connection, checks)
        if fix and report.failures:
            mendings = mend(connection, report, checks)
            _say_what_was_mended(mendings)
            report = check(connection, checks)
    if json:
        print_json({**report._asdict(), **({"mended": mendings} if fix else {})})
    else:
        _show(report, verbose)
    if report.failures:
        raise CheckFailedError(
            f"{len(report.failures)} of {len(report.results)} checks failed.",
            remedy="What is left has to be looked at and corrected by hand."
            if fix
            else "`--fix` mends what is safe to mend; `--json` has the counts and examples.",
        )


def _say_what_was_mended(mendings: list[Mending]) -> None:
    if not mendings:
        say("None of what failed can be mended by itself.")
    for check, of_check in groupby(mendings, key=lambda mending: mending.check):
        found = list(of_check)
        if done := [mending for mending in found if mending.done]:
            say(f"mended {check}: {'; '.join(f'{mending.object} ({mending.what})' for mending in done)}")
        for mending in found:
            if not mending.done:
                say(f"not mended {check}: {mending.object}: {mending.what}")


def _show(report: Report, verbose: bool) -> None:
    shown = [result for result in report.results if verbose or result.status != "PASS"]
    rows = [(r.name, r.status, r.offenders or "", r.message, _together(r.examples)) for r in shown]
    if rows:
        print_table("Checks", ("check", "status", "count", "what", "for example"), rows)
    counts = Counter(str(result.status) for result in report.results)
    others = "".join(f", {counts[status]} {status}" for status in ("FAIL", "WARN", "SKIP") if counts[status])
    rows_read = sum(report.rows.values())
    print(f"{counts['PASS']} of {len(report.results)} checks passed{others}, over {rows_read:,} rows.")


def _together(examples: tuple[str, ...]) -> str:
    """Ids side by side, sentences below each other."""
    return ("\n" if any(" " in example for example in examples) else ", ").join(examples)
