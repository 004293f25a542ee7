"""Whether firms are really kept apart in a database: a linter over PostgreSQL's own catalog.

catalog.py reads what is there; rules.py says, without a server, what of it is a mistake.
"""

from legal_store.isolation.check import check_isolation, check_service
from legal_store.isolation.rules import Finding

__all__ = ["Finding", "check_isolation", "check_service"]
