"""Restore: the gates, a new database beside the live one, checks, and a swap of names. The live one stays whole.

The steps, in the order in which a killed restore may leave them:

    gates -> safety backup -> staged database made -> filled -> checked -> reworked, if wanted -> swapped

Until the swap the live database is untouched; the swap is one transaction. A staged database that was left behind
carries our mark and is dropped by the next restore. Until the swap only its owner can connect to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import sql

from legal_store.backup.clients import ProgramFailedError, reachable
from legal_store.backup.manifest import Manifest
from legal_store.backup.progress import SILENT, Progress
from legal_store.backup.reading import pg_restore
from legal_store.backup.snapshot import connect, snapshot
from legal_store.errors import DamagedBackupError, RefusedError, RestoreError, ServerUnavailableError
from legal_store.restore import gates
from legal_store.restore.checks import DEFAULT_CHECKS, Check, Finding, no_unfinished_load, run_checks
from legal_store.restore.databases import Server, server
from legal_store.restore.gates import Checklist, Gate
from legal_store.restore.loading import Loader, check_jobs, sets_unknown_parameters
from legal_store.restore.marks import BEFORE, QUARANTINE, STAGED, mark, name_for
from legal_store.restore.memory import settings_for_indexes
from legal_store.restore.sources import Backup, Source, SqlFile

SafetyBackup = Callable[[], Manifest]
Rework = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class RestorePlan:
    """What to restore, into what, and what was said about it. `parameters` are psycopg2's for the live database."""

    source: Source
    parameters: dict[str, Any]
    environment: str
    production: bool = False
    typed: str | None = None
    other_environment: bool = False
    create_roles: bool = False
    owners: bool = True
    in_place: bool = False
    unfinished_load: bool = False
    """Whether a database may be restored in which a load of generated data has not ended."""
    jobs: int = 2
    safety_backup: SafetyBackup | None = None
    """Makes and verifies a backup of the live database, and returns its manifest; None where there is to be none."""
    checks: Sequence[Check] = DEFAULT_CHECKS
    rework: Rework | None = None
    """Makes the new database fit to be seen; what it leaves goes live. Raises where that cannot be."""

    def __post_init__(self) -> None:
        check_jobs(self.jobs)

    @property
    def database(self) -> str:
        return str(self.parameters["dbname"])


class RestoreReport(NamedTuple):
    """What a restore did. `previous` is the database that was live; `restore.undo` brings it back."""

    database: str
    source: str
    gates: list[Gate]
    previous: str | None
    safety_backup: str | None
    unavailable_seconds: float
    seconds: float


def restore(
    plan: RestorePlan, *, progress: Progress = SILENT, show: Callable[[Gate], None] = lambda gate: None
) -> RestoreReport:
    """Replace the live database by what `plan` says, after every gate of the safety checklist. Returns the report.

    The source is restored into a new database and checked; then names are swapped in one transaction, which
    ends open sessions. The old database stays, for `undo`. With `in_place`, for logins that may not create
    databases, the objects are replaced in one transaction instead.

    `show` is called with each gate. Raises RefusedError at a closed gate and DamagedBackupError, before anything is
    changed; RestoreError, which says what has become of the live database.
    """
    work = _Restore(plan, progress, Checklist(show))
    work.judge_source()
    with server(plan.parameters) as opened, opened.locked(plan.database):
        return work.run(opened)


