"""Writes the migration that brings the schema to what the models say, and proves it before it is kept.

PostgreSQL is the judge: the existing files are run in a scratch database, the models' schema is made beside it, and
the catalogs are compared. What neither the models declare now nor the last migration declared is reported, never
dropped: `migrations/declared.txt` remembers what belonged to the models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2

from legal_store.errors import MigrationError, WrongUseError
from legal_store.migrate.drift import describe
from legal_store.migrate.files import Migration
from legal_store.migrate.losses import Losing, Loss, lossy_changes
from legal_store.migrate.renames import Rename, parse_hints, possible_column_renames, possible_table_renames
from legal_store.migrate.replay import replay
from legal_store.migrate.sessions import connect
from legal_store.migrate.shadow import shadow
from legal_store.schema.catalog import differences
from legal_store.schema.change import change_statements
from legal_store.schema.objects import Renamed, Schema
from legal_store.schema.snapshot import Key, Snapshot, read_snapshot

DECLARED_FILE = "declared.txt"


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


Ask = Callable[[Rename], bool]


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
    a possible rename; without it, an undecided one raises WrongUseError that shows both ways to say what is meant.
    Raises MigrationError when the files do not run or the proof fails.
    """
    with shadow(parameters) as target, closing(connect(target)) as connection:
        wanted = snapshot_of_models(connection, schema)
        replay(connection, migrations)
        hints = {**model_hints(schema), **parse_hints(renames)}
        with _taken_back(connection):
            return propose_on(connection, wanted, declared_before=declared_before, hints=hints, drop=drop, ask=ask)


def snapshot_of_models(connection: Any, schema: Schema) -> Snapshot:
    """Return the schema that the models declare, made in an empty scratch database and taken back."""
    from legal_store.schema.ddl import create_statements

    with _taken_back(connection) as cursor:
        for statement in create_statements(schema):
            cursor.execute(statement)
        return read_snapshot(connection)


def propose_on(
    connection: Any,
    wanted: Snapshot,
    *,
    declared_before: set[str] | None = None,
    hints: dict[str, str] | None = None,
    drop: Sequence[str] = (),
    ask: Ask | None = None,
) -> Proposal:
    """Return the migration from the schema of `connection`, a scratch database in a transaction, to `wanted`.

    The caller takes the transaction back: it may be in any state afterwards. Otherwise as `propose`.
    """
    with connection.cursor() as cursor:
        current = read_snapshot(connection)
        ours = _ours(current, wanted, declared_before, drop)
        renames = _decide_renames(connection, cursor, wanted, ours, hints or {}, set(drop), ask)
        start = read_snapshot(connection) if renames else current
        ours |= {_renamed_key(key, renames) for key in ours}
        unknown = {key for key in start.catalog.keys() - wanted.catalog.keys() if key not in ours}
        goal = _with_unknown(wanted, start, unknown)
        castable = _castable(connection)
        up = [*(rename.sql() for rename in renames), *change_statements(start, goal, castable)]
        losing = lossy_changes(current, start, goal, renames, castable)
        down = [*change_statements(goal, start, castable), *(rename.reverse() for rename in reversed(renames))]
        _run_all(connection, up[len(renames) :], "The generated migration")
        _refuse_wrong(connection, goal, "The generated migration does not make the schema of the models")
        irreversible = _try_way_back(connection, current, goal, down, up)
    return Proposal(
        up,
        [] if irreversible else down,
        irreversible,
        losing,
        sorted(f"{kind} {name}" for kind, name in unknown if not _goes_with(kind, name, unknown)),
        sorted(f"{kind} {name}" for kind, name in wanted.catalog if kind not in ("extension",)),
    )


