"""Writes a proven migration as a file in peewee-migrate's format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from legal_store.files import write_whole
from legal_store.migrate.declared_file import remember_declared
from legal_store.migrate.files import position, read_migrations
from legal_store.migrate.generate import Proposal


def write_migration(folder: Path, proposal: Proposal, name: str, now: datetime | None = None) -> Path:
    """Write the proposal as `{timestamp}_{name}.py` and remember what belongs to the models; return the file's path."""
    last = max((position(migration.name)[0] for migration in read_migrations(folder)), default=0)
    stamp = max(int((now or datetime.now(UTC)).strftime("%Y%m%d%H%M%S")), last + 1)
    path = folder / f"{stamp:014d}_{name}.py"
    write_whole(path, file_text(proposal, name))
    remember_declared(folder, proposal.declared)
    return path


def file_text(proposal: Proposal, name: str) -> str:
    """Return the text of the migration file."""
    title = name.replace("_", " ").capitalize()
    losses = "".join(f"\n{loss.what}." for loss in proposal.losing)
    parts = [f'"""{title}.{chr(10) + losses + chr(10) if losses else ""}"""\n']
    if proposal.irreversible:
        parts.append(f"irreversible = {proposal.irreversible!r}\n")
    parts.append(_function("migrate", proposal.up))
    if not proposal.irreversible:
        parts.append(_function("rollback", proposal.down))
    return "\n\n".join(parts)


def suggested_name(up: Sequence[str]) -> str:
    """Return a name for a migration: its first change, in few words."""
    words = re.sub(r"[^a-z0-9_ ]+", " ", up[0].lower()).split() if up else ["nothing"]
    skipped = {"alter", "table", "public", "if", "not", "exists", "on", "using", "or", "replace", "column"}
    chosen = [word for word in words if word not in skipped][:5]
    return "_".join(chosen)[:45].strip("_") or "change"


def _function(name: str, statements: Sequence[str]) -> str:
    head = f"def {name}(migrator, database, *, fake=False):\n"
    body = ";\n".join(statements) + ";"
    if '"""' in body or "\\" in body[-2:]:
        return head + f"    migrator.sql({body!r})\n"
    return head + f'    migrator.sql(\n        r"""\n{body}\n"""\n    )\n'
