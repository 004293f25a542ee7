"""Looking after backups that exist: verify, prune, pin, change their key."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import NamedTuple

from legal_store.backup import manifest as facts
from legal_store.backup.catalog import Listed, change, leftover_of, list_backups, load
from legal_store.backup.keys import MasterKey
from legal_store.backup.manifest import PROVEN, VERIFIED, Manifest, is_safety
from legal_store.backup.noting import failure_noted, note
from legal_store.backup.progress import SILENT, Progress
from legal_store.backup.reading import check_archive
from legal_store.backup.retention import Candidate, Decision, Policy, decide
from legal_store.backup.stores import Store
from legal_store.errors import RefusedError


class PruneReport(NamedTuple):
    """What prune decided, what it deleted (nothing in a dry run), and what interrupted runs had left."""

    decisions: list[Decision]
    deleted: list[str]
    cleaned_up: list[str]


def verify(store: Store, name: str, master: MasterKey | None = None, *, progress: Progress = SILENT) -> Manifest:
    """Read the backup `name` to its end: seal, digest, decryption, decompression, table of contents.

    Notes the proof in the manifest and returns it; damage is noted there as well. Writes nothing else, and no more
    than `progress` says where the store cannot be written. Raises DamagedBackupError, BackupError,
    ConfigurationError for an encrypted one without a key.
    """
    manifest = load(store, name, master)
    progress.step("verify")
    with failure_noted(store, manifest, master, progress=progress):
        check_archive(store, manifest, master, progress=progress)
    progress.step("proof")
    return note(store, manifest, master, lambda known: known.with_proof(VERIFIED), progress)


def prune(
    store: Store,
    policy: Policy,
    *,
    master: MasterKey | None = None,
    delete: bool = False,
    now: datetime | None = None,
    progress: Progress = SILENT,
) -> PruneReport:
    """Decide which backups of `store` have had their time, and with `delete` remove them; else only say so.

    Backups with an unreadable manifest are never deleted: nobody knows their age. Raises BackupError.
    """
    listed = list_backups(store, master)
    decisions = decide(_candidates(listed), policy, now or datetime.now(UTC))
    if not delete:
        return PruneReport(decisions, [], [])
    progress.step("clean up")
    cleaned_up = store.clean_up(leftover_of)
    manifests = {one.name: one.manifest for one in listed if one.manifest}
    expired = [decision.name for decision in decisions if not decision.keep]
    deleted = [name for name in expired if _delete(store, manifests[name], progress)]
    return PruneReport(decisions, deleted, cleaned_up)


def pin(store: Store, name: str, reason: str | None, master: MasterKey | None = None) -> Manifest:
    """Keep the backup `name` for good, for `reason`; None lets it go again. Needs its key if it is encrypted.

    Raises RefusedError for an export: personal data that left the database is not kept for good.
    """
    manifest = load(store, name, master)
    if manifest.export:
        raise RefusedError(f"{manifest.name} is an export and goes when it expires.", remedy="Pin a backup.")
    return change(store, manifest.name, master, lambda known: dataclasses.replace(known, pinned=reason))


def rekey(store: Store, name: str, old: MasterKey, new: MasterKey) -> Manifest:
    """Wrap the data key of the backup `name` by another master key; the data itself is not touched.

    Whoever had the old key and the old manifest can still read it. Raises ConfigurationError for a wrong old key,
    RefusedError for a backup that is not encrypted.
    """
    manifest = load(store, name, old)
    if manifest.encryption is None:
        raise RefusedError(f"{manifest.name} is not encrypted: it has no key.", remedy="Make an encrypted backup.")
    encryption = facts.wrapped(manifest.data_key(old), new, manifest.bound_to())
    return change(store, manifest.name, old, lambda known: dataclasses.replace(known, encryption=encryption))


def _delete(store: Store, manifest: Manifest, progress: Progress) -> bool:
    """Remove the manifest first: from then on it is no backup, and its data is a leftover of whoever held its name."""
    with store.claim(manifest.name) as ours:
        if ours:
            progress.step(f"delete {manifest.name}")
            store.delete(manifest.file_name)
            progress.step(f"delete data of {manifest.name}")
            store.delete(manifest.data_file)
    return ours


def _candidates(listed: list[Listed]) -> list[Candidate]:
    return [
        Candidate(
            name=one.name,
            group=(one.manifest.source.environment, one.manifest.source.database),
            created=one.manifest.created,
            good=one.good,
            proven=one.manifest.proof.level == PROVEN,
            safety=is_safety(one.name),
            pinned=one.manifest.pinned,
            expires=datetime.fromisoformat(one.manifest.export.expires_at) if one.manifest.export else None,
        )
        for one in listed
        if one.manifest is not None
    ]
