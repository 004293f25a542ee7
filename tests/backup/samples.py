"""Backups that no server was needed for."""

from __future__ import annotations

from datetime import datetime

from legal_store.backup.manifest import FORMAT, Contents, Manifest, Proof, Source, backup_name, write_manifest
from legal_store.backup.stores.local import LocalStore


def sample_manifest(
    created: datetime, proof: str = "made", pinned: str | None = None, *, safety: bool = False
) -> Manifest:
    source = Source(
        database="db", environment="test", host="", server_version="18.6", system_identifier=None,
        database_size=1, encoding="UTF8", locale={},
    )  # fmt: skip
    contents = Contents(
        tables=(), sequences={}, large_objects="0 0", extensions={}, foreign_keys=0, roles=(), migration_head=None
    )
    name = backup_name("test", "db", created, safety=safety)
    return Manifest(
        format=FORMAT, id=name, name=name, created_at=created.isoformat(), source=source, contents=contents,
        codec="pg_dump", data_file=f"{name}.dump", size=4, raw_size=4, sha256="", tools={}, seconds={"dump": 1},
        encryption=None, proof=Proof(level=proof, at=created.isoformat()), pinned=pinned,
    )  # fmt: skip


def put(store: LocalStore, manifest: Manifest) -> Manifest:
    """Put a backup of four bytes into the store."""
    store.create(manifest.data_file, b"data")
    store.create(manifest.file_name, write_manifest(manifest, None))
    return manifest
