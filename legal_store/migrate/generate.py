"""Proposes the migration that brings the schema to what the models say, proven before anybody sees it.

PostgreSQL is the judge: the existing files are run in a scratch database, the models' schema is made beside it, and
the catalogs are compared. What neither the models declare now nor the last migration declared is reported, never
dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

from legal_store.errors import WrongUseError
from legal_store.migrate.files import Migration
from legal_store.migrate.losses import Losing, lossy_changes
from legal_store.migrate.ownership import goal_beside_unknown, goes_with_its_table, may_go
from legal_store.migrate.proof import castable_on, refuse_other_schema, run_all, why_no_way_back
from legal_store.migrate.rename_decision import Ask, RenameDecision, model_hints, renamed_key
from legal_store.migrate.renames import Rename, parse_hints
from legal_store.migrate.replay import replay
from legal_store.migrate.sessions import connect, taken_back
from legal_store.migrate.shadow import shadow
from legal_store.schema.change import change_statements
from legal_store.schema.objects import Schema
from legal_store.schema.snapshot import Snapshot, read_snapshot


class Proposal(NamedTuple):
    """A proven migration: its statements up and down, or why there is no way back; what it loses; what is not ours."""

    up: list[str]
    down: list[str]
    irreversible: str
    losing: list[Losing]
    unknown: list[str]
    declared: list[str]

    @property
    def empty(self) -> bool:
        return not self.up


def propose(
    parameters: dict[str, Any],
    migrations: Sequence[Migration],
    schema: Schema,
    *,
    declared_before: set[str] | None = None,
    renames: Sequence[str] = (),
    drop: Sequence[str] = (),
    ask: Ask | None = None,
) -> Proposal:
    """Return the migration from what `migrations` make to what `schema` says, proven in a shadow database.

    `declared_before` are the objects that belonged to the models at the last generation (None: all that the files
    make and the models do not know is not ours). `renames` are hints like "cases.title=cases.heading"; `drop` names
    objects that may go although they may look renamed or are not ours, like "column cases.title". `ask` decides about
    a possible rename; without it, an undecided one raises WrongUseError that shows both ways to say what is meant, and
    so does a hint or a name that fits nothing. Raises MigrationError when the files do not run or the proof fails.
    """
    hinted = parse_hints(renames)
    with shadow(parameters) as target, closing(connect(target)) as connection:
        wanted = snapshot_of_models(connection, schema)
        replay(connection, migrations)
        with taken_back(connection):
            return propose_on(
                connection,
                wanted,
                declared_before=declared_before,
                hints=model_hints(schema),
                renames=hinted,
                drop=drop,
                ask=ask,
            )


def snapshot_of_models(connection: Any, schema: Schema) -> Snapshot:
    """Return the schema that the models declare, made in an empty scratch database and taken back."""
    from legal_store.schema.ddl import create_statements

    with taken_back(connection) as cursor:
        for statement in create_statements(schema):
            cursor.execute(statement)
        return read_snapshot(connection)


def propose_on(
    connection: Any,
    wanted: Snapshot,
    *,
    declared_before: set[str] | None = None,
    hints: dict[str, str] | None = None,
    renames: dict[str, str] | None = None,
    drop: Sequence[str] = (),
    ask: Ask | None = None,
) -> Proposal:
    """Return the migration from the schema of `connection`, a scratch database in a transaction, to `wanted`.

    `hints` are the models' own and may be about a rename of long ago; `renames` must fit. The caller takes the
    transaction back: it may be in any state afterwards. Otherwise as `propose`.
    """
    current = read_snapshot(connection)
    _refuse_unknown_drops(current, wanted, drop)
    ours = may_go(current, wanted, declared_before, drop)
    decided = RenameDecision(
        connection, wanted, ours, hints={**(hints or {}), **(renames or {})}, drop=set(drop), ask=ask
    ).decide()
    _refuse_unknown_renames(renames or {}, decided)
    start = read_snapshot(connection) if decided else current
    ours |= {renamed_key(key, decided) for key in ours}
    unknown = {key for key in start.catalog.keys() - wanted.catalog.keys() if key not in ours}
    goal = goal_beside_unknown(wanted, start, unknown)
    castable = castable_on(connection)
    up = [*(rename.sql() for rename in decided), *change_statements(start, goal, castable)]
    losing = lossy_changes(current, start, goal, decided, castable)
    down = [*change_statements(goal, start, castable), *(rename.reverse() for rename in reversed(decided))]
    run_all(connection, up[len(decided) :], "The generated migration")
    refuse_other_schema(connection, goal, "The generated migration does not make the schema of the models")
    irreversible = why_no_way_back(connection, current, goal, down, up)
    return Proposal(
        up,
        [] if irreversible else down,
        irreversible,
        losing,
        sorted(f"{kind} {name}" for kind, name in unknown if not goes_with_its_table(kind, name, unknown)),
        sorted(f"{kind} {name}" for kind, name in wanted.catalog if kind not in ("extension",)),
    )


def _refuse_unknown_drops(current: Snapshot, wanted: Snapshot, drop: Sequence[str]) -> None:
    there = {" ".join(key) for key in current.catalog}
    declared = {" ".join(key) for key in wanted.catalog}
    for name in drop:
        if name not in there:
            raise WrongUseError(
                f"--drop {name!r} names nothing that the migrations make.",
                remedy="Write the kind and the name, like 'column cases.title' or 'table cases'.",
            )
        if name in declared:
            raise WrongUseError(f"--drop {name!r}: a model declares it.", remedy="Take it out of the model first.")


def _refuse_unknown_renames(renames: dict[str, str], decided: Sequence[Rename]) -> None:
    for was, now in renames.items():
        table, _, column = now.rpartition(".")
        if Rename(was.rpartition(".")[2], column, table) not in decided:
            raise WrongUseError(
                f"--rename {was}={now} fits nothing: {was} has to be in the migrations, {now} in the models and new.",
                remedy="Write OLD=NEW as `migrate` shows them; a column of a renamed table stands under its new name.",
            )
