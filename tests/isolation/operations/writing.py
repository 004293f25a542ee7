"""Writing through models."""

from __future__ import annotations

import uuid
from datetime import date
from typing import Any

from peewee import SQL, fn

from legal_store import Case, CaseTeamMember, Document, Task, User
from tests.isolation.operations.worker import (
    CHANGEABLE,
    LONG,
    MODELS,
    REFUSALS,
    Worker,
    marked_field,
    nothing,
    operation,
)
from tests.isolation.world import LeakError


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


@operation(orm=True, refused=True)
def truncate_through_the_model(w: Worker) -> Any:
    MODELS[w.table()].truncate_table(cascade=True)
