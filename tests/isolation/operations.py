"""What code of a service does, and what an attacker would try, each as a function of a worker.

An operation runs in the scope of `w.firm`. What it returns is searched for anything of another firm. One that is
declared `refused` must raise; the others must succeed. `orm` operations use models only, so that they must hold
even where PostgreSQL enforces nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import random
import threading
import uuid
from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

import psycopg2
from peewee import JOIN, SQL, DatabaseError, DoesNotExist, Table, fn, prefetch
from psycopg2.extensions import TRANSACTION_STATUS_INERROR
from psycopg2.extras import DictCursor, RealDictCursor, execute_batch, execute_values

import legal_store
from legal_store import (
    Case,
    CaseActor,
    CaseAuditLog,
    CaseTeamMember,
    Client,
    Document,
    Firm,
    Task,
    User,
    UserAuditLog,
    db,
)
from legal_store.database.scope import ScopedCursor
from legal_store.errors import FirmScopeError
from tests.isolation.world import MARKED, TABLES, FirmRows, LeakError, World

MODELS: dict[str, Any] = {
    model._meta.table_name: model
    for model in (Firm, User, Client, Case, CaseTeamMember, CaseActor, Document, Task, UserAuditLog, CaseAuditLog)
}
CHANGEABLE = tuple(table for table in TABLES if table not in ("firms", "user_audit_logs", "case_audit_logs"))
REFUSALS = (FirmScopeError, DatabaseError, psycopg2.Error, DoesNotExist)
LONG = {"documents", "tasks", "case_actors", "case_team"}  # nothing refers to their rows


class Worker:
    """Works for its own firms, one at a time, and knows the ids of all the others."""

    def __init__(self, world: World, own: list[FirmRows], seed: int) -> None:
        self.world = world
        self.own = own
        self.firm = own[0]
        self.rng = random.Random(seed)
        self.kept: dict[str, Any] = {}

    @property
    def other(self) -> FirmRows:
        """Any firm but the one it works for now, be it another one of its own."""
        return self.rng.choice([firm for firm in self.world.firms if firm is not self.firm])

    def table(self, tables: tuple[str, ...] = TABLES) -> str:
        return self.rng.choice(tables)

    def theirs(self, table: str) -> uuid.UUID:
        return self.other.pick(table, self.rng)

    def mine(self, table: str) -> uuid.UUID:
        return self.firm.pick(table, self.rng)

    def text(self) -> str:
        return f"{self.firm.mark} {self.rng.randrange(1000)}"

    def run(self, statement: str, *parameters: Any) -> Any:
        cursor = db.execute_sql(statement, parameters or None)
        return cursor.fetchall() if cursor.description else cursor.rowcount


class Operation(NamedTuple):
    name: str
    run: Callable[[Worker], Any]
    refused: bool
    orm: bool
    needs_scope: bool


OPERATIONS: list[Operation] = []


def operation(*, refused: bool = False, orm: bool = False, needs_scope: bool = True) -> Callable[..., Any]:
    def declare(run: Callable[[Worker], Any]) -> Callable[[Worker], Any]:
        OPERATIONS.append(Operation(run.__name__, run, refused, orm, needs_scope))
        return run

    return declare


def nothing(count: int) -> None:
    if count:
        raise LeakError(f"{count} rows of another firm were changed")


def firm_column(table: str) -> str:
    return "id" if table == "firms" else "firm_id"


# Reading through models


@operation(orm=True)
def select_all(w: Worker) -> Any:
    return list(MODELS[w.table()].select())


@operation(orm=True)
def select_as_dicts_or_tuples(w: Worker) -> Any:
    query = MODELS[w.table()].select()
    return list(w.rng.choice([query.dicts, query.tuples, query.namedtuples])())


@operation(orm=True)
def iterate_a_model(w: Worker) -> Any:
    model = MODELS[w.table()]
    assert len(model) == len(list(model)) > 0
    return list(model.select().iterator())


@operation(orm=True, refused=True)
def get_theirs_by_id(w: Worker) -> Any:
    table = w.table()
    row = w.theirs(table)
    model = MODELS[table]
    return w.rng.choice([model.get_by_id, model.__class__.__getitem__.__get__(model), lambda i: model.get(id=i)])(row)


@operation(orm=True)
def ask_for_theirs_and_get_nothing(w: Worker) -> Any:
    table = w.table()
    model, row = MODELS[table], w.theirs(table)
    nothing(len(model.select().where(model.id == row)))
    nothing(model.select().where(model.id.in_([row, uuid.uuid4()])).count())
    nothing(int(model.select().where(model.id == row).exists()))
    assert model.get_or_none(model.id == row) is None
    assert model.get_or_none(model.id == w.mine(table)) is not None or table in LONG
    return row not in model


@operation(orm=True)
def widen_with_orwhere(w: Worker) -> Any:
    table = w.table()
    model = MODELS[table]
    return list(model.select().where(model.id == w.theirs(table)).orwhere(SQL("TRUE")).orwhere(model.id.is_null(False)))


@operation(orm=True, refused=True)
def compare_with_their_firm(w: Worker) -> Any:
    model = MODELS[w.table(TABLES[1:])]
    return list(model.select().where(model.firm == w.other.id))


JOINS = (
    (Case, Client, Case.client),
    (Document, Case, Document.case),
    (Task, User, Task.assigned_to),
    (CaseTeamMember, User, CaseTeamMember.user),
    (CaseActor, Case, CaseActor.case),
    (User, Firm, User.firm),
    (Client, Case, Case.client),
    (Case, Document, Document.case),
)


@operation(orm=True)
def join_by_reference(w: Worker) -> Any:
    left, right, on = w.rng.choice(JOINS)
    kind = w.rng.choice([JOIN.INNER, JOIN.LEFT_OUTER, JOIN.RIGHT_OUTER, JOIN.FULL_OUTER])
    return list(left.select(left, right).join(right, kind, on=on).dicts())


@operation(orm=True)
def join_on_anything(w: Worker) -> Any:
    left, right = MODELS[w.table()], MODELS[w.table()].alias("other")
    kind = w.rng.choice([JOIN.INNER, JOIN.LEFT_OUTER, JOIN.RIGHT_OUTER, JOIN.LATERAL])
    on = None if kind == JOIN.LATERAL else (SQL("1") == SQL("1"))
    return list(left.select(left, right).join(right, kind, on=on).tuples())


@operation(orm=True)
def full_join_on_ids(w: Worker) -> Any:
    left, right = MODELS[w.table()], MODELS[w.table()].alias("other")
    return list(left.select(left, right).join(right, JOIN.FULL_OUTER, on=(left.id == right.id)).tuples())


@operation(orm=True)
def cross_join(w: Worker) -> Any:
    left, right = MODELS[w.table()], MODELS[w.table()].alias("other")
    return list(
        left.select(left.id, right.id, *[getattr(right, firm_field(right.model))]).cross_join(right).tuples()
        if hasattr(left.select(), "cross_join")
        else left.select(left, right).join(right, JOIN.CROSS).tuples()
    )


def firm_field(model: Any) -> str:
    return str(model.firm_column)


@operation(orm=True)
def join_a_subquery(w: Worker) -> Any:
    counts = Document.select(Document.case, fn.COUNT(Document.id).alias("n")).group_by(Document.case).alias("counts")
    return list(Case.select(Case, counts.c.n).join(counts, on=(counts.c.case_id == Case.id)).dicts())


@operation(orm=True)
def subquery_in_where(w: Worker) -> Any:
    cases = Document.select(Document.case)
    found = list(Case.select().where(Case.id.in_(cases) | fn.EXISTS(Task.select().where(Task.case == Case.id))))
    nothing(Case.select().where(Case.id == w.theirs("cases"), Case.id.in_(cases)).count())
    return found


@operation(orm=True)
def scalar_subquery(w: Worker) -> Any:
    other = MODELS[w.table()].alias("t")
    return list(Case.select(Case, other.select(fn.MAX(getattr(other, firm_field(other.model)).cast("text")))).tuples())


@operation(orm=True)
def common_table_expression(w: Worker) -> Any:
    model = MODELS[w.table()]
    cte = model.select().cte("rows")
    if w.rng.random() < 0.5:
        return list(cte.select_from(cte.c.id, getattr(cte.c, firm_column(model._meta.table_name))).tuples())
    return list(Case.select(Case, cte.c.id).join(cte, JOIN.CROSS).with_cte(cte).tuples())


@operation(orm=True)
def compound_select(w: Worker) -> Any:
    one, two = MODELS[w.table()], MODELS[w.table()]
    left = one.select(one.id, getattr(one, firm_field(one)))
    right = two.select(two.id, getattr(two, firm_field(two)))
    query = w.rng.choice([left | right, left + right, left - right, left & right, (left | right) + left])
    return list(query.tuples())


@operation(orm=True)
def select_from_select(w: Worker) -> Any:
    model = MODELS[w.table()]
    inner = model.select().alias("inner")
    return list(inner.select_from(inner.c.id, getattr(inner.c, firm_column(model._meta.table_name))).tuples())


@operation(orm=True)
def from_another_source(w: Worker) -> Any:
    one, two = MODELS[w.table()], MODELS[w.table()]
    return list(one.select(two.id, getattr(two, firm_field(two))).from_(two).tuples())


@operation(orm=True)
def select_through_an_alias(w: Worker) -> Any:
    alias = MODELS[w.table()].alias()
    return list(alias.select().where(alias.id.is_null(False)))


@operation(orm=True)
def count_and_aggregate(w: Worker) -> Any:
    table = w.table()
    model = MODELS[table]
    owner = getattr(model, firm_field(model))
    total = model.select().count()
    all_of_them, ours = model.select(fn.COUNT(SQL("*")), fn.COUNT(SQL("*")).filter(owner == w.firm.id)).tuples().get()
    if not 0 < total == all_of_them == ours:
        raise LeakError(f"{table}: {total} rows counted, {all_of_them} by aggregate, {ours} are ours")
    return list(model.select(owner, fn.MIN(getattr(model, marked_field(table)))).group_by(owner).tuples())


def marked_field(table: str) -> str:
    return MARKED[table]


@operation(orm=True)
def window_function(w: Worker) -> Any:
    query = Case.select(Case.title, fn.COUNT(Case.id).over(), fn.FIRST_VALUE(Case.title).over(order_by=[Case.id]))
    return list(query.tuples())


@operation(orm=True)
def prefetch_related(w: Worker) -> Any:
    cases = prefetch(Case.select(), Document.select(), Task, CaseActor.select(), CaseTeamMember, User)
    return [[case.__data__, list(case.documents), list(case.tasks), list(case.actors)] for case in cases]


@operation(orm=True)
def follow_references_and_back(w: Worker) -> Any:
    case = Case.select().order_by(fn.RANDOM()).first()
    return [
        case,
        case.client,
        case.firm,
        list(case.documents),
        list(case.team),
        list(case.client.cases),
        list(case.firm.users),
    ]


@operation(orm=True)
def filter_by_keywords(w: Worker) -> Any:
    nothing(Document.filter(case__client__id=w.theirs("clients")).count())
    return list(Document.filter(case__title__like="%"))


@operation(orm=True)
def lock_rows(w: Worker) -> Any:
    with db_of(Case).atomic():
        return list(Case.select(Case, Client).join(Client).for_update("FOR SHARE"))


def db_of(model: Any) -> Any:
    return model._meta.database


@operation(orm=True)
def use_a_query_kept_from_another_scope(w: Worker) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "select": lambda: Case.select(),
        "join": lambda: Document.select(Document, Case).join(Case),
        "union": lambda: Case.select(Case.id, Case.title) | Client.select(Client.id, Client.name),
        "nested": lambda: Case.select().alias("c").select_from(SQL("c.title"), SQL("c.firm_id")),
        "cte": lambda: Case.select().cte("c").select_from(SQL("c.title")),
        "returning": lambda: Task.update(priority="High").returning(Task),
    }
    name = w.rng.choice(list(makers))
    query = w.kept.setdefault(name, makers[name]())
    found = [list(query), len(query), query[0] if len(query) else None]
    if name not in ("returning",):
        found += [query.first(), list(query.clone())]
    return found


@operation(orm=True, needs_scope=False)
def let_a_generator_hang(w: Worker) -> Any:
    def rows() -> Any:
        with legal_store.firm(w.firm.id):
            yield from Case.select()

    hanging = rows()
    if w.rng.random() < 0.5:
        first = next(hanging)
        found = list(Case.select())
        hanging.close()
        return [first, found]
    generators = w.kept.setdefault("generators", [])
    generators.append(hanging)
    if len(generators) > 3:
        contextvars.Context().run(generators.pop(0).close)
    return contextvars.copy_context().run(next, hanging)


@operation(orm=True)
def read_in_another_thread(w: Worker) -> Any:
    model, found = MODELS[w.table()], []

    def read() -> None:
        with db_of(model).connection_context():
            try:
                found.extend(model.select())
            except FirmScopeError as error:
                found.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(read,))
    thread.start()
    thread.join()
    if found and isinstance(found[0], FirmScopeError):
        raise found[0]
    return found


@operation(orm=True, needs_scope=False)
def a_thread_has_no_scope_of_its_own(w: Worker) -> Any:
    errors: list[Exception] = []

    def read() -> None:
        try:
            with db_of(Case).connection_context():
                list(Case.select())
        except REFUSALS as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    if not errors:
        raise LeakError("a thread without a scope read cases")


@operation(orm=True)
def read_in_asyncio(w: Worker) -> Any:
    def read() -> Any:
        with db_of(Case).connection_context():
            return list(Case.select())

    async def both() -> Any:
        return await asyncio.gather(asyncio.to_thread(read), asyncio.to_thread(read))

    return asyncio.run(both())


# Writing through models


def new_case(w: Worker, **values: Any) -> dict[str, Any]:
    given = {"case_number": uuid.uuid4().hex, "title": w.text(), "client": w.mine("clients"), "type": "Civil"}
    return {**given, "opened_date": date(2025, 1, 1), **values}


def new_document(w: Worker, **values: Any) -> dict[str, Any]:
    return {"case": w.mine("cases"), "title": w.text(), "document_type": "Other", **values}


def new_user(w: Worker, **values: Any) -> dict[str, Any]:
    given = {"email": f"{uuid.uuid4().hex}@x.ro", "first_name": w.text(), "last_name": "X", "role": "Partner"}
    return {**given, **values}


@operation(orm=True)
def create(w: Worker) -> Any:
    created = [Case.create(**new_case(w)), Document.create(**new_document(w))]
    created[0].delete_instance()
    created[1].title = w.text()
    assert created[1].save() == 1
    return created


@operation(orm=True)
def insert_and_get_or_create(w: Worker) -> Any:
    row_id = Document.insert(new_document(w)).execute()
    case, _ = Case.get_or_create(case_number="made", defaults=new_case(w))
    return [row_id, case, Document.insert_many([new_document(w), new_document(w)]).returning(Document).execute()]


@operation(orm=True)
def bulk_update(w: Worker) -> Any:
    documents = [Document.create(**new_document(w)) for _ in range(3)]
    for document in documents:
        document.title = w.text()
    assert Document.bulk_update(documents, [Document.title]) == 3
    assert Document.delete().where(Document.id.in_([document.id for document in documents])).execute() == 3


@operation(orm=True)
def delete_long_tables(w: Worker) -> Any:
    table = w.rng.choice(sorted(LONG))
    model = MODELS[table]
    surplus = model.select(model.id).where(model.id.not_in(w.firm.ids[table]))
    return model.delete().where(model.id.in_(surplus)).returning(model).execute()


@operation(orm=True, refused=True)
def insert_for_their_firm(w: Worker) -> Any:
    their, kind = w.other.id, w.rng.randrange(5)
    if kind == 0:
        return Document.create(**new_document(w, firm=their))
    if kind == 1:
        return Case.insert(new_case(w, firm=their)).execute()
    if kind == 2:
        return Document.insert_many([new_document(w), new_document(w, firm=their)]).execute()
    if kind == 3:
        return Document.bulk_create([Document(**new_document(w, firm=str(their)))])
    return Document.insert_many([(w.mine("cases"), their)], fields=[Document.case, Document.firm]).execute()


@operation(orm=True, refused=True)
def give_rows_to_their_firm(w: Worker) -> Any:
    table = w.table(CHANGEABLE)
    model = MODELS[table]
    return model.update(firm=w.other.id).where(model.id == w.mine(table)).execute()


@operation(orm=True)
def change_theirs_by_id(w: Worker) -> Any:
    table = w.table(CHANGEABLE)
    model, row, change = MODELS[table], w.theirs(table), {marked_field(table): w.text()}
    nothing(model.update(**change).where(model.id == row).execute())
    nothing(model.delete().where(model.id == row).execute())
    nothing(model.set_by_id(row, change) or 0)
    nothing(model.delete_by_id(row))
    stranger = model(id=row, firm=w.firm.id)
    nothing(stranger.delete_instance())
    stranger._stored = True
    setattr(stranger, marked_field(table), w.text())
    nothing(stranger.save())
    nothing(model.bulk_update([stranger], [marked_field(table)]))


@operation(orm=True)
def change_everything(w: Worker) -> Any:
    table = w.table(CHANGEABLE)
    model = MODELS[table]
    field = getattr(model, marked_field(table))
    query = model.update({field: fn.CONCAT(w.firm.mark, " ", w.rng.randrange(99), fn.RIGHT(field, 0))})
    if table == "clients":  # names are unique in a firm
        query = model.update({field: fn.CONCAT(w.firm.mark, model.id.cast("text"))})
    return query.where(model.id == w.theirs(table)).orwhere(SQL("TRUE")).returning(model).execute()


@operation(orm=True)
def change_from_another_table(w: Worker) -> Any:
    query = Document.update(title=fn.CONCAT(Case.title, "")).from_(Case).where(Document.case == Case.id)
    nothing(Document.update(title=w.text()).from_(Case).where(Case.id == w.theirs("cases")).execute())
    return query.execute()


@operation(orm=True)
def insert_from_a_query(w: Worker) -> Any:
    query = Document.select(Document.case, Document.title, Document.document_type, Document.firm)
    fields = [Document.case, Document.title, Document.document_type, Document.firm]
    return Document.insert_from(query.limit(3), fields).returning(Document).execute()


@operation(orm=True, needs_scope=False)
def overwrite_on_conflict(w: Worker) -> Any:
    """An address is unique over all firms, so the conflict may be with a row of another one."""
    query = User.insert(new_user(w, email=w.other.email(0)))
    query = query.on_conflict(conflict_target=[User.email], update={User.first_name: w.text()})
    try:
        return query.execute()
    except REFUSALS:
        return None


@operation(orm=True)
def skip_on_conflict(w: Worker) -> Any:
    return User.insert(new_user(w, email=w.other.email(0))).on_conflict_ignore().execute()


@operation(orm=True, refused=True)
def refer_to_theirs(w: Worker) -> Any:
    kind = w.rng.randrange(5)
    if kind == 0:
        return Document.create(**new_document(w, case=w.theirs("cases")))
    if kind == 1:
        return Task.update(assigned_to=w.theirs("users")).where(Task.id == w.mine("tasks")).execute() and refuse()
    if kind == 2:
        other = w.other
        return Document(firm=w.firm.id, case=Case(id=other.pick("cases", w.rng), firm=other.id))
    if kind == 3:
        return Case.update(client=w.theirs("clients")).where(Case.id == w.mine("cases")).execute() and refuse()
    return CaseTeamMember.create(case=w.mine("cases"), user=w.theirs("users"), role=w.text())


def refuse() -> None:
    raise LeakError("a reference to a row of another firm was accepted")


@operation(orm=True, refused=True)
def save_a_row_of_theirs(w: Worker) -> Any:
    other = w.other
    row = Case(id=other.pick("cases", w.rng), firm=other.id, title=w.text())
    row._stored = w.rng.random() < 0.5
    return row.save()


@operation(orm=True, refused=True, needs_scope=False)
def open_their_scope(w: Worker) -> Any:
    scope = legal_store.firm(w.other.id) if w.rng.random() < 0.5 else legal_store.all_firms(reason="curious")
    with scope:
        return list(Case.select())


@operation(orm=True, refused=True)
def truncate_through_the_model(w: Worker) -> Any:
    MODELS[w.table()].truncate_table(cascade=True)


# SQL that somebody wrote


@operation()
def sql_select_all(w: Worker) -> Any:
    return w.run(f"SELECT * FROM {w.table()}")


@operation()
def sql_model_raw(w: Worker) -> Any:
    table = w.table()
    return list(MODELS[table].raw(f"SELECT * FROM {table}"))


@operation()
def sql_count(w: Worker) -> Any:
    table = w.table()
    ((total, ours),) = w.run(
        f"SELECT count(*), count(*) FILTER (WHERE {firm_column(table)} = %s) FROM {table}", str(w.firm.id)
    )
    if not 0 < total == ours:
        raise LeakError(f"{table}: {total} rows counted, {ours} are ours")


@operation()
def sql_join_on_anything(w: Worker) -> Any:
    kind = w.rng.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN"])
    return w.run(f"SELECT * FROM {w.table()} a {kind} {w.table()} b ON true")


@operation()
def sql_subqueries(w: Worker) -> Any:
    one, two = w.table(), w.table()
    return w.run(
        f"WITH x AS MATERIALIZED (SELECT * FROM {one}) SELECT (SELECT string_agg(t::text, ',') FROM {two} t), x::text"
        f" FROM x WHERE EXISTS (SELECT FROM {two})"
    )


@operation()
def sql_peewee_table_object(w: Worker) -> Any:
    table = Table(w.table()).bind(db)
    return list(table.select().tuples())


@operation()
def sql_peek_with_a_leaky_function(w: Worker) -> Any:
    """A condition that would say what it sees must see no row of others."""
    table = w.table()
    return w.run(f"SELECT 1 FROM {table} t WHERE length(t::text) > 0 AND (t.{MARKED[table]} LIKE %s) IS NOT NULL", "%")


@operation()
def sql_divide_by_theirs(w: Worker) -> Any:
    table, row = w.table(), str(w.theirs("cases"))
    return w.run(f"SELECT 1 / (CASE WHEN id = %s THEN 0 ELSE 1 END) FROM {table}", row)


@operation()
def sql_change_theirs(w: Worker) -> Any:
    table = w.table(CHANGEABLE)
    row = str(w.theirs(table))
    nothing(w.run(f"UPDATE {table} SET {MARKED[table]} = %s WHERE id = %s", w.text(), row))
    nothing(w.run(f"DELETE FROM {table} WHERE id = %s", row))
    nothing(w.run(f"DELETE FROM {table} WHERE {firm_column(table)} = %s", str(w.other.id)))


@operation()
def sql_change_everything(w: Worker) -> Any:
    table = w.table(CHANGEABLE)
    return w.run(f"UPDATE {table} SET {MARKED[table]} = %s || id RETURNING *", w.firm.mark)


@operation()
def sql_delete_everything(w: Worker) -> Any:
    with db.atomic() as transaction:
        deleted = w.run(f"DELETE FROM {w.rng.choice(sorted(LONG))} RETURNING *")
        transaction.rollback()
        return deleted


@operation()
def sql_change_from_another_table(w: Worker) -> Any:
    return w.run("UPDATE documents d SET title = c.title FROM cases c WHERE c.id = d.case_id RETURNING d.*, c.*")


@operation(refused=True)
def sql_insert_for_their_firm(w: Worker) -> Any:
    return w.run("INSERT INTO clients (firm_id, name) VALUES (%s, %s)", str(w.other.id), w.text())


@operation(refused=True)
def sql_give_to_their_firm(w: Worker) -> Any:
    return w.run("UPDATE case_actors SET firm_id = %s", str(w.other.id))


@operation(refused=True)
def sql_refer_to_theirs(w: Worker) -> Any:
    return w.run("UPDATE documents SET case_id = %s RETURNING id", str(w.theirs("cases")))


@operation(refused=True)
def sql_rename_the_firm_to_theirs(w: Worker) -> Any:
    return w.run("UPDATE firms SET id = %s", str(w.other.id))


@operation(refused=True)
def sql_overwrite_on_conflict(w: Worker) -> Any:
    return w.run(
        "INSERT INTO users (firm_id, email, first_name, last_name, role) VALUES (%s, %s, %s, 'X', 'Partner')"
        " ON CONFLICT (email) DO UPDATE SET first_name = excluded.first_name RETURNING *",
        str(w.firm.id),
        w.other.email(0),
        w.text(),
    )


@operation()
def sql_merge(w: Worker) -> Any:
    return w.run(
        "MERGE INTO case_actors t USING (SELECT %s::uuid AS id) s ON t.id = s.id"
        " WHEN MATCHED THEN UPDATE SET name = %s",
        str(w.theirs("case_actors")),
        w.text(),
    )


@operation(refused=True, needs_scope=False)
def sql_beyond_its_rights(w: Worker) -> Any:
    table = w.table()
    statement = w.rng.choice(
        [
            f"TRUNCATE {table} CASCADE",
            f"DROP TABLE {table} CASCADE",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
            f"DROP POLICY firm_isolation ON {table}",
            f"CREATE POLICY mine ON {table} USING (true)",
            f"CREATE TRIGGER t BEFORE INSERT ON {table} EXECUTE FUNCTION update_updated_at_column()",
            f"CREATE VIEW public.v AS SELECT * FROM {table}",
            "CREATE FUNCTION public.current_firm_id(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE OR REPLACE FUNCTION current_firm_id() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'",
            "ALTER ROLE legal_store_service BYPASSRLS",
            "SET session_replication_role = replica",
            f"COPY {table} TO PROGRAM 'cat'",
            f"COPY {table} TO '/tmp/stolen'",
            f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; TRUNCATE {table}",
            "SELECT * FROM pg_authid",
            "SELECT * FROM pg_statistic",
            "SELECT pg_read_file('PG_VERSION')",
            "INSERT INTO firms (name, vat_id) VALUES ('x', 'x')",
            "DELETE FROM firms",
            "UPDATE case_audit_logs SET action = 'x'",
            "DELETE FROM user_audit_logs",
            f"SET row_security = off; SELECT * FROM {table}",
        ]
    )
    return w.run(statement)


@operation(needs_scope=False)
def sql_statistics_of_columns(w: Worker) -> Any:
    return w.run(
        "SELECT most_common_vals::text, histogram_bounds::text FROM pg_stats WHERE tablename = ANY (%s)", list(TABLES)
    )


@operation()
def sql_several_statements(w: Worker) -> Any:
    table = w.table()
    return w.run(f"SELECT 1; /* ; */ SELECT * FROM {table}")


@operation()
def sql_comments_and_control(w: Worker) -> Any:
    table = w.table()
    with db.atomic():
        found = w.run(f"-- COMMIT\n/* BEGIN */ SELECT * FROM {table}")
        w.run("SAVEPOINT s")
        found += w.run(f"SELECT * FROM {table}")
        w.run("/* back */ ROLLBACK TO SAVEPOINT s")
        found += w.run(f"SELECT * FROM {table}")
        w.run("RELEASE SAVEPOINT s")
    return found


@operation(refused=True)
def sql_after_a_commit_in_the_same_text(w: Worker) -> Any:
    """Settings of a transaction end with it; what follows runs with the connection's own: no firm."""
    if db.in_transaction():
        raise FirmScopeError("only where no transaction of others would be ended")
    w.run("BEGIN")
    try:
        return w.run(f"COMMIT; SELECT * FROM {w.table()}")
    finally:
        w.run("ROLLBACK")


