"""How much memory a restore's jobs build indexes with: enough for the largest table, and never more than there is."""

from __future__ import annotations

import math
import os

from legal_store.restore.databases import Server

_MOST_MEMORY_MB = 1024
_SHARE_OF_MEMORY = 8
_INDEX_PER_TABLE = 2  # what an HNSW index takes while it is built, beside its table: less, but for short vectors


def settings_for_indexes(server: Server, jobs: int, largest_table: int | None) -> dict[str, str]:
    """Return the settings with which each of `jobs` builds its indexes; the server's own where it is elsewhere.

    `largest_table` is in bytes, None where that is not known. An HNSW index that outgrows maintenance_work_mem
    takes twice as long and more. One that parallel workers build takes all of it at once, from /dev/shm, which is
    small in containers: there each index has one process, with memory of its own.
    """
    if server.local_data_folder() is None:
        return {}
    ((configured,),) = server.rows("SELECT pg_size_bytes(current_setting('maintenance_work_mem')) >> 20")
    wanted = _MOST_MEMORY_MB if largest_table is None else _INDEX_PER_TABLE * largest_table >> 20
    most = min(_MOST_MEMORY_MB, _memory_mb() // (_SHARE_OF_MEMORY * jobs))
    memory = max(configured, min(wanted, most))
    workers = max(2, jobs) if jobs * memory < _shared_memory_mb() else 0
    return {"maintenance_work_mem": f"{memory}MB", "max_parallel_maintenance_workers": str(workers)}


def _memory_mb() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    except (ValueError, OSError):  # not known on this system
        return 0


def _shared_memory_mb() -> float:
    """What PostgreSQL's processes can share beside shared_buffers, as far as it is limited."""
    try:
        found = os.statvfs("/dev/shm")  # noqa: S108
    except OSError:
        return math.inf
    return found.f_bavail * found.f_frsize >> 20
