"""The rows that all firms share: skills, document types, templates and patterns, a seed set in the recipe's folder."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg2 import sql

from legal_store.config import Settings
from legal_store.database import Database
from legal_store.generating.market import Catalogue
from legal_store.generating.recipe import Recipe
from legal_store.seeding import SeedSet, read_set_in, write_set

_NAME = "catalogue"


def read(recipe: Recipe) -> SeedSet:
    """Read and check the catalogue. Raises SeedError with every fault of its files."""
    return read_set_in(recipe.folder / _NAME, _NAME, datetime.combine(recipe.today, datetime.min.time()))


def load(settings: Settings, recipe: Recipe) -> None:
    """Write the rows of the catalogue that are missing."""
    database = Database()
    database.configure(settings)
    try:
        with database.connection_context():
            write_set(database, read(recipe))
    finally:
        database.close_all()


def read_ids(cursor: Any, recipe: Recipe) -> Catalogue:
    """Return the ids that the catalogue's rows have in this database, in the order of its files."""
    rows = read(recipe).rows

    def ids(table: str, key: str) -> tuple[str, ...]:
        names = [row.values[key] for row in rows[table]]
        cursor.execute(
            sql.SQL("SELECT {key}, replace(id::text, '-', '') FROM {table} WHERE {key} = ANY (%s)").format(
                key=sql.Identifier(key), table=sql.Identifier(table)
            ),
            (names,),
        )
        found = dict(cursor.fetchall())
        return tuple(found[name] for name in names)

    return Catalogue(
        ids("skills", "skill_id"),
        ids("document_type_registry", "discovered_type_normalized"),
        ids("romanian_templates", "template_slug"),
    )


def describe_types(cursor: Any) -> None:
    """Set what document types say about their documents to what is in the database: how many, since when, examples."""
    cursor.execute(_DESCRIBE_TYPES)


_DESCRIBE_TYPES = """
UPDATE document_type_registry AS r
SET total_occurrences = seen.total, first_seen_date = seen.first, last_seen_date = seen.last,
    sample_document_ids = seen.samples
FROM (
    SELECT registry_id, count(*) AS total, min(detected_at) AS first, max(detected_at) AS last,
           (array_agg(document_id ORDER BY detected_at, document_id))[:5] AS samples
    FROM document_type_instances GROUP BY registry_id
) AS seen
WHERE seen.registry_id = r.id
"""
