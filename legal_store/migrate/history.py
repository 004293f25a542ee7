"""Files and ledger side by side: what is applied, what is pending, and what forbids going on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from legal_store.errors import RefusedError
from legal_store.migrate.files import Migration, normalized_checksum, position
from legal_store.migrate.ledger import Attempt

ADOPTED = "adopted from _prisma_migrations"


class Standing(NamedTuple):
    """How files and ledger relate, by name and in order."""

    applied: list[str]
    pending: list[str]
    interrupted: list[str]
    failed: list[str]
    edited: list[str]
    missing: list[str]
    out_of_order: list[str]
    reformatted: list[str]

    @property
    def clean(self) -> bool:
        """True when everything is applied and nothing is wrong; a reformatted file is not wrong."""
        return not self.troubles

    @property
    def troubles(self) -> dict[str, list[str]]:
        """What is wrong or still to do, by state; what forbids a deploy comes first."""
        return {state: names for state in _REMEDIES if (names := getattr(self, state))}

    @property
    def remedy(self) -> str:
        """What to do about the troubles; empty where there is none."""
        return " ".join(dict.fromkeys(_REMEDIES[state] for state in self.troubles))

    def __str__(self) -> str:
        """Return "12 applied, 1 failed: 014_x, 1 pending: 015_y"."""
        troubles = [f"{len(names)} {state}: {', '.join(names)}" for state, names in self.troubles.items()]
        return ", ".join([f"{len(self.applied)} applied", *troubles])


def newest_attempts(attempts: Iterable[Attempt]) -> dict[str, Attempt]:
    """Return the newest attempt of each migration; an earlier, rolled-back one has no say any more."""
    return {attempt.name: attempt for attempt in attempts}


def compare(migrations: Sequence[Migration], attempts: Iterable[Attempt]) -> Standing:
    """Return how the files stand against the ledger (oldest attempt first)."""
    newest = newest_attempts(attempt for attempt in attempts if attempt.tool_version != ADOPTED)
    files = {migration.name: migration for migration in migrations}
    live = {name: attempt for name, attempt in newest.items() if attempt.state == "applied"}
    changed = [m for m in migrations if m.name in live and m.checksum != live[m.name].checksum]
    edited = [m.name for m in changed if not _only_reformatted(m, live[m.name])]
    pending = [m.name for m in migrations if m.name not in newest or newest[m.name].state == "rolled back"]
    return Standing(
        applied=[m.name for m in migrations if m.name in live],
        pending=pending,
        interrupted=_in_state("interrupted", newest),
        failed=_in_state("failed", newest),
        edited=edited,
        missing=_missing(newest, files),
        out_of_order=_out_of_order(pending, [name for name in live if name in files]),
        reformatted=[m.name for m in changed if m.name not in edited],
    )


def refuse_unsound(standing: Standing, *, allow_out_of_order: bool = False) -> None:
    """Raise RefusedError that lists everything that forbids a deploy; nothing was changed then."""
    problems = [
        (standing.edited, "was edited after it was applied", _REMEDIES["edited"]),
        (standing.missing, "is applied but its file is missing", _REMEDIES["missing"]),
        (standing.failed, "failed and nobody has said what is true", _REMEDIES["failed"]),
    ]
    if not allow_out_of_order:
        problems.append((standing.out_of_order, "comes before migrations that are already applied", _RENUMBER))
    found = [(f"{name} {what}", remedy) for names, what, remedy in problems for name in names]
    if found:
        remedies = dict.fromkeys(remedy for _, remedy in found)
        raise RefusedError(f"Refused: {'; '.join(what for what, _ in found)}.", remedy=" ".join(remedies))


_REMEDIES = {
    "failed": (
        "See `invoke migrate.history`, then `invoke migrate.resolve NAME` with --retry, --applied or --rolled-back."
    ),
    "edited": "Restore the file and write a new migration instead.",
    "missing": "Restore the file from version control.",
    "interrupted": "Run `invoke migrate.deploy`.",
    "pending": "Run `invoke migrate.deploy`.",
}
_RENUMBER = "Give the file a later timestamp, or pass --allow-out-of-order if it depends on nothing applied since."


def _missing(newest: dict[str, Attempt], files: dict[str, Migration]) -> list[str]:
    return [a.name for a in newest.values() if a.state in ("applied", "interrupted") and a.name not in files]


def _in_state(state: str, newest: dict[str, Attempt]) -> list[str]:
    return sorted((name for name, attempt in newest.items() if attempt.state == state), key=position)


def _out_of_order(pending: list[str], live: list[str]) -> list[str]:
    last = max(map(position, live), default=None)
    return [name for name in pending if last is not None and position(name) < last]


def _only_reformatted(migration: Migration, attempt: Attempt) -> bool:
    return attempt.normalized_checksum == normalized_checksum(migration.text, python=migration.is_python)
