"""What is found out about a backup is written into its manifest: that it is whole, or that it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from legal_store.backup.catalog import change
from legal_store.backup.keys import MasterKey
from legal_store.backup.manifest import VERIFIED, Manifest
from legal_store.backup.progress import SILENT, Progress
from legal_store.backup.stores import Store
from legal_store.errors import CheckFailedError, LegalStoreError


def note(
    store: Store,
    manifest: Manifest,
    master: MasterKey | None,
    edit: Callable[[Manifest], Manifest],
    progress: Progress = SILENT,
) -> Manifest:
    """Change the manifest by `edit`, and return it. Where it cannot be written, say so: what was found out stands."""
    try:
        return change(store, manifest.name, master, edit)
    except (LegalStoreError, OSError) as error:
        progress.note(f"This could not be noted in the manifest of {manifest.name}: {error}")
        return edit(manifest)


@contextmanager
def failure_noted(
    store: Store,
    manifest: Manifest,
    master: MasterKey | None,
    *,
    level: str = VERIFIED,
    progress: Progress = SILENT,
) -> Iterator[None]:
    """Note that the block found the backup damaged, or not to restore, on its way to `level`; its error goes on."""
    try:
        yield
    except CheckFailedError as error:
        why = error.message
        note(store, manifest, master, lambda known: known.with_failure(level, why), progress)
        raise
