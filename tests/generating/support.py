"""What the tests of generated data share: the recipe, small plans, and a fingerprint of a database."""

from __future__ import annotations

import shutil
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from legal_store.config import Settings, Url
from legal_store.generating import generate
from legal_store.generating.market import Catalogue, Market
from legal_store.generating.plan import make_plan
from legal_store.generating.recipe import Recipe, read_recipe
from legal_store.generating.tables import CATALOGUE, COLUMNS

SYNTHETIC = Path(__file__).parents[2] / "seeds" / "synthetic"


@cache
def recipe() -> Recipe:
    return read_recipe(SYNTHETIC)


@cache
def market(seed: int = 1, rows: int = 30_000) -> Market:
    """A market that needs no server: its catalogue has invented ids."""
    ids = tuple(f"{number:032x}" for number in range(9))
    return Market.of(recipe(), make_plan(recipe(), seed=seed, rows=rows), Catalogue(ids[:3], ids[3:6], ids[6:]))


def settings_for(url: Url, **more: str) -> Settings:
    return Settings.from_environ({"DATABASE_URL": url, **more})


def copied_recipe(folder: Path) -> Path:
    """A copy of the recipe, to be edited."""
    return Path(shutil.copytree(SYNTHETIC, folder / "synthetic"))


def query(url: Url, statement: Any, values: Any = None) -> list[Any]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


class CutError(Exception):
    """Ends a load in the middle, as Ctrl-C does."""


def half_loaded(url: Url, folder: Path, **size: int) -> None:
    """Load until the first rows are there, and leave it at that."""

    def cut(stage: str, done: int, total: int) -> None:
        if stage == "rows" and done:
            raise CutError

    with pytest.raises(CutError):
        generate(settings_for(url), folder, **size, progress=cut)


def short_recipe(folder: Path) -> Path:
    """A copy of the recipe with short contents: making rows again and again is what takes time in tests."""
    copy = copied_recipe(folder)
    recipe = copy / "recipe.toml"
    usual = recipe.read_text()
    short = usual.replace(
        "{ median = 1300, spread = 1.1, lowest = 260, highest = 45000 }",
        "{ median = 280, spread = 0.1, lowest = 260, highest = 400 }",
    )
    assert short != usual
    recipe.write_text(short)
    return copy


def fingerprint(url: Url) -> dict[str, Any]:
    """Count and hash of all rows by table, whatever their order; without the times at which PostgreSQL wrote."""
    found = {table: query(url, _HASH.format(table=table), ([],))[0] for table in COLUMNS}
    written = ["created_at", "updated_at"]
    return found | {table: query(url, _HASH.format(table=table), (written,))[0] for table in CATALOGUE}


_HASH = """
SELECT count(*), md5(string_agg(row, '' ORDER BY row))
FROM (SELECT (to_jsonb(t) - %s::text[])::text AS row FROM {table} t) AS rows
"""
