"""The import: a restore whose new database is reworked, out of everybody's sight, before it goes live.

    gates -> quarantine made -> filled -> compared with the manifest
          -> migrated -> masked and proven -> validated -> swapped in

All but the three steps in the middle is legal_store.restore. Whatever fails drops the quarantine, and the live
database is what it was; what a kill leaves is dropped as leftovers.py says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from legal_store import anonymize, validate
from legal_store.backup.progress import SILENT, Progress
from legal_store.database import plain
from legal_store.errors import LegalStoreError, RefusedError, RestoreError
from legal_store.migrate import deploy
from legal_store.restore import Gate, RestorePlan, RestoreReport, Source, restore


@dataclass(frozen=True, kw_only=True)
class ImportPlan:
    """What to import, into what, and how it is masked. `parameters` are psycopg2's for the live database."""

    source: Source
    parameters: dict[str, Any]
    environment: str
    rules: anonymize.Rules
    key: bytes
    """Of the pseudonyms, not of the file."""
    migrations: Path
    production: bool = False
    typed: str | None = None
    jobs: int = 2


class ImportReport(NamedTuple):
    """What an import did; `validated` counts the checks by their answer."""

    restored: RestoreReport
    migrations: list[str]
    anonymized: anonymize.Report
    validated: dict[str, int]


def import_anonymized(
    plan: ImportPlan, *, progress: Progress = SILENT, show: Callable[[Gate], None] = lambda gate: None
) -> ImportReport:
    """Replace the live database by what an export holds, migrated, masked and proven; return the report.

    Until the swap the data is in a quarantine database that only its owner can connect to, and that is dropped
    whatever happens. What was live is kept for restore.undo(). Roles that are missing are made, without login.

    Raises RefusedError for a production database, a closed gate, and a file that is not encrypted or has expired,
    DamagedBackupError for one that was changed or is of another key: all that before the server is asked anything.
    Raises RulesError, MigrationError, LeakError and RestoreError later; the live database is then what it was.
    """
    if plan.production:
        raise RefusedError(
            f"Importing into {plan.parameters['dbname']} is refused, this is production.",
            remedy="Nothing was changed. Use a development database, or correct the sign if it is wrong.",
        )
    rework = _Rework(plan, progress, show)
    wanted = RestorePlan(
        source=plan.source,
        parameters=plan.parameters,
        environment=plan.environment,
        typed=plan.typed,
        other_environment=True,
        create_roles=True,
        owners=False,
        jobs=plan.jobs,
        rework=rework,
    )
    return rework.report(restore(wanted, progress=progress, show=show))


class _Rework:
    """Migrates, masks and validates the quarantine."""

    def __init__(self, plan: ImportPlan, progress: Progress, show: Callable[[Gate], None]) -> None:
        self._plan, self._progress, self._show = plan, progress, show
        self._migrations: list[str] = []
        self._validated: dict[str, int] = {}
        self._anonymized: anonymize.Report | None = None

    def __call__(self, parameters: dict[str, Any]) -> None:
        try:
            self._migrate(parameters)
            with closing(plain.connect(parameters)) as connection:
                self._anonymize(connection)
                self._validate(connection)
        except LegalStoreError as error:
            left = f"The quarantine is dropped; {self._plan.parameters['dbname']} is what it was before."
            error.remedy = f"{error.remedy} {left}".strip()
            raise

    def report(self, restored: RestoreReport) -> ImportReport:
        assert self._anonymized is not None  # noqa: S101  (the swap came after it)
        anonymized = self._anonymized._replace(database=restored.database)  # no longer the quarantine's name
        return ImportReport(restored, self._migrations, anonymized, self._validated)

    def _migrate(self, parameters: dict[str, Any]) -> None:
        self._progress.step("migrate")
        self._migrations = deploy(parameters, self._plan.migrations).applied
        self._show(Gate("migrations", True, f"{len(self._migrations)} applied"))

    def _anonymize(self, connection: Any) -> None:
        done = anonymize.anonymize(connection, self._plan.rules, self._plan.key, progress=self._progress.step)
        self._anonymized = done
        assert done.proof is not None  # noqa: S101
        text = f"masked; none of {done.proof.traces:,} traces of real values in {done.proof.cells:,} cells"
        self._show(Gate("proof", True, text))

    def _validate(self, connection: Any) -> None:
        self._progress.step("validate")
        report = validate.validate(connection, validate.all_checks(self._plan.migrations))
        self._validated = dict(Counter(str(result.status) for result in report.results))
        failures = [f"{result.name}: {result.message}" for result in report.failures]
        if failures:
            self._show(Gate("validation", False, "; ".join(failures[:5])))
            raise RestoreError(
                f"The masked database is not valid: {'; '.join(failures[:5])}.",
                remedy="Run `invoke validate` where the data is from, and mend it there.",
            )
        self._show(Gate("validation", True, f"{self._validated.get('PASS', 0)} of {len(report.results)} checks passed"))
