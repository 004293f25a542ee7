"""From one schema to another: the statements that lead there. Pure.

Both schemas are snapshots of real databases, so that every definition is in PostgreSQL's own words. The way back is
the same with the two exchanged. impact.py finds what a change touches, order.py puts the statements in order; the
others write those of one kind.
"""

from legal_store.schema.change.impact import replaced_columns
from legal_store.schema.change.order import change_statements

__all__ = ["change_statements", "replaced_columns"]
