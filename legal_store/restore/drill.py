"""The drill: a backup is restored into a scratch database and compared with its manifest. The proof that it works."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, NamedTuple

from legal_store.backup.catalog import load
from legal_store.backup.clients import ProgramFailedError, reachable
from legal_store.backup.keys import MasterKey
from legal_store.backup.manifest import PROVEN, Manifest
from legal_store.backup.noting import note
from legal_store.backup.progress import SILENT, Progress
from legal_store.backup.stores import Store
from legal_store.errors import CheckFailedError
from legal_store.restore import gates
from legal_store.restore.checks import DEFAULT_CHECKS, Check, Finding, run_checks
from legal_store.restore.databases import SCRATCH, Server, mark, name_for, server
from legal_store.restore.loading import Loader, check_jobs
from legal_store.restore.sources import Backup

_PREFIX = "legal_store_drill"


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
    its server. Raises RefusedError for an export, CheckFailedError when the restored database differs,
    DamagedBackupError, BackupError, WrongUseError.
    """
    check_jobs(jobs)
    manifest = load(store, name, master)
    gates.Checklist().add(gates.purpose(manifest, masked=False))
    source = Backup(store, manifest, master)
    progress.step("check backup")
    source.check(progress)
    with server(parameters) as opened, opened.locked(_PREFIX):
        findings, seconds = _restored_and_checked(opened, source, jobs, checks, progress)
    problems = [problem for finding in findings for problem in finding.problems]
    if problems:
        why = "; ".join(problems[:5])
        note(store, manifest, master, lambda known: known.with_failure(PROVEN, why), progress)
        raise CheckFailedError(
            f"{name} restores, but not to what it was made of: {why}.",
            remedy="Make a new backup and drill it; keep this one for looking into the cause.",
        )
    progress.step("proof")
    proven = note(store, manifest, master, lambda known: _proven(known, seconds), progress)
    return DrillReport(proven, findings, seconds)


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
        # owners and grants depend on the roles of the server, which need not be the one the backup is from
        with reachable(parameters) as usable:
            settings = opened.settings_for_indexes(jobs, source.manifest.contents.largest_table)
            loader = Loader(usable, server_version=opened.version, jobs=jobs, index_settings=settings, owners=False)
            loader.load(source, progress)
        seconds = round(time.monotonic() - began, 2)
        progress.step("compare")
        return run_checks(parameters, source, checks), seconds
    except ProgramFailedError as error:
        raise CheckFailedError(f"{source.name} does not restore: {error}.", remedy="Make a new backup.") from None
    finally:
        opened.drop(scratch)
