"""Rules against a live catalog: either a plan that fits every column, or every reason why not. Reads no row."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any, NamedTuple

from legal_store.anonymize.catalog import Column, Table, UniqueKey
from legal_store.anonymize.rules import Rule, Rules, broken
from legal_store.anonymize.strategies import strategies
from legal_store.anonymize.strategy import REQUIRED, Strategy, Use
from legal_store.anonymize.suggesting import suggested_line


class Masked(NamedTuple):
    """A column that will change: its strategy, bound to the column and its options."""

    strategy: Strategy
    use: Use
    names: bool

    @property
    def name(self) -> str:
        return self.use.column.name


class TablePlan(NamedTuple):
    """A table, and those of its columns that will change."""

    table: Table
    masked: tuple[Masked, ...]

    @property
    def by_python(self) -> list[Masked]:
        """The columns whose values Python converts, one by one."""
        return [item for item in self.masked if item.strategy.convert is not None]


class Plan(NamedTuple):
    """All tables in order of their names, and the materialized views that follow from them."""

    tables: tuple[TablePlan, ...]
    views: tuple[str, ...]
    rules: Rules

    @property
    def changing(self) -> tuple[TablePlan, ...]:
        return tuple(planned for planned in self.tables if planned.masked)

    @property
    def kept(self) -> tuple[Table, ...]:
        return tuple(planned.table for planned in self.tables if not planned.masked)


def make_plan(rules: Rules, tables: dict[str, Table], *, large_objects: int = 0) -> Plan:
    """Return what the rules mean for these tables.

    Raises RulesError with every problem at once: unlisted tables and columns, rules for what is not there, unknown
    strategies and options, and strategies that cannot fit a column's type, length, NOT NULL, CHECK, key or UNIQUE.
    """
    real = {name: table for name, table in tables.items() if table.relkind != "m"}
    problems = [*_unlisted(rules, real), *_of_nothing(rules, real), *_of_proof(rules, real)]
    if large_objects and not rules.large_objects:
        problems.append(f'there are {large_objects} large objects; add [database] large_objects = "drop"')
    planned: list[TablePlan] = []
    for table in real.values():
        masked, wrong = _masked(rules, table)
        problems += _unreachable(table, masked)
        problems += wrong
        problems += _unfit(table, masked)
        planned.append(TablePlan(table, tuple(masked)))
    if problems:
        raise broken(rules.path, problems)
    return Plan(tuple(planned), tuple(name for name, table in tables.items() if table.relkind == "m"), rules)


def unlisted_columns(rules: Rules, tables: dict[str, Table]) -> list[Column]:
    """Return the columns for which there is no rule. Generated columns need none: they follow from the others."""
    return [
        column
        for table in tables.values()
        if table.relkind != "m"
        for column in table.columns.values()
        if not column.generated and (table.name, column.name) not in rules.columns
    ]


def _unlisted(rules: Rules, tables: dict[str, Table]) -> Iterator[str]:
    for column in unlisted_columns(rules, tables):
        unknown = "" if column.table in rules.tables else " (the whole table is unlisted)"
        line = suggested_line(tables[column.table], column)
        yield f'{column.path} ({column.declared}) is not listed{unknown}; add to [tables."{column.table}"]: {line}'


def _of_nothing(rules: Rules, tables: dict[str, Table]) -> Iterator[str]:
    for table in sorted(rules.tables - tables.keys()):
        yield f"there is no table {table}{_meant(table, tables)}"
    for table, column in rules.columns:
        if table in tables and column not in tables[table].columns:
            yield f"{table} has no column {column}{_meant(column, tables[table].columns)}"
        elif table in tables and tables[table].columns[column].generated:
            yield f"{table}.{column} is generated from other columns: PostgreSQL recomputes it; remove the rule"


def _of_proof(rules: Rules, tables: dict[str, Table]) -> Iterator[str]:
    for table, columns in rules.proof.quasi_identifiers.items():
        for column in columns:
            if table not in tables or column not in tables[table].columns:
                yield f"[proof.quasi_identifiers] there is no {table}.{column}"


def _unreachable(table: Table, masked: list[Masked]) -> Iterator[str]:
    if table.relkind == "f":
        yield f"{table.name} is foreign: its rows are elsewhere, and masking does not reach them; mask them there"
    elif masked and table.relkind == "p":
        yield f"{table.name} is partitioned: it can only be kept; detach its partitions, mask them, attach them"
    elif masked and table.pinned:
        yield f"{table.name} cannot be written anew: {table.pinned}; keep it, or change that"


def _masked(rules: Rules, table: Table) -> tuple[list[Masked], list[str]]:
    masked: list[Masked] = []
    problems: list[str] = []
    for column in table.columns.values():
        rule = rules.columns.get((table.name, column.name))
        if rule is None or rule.strategy is None or column.generated:
            continue
        try:
            masked.append(_bound(rule, column, table))
        except ValueError as error:
            problems.append(f"{column.path}: {error}")
    return masked, problems


def _bound(rule: Rule, column: Column, table: Table) -> Masked:
    known = strategies()
    strategy = known.get(str(rule.strategy))
    if strategy is None:
        raise ValueError(f"there is no strategy {rule.strategy!r}{_meant(str(rule.strategy), known)}")
    for option in rule.options:
        if option not in strategy.options:
            raise ValueError(f"{strategy.name} has no option {option!r}{_meant(option, strategy.options)}")
    options = {**strategy.options, **rule.options}
    missing = [option for option, value in options.items() if value is REQUIRED]
    if missing:
        raise ValueError(f"{strategy.name} needs {', '.join(missing)} ({strategy.purpose})")
    for option, default in strategy.options.items():
        if not isinstance(options[option], _kinds_of(default)):
            raise ValueError(f"{option} must be {_named_kind(default)}, not {options[option]!r}")
    for option in ("per", "field"):
        if option in options and options[option] not in table.columns:
            raise ValueError(f"{option} = {options[option]!r} is no column of {table.name}")
    return Masked(strategy, Use(column, options), rule.names)


def _kinds_of(default: Any) -> tuple[type, ...]:
    if default is REQUIRED:
        return (str, int, float, date)
    return (int, float) if isinstance(default, float) else (type(default),)


def _named_kind(default: Any) -> str:
    return "one value" if default is REQUIRED else type(default).__name__


def _unfit(table: Table, masked: list[Masked]) -> Iterator[str]:
    for item in masked:
        yield from (f"{item.use.column.path}: {item.strategy.name} {why}" for why in _reasons(table, item))
    chosen = {item.name: item for item in masked}
    for key in table.unique:
        touched = [chosen[name] for name in key.columns if name in chosen]
        injective = [item.strategy for item in touched if item.strategy.injective]
        fitting = [strategy for strategy in injective if strategy.survives_lower or not key.has_expression]
        nulled = [item for item in touched if item.strategy.may_be_null and "NULLS NOT DISTINCT" not in key.definition]
        if touched and not fitting and not nulled:
            names = ", ".join(f"{item.name} ({item.strategy.name})" for item in touched)
            yield (
                f"{table.name}: {key.name} is unique, and {names} may give equal values;"
                f" use one of {unique_strategies(key)}"
            )
    for check in table.checks:
        touched = [chosen[name] for name in check.columns if name in chosen]
        shifted = {(item.use.options.get("per"), item.use.options.get("days")) for item in touched}
        dates = [name for name in check.columns if _is_time(table.columns[name])]
        moved = [item.name for item in touched if item.strategy.name == "date_shift"]
        if moved and len(dates) > 1 and (set(moved) != set(dates) or len(shifted) > 1):
            yield f"{table.name}: {check.name} orders dates: shift all of {', '.join(dates)} by the same per and days"


def _reasons(table: Table, item: Masked) -> Iterator[str]:
    strategy, use = item.strategy, item.use
    column = use.column
    if column.name in table.keys:
        yield "cannot be: the column belongs to a primary or foreign key; keys are kept"
    if not strategy.fits(column.kind):
        yield f"cannot make {column.declared}; it makes {', '.join(strategy.kinds)}"
        return
    if strategy.may_be_null and column.not_null:
        yield "gives NULL, and the column is NOT NULL"
    problem = strategy.problem(use)
    if problem:
        yield f"cannot be used: {problem}"
        return
    longest = strategy.longest(use)
    if column.length is not None and longest is not None and longest > column.length:
        yield f"may give {longest} characters, and the column takes {column.length}"
    if column.enumerated and not (strategy.may_be_null or strategy.keeps_values or _listed(table, item)):
        yield "does not keep to the listed values that the column allows; keep it, or shuffle"


def _listed(table: Table, item: Masked) -> bool:
    value = str(item.use.options.get("value", ""))
    return item.strategy.name == "constant" and any(
        f"'{value}'" in check.definition for check in table.checks if check.columns == (item.name,)
    )


def _is_time(column: Column) -> bool:
    return column.kind.startswith(("date", "timestamp"))


def unique_strategies(key: UniqueKey) -> str:
    """Return the names of the strategies that fit a unique key."""
    fitting = (s for s in strategies().values() if s.injective and (s.survives_lower or not key.has_expression))
    return ", ".join(strategy.name for strategy in fitting)


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; is {close[0]} meant?" if close else ""
