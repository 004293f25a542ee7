"""legal_store: the PostgreSQL and Redis side of a legal platform."""