@dataclass
class _Restore:
    plan: RestorePlan
    progress: Progress
    checklist: Checklist
    server: Server = field(init=False)
    began: float = field(default_factory=time.monotonic)
    safety: str | None = None
    known_by: object = None
    was_anonymized: bool = False

    def judge_source(self) -> None:
        """Pass the gates that need no server: nothing of a file that is not right reaches one."""
        plan, manifest = self.plan, self.plan.source.manifest
        self.progress.step("gates")
        self.checklist.add(gates.purpose(manifest, masked=plan.rework is not None))
        self.checklist.add(gates.environment(manifest, plan.environment, other_allowed=plan.other_environment))
        self.checklist.add(gates.confirmation(plan.database, plan.typed, production=plan.production))
        self.checklist.add(gates.complete(manifest, unfinished_allowed=plan.unfinished_load))
        self.checklist.add(self._authentic())

    def run(self, opened: Server) -> RestoreReport:
        self.server = opened
        self.known_by = self._look()
        self._gates()
        self._make_safety_backup()
        if self.plan.in_place:
            return self._in_place()
        staged = name_for(self.plan.database, self._kind)
        try:
            return self._staged(staged)
        except BaseException:
            self._drop_staged(staged)
            raise

    def _gates(self) -> None:
        plan, manifest = self.plan, self.plan.source.manifest
        add = self.checklist.add
        add(gates.versions(manifest, self.server.version, str(pg_restore())))
        if plan.create_roles and manifest is not None:
            self._create_roles(manifest)
        add(gates.roles(manifest, self.server))
        add(gates.disk_space(manifest, self.server))
        add(gates.duration(manifest))
        add(gates.open_sessions(self.server, plan.database))
        add(self._mode())

    def _authentic(self) -> Gate:
        self.progress.step("check backup")
        source = self.plan.source
        try:
            source.check(self.progress)
        except (DamagedBackupError, RefusedError) as error:
            self.checklist.show(Gate("backup", False, error.message, error.remedy))
            raise
        if isinstance(source, Backup):
            how = "authentic" if source.manifest.encryption else "undamaged"
            return Gate("backup", True, f"{source.name} is {how} and readable to its end")
        return Gate("backup", None, f"{source.name} is readable; it carries no digest to compare with")

    def _mode(self) -> Gate:
        if self.plan.in_place and sets_unknown_parameters(self.server.version):
            return Gate(
                "mode",
                False,
                f"{pg_restore()} cannot restore in one transaction into a server older than 17",
                "Use a login with CREATEDB, or the client programs of the server's version.",
            )
        if self.plan.in_place and isinstance(self.plan.source, SqlFile):
            return Gate("mode", False, "an SQL file cannot be restored in place", "Use an archive (pg_dump -Fc).")
        if self.plan.in_place:
            text = "in place: one transaction, tables are locked meanwhile; what the backup does not know stays"
            return Gate("mode", None, text)
        if not self.server.may_create():
            return Gate(
                "mode", False, "this login may not create databases", "Add --in-place, or use a login with CREATEDB."
            )
        return Gate("mode", True, "into a new database, swapped in when it is right; the old one is kept")

    def _make_safety_backup(self) -> None:
        if not self.server.exists(self.plan.database):
            self.checklist.add(Gate("safety backup", None, "there is no live database to back up"))
        elif self.plan.safety_backup is None:
            self.checklist.add(Gate("safety backup", None, "none, as was asked for"))
        else:
            self.progress.step("safety backup")
            self.safety = self.plan.safety_backup().name
            self.checklist.add(Gate("safety backup", True, f"{self.safety} was made and verified"))

    def _staged(self, staged: str) -> RestoreReport:
        live = self.plan.database
        there = self.server.exists(live)
        self.progress.step("create")
        self.server.create(staged, live if there else None, mark(self._kind, live, self.plan.source.name))
        self._load(staged)
        self._check(staged)
        if self.plan.rework is not None:
            self.plan.rework({**self.plan.parameters, "dbname": staged})
        self.progress.step("settings")
        self.server.open_up(staged, live if there else None)
        if there:
            self.server.copy_settings(live, staged)
        self.progress.step("swap")
        aside = name_for(live, BEFORE)
        unavailable = self.server.swap(live, staged, aside, self.plan.source.name)
        self.progress.step("swapped")
        self._connectivity()
        return self._report(aside if there else None, unavailable)

    def _load(self, database: str) -> None:
        try:
            with self._live_held(), self._loader(database) as loader:
                loader.load(self.plan.source, self.progress)
        except ProgramFailedError as error:
            raise RestoreError(
                f"{self.plan.source.name} could not be restored: {error}.", remedy=self._state_of_live()
            ) from None
        self.progress.step("analyze")
        with connect(self.plan.parameters, dbname=database) as connection:
            connection.rollback()
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("ANALYZE")
        connection.close()

    def _live_held(self) -> AbstractContextManager[None]:
        """While something runs that somebody else has written, the live database cannot be dropped or renamed."""
        foreign = not isinstance(self.plan.source, Backup)
        there = self.server.exists(self.plan.database)
        return self.server.held(self.plan.database) if foreign and there else nullcontext()

    def _check(self, database: str) -> None:
        self.progress.step("check")
        for finding in self._findings({**self.plan.parameters, "dbname": database}):
            gate = self._gate_of(finding)
            self.checklist.show(gate)
            self.checklist.gates.append(gate)
            if finding.problems:
                raise RestoreError(f"What was restored is not right: {gate.result}.", remedy=self._state_of_live())

    def _findings(self, parameters: dict[str, Any]) -> list[Finding]:
        checks = (*self.plan.checks, *[no_unfinished_load] * (not self.plan.unfinished_load))
        try:
            return run_checks(parameters, self.plan.source, checks, in_place=self.plan.in_place)
        except psycopg2.Error as error:
            said = str(error).strip()
            raise RestoreError(
                f"What was restored could not be compared: {said}.", remedy=self._state_of_live()
            ) from error

    def _gate_of(self, finding: Finding) -> Gate:
        if finding.problems:
            remedy = "It is committed all the same." if self.plan.in_place else "The restore is given up."
            return Gate(finding.name, False, "; ".join(finding.problems[:5]), remedy)
        return Gate(finding.name, True, finding.result)

    def _in_place(self) -> RestoreReport:
        from legal_store.restore.in_place import replace_objects

        self.progress.step("replace")
        began = time.monotonic()
        # first: a kill must not leave real rows under that mark
        self.was_anonymized = self.server.forget_anonymized(self.plan.database)
        try:
            with self._loader(self.plan.database) as loader:
                replace_objects(self.plan.source, loader, self.progress)
        except ProgramFailedError as error:
            raise RestoreError(
                f"{self.plan.source.name} could not be restored: {error}.", remedy=self._state_of_live()
            ) from None
        self.progress.step("replaced")
        unavailable = time.monotonic() - began
        self._check(self.plan.database)
        self._connectivity()
        return self._report(None, unavailable)

    def _connectivity(self) -> None:
        self.progress.step("connect")
        connect(self.plan.parameters).close()
        self.checklist.add(Gate("connectivity", True, f"{self.plan.database} answers"))

    @contextmanager
    def _loader(self, database: str) -> Iterator[Loader]:
        with reachable({**self.plan.parameters, "dbname": database}) as parameters:
            yield Loader(
                parameters,
                server_version=self.server.version,
                jobs=self.plan.jobs,
                index_settings=settings_for_indexes(self.server, self.plan.jobs, self._largest_table),
                options=[] if self.plan.owners else ["--no-owner"],
            )

    @property
    def _largest_table(self) -> int | None:
        manifest = self.plan.source.manifest
        return manifest.contents.largest_table if manifest else None

    def _create_roles(self, manifest: Manifest) -> None:
        for name in manifest.contents.roles:
            if not self.server.rows("SELECT FROM pg_roles WHERE rolname = %s", name):
                with suppress(psycopg2.errors.InsufficientPrivilege):  # the gate names it
                    self.server.run(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))

    def _drop_staged(self, staged: str) -> None:
        """Best effort after a failure: what stays is marked, and the next restore drops it."""
        with suppress(psycopg2.Error, ServerUnavailableError), server(self.plan.parameters) as opened:
            if any(found.name == staged for found in opened.marked()):
                opened.drop(staged)

    @property
    def _kind(self) -> str:
        return STAGED if self.plan.rework is None else QUARANTINE

    def _report(self, previous: str | None, unavailable: float) -> RestoreReport:
        return RestoreReport(
            self.plan.database,
            self.plan.source.name,
            self.checklist.gates,
            previous,
            self.safety,
            round(unavailable, 3),
            round(time.monotonic() - self.began, 2),
        )

    def _look(self) -> object:
        """Return what changes with a restore: which database is live; in place, which tables are in it."""
        if self.plan.in_place:
            with snapshot(self.plan.parameters) as seen:
                return seen.rows("SELECT oid FROM pg_class WHERE relkind = 'r' AND oid >= 16384 ORDER BY 1")
        with server(self.plan.parameters) as opened:
            return opened.identity(self.plan.database)

    def _state_of_live(self) -> str:
        """Say what has become of the live database, after a look at it."""
        live = self.plan.database
        try:
            now = self._look()
        except (psycopg2.Error, ServerUnavailableError):
            return f"What has become of the live database {live} could not be looked up."
        if now == self.known_by:
            lost = ", but for the mark of anonymized rows, which it has lost" if self.was_anonymized else ""
            return f"The live database {live} is what it was before{lost}."
        if not self.plan.in_place:
            return f"Nothing was swapped, and yet the live database {live} is {'another one' if now else 'gone'}."
        back = f"its safety backup is {self.safety}" if self.safety else "there is no safety backup, as was asked for"
        return f"The objects of {live} are replaced, and that is committed; {back}."
