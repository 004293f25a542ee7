"""What peewee-migrate's operations do to a live database, found in the text of a Python file. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

_OFF = "in a file with `transaction = False`"
_OPERATIONS = {
    "remove_model": ("ban-drop-table", "Its rows are lost, with all that refers to them: it cascades.", ""),
    "remove_fields": ("ban-drop-column", "Their values are lost, with all that refers to them: it cascades.", ""),
    "rename_field": (
        "renaming-column",
        "The running program still uses the old name.",
        "add the new one, write both, switch the program, then drop the old one",
    ),
    "rename_table": ("renaming-table", "The running program still uses the old name.", "a view of the new name first"),
    "add_index": (
        "require-concurrent-index-creation",
        "Writes wait until the index is built.",
        f"`migrator.sql(safe.create_index(...))` {_OFF}",
    ),
    "drop_index": (
        "require-concurrent-index-deletion",
        "The table is locked against everything while its index is dropped.",
        f"`migrator.sql(safe.drop_index(...))` {_OFF}",
    ),
    "add_not_null": (
        "adding-not-nullable-field",
        "The table is locked against everything while every row is looked at.",
        f"`migrator.sql(safe.set_not_null(...))` {_OFF}",
    ),
    "change_fields": (
        "changing-column-type",
        "The table is locked against everything and may be written anew, whatever of the field changes.",
        "`migrator.sql` with the one ALTER TABLE that is meant",
    ),
    "add_default": (
        "adding-field-with-default",
        "It writes every row in one statement and sets no default.",
        "`migrator.sql('ALTER TABLE ... SET DEFAULT ...')`, then `migrator.step(safe.backfill(...))`",
    ),
    "add_constraint": (
        "constraint-missing-not-valid",
        "The table is locked while every row is checked.",
        f"`migrator.sql(safe.add_check(...))` or `safe.add_foreign_key` {_OFF}",
    ),
}


class Operation(NamedTuple):
    """An unsafe operation of a Python file, as a finding is made of it."""

    line: int
    rule: str
    why: str
    safe_form: str


def unsafe_operations(function: ast.AST, text: str) -> Iterator[Operation]:
    """Yield what is unsafe among the operations of `migrate`, whose file is `text`.

    Models that it creates itself are empty: nobody waits for those. `# lint-ignore: rule` at the end of the line or on
    the one before turns a rule off.
    """
    calls = sorted((call for call in ast.walk(function) if isinstance(call, ast.Call)), key=lambda call: call.lineno)
    created = {_model(call) for call in calls if _name(call) == "create_model"}
    created |= {
        node.name.lower()
        for node in ast.walk(function)
        if isinstance(node, ast.ClassDef) and any(_ends_with(d, "create_model") for d in node.decorator_list)
    }
    for call in calls:
        if _name(call) not in _OPERATIONS or _model(call) in created:
            continue
        rule, why, safe_form = _OPERATIONS[_name(call)]
        if rule not in _ignored(text.splitlines()[max(0, call.lineno - 2) : call.lineno]):
            yield Operation(call.lineno, rule, why, safe_form)


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _ends_with(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == name


def _model(call: ast.Call) -> str:
    """The model that an operation is about, given as a class or as its name."""
    first = call.args[0] if call.args else None
    name = first.id if isinstance(first, ast.Name) else getattr(first, "value", "")
    return str(name).lower()


def _ignored(lines: list[str]) -> set[str]:
    found: set[str] = set()
    for line in lines:
        if match := re.search(r"#\s*lint-ignore:\s*(.+)$", line):
            found |= set(re.split(r"[,\s]+", match[1].strip()))
    return found
