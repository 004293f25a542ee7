"""Production data made safe: rules for every column, set-based masking in one transaction, and a proof.

catalog.py reads what is there, rules.py what the user wants, planning.py refuses whatever does not fit; strategies.py
lists what can be done to a column (strategy.py says what such a strategy is, expressions.py is the SQL of ours,
conversions.py what SQL cannot state), masking.py does it, proof.py searches everything for real values afterwards, and
run.py puts these in order.
"""

from legal_store.anonymize.key import forget_key, kept_key, new_key
from legal_store.anonymize.planning import Plan, make_plan
from legal_store.anonymize.rules import RULES_FILE, Rules, parse_rules, read_rules
from legal_store.anonymize.run import Preview, Report, anonymize, mark_of, plan, preview
from legal_store.anonymize.strategies import strategies
from legal_store.anonymize.strategy import Strategy, Use

__all__ = [
    "RULES_FILE",
    "Plan",
    "Preview",
    "Report",
    "Rules",
    "Strategy",
    "Use",
    "anonymize",
    "forget_key",
    "kept_key",
    "make_plan",
    "mark_of",
    "new_key",
    "parse_rules",
    "plan",
    "preview",
    "read_rules",
    "strategies",
]
