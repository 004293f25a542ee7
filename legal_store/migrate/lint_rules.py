"""What is unsafe on a live database: each rule with why, and the safe form written out. Pure.

Rules have the names that squawk and strong_migrations gave them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from legal_store.migrate.statements import Statement, Token, normalized, tokens

BIG_TABLE_BYTES = 64 * 1024 * 1024
LONGEST_NAME = 63
MOST_HNSW_DIMENSIONS = 2000
_NOT_NULL_NOT_VALID = 180000


class Facts(NamedTuple):
    """What is known about the database: bytes by table (unknown tables count as big), and its settings."""

    table_bytes: dict[str, int] | None = None
    server_version: int = 180000
    maintenance_work_mem_bytes: int | None = None

    def is_big(self, table: str) -> bool:
        """Return whether a lock on `table` could be felt; where nothing is known, yes."""
        return self.table_bytes is None or self.table_bytes.get(table, 0) >= BIG_TABLE_BYTES


class StatementView:
    """A statement as its words, and what the rules want to know about it."""

    def __init__(self, statement: Statement, created: set[str], transactional: bool, facts: Facts) -> None:
        self.text = normalized(statement.text)
        self.all = [token for token in tokens(statement.text) if token.kind not in ("space", "comment")]
        self.words = [token.word for token in self.all]
        self.transactional, self.facts, self.created = transactional, facts, created
        self.table = self._table()
        self.new = self.table in created

    def starts(self, *words: str) -> bool:
        return self.words[: len(words)] == list(words)

    def has(self, pattern: str) -> re.Match[str] | None:
        return re.search(pattern, self.text, re.IGNORECASE)

    @property
    def big(self) -> bool:
        return not self.new and self.facts.is_big(self.table)

    def _table(self) -> str:
        skipped = {"IF", "NOT", "EXISTS", "ONLY"}
        anchor = "ON" if "INDEX" in self.words[:3] or "TRIGGER" in self.words[:4] else "TABLE"
        if anchor not in self.words:
            return ""
        for token in self.all[self.words.index(anchor) + 1 :]:
            if token.word not in skipped:
                return _plain(token)
        return ""


def _plain(token: Token) -> str:
    return token.text.strip('"') if token.kind == "identifier" else token.text.lower()


Problem = tuple[str, str, str, str]


def problems(view: StatementView) -> Iterator[Problem]:
    """Return what is unsafe in a statement: rule, why, safe form and severity."""
    yield from _index_problems(view)
    yield from _constraint_problems(view)
    yield from _column_problems(view)
    yield from _new_column_problems(view)
    yield from _loss_problems(view)
    yield from _vector_problems(view)
    yield from _other_problems(view)


def _index_problems(view: StatementView) -> Iterator[Problem]:
    concurrently = "CONCURRENTLY" in view.words
    if concurrently and view.transactional:
        yield (
            "ban-concurrent-index-creation-in-transaction",
            "CONCURRENTLY cannot run inside a transaction, and this file is one.",
            "write `-- transaction: off` at the top of the file",
            "error",
        )
    if view.starts("CREATE", "INDEX") or view.starts("CREATE", "UNIQUE", "INDEX"):
        if not concurrently and view.big:
            yield (
                "require-concurrent-index-creation",
                f"Writes to {view.table} wait until the index is built.",
                f"`-- transaction: off`, then `{_after(view.text, 'INDEX', 'CONCURRENTLY')}`",
                "warning",
            )
        if view.has(r"\bUSING hnsw\b") and view.big and (view.facts.maintenance_work_mem_bytes or 0) < 2**28:
            yield (
                "hnsw-build-memory",
                "An HNSW graph that does not fit into maintenance_work_mem is built many times slower.",
                "`SET maintenance_work_mem = '1GB'` before it (as much as the server can spare)",
                "warning",
            )
    if view.starts("DROP", "INDEX") and not concurrently:
        yield (
            "require-concurrent-index-deletion",
            "The table is locked against everything while its index is dropped.",
            f"`-- transaction: off`, then `{_after(view.text, 'INDEX', 'CONCURRENTLY')}`",
            "warning",
        )
    if view.starts("REINDEX") and not concurrently:
        yield (
            "require-concurrent-reindex",
            "Writes wait until the index is built again.",
            f"`-- transaction: off`, then `{_after(view.text, view.words[1], 'CONCURRENTLY')}`",
            "warning",
        )


def _constraint_problems(view: StatementView) -> Iterator[Problem]:
    if not view.starts("ALTER", "TABLE") or not view.big:
        return
    valid = not view.has(r"\bNOT VALID\b")
    added = view.has(r"\bADD (?:CONSTRAINT (\S+) )?(FOREIGN KEY|CHECK|UNIQUE|PRIMARY KEY|EXCLUDE)\b")
    if added is None:
        if view.has(r"\bADD (?:COLUMN )?.*\bREFERENCES\b") and valid:
            yield (*_reference(view, "its_fkey"), "warning")
        return
    name, kind = added.group(1) or "its_name", added.group(2).upper()
    if kind == "FOREIGN KEY" and valid:
        yield (*_reference(view, name), "warning")
    elif kind == "CHECK" and valid:
        yield (
            "constraint-missing-not-valid",
            f"{view.table} is locked while every row is checked.",
            f"`{view.text} NOT VALID; ALTER TABLE {view.table} VALIDATE CONSTRAINT {name};` in a file with "
            "`-- transaction: off`",
            "warning",
        )
    elif kind in ("UNIQUE", "PRIMARY KEY") and not view.has(r"\bUSING INDEX\b"):
        yield (
            "disallowed-unique-constraint",
            f"{view.table} is locked while the index behind it is built.",
            f"`CREATE UNIQUE INDEX CONCURRENTLY {name} ON {view.table} (...); ALTER TABLE {view.table} ADD CONSTRAINT "
            f"{name} {kind} USING INDEX {name};` in a file with `-- transaction: off`",
            "warning",
        )


def _reference(view: StatementView, name: str) -> tuple[str, str, str]:
    return (
        "adding-foreign-key-constraint",
        f"{view.table} and the table it refers to are locked against writes while every row is checked.",
        f"`ADD CONSTRAINT {name} FOREIGN KEY ... NOT VALID; ALTER TABLE {view.table} VALIDATE CONSTRAINT {name};` "
        "in a file with `-- transaction: off`",
    )


def _column_problems(view: StatementView) -> Iterator[Problem]:
    if not view.starts("ALTER", "TABLE"):
        return
    if view.big and view.has(r"\bSET NOT NULL\b"):
        column = view.has(r"\bALTER (?:COLUMN )?(\S+) SET NOT NULL\b")
        name = column.group(1) if column else "x"
        yield (
            "adding-not-nullable-field",
            f"{view.table} is locked against everything while every row is looked at.",
            f"{_not_null_unchecked(view, name)}, in a file with `-- transaction: off`",
            "warning",
        )
    if view.big and view.has(r"\bALTER (?:COLUMN )?\S+ (?:SET DATA )?TYPE\b"):
        yield (
            "changing-column-type",
            f"{view.table} is locked against everything and may be written anew.",
            "add a column of the new type, keep both equal by a trigger, backfill in batches, switch, drop the old one",
            "warning",
        )
    if not view.new and view.has(r"\bRENAME (?!CONSTRAINT\b)"):
        yield (
            "renaming-table" if view.has(r"\bRENAME TO\b") else "renaming-column",
            "The running program still uses the old name.",
            "add the new one, write both, switch the program, then drop the old one",
            "warning",
        )


def _not_null_unchecked(view: StatementView, column: str) -> str:
    """The way to forbid NULL without a scan under a full lock; PostgreSQL 18 has one of its own."""
    name = f"{column.strip(chr(34))}_given"
    if view.facts.server_version >= _NOT_NULL_NOT_VALID:
        return f"`ADD CONSTRAINT {name} NOT NULL {column} NOT VALID`, then VALIDATE it"
    return f"`ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID`, VALIDATE it, SET NOT NULL, DROP it"


def _new_column_problems(view: StatementView) -> Iterator[Problem]:
    if not view.starts("ALTER", "TABLE"):
        return
    adds = view.has(r"\bADD (?:COLUMN )?(?!CONSTRAINT|FOREIGN|CHECK|UNIQUE|PRIMARY|EXCLUDE)")
    if adds and not view.new:
        if view.big and view.has(r"\bDEFAULT .*\b(random|gen_random_uuid|uuid_generate_v4|clock_timestamp|nextval)\b"):
            yield (
                "adding-field-with-default",
                "A default that is computed for each row writes the whole table anew under a full lock.",
                "add the column without it, SET DEFAULT, then backfill in batches",
                "warning",
            )
        if view.has(r"\bNOT NULL\b") and not view.has(r"\b(DEFAULT|GENERATED)\b"):
            yield (
                "adding-required-field",
                "It fails on a table with rows, and rows of the running program lack the column.",
                "add it with a default, or without NOT NULL and backfill it",
                "warning",
            )
        if view.big and view.has(r"\bGENERATED ALWAYS AS \( .* STORED\b"):
            yield (
                "adding-field-with-default",
                "A stored computed column writes the whole table anew under a full lock.",
                "a plain column kept by a trigger, backfilled in batches",
                "warning",
            )
        if view.has(r"\b(SMALL|BIG)?SERIAL\b"):
            yield (
                "prefer-identity",
                "serial hides a sequence with rights of its own.",
                "`GENERATED BY DEFAULT AS IDENTITY`",
                "warning",
            )


def _loss_problems(view: StatementView) -> Iterator[Problem]:
    if view.starts("DROP", "TABLE"):
        yield "ban-drop-table", "Its rows are lost, and the running program may still use it.", "", "warning"
    if view.starts("ALTER", "TABLE") and view.has(
        r"\bDROP (?:COLUMN )?(?!CONSTRAINT|NOT NULL|DEFAULT|IDENTITY|EXPRESSION)"
    ):
        yield "ban-drop-column", "Its values are lost, and the running program may still use it.", "", "warning"
    if view.starts("DROP", "DATABASE"):
        yield "ban-drop-database", "A migration never drops a database.", "", "error"
    if view.starts("TRUNCATE") and "CASCADE" in view.words:
        yield "ban-truncate-cascade", "It empties every table that refers to this one.", "", "error"


def _vector_problems(view: StatementView) -> Iterator[Problem]:
    if not (view.starts("CREATE", "TABLE") or view.starts("ALTER", "TABLE")):
        return
    if view.has(r"\b(?:vector|halfvec)\b(?! \()") and view.has(
        r"(?:TYPE|\(|,|COLUMN|\S) (?:vector|halfvec)(?! \()(?: |$|,)"
    ):
        yield (
            "vector-without-dimensions",
            "A vector column without dimensions takes any length and cannot be indexed.",
            "`vector(1536)`",
            "warning",
        )
    for kind, dimensions in re.findall(r"\b(vector|halfvec) \( (\d+) \)", view.text, re.IGNORECASE):
        most = MOST_HNSW_DIMENSIONS * (2 if kind.lower() == "halfvec" else 1)
        if int(dimensions) > most:
            yield (
                "vector-too-long-to-index",
                f"{kind}({dimensions}) cannot have an HNSW index: at most {most} dimensions.",
                "`halfvec` up to 4000 dimensions, or a shorter embedding",
                "warning",
            )


def _other_problems(view: StatementView) -> Iterator[Problem]:
    for token in view.all:
        if token.kind in ("identifier", "word") and len(token.text.strip('"').encode()) > LONGEST_NAME:
            yield (
                "identifier-too-long",
                f"PostgreSQL cuts {token.text[:30]}... to {LONGEST_NAME} bytes.",
                "a shorter name",
                "error",
            )
    if view.words[:1] in (["BEGIN"], ["COMMIT"], ["ROLLBACK"]):
        yield "transaction-nesting", "Each file is a transaction already.", "remove it", "error"
    if view.starts("ALTER", "TABLE") and view.has(r"\bDETACH PARTITION\b") and "CONCURRENTLY" not in view.words:
        yield (
            "require-concurrent-partition-detach",
            "The whole table is locked.",
            "`DETACH PARTITION ... CONCURRENTLY` in a file with `-- transaction: off`",
            "warning",
        )
    if view.has(r"\bSET (?:LOCAL |SESSION )?lock_timeout (?:=|TO) '?0"):
        yield (
            "require-lock-timeout",
            "Without a lock_timeout everybody queues behind a statement that waits.",
            "leave it to `migrate.deploy`, which sets a short one and tries again",
            "error",
        )


def _after(text: str, word: str, addition: str) -> str:
    return re.sub(rf"\b{word}\b", f"{word} {addition}", text, count=1, flags=re.IGNORECASE)
