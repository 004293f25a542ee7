"""What a task knows, as a page to read: one HTML document without scripts or references."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

_STYLE = "body{font:15px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}"


def html_document(title: str, parts: Iterable[str]) -> str:
    """Return a whole document. `parts` are HTML already; `title` is text."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f"<!doctype html><html><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def html_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table under a heading; nothing where there are no rows. No cell is markup."""
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    if not body:
        return ""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    return f"<h2>{escape(title)}</h2><table><tr>{head}</tr>{body}</table>"


def write_private(path: Path, text: str) -> None:
    """Write `text` into `path`, readable by its owner only, whatever the file was before."""
    with private_file(path) as write:
        write(text)


@contextmanager
def private_file(path: Path) -> Iterator[Callable[[str], None]]:
    """Open `path` for its owner only, and hand out what replaces its content. Where nothing is written, it stays."""
    is_new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)

    def write(text: str) -> None:
        nonlocal is_new
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.fchmod(descriptor, 0o600)
                os.ftruncate(descriptor, 0)
            rest = text.encode()
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError as error:
            error.filename = str(path)
            raise
        is_new = False

    try:
        yield write
    finally:
        os.close(descriptor)
        if is_new:
            path.unlink()
