"""The rules file: for every column `"keep: reason"`, or a strategy with its options. Read here, judged in planning."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from legal_store.errors import RulesError

RULES_FILE = Path("anonymize.toml")
KEEP = "keep:"


class Rule(NamedTuple):
    """What one line says. `strategy` is None where the column is kept, for `reason`; `names` says that its values are
    names of people or companies, whose single words count as traces."""

    table: str
    column: str
    strategy: str | None
    options: dict[str, Any]
    reason: str = ""
    names: bool = False


class Proof(NamedTuple):
    """How the result is judged: words that may stay although people bear them as names, and columns which together
    could single somebody out, per table."""

    ordinary_words: frozenset[str] = frozenset()
    quasi_identifiers: dict[str, tuple[str, ...]] = {}


class Rules(NamedTuple):
    """A whole file: rules by (table, column), the tables it names, and how the result is judged."""

    path: str
    columns: dict[tuple[str, str], Rule]
    tables: frozenset[str]
    proof: Proof
    large_objects: str = ""


def read_rules(path: Path = RULES_FILE) -> Rules:
    """Read the rules file. Raises RulesError that names everything in it that cannot be understood."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RulesError(
            f"There is no rules file {path}.", remedy="Run `invoke anonymize.rules --suggest`, and read what it writes."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RulesError(f"{path} is no valid TOML: {error}.", remedy="Correct it.") from None
    return parse_rules(document, str(path))


def parse_rules(document: dict[str, Any], path: str = "the rules") -> Rules:
    """Return the rules that a parsed file states. Raises RulesError that names all mistakes of form at once."""
    problems = [f"[{name}] is not known; there are [tables.*], [proof] and [database]"
                for name in document if name not in ("tables", "proof", "database")]  # fmt: skip
    columns: dict[tuple[str, str], Rule] = {}
    for table, lines in document.get("tables", {}).items():
        for column, value in lines.items() if isinstance(lines, dict) else ():
            try:
                columns[table, column] = _rule(table, column, value)
            except ValueError as error:
                problems.append(f"{table}.{column}: {error}")
    proof = document.get("proof", {})
    problems += [f"[proof] {name} is not known" for name in proof if name not in Proof._fields]
    database = document.get("database", {})
    problems += [f"[database] {name} is not known" for name in database if name != "large_objects"]
    if database.get("large_objects", "drop") != "drop":
        problems.append("[database] large_objects: only 'drop' is possible")
    if problems:
        raise broken(path, problems)
    quasi = {table: tuple(names) for table, names in proof.get("quasi_identifiers", {}).items()}
    judged = Proof(frozenset(map(str.lower, proof.get("ordinary_words", ()))), quasi)
    return Rules(path, columns, frozenset(document.get("tables", {})), judged, database.get("large_objects", ""))


def broken(path: str, problems: Iterable[str]) -> RulesError:
    """Return the error that lists `problems`."""
    listed = list(problems)
    return RulesError(
        f"{path} does not fit ({len(listed)} problems); nothing was changed:\n" + "\n".join(f"  - {p}" for p in listed),
        remedy="\nCorrect the file; `invoke anonymize.rules --suggest` proposes lines for what is not listed.",
    )


def _rule(table: str, column: str, value: Any) -> Rule:
    if isinstance(value, str):
        if value.startswith(KEEP) and value[len(KEEP) :].strip():
            return Rule(table, column, None, {}, value[len(KEEP) :].strip())
        if value.partition(":")[0].strip() == "keep":
            raise ValueError('say why it may stay: "keep: reason"')
        return Rule(table, column, value, {})
    if isinstance(value, dict) and isinstance(value.get("strategy"), str):
        options = {name: given for name, given in value.items() if name not in ("strategy", "names")}
        if not isinstance(value.get("names", False), bool):
            raise ValueError("names is true or false")
        return Rule(table, column, value["strategy"], options, names=value.get("names", False))
    raise ValueError('write "keep: reason", "strategy", or { strategy = "...", option = ... }')
