"""Realistic data in any amount: a synthetic legal market, the same each time for the same recipe, size and seed.

recipe.py reads what users edit; plan.py cuts the work into portions; market.py, cases.py and logs.py make the rows of
one portion, pure functions of recipe, plan and seed; loading.py writes them through COPY (copying.py) with several
processes (workers.py starts them, worker.py is one), takes indexes away before and puts them back after (indexes.py,
with the patience of locks.py), goes on where a killed run stopped (ledger.py), and counts (presence.py).
"""

from legal_store.generating.checks import refuse_unfinished_load, unfinished_load
from legal_store.generating.loading import GeneratedTable, GenerateReport, generate
from legal_store.generating.plan import Plan, make_plan
from legal_store.generating.recipe import Recipe, read_recipe

__all__ = [
    "GenerateReport",
    "GeneratedTable",
    "Plan",
    "Recipe",
    "generate",
    "make_plan",
    "read_recipe",
    "refuse_unfinished_load",
    "unfinished_load",
]
