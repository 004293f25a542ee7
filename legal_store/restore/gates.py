"""The safety checklist of a restore: each gate is one line with its result and what to do about it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from legal_store.backup.manifest import Manifest
from legal_store.errors import RefusedError
from legal_store.generating.ledger import SCHEMA
from legal_store.restore.databases import Server

# What a restore takes beside the size of the database itself: sorting for indexes, and its WAL.
_SPACE_FACTOR = 1.5
# Restoring takes longer than dumping: rows are parsed and indexes built. Used until a drill has measured it.
_RESTORE_PER_DUMP = 4.0


class Gate(NamedTuple):
    """One line of the checklist. `ok` is None where nothing forbids going on, but a person should know."""

    name: str
    ok: bool | None
    result: str
    remedy: str = ""


@dataclass
class Checklist:
    """The gates passed so far; a closed one stops everything behind it."""

    show: Callable[[Gate], None] = lambda gate: None
    gates: list[Gate] = field(default_factory=list)

    def add(self, gate: Gate) -> None:
        """Note and show a gate. Raises RefusedError when it is closed."""
        self.gates.append(gate)
        self.show(gate)
        if gate.ok is False:
            raise RefusedError(f"{gate.name}: {gate.result}.", remedy=gate.remedy)


def phrase(database: str, *, production: bool) -> str:
    """Return what has to be typed before `database` is replaced."""
    return f"restore production {database}" if production else database


def confirmation(database: str, typed: str | None, *, production: bool) -> Gate:
    """The right database: its name was typed, and for production the phrase of its own."""
    wanted = phrase(database, production=production)
    if typed == wanted:
        return Gate("right database", True, f'"{wanted}" was typed')
    what = "nothing was typed" if typed is None else f'"{typed}" was typed'
    return Gate(
        "right database", False, f"{what} where {wanted!r} is needed", f'Type it, or pass --confirm "{wanted}".'
    )


def environment(manifest: Manifest | None, target: str, *, other_allowed: bool) -> Gate:
    """The right environment: a backup of one is not put into another by mistake."""
    if manifest is None:
        return Gate("environment", None, f"the file does not say where it is from; it goes into {target}")
    made_in = manifest.source.environment
    if made_in == target:
        return Gate("environment", True, f"a backup of {made_in} goes into {target}")
    if other_allowed:
        return Gate("environment", None, f"a backup of {made_in} goes into {target}, as was asked for")
    return Gate(
        "environment",
        False,
        f"a backup of {made_in} must not go into {target} unnoticed",
        "Add --other-environment if it is meant; production data for developers goes through import-anonymized.",
    )


def purpose(manifest: Manifest | None, *, masked: bool) -> Gate:
    """The right way in: an export only through masking, and masking only for what is authentic and has not expired."""
    export = manifest.export if manifest else None
    if not masked:
        made_for = "an export with personal data, made to be masked on its way in"
        text, remedy = (made_for, "Use `invoke import-anonymized`.") if export else ("a backup, to be restored", "")
        return Gate("purpose", export is None, text, remedy)
    if manifest is None or manifest.encryption is None:
        text = "not encrypted, so that nobody knows who has made it"
        return Gate("purpose", False, text, "Import what `invoke export` wrote, or an encrypted backup.")
    if export is None:
        return Gate("purpose", True, "an encrypted backup, to be masked on its way in")
    if export.expired(datetime.now(UTC)):
        text = f"an export that expired at {export.expires_at}"
        return Gate(
            "purpose", False, text, "Delete it (`invoke backup.prune --yes`), and ask for a new `invoke export`."
        )
    return Gate("purpose", True, f"an export, to be masked on its way in, until {export.expires_at}")


def complete(manifest: Manifest | None, *, unfinished_allowed: bool) -> Gate:
    """A database in which a load has not ended lacks constraints: it takes no good one's place unnoticed."""
    if manifest is None:
        return Gate("complete", None, "whether a load of generated data had ended is looked at when it is restored")
    if all(table.name != f"{SCHEMA}.run" for table in manifest.contents.tables):
        return Gate("complete", True, "no load of generated data was unfinished")
    text = "a load of generated data had not ended, so that indexes and constraints are missing"
    if unfinished_allowed:
        return Gate("complete", None, f"{text}, as was asked for")
    remedy = "`invoke restore` takes it with --unfinished-load; `invoke doctor` then says how to go on with the load."
    return Gate("complete", False, text, remedy)


def versions(manifest: Manifest | None, server_version: int, reader: str) -> Gate:
    """PostgreSQL restores into the same or a newer version only."""
    if manifest is None:
        return Gate("versions", None, f"of the file unknown; the server is {server_version // 10000}, read by {reader}")
    made_by = int(manifest.source.server_version.split(".")[0])
    text = f"made by PostgreSQL {made_by}, server is {server_version // 10000}, read by {reader}"
    ok = made_by <= server_version // 10000
    return Gate("versions", ok, text, "" if ok else "Restore into a server of that version or newer.")


def roles(manifest: Manifest | None, server: Server) -> Gate:
    """Owners and grantees exist: without them grants would fail halfway."""
    if manifest is None:
        return Gate("roles", None, "of the file unknown")
    there = {name for (name,) in server.rows("SELECT rolname::text FROM pg_roles")}
    missing = [name for name in manifest.contents.roles if name not in there]
    if not missing:
        return Gate("roles", True, f"all {len(manifest.contents.roles)} exist")
    return Gate(
        "roles",
        False,
        f"missing: {', '.join(missing)}",
        "Add --create-roles to make them without login, or create them.",
    )


def disk_space(manifest: Manifest | None, server: Server) -> Gate:
    """There is room for a second database beside the live one."""
    if manifest is None:
        return Gate("disk space", None, "needed for the file: unknown")
    needed = int(manifest.source.database_size * _SPACE_FACTOR)
    folder = server.local_data_folder()
    if folder is None:
        return Gate("disk space", None, f"needed on the server: about {megabytes(needed)}; it cannot be seen from here")
    free = shutil.disk_usage(folder).free
    text = f"{megabytes(free)} free, about {megabytes(needed)} needed"
    return Gate("disk space", free >= needed, text, "" if free >= needed else "Free space on the server's disk.")


def duration(manifest: Manifest | None) -> Gate:
    """How long it will take: what a drill measured, else an estimate from the dump."""
    if manifest is None:
        return Gate("estimated duration", None, "unknown")
    if "restore" in manifest.seconds:
        return Gate("estimated duration", None, f"{manifest.seconds['restore']:.0f} s, as the drill took")
    return Gate(
        "estimated duration", None, f"about {manifest.seconds['dump'] * _RESTORE_PER_DUMP:.0f} s; no drill was made"
    )


def open_sessions(server: Server, database: str) -> Gate:
    """Who is connected and will be disconnected, and what stands in the way of that."""
    obstacles = server.obstacles(database)
    if obstacles:
        return Gate("open sessions", False, ", ".join(obstacles), "Finish, disable or drop them first.")
    sessions = server.sessions(database)
    if not sessions:
        return Gate("open sessions", True, "none")
    names = ", ".join(sorted({name or user for name, user in sessions}))
    return Gate("open sessions", None, f"{len(sessions)} will be ended at the swap ({names}); best stop the services")


def megabytes(size: int) -> str:
    """Return a size for people."""
    return f"{size / 1e6:,.0f} MB" if size >= 10_000_000 else f"{size / 1e6:.1f} MB"
