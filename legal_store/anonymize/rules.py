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
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
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
    tables, proof, database = (_section(document, name, problems) for name in ("tables", "proof", "database"))
    columns = _columns(tables, problems)
    problems += [f"[proof] {name} is not known" for name in proof if name not in Proof._fields]
    problems += [f"[database] {name} is not known" for name in database if name != "large_objects"]
    if database.get("large_objects", "drop") != "drop":
        problems.append("[database] large_objects: only 'drop' is possible")
    ordinary = _words(proof, "ordinary_words", "[proof] ordinary_words", problems)
    groups = _section(proof, "quasi_identifiers", problems, "proof.")
    quasi = {name: _words(groups, name, f"[proof.quasi_identifiers] {name}", problems) for name in groups}
    if problems:
        raise broken(path, problems)
    judged = Proof(frozenset(map(str.lower, ordinary)), quasi)
    return Rules(path, columns, frozenset(tables), judged, database.get("large_objects", ""))


def _section(document: dict[str, Any], name: str, problems: list[str], within: str = "") -> dict[str, Any]:
    found = document.get(name, {})
    if isinstance(found, dict):
        return found
    problems.append(f"{within}{name} must be a section [{within}{name}], not {found!r}")
    return {}


def _words(section: dict[str, Any], name: str, place: str, problems: list[str]) -> tuple[str, ...]:
    found = section.get(name, [])
    if isinstance(found, list) and all(isinstance(word, str) for word in found):
        return tuple(found)
    problems.append(f"{place} must be a list of texts, not {found!r}")
    return ()


def _columns(tables: dict[str, Any], problems: list[str]) -> dict[tuple[str, str], Rule]:
    columns: dict[tuple[str, str], Rule] = {}
    for table in tables:
        for column, value in _section(tables, table, problems, "tables.").items():
            try:
                columns[table, column] = _rule(table, column, value)
            except ValueError as error:
                problems.append(f"{table}.{column}: {error}")
    return columns


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
