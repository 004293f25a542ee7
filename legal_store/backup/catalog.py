"""What is in a store: which backups are whole, which are damaged, and how to find one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from legal_store.backup.keys import MasterKey
from legal_store.backup.manifest import (
    CODEC_SUFFIXES,
    ENCRYPTED_SUFFIX,
    SUFFIX,
    Manifest,
    check_seal,
    is_named_for,
    is_our_name,
    is_safety,
    read_manifest,
    write_manifest,
)
from legal_store.backup.stores import Store
from legal_store.errors import BackupError, DamagedBackupError

_MOST_TRIES = 20
_DATA_SUFFIXES = tuple(suffix + end for suffix in CODEC_SUFFIXES.values() for end in ("", ENCRYPTED_SUFFIX))


class Listed(NamedTuple):
    """One backup of a store. `problem` says what is wrong with it; `manifest` is None where that is unreadable."""

    store: str
    name: str
    manifest: Manifest | None
    problem: str | None

    @property
    def good(self) -> bool:
        return self.problem is None


def list_backups(store: Store, master: MasterKey | None = None) -> list[Listed]:
    """Return all backups of `store`, newest first, damaged ones at the end. Reads the manifests, not the data.

    With `master`, seals of encrypted backups are checked too, for those of that key.
    """
    objects = store.objects()
    found = [_listed(store, name, objects, master) for name in objects if name.endswith(SUFFIX)]
    return sorted(filter(None, found), key=_age_and_name, reverse=True)


def backups_of(store: Store, database: str | None = None, environment: str | None = None) -> list[Listed]:
    """Return the backups of `database` and `environment`, newest first, damaged ones too.

    Exports are none; neither are the safety backups of restores: they hold what somebody wanted to be rid of. One whose
    manifest cannot be read is known by its name alone.
    """
    return [
        listed for listed in list_backups(store) if not is_safety(listed.name) and _is_of(listed, database, environment)
    ]


def latest(store: Store, *, database: str | None = None, environment: str | None = None) -> Manifest:
    """Return the newest whole backup, of `database` and `environment` if they are given; see `backups_of`.

    Left out are those that a verify, a drill or a restore found damaged. Raises BackupError when there is none.
    """
    found = backups_of(store, database, environment)
    for listed in found:
        if listed.good and listed.manifest:
            return listed.manifest
    wanted = " ".join(filter(None, ("of", environment, database))) if database or environment else ""
    raise BackupError(
        f"There is no backup {wanted} in {store.url}{damaged_among(found)}.".replace("  ", " "),
        remedy="See `invoke backup.list`.",
    )


def damaged_among(found: Sequence[Listed]) -> str:
    """Return " (2 are damaged)", or nothing where none is."""
    count = sum(not listed.good for listed in found)
    return f" ({count} {'is' if count == 1 else 'are'} damaged)" if count else ""


def load(store: Store, name: str, master: MasterKey | None = None) -> Manifest:
    """Return the manifest of the backup `name` (also given as the name of its data or manifest file).

    With `master`, an encrypted one's seal is checked. Raises BackupError when there is no such backup,
    DamagedBackupError when its manifest is not as it was written.
    """
    objects = store.objects()
    file_name = base_name(name) + SUFFIX
    if file_name not in objects:
        raise BackupError(f"There is no backup {base_name(name)} in {store.url}.", remedy="See `invoke backup.list`.")
    content = store.read(file_name)
    manifest = read_manifest(content, file_name)
    if manifest.encryption is not None and master is not None:
        check_seal(content, manifest, manifest.data_key(master))
    _check_data(manifest, objects)
    return manifest


def change(store: Store, name: str, master: MasterKey | None, edit: Callable[[Manifest], Manifest]) -> Manifest:
    """Write what `edit` makes of the manifest of `name` over it, and return that. Needs the key of an encrypted one.

    What others change at the same time is lost on neither side: then `edit` is called again, with what they wrote.
    Raises BackupError, also when the backup was deleted meanwhile; DamagedBackupError.
    """
    for _ in range(_MOST_TRIES):
        file_name = name + SUFFIX
        content = store.read(file_name)
        manifest = read_manifest(content, file_name)
        if manifest.encryption and master is None:
            raise BackupError(f"The manifest of {name} can be changed only with its key.")
        data_key = manifest.data_key(master) if manifest.encryption and master else None
        if data_key:
            check_seal(content, manifest, data_key)
        changed = edit(manifest)
        if store.exchange(file_name, content, write_manifest(changed, data_key)):
            return changed
    raise BackupError(f"The manifest of {name} is being changed by others all the time.", remedy="Try again later.")


def base_name(name: str) -> str:
    """Return the name of a backup from that of one of its files."""
    for suffix in sorted((*_DATA_SUFFIXES, SUFFIX), key=len, reverse=True):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def leftover_of(name: str, objects: Mapping[str, int]) -> str | None:
    """Return the name of the backup of ours whose data or manifest `name` is, if that backup has no manifest.

    It was never finished then, or is deleted. None for whatever else lies there: it is not ours.
    """
    base = base_name(name)
    return base if base != name and is_our_name(base) and base + SUFFIX not in objects else None


def _listed(store: Store, file_name: str, objects: Mapping[str, int], master: MasterKey | None) -> Listed | None:
    """Return what is known about a backup; None where somebody deleted it a moment ago."""
    manifest = None
    try:
        content = store.read(file_name)
    except BackupError:
        if file_name not in store.objects():
            return None
        raise
    try:
        manifest = read_manifest(content, file_name)
        if manifest.encryption and master and manifest.encryption.key_id == master.key_id:
            check_seal(content, manifest, manifest.data_key(master))
        _check_data(manifest, objects)
    except DamagedBackupError as error:
        return Listed(store.url, base_name(file_name), manifest, error.message)
    failure = manifest.failure
    problem = f"it was found damaged at {failure.at[:16]}: {failure.why}" if failure else None
    return Listed(store.url, manifest.name, manifest, problem)


def _check_data(manifest: Manifest, objects: Mapping[str, int]) -> None:
    size = objects.get(manifest.data_file)
    if size != manifest.size:
        state = "is missing" if size is None else f"has {size} bytes instead of {manifest.size}"
        raise DamagedBackupError(
            f"The data of {manifest.name}, {manifest.data_file}, {state}.",
            remedy="Use another backup, or another copy of this one.",
        )


def _is_of(listed: Listed, database: str | None, environment: str | None) -> bool:
    if listed.manifest is None:
        return is_named_for(listed.name, environment, database)
    source = listed.manifest.source
    ours = database in (None, source.database) and environment in (None, source.environment)
    return ours and listed.manifest.export is None


def _age_and_name(listed: Listed) -> tuple[datetime, str]:
    """By this they are sorted; unreadable ones are older than all others."""
    return (listed.manifest.created if listed.manifest else datetime.min.replace(tzinfo=UTC), listed.name)
