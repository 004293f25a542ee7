"""The schema as a picture: Mermaid, which code hosts render, and SVG. Pure, from the declared models."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from peewee import ForeignKeyField

from legal_store.schema.objects import Schema

_WIDTH, _ROW, _HEAD, _GAP = 270, 16, 24, 50
_COLUMNS = 4


class Box(NamedTuple):
    """One table: its columns as (name, type, mark), mark being PK, FK or nothing."""

    name: str
    columns: tuple[tuple[str, str, str], ...]


class Line(NamedTuple):
    """One reference from a table to another; `optional` where the column may be NULL."""

    table: str
    column: str
    other: str
    optional: bool


def boxes(schema: Schema) -> list[Box]:
    """Return every table of the models, in their order."""
    return [Box(model._meta.table_name, tuple(map(_column, model._meta.sorted_fields))) for model in schema.models]


def lines(schema: Schema) -> list[Line]:
    """Return every reference between the models' tables."""
    return [
        Line(model._meta.table_name, field.column_name, field.rel_model._meta.table_name, bool(field.null))
        for model in schema.models
        for field in model._meta.sorted_fields
        if isinstance(field, ForeignKeyField)
    ]


def mermaid(schema: Schema) -> str:
    """Return the schema as a Mermaid entity-relationship diagram."""
    text = ["erDiagram"]
    for box in boxes(schema):
        text.append(f"    {box.name} {{")
        text += [f"        {kind} {name}{' ' + mark if mark else ''}" for name, kind, mark in box.columns]
        text.append("    }")
    for line in lines(schema):
        end = "|o" if line.optional else "||"
        text.append(f'    {line.other} {end}--o{{ {line.table} : "{line.column}"')
    return "\n".join(text) + "\n"


def markdown(schema: Schema) -> str:
    """Return the page docs/schema.md: the diagram, then each table with its columns."""
    parts = [
        "# The schema",
        "Made by `invoke schema.diagram` from the models; a test keeps it up to date.",
        f"```mermaid\n{mermaid(schema)}```",
    ]
    for model, box in zip(schema.models, boxes(schema), strict=True):
        purpose = (model.__doc__ or "").strip().partition("\n")[0]
        rows = "\n".join(f"| `{name}` | {kind} | {mark} |" for name, kind, mark in box.columns)
        parts.append(f"## {box.name}\n\n{purpose}\n\n| column | type | key |\n|---|---|---|\n{rows}")
    parts += [f"## {view.name}\n\nA view.\n\n```sql\n{view.query.strip()}\n```" for view in schema.views]
    return "\n\n".join(parts) + "\n"


def svg(schema: Schema) -> str:
    """Return the schema as an SVG picture without scripts or outside resources."""
    places = _places(boxes(schema))
    shapes = [_curve(line, places) for line in lines(schema)] + [_table(box, places) for box in boxes(schema)]
    width = max(x for x, _, _ in places.values()) + _WIDTH + _GAP
    height = max(y + tall for _, y, tall in places.values()) + _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="monospace" font-size="11">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )


def _column(field: Any) -> tuple[str, str, str]:
    mark = "FK" if isinstance(field, ForeignKeyField) else "PK" if field.primary_key else ""
    return field.column_name, _type(field), mark


def _type(field: Any) -> str:
    target = field.rel_field if isinstance(field, ForeignKeyField) else field
    base = str(getattr(target, "field_type", "")).lower()
    if hasattr(target, "members"):
        return "text"
    if base in ("vector", "halfvec") and target.get_modifiers():
        return f"{base}_{target.get_modifiers()[0]}"
    element = getattr(target, "_ArrayField__field", None) or getattr(target, "dimensions", None)
    return f"{base}_array" if element and "array" in str(type(target).__mro__).lower() else base or "text"


def _places(tables: Sequence[Box]) -> dict[str, tuple[int, int, int]]:
    """Put each table into the column that is shortest so far: (x, y, height)."""
    heights = [_GAP] * _COLUMNS
    places = {}
    for box in tables:
        column = heights.index(min(heights))
        tall = _HEAD + _ROW * len(box.columns) + 6
        places[box.name] = (_GAP + column * (_WIDTH + _GAP), heights[column], tall)
        heights[column] += tall + _GAP // 2
    return places


def _table(box: Box, places: dict[str, tuple[int, int, int]]) -> str:
    x, y, tall = places[box.name]
    rows = "".join(
        f'<text x="{x + 8}" y="{y + _HEAD + _ROW * row + 12}">{escape(name)}</text>'
        f'<text x="{x + _WIDTH - 8}" y="{y + _HEAD + _ROW * row + 12}" text-anchor="end" fill="#667">'
        f"{escape(kind)} {mark}</text>"
        for row, (name, kind, mark) in enumerate(box.columns)
    )
    return (
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{tall}" rx="4" fill="#fbfbfd" stroke="#889"/>'
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEAD - 4}" rx="4" fill="#dde4f0"/>'
        f'<text x="{x + 8}" y="{y + 14}" font-weight="bold">{escape(box.name)}</text>{rows}'
    )


def _curve(line: Line, places: dict[str, tuple[int, int, int]]) -> str:
    (x1, y1, _), (x2, y2, _) = places[line.table], places[line.other]
    start = x1 if x2 < x1 else x1 + _WIDTH
    end = x2 + _WIDTH if x2 < x1 else x2
    dash = ' stroke-dasharray="4 3"' if line.optional else ""
    middle = (start + end) // 2
    return (
        f'<path d="M{start} {y1 + 10} C{middle} {y1 + 10} {middle} {y2 + 10} {end} {y2 + 10}" fill="none"'
        f' stroke="#9ab"{dash}><title>{escape(line.table)}.{escape(line.column)}</title></path>'
    )
