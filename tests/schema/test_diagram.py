"""The picture of the schema: complete, up to date, and something that others can render."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from legal_store.models.declared import SCHEMA
from legal_store.schema.diagram import boxes, lines, markdown, mermaid, svg
from tests.conftest import CHECKOUT

DOCS = CHECKOUT / "docs"


def test_every_table_column_and_reference_is_in_the_diagram() -> None:
    text = mermaid(SCHEMA)
    for model in SCHEMA.models:
        assert f"    {model._meta.table_name} {{" in text
    assert text.count(" FK\n") == len(lines(SCHEMA)) == text.count("--o{")
    assert 'clients ||--o{ cases : "client_id"' in text
    assert "vector_1536 content_embedding" in text


def test_mermaid_is_made_of_lines_that_its_grammar_knows() -> None:
    forms = (
        r"erDiagram",
        r"    \w+ \{",
        r"        \w+ \w+( PK| FK)?",
        r"    \}",
        r'    \w+ (\|\||\|o)--o\{ \w+ : "\w+"',
    )
    for line in mermaid(SCHEMA).splitlines():
        assert any(re.fullmatch(form, line) for form in forms), line


def test_the_picture_is_well_formed_and_tables_do_not_overlap() -> None:
    root = ElementTree.fromstring(svg(SCHEMA))
    frames = [
        tuple(int(element.get(name, "")) for name in ("x", "y", "width", "height"))
        for element in root.iter("{http://www.w3.org/2000/svg}rect")
        if element.get("stroke")
    ]
    assert len(frames) == len(boxes(SCHEMA))
    for number, (x, y, width, height) in enumerate(frames):
        for other_x, other_y, other_width, other_height in frames[number + 1 :]:
            apart = x + width <= other_x or other_x + other_width <= x
            assert apart or y + height <= other_y or other_y + other_height <= y


def test_the_page_in_docs_is_up_to_date() -> None:
    assert (DOCS / "schema.md").read_text() == markdown(SCHEMA), "run `invoke schema.diagram`"
    assert (DOCS / "schema.svg").read_text() == svg(SCHEMA), "run `invoke schema.diagram`"