def read_declared(folder: Path) -> set[str] | None:
    """Return the objects that belonged to the models at the last generation; None where that was never written."""
    path = folder / DECLARED_FILE
    if not path.is_file():
        return None
    return {line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")}


def write_migration(folder: Path, proposal: Proposal, name: str, now: datetime | None = None) -> Path:
    """Write the proposal as `{timestamp}_{name}.py` and remember what belongs to the models; return the file's path."""
    from legal_store.migrate.files import position, read_migrations

    last = max((position(migration.name)[0] for migration in read_migrations(folder)), default=0)
    stamp = max(int((now or datetime.now(UTC)).strftime("%Y%m%d%H%M%S")), last + 1)
    path = folder / f"{stamp:014d}_{name}.py"
    path.write_text(file_text(proposal, name), encoding="utf-8")
    remember_declared(folder, proposal)
    return path


def remember_declared(folder: Path, proposal: Proposal) -> None:
    """Write down what belongs to the models now, where that is not written yet."""
    header = "# What belonged to the models when the last migration was generated. Written by `invoke migrate`.\n"
    if read_declared(folder) != set(proposal.declared):
        (folder / DECLARED_FILE).write_text(header + "\n".join(proposal.declared) + "\n", encoding="utf-8")


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
    return "\n".join(parts[:1]) + "".join(f"\n{part}" if p == 0 else f"\n\n{part}" for p, part in enumerate(parts[1:]))


def suggested_name(up: Sequence[str]) -> str:
    """Return a name for a migration: its first change, in few words."""
    import re

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


@contextmanager
def _taken_back(connection: Any) -> Iterator[Any]:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            yield cursor
        finally:
            cursor.execute("ROLLBACK")


def model_hints(schema: Schema) -> dict[str, str]:
    """Return the renames that the models declare, as {old: new}."""
    found: dict[str, str] = {}
    for model in schema.models:
        table = model._meta.table_name
        for item in getattr(model._meta, "declared", ()):
            if isinstance(item, Renamed):
                found[f"{table}.{item.was}" if item.now else item.was] = f"{table}.{item.now}" if item.now else table
    return found


def _ours(current: Snapshot, wanted: Snapshot, declared: set[str] | None, drop: Sequence[str]) -> set[Key]:
    """The objects that may be dropped: those that the models declared before, and what a person named."""
    may_go = (declared or set()) | set(drop)
    direct = {key for key in current.catalog if " ".join(key) in may_go}
    tables = {name for kind, name in direct if kind == "table" and ("table", name) not in wanted.catalog}
    return direct | {key for key in current.catalog if _owner(key[1]) in tables}


def _owner(name: str) -> str:
    return name.rpartition(" ")[2].partition(".")[0]


def _renamed_key(key: Key, renames: Sequence[Rename]) -> Key:
    kind, name = key
    for rename in renames:
        table, dot, rest = name.partition(".")
        if not rename.table and table == rename.was:
            name = f"{rename.now}{dot}{rest}"
        elif kind == "column" and name == f"{rename.table}.{rename.was}":
            name = f"{rename.table}.{rename.now}"
    return kind, name


def _decide_renames(
    connection: Any,
    cursor: Any,
    wanted: Snapshot,
    ours: set[Key],
    hints: dict[str, str],
    drop: set[str],
    ask: Ask | None,
) -> list[Rename]:
    """Decide about tables, rename them, then about columns; the scratch database has the new names afterwards."""
    decided: list[Rename] = []
    undecided: list[Rename] = []
    tables = {name for kind, name in ours if kind == "table"}
    current = read_snapshot(connection)
    for rename in possible_table_renames(current, wanted, tables | hints.keys()):
        hinted = hints.get(rename.was) == rename.now
        if hinted or (f"table {rename.was}" not in drop and _answer(rename, ask, undecided)):
            decided.append(rename)
    for was, now in hints.items():
        if "." not in was and Rename(was, now) not in decided and _applies("table", was, now, current, wanted):
            decided.append(Rename(was, now))
    for rename in decided:
        cursor.execute(rename.sql())
    decided += _column_renames(connection, cursor, wanted, ours, decided, hints, drop, ask, undecided)
    if undecided:
        ways = "; ".join(
            f"--rename {r} or --drop '{'column' if r.table else 'table'} {str(r).partition('=')[0]}'" for r in undecided
        )
        raise WrongUseError(
            f"{len(undecided)} changes may be renames, or a loss and a gain: {', '.join(map(str, undecided))}.",
            remedy=f"Say which: {ways}.",
        )
    return decided


def _column_renames(
    connection: Any,
    cursor: Any,
    wanted: Snapshot,
    ours: set[Key],
    tables: list[Rename],
    hints: dict[str, str],
    drop: set[str],
    ask: Ask | None,
    undecided: list[Rename],
) -> list[Rename]:
    current = read_snapshot(connection)
    candidates = {key for key in ours if key[0] == "column"} | {("column", name) for name in hints}
    columns = {tuple(_renamed_key(key, tables)[1].split(".", 1)) for key in candidates if "." in key[1]}
    hinted = [
        Rename(was.partition(".")[2], now.partition(".")[2], now.partition(".")[0])
        for was, now in hints.items()
        if "." in was and _applies("column", f"{now.partition('.')[0]}.{was.partition('.')[2]}", now, current, wanted)
    ]
    decided = list(hinted)
    taken = {(r.table, r.was) for r in hinted} | {(r.table, r.now) for r in hinted}
    for rename in possible_column_renames(current, wanted, columns):  # type: ignore[arg-type]
        if {(rename.table, rename.was), (rename.table, rename.now)} & taken:
            continue
        if f"column {rename.table}.{rename.was}" not in drop and _answer(rename, ask, undecided):
            decided.append(rename)
    for rename in decided:
        cursor.execute(rename.sql())
    return decided


def _applies(kind: str, was: str, now: str, current: Snapshot, wanted: Snapshot) -> bool:
    return (kind, was) in current.catalog and (kind, now) in wanted.catalog and (kind, now) not in current.catalog


def _answer(rename: Rename, ask: Ask | None, undecided: list[Rename]) -> bool:
    if ask is None:
        undecided.append(rename)
        return False
    return ask(rename)


def _with_unknown(wanted: Snapshot, current: Snapshot, unknown: set[Key]) -> Snapshot:
    """The goal: what the models say, and beside it what is not ours, as it is."""
    catalog = {**wanted.catalog, **{key: current.catalog[key] for key in unknown}, **_grants_to_others(wanted, current)}
    tables = {name for kind, name in unknown if kind == "table"}
    columns = {tuple(name.split(".", 1)) for kind, name in unknown if kind == "column"}
    views = {name for kind, name in unknown if kind in ("view", "materialized view")}
    policies = {name for kind, name in unknown if kind == "policy"}
    sequences = {name for kind, name in unknown if kind == "sequence"}
    return wanted._replace(
        catalog=catalog,
        tables={**wanted.tables, **{name: current.tables[name] for name in tables}},
        columns={**wanted.columns, **{key: c for key, c in current.columns.items() if key in columns}},
        views={**wanted.views, **{name: current.views[name] for name in views}},
        policies={**wanted.policies, **{name: current.policies[name] for name in policies}},
        uses_columns={**wanted.uses_columns, **{k: v for k, v in current.uses_columns.items() if k in unknown}},
        uses_objects={**wanted.uses_objects, **{k: v for k, v in current.uses_objects.items() if k in unknown}},
        owned_sequences={
            **wanted.owned_sequences,
            **{name: owner for name, owner in current.owned_sequences.items() if name in sequences},
        },
        identity_sequences=wanted.identity_sequences | (current.identity_sequences & sequences),
    )


def _grants_to_others(wanted: Snapshot, current: Snapshot) -> dict[Key, str]:
    """Rights of roles that the models say nothing about: they stay."""
    known = {
        item.partition("=")[0] for name in wanted.names("grant") for item in wanted.catalog["grant", name].split(", ")
    }
    merged = {}
    for key in current.catalog.keys() & wanted.catalog.keys():
        if key[0] == "grant":
            others = [item for item in current.catalog[key].split(", ") if item.partition("=")[0] not in known]
            if others:
                items = [*wanted.catalog[key].split(", "), *others]
                merged[key] = ", ".join(sorted(items, key=lambda item: tuple(item.split("=", 1))))
    return merged


def _castable(connection: Any) -> Callable[[str, str], bool]:
    """Ask PostgreSQL itself, inside the scratch database's transaction."""

    def ask(old: str, new: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT cast_is_there")
            try:
                cursor.execute(f"SELECT NULL::{old}::{new}")
            except psycopg2.Error:
                cursor.execute("ROLLBACK TO SAVEPOINT cast_is_there")
                return False
            return True

    return ask


def _run_all(connection: Any, statements: Sequence[str], what: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            try:
                cursor.execute(statement)
            except psycopg2.Error as error:
                message = str(error).strip().partition("\n")[0]
                raise MigrationError(
                    f"{what} does not run: {message}. The statement: {statement[:300]}",
                    remedy="Nothing was written. Write this change by hand, and report it as a bug.",
                ) from error


def _refuse_wrong(connection: Any, goal: Snapshot, what: str) -> None:
    made = read_snapshot(connection)
    found = differences(goal.catalog, made.catalog)
    if found or change_statements(made, goal):
        raise MigrationError(
            f"{what}; {len(found)} objects differ:{describe(found)}\n",
            remedy="Nothing was written. Write this change by hand, and report it as a bug.",
        )


def _try_way_back(connection: Any, current: Snapshot, goal: Snapshot, down: list[str], up: list[str]) -> str:
    """Run down and up again; return why there is no way back, "" when there is."""
    try:
        _run_all(connection, down, "The way back")
        _refuse_wrong(connection, current, "The way back does not lead back")
        _run_all(connection, up, "The second way up")
        _refuse_wrong(connection, goal, "The second way up leads elsewhere")
    except MigrationError as error:
        return error.message
    return ""


def _goes_with(kind: str, name: str, unknown: set[Key]) -> bool:
    """Whether the object is part of a table that is reported itself."""
    return kind != "table" and ("table", _owner(name)) in unknown


def count_losses(connection: Any, losing: Sequence[Losing]) -> list[Loss]:
    """Return how much each change would lose in the database of `connection`; changes that lose nothing are left out.

    Read-only.
    """
    found = []
    with _taken_back(connection) as cursor:
        for change in losing:
            cursor.execute("SAVEPOINT counting")
            try:
                cursor.execute(change.query)
                (count,) = cursor.fetchone()
                refused = ""
            except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn):
                count, refused = 0, ""
            except psycopg2.Error as error:
                count, refused = -1, str(error).strip().partition("\n")[0]
            cursor.execute("ROLLBACK TO SAVEPOINT counting")
            if count:
                found.append(Loss(change.what, count, refused))
    return found
