"""Production data into a development database: restored in a quarantine, masked, proven, checked, swapped in."""

from legal_store.importing.leftovers import drop_what_was_left, noted
from legal_store.importing.masked import ImportPlan, ImportReport, import_anonymized

__all__ = ["ImportPlan", "ImportReport", "drop_what_was_left", "import_anonymized", "noted"]
