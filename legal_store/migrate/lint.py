"""Reads migrations for DDL that is unsafe on a live database, by the rules of lint_rules.py. Pure.

A comment `-- lint-ignore: rule` (or `-- squawk-ignore rule`) before a statement turns a rule off for it; without a
rule, all of them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from legal_store.migrate.files import Migration
from legal_store.migrate.lint_operations import unsafe_operations
from legal_store.migrate.lint_rules import Facts, StatementView, problems
from legal_store.migrate.statements import Statement, split_statements

__all__ = ["Facts", "Finding", "lint", "lint_migration", "lint_migrations"]


class Finding(NamedTuple):
    """One unsafe statement: the rule, why it is unsafe, and the safe form written out."""

    migration: str
    line: int
    rule: str
    why: str
    safe_form: str
    severity: str = "warning"

    def __str__(self) -> str:
        place = f"{self.migration}, line {self.line}" if self.line else self.migration
        return f"{place}: {self.rule}: {self.why}" + (f" Safe: {self.safe_form}" if self.safe_form else "")


def lint_migrations(migrations: Iterable[Migration], facts: Facts = Facts()) -> list[Finding]:  # noqa: B008
    """Return the findings of all files, in their order."""
    return [finding for migration in migrations for finding in lint_migration(migration, facts)]


def lint_migration(migration: Migration, facts: Facts = Facts()) -> list[Finding]:  # noqa: B008
    """Return what is unsafe in the up part of one file: of a Python file, its SQL strings and its operations."""
    operations: list[Finding] = []
    if migration.is_python:
        function = _function(ast.parse(migration.text), "migrate")
        statements = [s for text, line in _sql_strings(function) for s in split_statements(text, first_line=line)]
        operations = [Finding(migration.name, *found) for found in unsafe_operations(function, migration.text)]
    else:
        up = migration.sql_parts.up
        statements = split_statements(up.text, first_line=up.first_line)
    return operations + lint(migration.name, statements, transactional=migration.transactional, facts=facts)


def lint(
    name: str,
    statements: Sequence[Statement],
    *,
    transactional: bool,
    facts: Facts = Facts(),  # noqa: B008
) -> list[Finding]:
    """Return what is unsafe in `statements`. Tables that they create themselves are empty: nobody waits for those."""
    created: set[str] = set()
    found: list[Finding] = []
    for statement in statements:
        view = StatementView(statement, created, transactional, facts)
        ignored = _ignored(statement)
        found += [
            Finding(name, statement.line, rule, why, safe, severity)
            for rule, why, safe, severity in problems(view)
            if rule not in ignored and "all" not in ignored
        ]
        if view.starts("CREATE", "TABLE") or view.starts("CREATE", "UNLOGGED", "TABLE"):
            created.add(view.table)
    return found


def _ignored(statement: Statement) -> set[str]:
    found: set[str] = set()
    for comment in statement.comments:
        match = re.match(r"--\s*(?:lint-ignore|squawk-ignore)\b:?\s*(.*)", comment)
        if match:
            found |= set(re.split(r"[,\s]+", match.group(1).strip())) - {""} or {"all"}
    return found


def _sql_strings(function: ast.AST) -> list[tuple[str, int]]:
    """The texts given to `migrator.sql`, and the line each begins on."""
    found = []
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "sql"
            and node.args
        ):
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                found.append((argument.value, argument.lineno))
    return found


def _function(module: ast.Module, name: str) -> ast.AST:
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return functions[0] if functions else ast.Module(body=[], type_ignores=[])