@operation(refused=True)
def sql_after_a_failure_in_the_same_text(w: Worker) -> Any:
    with db.atomic():
        w.run("SAVEPOINT s")
        try:
            w.run("SELECT 1 / 0")
        except DatabaseError:
            return w.run(f"ROLLBACK TO SAVEPOINT s; SELECT * FROM {w.table()}")


@operation()
def sql_transaction_written_out(w: Worker) -> Any:
    if db.in_transaction():
        return None
    table = w.table()
    try:
        found = w.run(f"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM {table}")
        return found + w.run(f"SELECT * FROM {table}")
    finally:
        w.run("ROLLBACK")


@operation()
def sql_set_transaction(w: Worker) -> Any:
    if db.in_transaction():
        return None
    with db.atomic():
        w.run("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY")
        return w.run(f"SELECT * FROM {w.table()}")


@operation()
def sql_firm_set_by_hand(w: Worker) -> Any:
    """A statement that changes role or firm does so for itself; the next one starts from the scope again."""
    their = w.other.id
    statement = w.rng.choice(
        [
            f"SELECT set_config('legal_store.firm_id', '{their}', {w.rng.choice(['true', 'false'])})",
            f"SET legal_store.firm_id = '{their}'",
            f"SET LOCAL legal_store.firm_id = '{their}'",
            f"SET SESSION legal_store.firm_id = '{their}'",
            "SET ROLE none",
            "SET LOCAL ROLE none",
            "RESET ROLE",
            "RESET ALL",
            "SET SESSION AUTHORIZATION DEFAULT",
            "SELECT set_config('role', 'none', false)",
        ]
    )
    try:
        w.run(statement)
        return w.run(f"SELECT * FROM {w.table()}") + w.run(f"SELECT * FROM {w.table()}")
    finally:
        clean_up(w)


