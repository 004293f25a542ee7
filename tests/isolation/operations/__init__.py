"""What code of a service does, and what an attacker would try, each as a function of a worker.

An operation runs in the scope of `w.firm`. What it returns is searched for anything of another firm. One that is
declared `refused` must raise; the others must succeed. `orm` operations use models only, so that they must hold
even where PostgreSQL enforces nothing.
"""

from tests.isolation.operations import driver, reading, rows, scopes, sessions, writing
from tests.isolation.operations.worker import LONG, MODELS, OPERATIONS, REFUSALS, Operation, Worker

__all__ = [
    "LONG", "MODELS", "OPERATIONS", "REFUSALS", "Operation", "Worker",
    "driver", "reading", "rows", "scopes", "sessions", "writing",
]  # fmt: skip
