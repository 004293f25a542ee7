"""The recipe of a synthetic market: TOML files that users edit, read and checked as a whole."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from string import Formatter
from typing import Any

from legal_store import models
from legal_store.errors import SeedError

FILES = ("recipe.toml", "words.toml", "clauses.toml")
LANGUAGES = ("ro", "en")

# Every enumeration that is drawn by weight, and its members.
ENUMERATIONS: dict[str, type[Any]] = {
    "users.role": models.UserRole,
    "users.status": models.UserStatus,
    "user_audit_logs.action": models.UserAuditAction,
    "cases.type": models.CaseType,
    "cases.priority": models.Priority,
    "case_actors.role": models.CaseActorRole,
    "documents.document_type": models.DocumentKind,
    "documents.status": models.DocumentStatus,
    "tasks.task_type": models.TaskType,
    "tasks.status": models.TaskStatus,
    "tasks.priority": models.Priority,
}
TAILS = (
    "cases_per_client",
    "actors_per_case",
    "team_per_case",
    "documents_per_case",
    "tasks_per_case",
    "changes_per_case",
    "case_days",
    "content_length",
    "case_value",
    "execution_time",
    "tokens",
)
SHARES = (
    "usage_log_share",
    "english_share",
    "embedding_share",
    "ai_share",
    "new_version_share",
    "instance_share",
    "template_log_share",
    "failure_share",
)
WORDS = (
    "first_names",
    "last_names",
    "trades",
    "places",
    "company_forms",
    "firm_forms",
    "cities",
    "streets",
    "courts",
)
NAMES_IN_CLAUSES = frozenset(
    ("client", "opponent", "lawyer", "witness", "expert", "court", "judge", "city", "case_number", "amount", "date")
)
NAMES_IN_TITLES = frozenset(("client", "opponent", "court", "matter"))


@dataclass(frozen=True)
class LongTail:
    """Whole numbers that are log-normal around `median`, between `lowest` and `highest`."""

    median: float
    spread: float
    lowest: int
    highest: int

    @cached_property
    def table(self) -> tuple[int, ...]:
        """2,048 values of equal probability; the first is the lowest, the last the highest."""
        normal, count = NormalDist(), 2048
        middle = (
            round(self.median * 2.718281828459045 ** (self.spread * normal.inv_cdf((n + 0.5) / count)))
            for n in range(1, count - 1)
        )
        return (self.lowest, *(min(max(value, self.lowest), self.highest) for value in middle), self.highest)


@dataclass(frozen=True)
class Recipe:
    """What a market looks like. `digest` names this exact content of the files."""

    name: str
    folder: Path
    digest: str
    today: date
    history_years: int
    rows_per_firm: int
    firm_size_tail: float
    rows_per_user: int
    shares: dict[str, float]
    tails: dict[str, LongTail]
    choices: dict[str, tuple[str, ...]]
    """By column: its values, each as often as its weight in hundredths says, the rarest at least once."""
    words: dict[str, tuple[str, ...]]
    matters: dict[str, dict[str, tuple[str, ...]]] = field(repr=False)
    """Titles of cases by language and type."""
    titles: dict[str, dict[str, tuple[str, ...]]] = field(repr=False)
    """Titles of documents by language and kind."""
    tasks: dict[str, tuple[str, ...]] = field(repr=False)
    clauses: dict[str, dict[str, tuple[str, ...]]] = field(repr=False)


def read_recipe(folder: Path, name: str = "") -> Recipe:
    """Read the recipe in `folder`, called `name` or as the folder is. Raises SeedError with every problem of its files
    at once."""
    contents, parsed, problems = {}, {}, []
    for file in FILES:
        try:
            contents[file] = (folder / file).read_bytes()
            parsed[file] = tomllib.loads(contents[file].decode())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            problems.append(f"{file} cannot be read: {error}")
    if problems:
        raise _refused(folder, problems)
    reader = _Reader(parsed["recipe.toml"], parsed["words.toml"], parsed["clauses.toml"])
    values = reader.read()
    if reader.problems:
        raise _refused(folder, reader.problems)
    digest = hashlib.blake2b(b"\0".join(contents[file] for file in FILES), digest_size=16).hexdigest()
    return Recipe(name=name or folder.name, folder=folder, digest=digest, **values)


def is_recipe(folder: Path) -> bool:
    """Say whether `folder` holds a recipe for generated data, and not rows that somebody wrote."""
    return (folder / "recipe.toml").is_file()


def _refused(folder: Path, problems: list[str]) -> SeedError:
    listed = "".join(f"  - {problem}\n" for problem in problems)
    return SeedError(
        f"The recipe in {folder} cannot be used:\n{listed}", remedy="Correct the files; nothing was written."
    )


class _Reader:
    """Takes the values out of the parsed files and notes what is wrong with them."""

    def __init__(self, recipe: dict[str, Any], words: dict[str, Any], clauses: dict[str, Any]) -> None:
        self.recipe, self.words, self.clauses = recipe, words, clauses
        self.problems: list[str] = []

    def read(self) -> dict[str, Any]:
        known = {"today", "history_years", "rows_per_firm", "firm_size_tail", "rows_per_user", "tails", "weights"}
        for name in self.recipe.keys() - known - set(SHARES):
            self.problems.append(f"recipe.toml: there is no setting {name}")
        return {
            "today": self._today(),
            "history_years": self._number("history_years", 1, 50, whole=True),
            "rows_per_firm": self._number("rows_per_firm", 200, 10**9, whole=True),
            "firm_size_tail": self._number("firm_size_tail", 1.01, 10),
            "rows_per_user": self._number("rows_per_user", 10, 10**6, whole=True),
            "shares": {name: self._number(name, 0, 0.8 if name == "usage_log_share" else 1) for name in SHARES},
            "tails": self._tails(),
            "choices": {column: self._choices(column, members) for column, members in ENUMERATIONS.items()},
            "words": {name: self._texts("words.toml", name, self.words.get(name), frozenset()) for name in WORDS},
            "matters": {
                "ro": self._by_kind("words.toml", "matters", self.words, models.CaseType, NAMES_IN_TITLES),
                "en": self._by_kind("words.toml", "matters_english", self.words, models.CaseType, NAMES_IN_TITLES),
            },
            "titles": {
                "ro": self._by_kind("words.toml", "titles", self.words, models.DocumentKind, frozenset()),
                "en": self._by_kind("words.toml", "titles_english", self.words, models.DocumentKind, frozenset()),
            },
            "tasks": self._by_kind("words.toml", "tasks", self.words, models.TaskType, NAMES_IN_TITLES),
            "clauses": {
                language: self._by_kind("clauses.toml", language, self.clauses, models.DocumentKind, NAMES_IN_CLAUSES)
                for language in LANGUAGES
            },
        }

    def _today(self) -> Any:
        today = self.recipe.get("today")
        if type(today) is not date or not 1990 <= today.year <= 2100:
            self.problems.append(f"recipe.toml: today = {today!r} must be a date from 1990-01-01 to 2100-12-31")
        return today

    def _number(self, name: str, lowest: float, highest: float, *, whole: bool = False) -> Any:
        value = self.recipe.get(name)
        right_type = type(value) is int or (type(value) is float and not whole)
        if not right_type or not lowest <= value <= highest:  # type: ignore[operator]
            kind = "a whole number" if whole else "a number"
            self.problems.append(f"recipe.toml: {name} = {value!r} must be {kind} from {lowest} to {highest}")
        return value

    def _tails(self) -> dict[str, LongTail]:
        given = self.recipe.get("tails", {})
        self.problems += [f"recipe.toml: there is no tail {name}" for name in given.keys() - set(TAILS)]
        tails = {}
        for name in TAILS:
            try:
                tail = LongTail(**given[name])
                if not (0 <= tail.lowest <= tail.median <= tail.highest and tail.median > 0 and 0 < tail.spread <= 4):
                    raise ValueError
                tails[name] = tail
            except (KeyError, TypeError, ValueError):
                self.problems.append(
                    f"recipe.toml: tails.{name} = {given.get(name)!r} must have median, spread (0 to 4), "
                    "lowest and highest, with lowest <= median <= highest"
                )
        return tails

    def _choices(self, column: str, members: type[Any]) -> tuple[str, ...]:
        weights = self.recipe.get("weights", {}).get(column, {})
        names = [member.value for member in members]
        if sorted(weights) != sorted(names) or not all(
            type(w) in (int, float) and 0 < w < 10**6 for w in weights.values()
        ):
            self.problems.append(
                f"recipe.toml: weights.{column!r} needs a positive number for each of {', '.join(names)}"
            )
            return ()
        total = sum(weights.values())
        return tuple(name for name in names for _ in range(max(1, round(200 * weights[name] / total))))

    def _by_kind(
        self, file: str, section: str, parsed: dict[str, Any], kinds: type[Any], names: frozenset[str]
    ) -> dict[str, tuple[str, ...]]:
        given = parsed.get(section, {})
        wanted = [kind.value for kind in kinds] + ["Any"] * (file == "clauses.toml")
        self.problems += [f"{file}: {section} has no kind {kind}" for kind in given.keys() - set(wanted)]
        return {kind: self._texts(file, f"{section}.{kind}", given.get(kind), names) for kind in wanted}

    def _texts(self, file: str, where: str, given: Any, names: frozenset[str]) -> tuple[str, ...]:
        if not isinstance(given, list) or not given or not all(isinstance(text, str) and text for text in given):
            self.problems.append(f"{file}: {where} must be a list of texts, at least one")
            return ()
        for text in given:
            self._check_text(file, where, text, names)
        return tuple(dict.fromkeys(given))

    def _check_text(self, file: str, where: str, text: str, names: frozenset[str]) -> None:
        # these four would need escapes in COPY or in JSON; contents are joined at a rate that allows none
        if set(text) & set('\t\r\n\\"\0'):
            self.problems.append(f"{file}: {where}: {text[:40]!r} holds a tab, line break, backslash or double quote")
            return
        try:
            found = {name for _, name, form, conversion in Formatter().parse(text) if name is not None}
        except ValueError as error:
            self.problems.append(f"{file}: {where}: {text[:40]!r}: {error}")
            return
        if unknown := found - names:
            allowed = ", ".join(sorted(names)) or "none"
            self.problems.append(f"{file}: {where}: {text[:40]!r} uses {sorted(unknown)}; allowed: {allowed}")
