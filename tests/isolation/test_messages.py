"""Errors end in logs: what was looked for, and the row that breaks a rule, are not in their messages."""

from __future__ import annotations

import io
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import legal_store
from legal_store import Client, Task, User, db
from tests.isolation.world import World

SECRET = "geheim@example.com"
LOOKUPS: dict[str, Callable[[], Any]] = {
    "get": lambda: User.get(User.email == SECRET),
    "get of a query": lambda: User.select().where(User.email == SECRET).get(),
    "a union": lambda: (User.select().where(User.email == SECRET) | User.select().where(User.email == SECRET)).get(),
    "raw": lambda: User.raw("SELECT * FROM users WHERE email = %s", SECRET).get(),
}


@pytest.mark.parametrize("lookup", LOOKUPS)
def test_what_was_looked_for_is_not_in_the_message(embedded_world: World, lookup: str) -> None:
    with db, legal_store.firm(embedded_world.firms[0].id) as firm_id, pytest.raises(User.DoesNotExist) as missing:
        LOOKUPS[lookup]()
    told = "".join(traceback.format_exception(missing.value))
    assert "No User was found by: " in told and "email" in told
    assert SECRET not in told and str(firm_id) not in told
    assert missing.value.__context__ is None


def test_get_or_none_and_a_row_that_is_there_work(embedded_world: World) -> None:
    mine = embedded_world.firms[0]
    with db, legal_store.firm(mine.id):
        assert User.get_or_none(User.email == SECRET) is None
        assert User.get(User.email == mine.email(0)).email == mine.email(0)


BREAKS: dict[str, tuple[Callable[[Any], object], str]] = {
    "check": (lambda mine: Task.update(estimated_hours=-5).execute(), "tasks_estimated_hours_check"),
    "not null": (lambda mine: Client.update(name=None).execute(), 'column "name"'),
    "unique": (lambda mine: User.update(email=mine.email(0)).execute(), "users_email_key"),
    "foreign key": (lambda mine: Client.update(firm=SECRET_ID).execute(), "clients_firm_id_fkey"),
    "copy": (
        lambda mine: db.cursor().copy_expert("COPY firms (name, vat_id) FROM STDIN", io.StringIO(f"{SECRET}\t\\N\n")),
        'column "vat_id"',
    ),
}
SECRET_ID = "5ec2e700-0000-4000-8000-000000000000"


@pytest.mark.parametrize("broken", BREAKS)
def test_the_row_that_breaks_a_rule_is_not_in_the_message(embedded_world: World, broken: str) -> None:
    mine = embedded_world.firms[0]
    change, name = BREAKS[broken]
    with pytest.raises(Exception) as failure, db, legal_store.all_firms(reason="test"):
        change(mine)
    told = "".join(traceback.format_exception(failure.value))
    assert name in told
    assert "<firm" not in told and SECRET not in told and mine.email(0) not in told and SECRET_ID not in told
    error = getattr(failure.value, "orig", failure.value)
    assert error.diag.message_detail or broken == "copy"
