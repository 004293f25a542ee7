"""Reading through models."""

from __future__ import annotations

import uuid
from typing import Any

from peewee import JOIN, SQL, fn, prefetch

from legal_store import Case, CaseActor, CaseTeamMember, Client, Document, Firm, Task, User
from tests.isolation.operations.worker import (
    LONG,
    MODELS,
    Worker,
    db_of,
    firm_column,
    firm_field,
    marked_field,
    nothing,
    operation,
)
from tests.isolation.world import TABLES, LeakError


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
