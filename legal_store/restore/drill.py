"""The drill: a backup is restored into a scratch database and compared with its manifest. The proof that it works."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Any, NamedTuple

from legal_store.backup.catalog import load
from legal_store.backup.clients import ProgramFailedError, reachable
from legal_store.backup.keys import MasterKey
from legal_store.backup.manifest import PROVEN, Manifest
from legal_store.backup.noting import failure_noted, note
from legal_store.backup.progress import SILENT, Progress
from legal_store.backup.reading import pg_restore
from legal_store.backup.stores import Store
from legal_store.errors import CheckFailedError, LegalStoreError, RestoreError
from legal_store.restore import gates
from legal_store.restore.checks import DEFAULT_CHECKS, Check, Finding, run_checks
from legal_store.restore.databases import Server, server
from legal_store.restore.loading import Loader, check_jobs
from legal_store.restore.marks import SCRATCH, mark, name_for
from legal_store.restore.memory import settings_for_indexes
from legal_store.restore.sources import Backup

_PREFIX = "legal_store_drill"

# What depends on the server and not on the backup: its roles, tablespaces, providers of labels, other servers.
_LEFT_OUT = (
    "--no-owner",
    "--no-acl",
    "--no-tablespaces",
    "--no-security-labels",
    "--no-publications",
    "--no-subscriptions",
)


# What PostgreSQL says where the server lacks something or gives out: no fault of the backup.
_OF_THE_SERVER = re.compile(
    r"connection to server|too many clients|connection slots|terminat|closed the connection|shutting down|starting up"
    r"|in recovery|read-only|cancel|No space left|out of (shared )?memory|could not (resize|extend|access|open)"
    r'|is not available|permission denied|must be (superuser|owner|member)|(role|tablespace) ".*" does not exist'
)


class DrillReport(NamedTuple):
    """A drill that passed: what was compared, and how long the restore took."""

    manifest: Manifest
    findings: list[Finding]
    restore_seconds: float


def drill(
    store: Store,
    name: str,
    parameters: dict[str, Any],
    *,
    master: MasterKey | None = None,
    jobs: int = 2,
    checks: tuple[Check, ...] = DEFAULT_CHECKS,
    progress: Progress = SILENT,
) -> DrillReport:
    """Restore the backup `name` into a scratch database of the server that `parameters` name, compare, drop it.

    Writes the proof and the measured time into the manifest. Never touches the database in `parameters`, only
    its server. Raises RefusedError for an export and for a server older than the backup's, CheckFailedError when the
    backup cannot be restored or the restored database differs, RestoreError when the server stood in the way,
    DamagedBackupError, BackupError, WrongUseError.
    """
    check_jobs(jobs)
    manifest = load(store, name, master)
    gates.Checklist().add(gates.purpose(manifest, masked=False))
    source = Backup(store, manifest, master)
    progress.step("check backup")
    source.check(progress)
    with server({**parameters, "dbname": _PREFIX}) as opened, opened.locked(_PREFIX):
        gates.Checklist().add(gates.versions(manifest, opened.version, str(pg_restore())))
        with failure_noted(store, manifest, master, level=PROVEN, progress=progress):
            findings, seconds = _restored_and_checked(opened, source, jobs, checks, progress)
            _refuse_differences(name, findings)
    progress.step("proof")
    proven = note(store, manifest, master, lambda known: _proven(known, seconds), progress)
    return DrillReport(proven, findings, seconds)


def _refuse_differences(name: str, findings: list[Finding]) -> None:
    problems = [problem for finding in findings for problem in finding.problems]
    if problems:
        raise CheckFailedError(
            f"{name} restores, but not to what it was made of: {'; '.join(problems[:5])}.",
            remedy="Make a new backup and drill it; keep this one for looking into the cause.",
        )


def _proven(manifest: Manifest, seconds: float) -> Manifest:
    return dataclasses.replace(manifest, seconds={**manifest.seconds, "restore": seconds}).with_proof(PROVEN)


def _restored_and_checked(
    opened: Server, source: Backup, jobs: int, checks: tuple[Check, ...], progress: Progress
) -> tuple[list[Finding], float]:
    scratch = name_for(_PREFIX, SCRATCH)
    parameters = {**opened.parameters, "dbname": scratch}
    progress.step("create")
    opened.create(scratch, None, mark(SCRATCH, _PREFIX, source.name))
    try:
        began = time.monotonic()
        with reachable(parameters) as usable:
            settings = settings_for_indexes(opened, jobs, source.manifest.contents.largest_table)
            version = opened.version
            loader = Loader(usable, server_version=version, jobs=jobs, index_settings=settings, options=_LEFT_OUT)
            loader.load(source, progress)
        seconds = round(time.monotonic() - began, 2)
        progress.step("compare")
        return run_checks(parameters, source, checks), seconds
    except ProgramFailedError as error:
        raise failure(source.name, str(error)) from None
    finally:
        opened.drop(scratch)


def failure(name: str, said: str) -> LegalStoreError:
    """Return the error for what pg_restore said: the backup's fault, or that of the server it was drilled on."""
    if _OF_THE_SERVER.search(said):
        return RestoreError(
            f"{name} could not be drilled, which says nothing about it: {said}.",
            remedy="See to the server (connections, space, rights, extensions, roles), or drill on another one.",
        )
    return CheckFailedError(
        f"{name} does not restore: {said}.",
        remedy="Mend what it names in the database that it was made of; a new backup of the same would fail as well.",
    )
