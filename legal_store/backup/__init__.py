"""Backups: made in one pass, encrypted if wanted, listed only when whole, verified, kept as long as a policy says.

The functions take stores (`open_store`), psycopg2 parameters and a master key (`master_key`); restoring and drills
are in legal_store.restore.
"""

from legal_store.backup.catalog import Listed, backups_of, damaged_among, latest, list_backups, load
from legal_store.backup.exporting import export
from legal_store.backup.keeping import PruneReport, pin, prune, rekey, verify
from legal_store.backup.keys import (
    MasterKey,
    generate_key,
    master_key,
    refuse_key_beside_backups,
    required_master_key,
    writing_key,
)
from legal_store.backup.making import BackupReport, make_backup
from legal_store.backup.manifest import GZIP, PG_DUMP, ZSTD, Manifest
from legal_store.backup.progress import Progress
from legal_store.backup.retention import Policy
from legal_store.backup.stores import Store, open_store

__all__ = [
    "GZIP",
    "PG_DUMP",
    "ZSTD",
    "BackupReport",
    "Listed",
    "Manifest",
    "MasterKey",
    "Policy",
    "Progress",
    "PruneReport",
    "Store",
    "backups_of",
    "damaged_among",
    "export",
    "generate_key",
    "latest",
    "list_backups",
    "load",
    "make_backup",
    "master_key",
    "open_store",
    "pin",
    "prune",
    "refuse_key_beside_backups",
    "rekey",
    "required_master_key",
    "verify",
    "writing_key",
]
