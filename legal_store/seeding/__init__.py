"""Seed sets: rows written as TOML files by people, loaded into the database without ever doubling or changing one.

tables.py says what identifies a row of each table; files.py and rows.py read and check a set without a server;
loading.py writes it.
"""

from legal_store.seeding.loading import SeedReport, TableCounts, seed, write_set
from legal_store.seeding.rows import SeedRow, SeedSet, read_seed_set, read_set_in

__all__ = ["SeedReport", "SeedRow", "SeedSet", "TableCounts", "read_seed_set", "read_set_in", "seed", "write_set"]