@operation(refused=True)
def sql_outside_any_scope_after_dirt(w: Worker) -> Any:
    """A session that somebody left with another role or firm gives nothing to code without a scope."""
    if db.in_transaction():
        raise FirmScopeError("only where no transaction of others would be ended")
    w.run(w.rng.choice(["SET ROLE none", f"SET legal_store.firm_id = '{w.other.id}'", "RESET ROLE"]))
    try:
        return contextvars.Context().run(run_on, db.connection(), f"SELECT * FROM {w.table()}")
    finally:
        clean_up(w)


def run_on(connection: Any, statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def clean_up(w: Worker) -> None:
    """Put the session right, as the pool does when a connection comes back."""
    if db.connection().get_transaction_status() != TRANSACTION_STATUS_INERROR:
        w.run("RESET ROLE; RESET legal_store.firm_id")


@operation()
def sql_prepared_statement(w: Worker) -> Any:
    table, name = w.table(), f"p{w.rng.randrange(10**9)}"
    w.run(f"PREPARE {name} AS SELECT * FROM {table}")
    found = w.run(f"EXECUTE {name}")
    w.kept["prepared"] = name
    with contextvars_of(w, w.rng.choice(w.own)):
        found_there = w.run(f"EXECUTE {name}")
        w.world.inspect(found_there, w.firm)
    w.run(f"DEALLOCATE {name}")
    return found


class contextvars_of:  # noqa: N801  (reads as a function)
    """The scope of another firm of the worker's own, as a request of that firm's would open it."""

    def __init__(self, worker: Worker, firm: FirmRows) -> None:
        self.worker, self.firm = worker, firm

    def __enter__(self) -> None:
        from legal_store.database import scope

        self.before = self.worker.firm
        self.token = scope._current.set(None)
        self.worker.firm = self.firm
        self.scope = legal_store.firm(self.firm.id)
        self.scope.__enter__()

    def __exit__(self, *exception: Any) -> None:
        from legal_store.database import scope

        self.scope.__exit__(*exception)
        scope._current.reset(self.token)
        self.worker.firm = self.before


@operation()
def sql_declared_cursor(w: Worker) -> Any:
    table = w.table()
    with db.atomic():
        w.run(f"DECLARE c CURSOR FOR SELECT * FROM {table}")
        found = w.run("FETCH 2 FROM c") + w.run("FETCH ALL FROM c")
        w.run("CLOSE c")
    return found


@operation()
def sql_scopes_take_turns_in_one_transaction(w: Worker) -> Any:
    table, found = w.table(), []
    with db.atomic():
        for firm in (w.firm, *w.own, w.firm):
            with contextvars_of(w, firm):
                rows = w.run(f"SELECT * FROM {table}") + list(MODELS[table].select().dicts())
                w.world.inspect(rows, firm)
                found.append(len(rows))
    assert all(found) or table in LONG
    return w.run(f"SELECT * FROM {table}")


@operation()
def sql_copy_out(w: Worker) -> Any:
    table, file = w.table(), io.StringIO()
    with db.connection().cursor() as cursor:
        if w.rng.random() < 0.5:
            cursor.copy_expert(f"COPY {table} TO STDOUT", file)
        elif w.rng.random() < 0.5:
            cursor.copy_expert(f"COPY (SELECT * FROM {table}) TO STDOUT (FORMAT csv)", file)
        else:
            cursor.copy_to(file, table, columns=("id", MARKED[table]))
    assert file.getvalue() or table in LONG
    return file.getvalue()


@operation(refused=True)
def sql_copy_in(w: Worker) -> Any:
    file = io.StringIO(f"{uuid.uuid4()}\t{w.other.id}\t{w.text()}\n")
    with db.connection().cursor() as cursor:
        cursor.copy_from(file, "clients", columns=("id", "firm_id", "name"))


@operation()
def sql_bulk_helpers(w: Worker) -> Any:
    rows = [(str(w.firm.id), w.mine("cases"), w.text(), "Other") for _ in range(3)]
    statement = "INSERT INTO documents (firm_id, case_id, title, document_type) VALUES "
    with db.connection().cursor() as cursor:
        psycopg2.extras.register_uuid(conn_or_curs=cursor)
        if w.rng.random() < 0.4:
            return execute_values(cursor, f"{statement} %s RETURNING *", rows, fetch=True)
        if w.rng.random() < 0.5:
            return execute_batch(cursor, f"{statement} (%s, %s, %s, %s)", rows)
        return cursor.executemany(f"{statement} (%s, %s, %s, %s)", rows)


@operation(refused=True)
def sql_bulk_helper_for_their_firm(w: Worker) -> Any:
    rows = [(str(w.firm.id), w.text()), (str(w.other.id), w.text())]
    with db.connection().cursor() as cursor:
        execute_values(cursor, "INSERT INTO clients (firm_id, name) VALUES %s", rows)


@operation(refused=True)
def sql_other_cursors(w: Worker) -> Any:
    connection = db.connection()
    options = w.rng.choice([{"cursor_factory": DictCursor}, {"cursor_factory": RealDictCursor}, {"name": "c"}])
    cursor = connection.cursor(**options)
    cursor.execute(f"SELECT * FROM {w.table()}")
    return cursor.fetchall()


class ScopedDictCursor(ScopedCursor, RealDictCursor):
    pass


@operation()
def sql_derived_cursor(w: Worker) -> Any:
    with db.connection().cursor(cursor_factory=ScopedDictCursor) as cursor:
        cursor.execute(f"SELECT * FROM {w.table()}")
        return [dict(row) for row in cursor.fetchall()]


@operation()
def sql_call_a_function(w: Worker) -> Any:
    with db.connection().cursor() as cursor:
        cursor.callproc("current_firm_id")
        found = cursor.fetchall()
        cursor.callproc("row_security_active", [w.table()])
        if cursor.fetchall() != [(True,)]:
            raise LeakError("row-level security is not active")
        return found


@operation(needs_scope=False)
def sql_connection_lent_to_another_thread(w: Worker) -> Any:
    """Two threads with two scopes on one connection: each statement still carries its own."""
    connection, table, mate = db.connection(), w.table(), w.rng.choice(w.own)
    found: dict[int, Any] = {}

    def read(firm: FirmRows) -> None:
        with legal_store.firm(firm.id):
            for _ in range(3):
                with connection.cursor() as cursor:
                    cursor.execute(f"SELECT * FROM {table}")
                    w.world.inspect(cursor.fetchall(), firm)
        found[firm.number] = True

    threads = [threading.Thread(target=read, args=(firm,)) for firm in (w.firm, mate)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if set(found) != {w.firm.number, mate.number}:
        raise LeakError("a thread on a lent connection saw rows of another firm")


@operation()
def sql_view_of_ones_own(w: Worker) -> Any:
    return w.run(f"CREATE TEMP VIEW v AS SELECT * FROM {w.table()}; SELECT * FROM v; DROP VIEW v") or w.run(
        "SELECT * FROM template_effectiveness_report"
    )


@operation()
def sql_procedural_block(w: Worker) -> Any:
    table = w.table()
    nothing(
        w.run(
            f"DO $$ BEGIN IF EXISTS (SELECT FROM {table} WHERE {firm_column(table)} <> '{w.firm.id}')"
            " THEN RAISE EXCEPTION 'seen'; END IF; END $$"
        )
        * 0
    )


@operation(needs_scope=False)
def sql_explain(w: Worker) -> Any:
    return w.run(f"EXPLAIN (FORMAT JSON) SELECT * FROM {w.table()}")


@operation()
def sql_system_columns_and_rows(w: Worker) -> Any:
    table = w.table()
    return w.run(f"SELECT ctid::text, tableoid::regclass::text, t FROM {table} t, LATERAL row_to_json(t)")
