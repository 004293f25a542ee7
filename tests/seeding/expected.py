"""The counts that the demo data must have, and how to count them in the files and in the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

SEEDS = Path(__file__).parents[2] / "seeds"

USERS = {"role": {"Partner": 1, "Associate": 2, "Paralegal": 2}}
CASES = {
    "status": {"Active": 4, "OnHold": 2, "Closed": 2, "Archived": 2},
    "type": {"Civil": 3, "Criminal": 2, "Corporate": 2, "IntellectualProperty": 1, "Family": 1, "Labor": 1},
}
DOCUMENTS = {
    "document_type": {
        "Contract": 4,
        "Pleading": 4,
        "Motion": 3,
        "Brief": 3,
        "Evidence": 3,
        "Correspondence": 2,
        "Other": 1,
    },
    "status": {"Draft": 8, "Review": 6, "Approved": 4, "Filed": 2},
    "ai_generated": {True: 10, False: 10},
}
TASKS = {
    "task_type": {
        "Research": 8,
        "DocumentCreation": 7,
        "DocumentReview": 5,
        "ClientCommunication": 4,
        "CourtFiling": 3,
        "CasePreparation": 3,
    },
    "status": {"Pending": 12, "InProgress": 10, "Completed": 8},
}
DUE = {"overdue": 5, "within 7 days": 8, "within 30 days": 10, "later": 7}
BY_COLUMN = {"users": USERS, "cases": CASES, "documents": DOCUMENTS, "tasks": TASKS}


def counted(rows: Iterable[Mapping[str, Any]], column: str) -> dict[Any, int]:
    return dict(Counter(row[column] for row in rows))


def due_counts(rows: Iterable[Mapping[str, Any]], today: date) -> dict[str, int]:
    return dict(Counter(_due(row["due_date"] - today) for row in rows))


def _due(left: timedelta) -> str:
    if left < timedelta():
        return "overdue"
    if left <= timedelta(days=7):
        return "within 7 days"
    return "within 30 days" if left <= timedelta(days=30) else "later"
