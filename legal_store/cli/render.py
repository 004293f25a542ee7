"""How tasks show what they did: a table for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def print_json(value: Any) -> None:
    """Print `value` (records, lists, dicts) as JSON on stdout; dates, paths and ids as text."""
    print(json.dumps(plain(value), indent=2, ensure_ascii=False, default=str))


_WIDTH_OF_FILES = 1000  # pipes, logs, mails: names stay in one piece


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table on stdout; numbers are aligned to the right, ids stay in one piece, and no cell is markup."""
    from uuid import UUID

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        whole = bool(rows) and all(isinstance(row[index], UUID) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*(Text(addressed(str(cell))) for cell in row))
    Console(width=None if sys.stdout.isatty() else _WIDTH_OF_FILES).print(table)


def say(message: str) -> None:
    """Print a line about the progress of a task on stderr, so that stdout holds results only."""
    print(addressed(message), file=sys.stderr, flush=True)


def addressed(text: str) -> str:
    """Return `text` with tasks as they are typed here: outside a checkout it is `legal-store` that runs them."""
    return text.replace("`invoke ", "`legal-store ") if Path(sys.argv[0]).name == "legal-store" else text


def plain(value: Any) -> Any:
    """Return `value` as what JSON can say: records and dataclasses as dicts, tuples and sets as lists."""
    if hasattr(value, "_asdict"):
        return {name: plain(item) for name, item in value._asdict().items()}
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    return value
