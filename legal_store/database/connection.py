"""The pooled database that the models are bound to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg2
from playhouse.pool import PooledPostgresqlDatabase

if TYPE_CHECKING:
    from legal_store.config import Settings

# The other imports are inside the functions that need them: importing a model must cost little.


class Database(PooledPostgresqlDatabase):
    """A pool of connections to one PostgreSQL. It reads its settings at the first connection, not at import."""

    def __init__(self) -> None:
        super().__init__(None)

    def configure(self, given: Settings) -> None:
        """Point this database at the server that `given` names. Open connections of the pool are closed.

        Raises ConfigurationError when there is no DATABASE_URL and no embedded server runs.
        """
        from legal_store.database.target import service_parameters

        parameters = service_parameters(given)
        if not self.deferred:
            self.close_all()
        self.init(
            parameters.pop("dbname"),
            max_connections=given.pool_size,
            timeout=given.connection_timeout_ms / 1000,
            **parameters,
        )

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Give this thread a connection of the pool. Raises ServerUnavailableError with cause and remedy."""
        if self.deferred:
            from legal_store.config import settings

            self.configure(settings())
        return bool(super().connect(reuse_if_open))

    def _connect(self) -> Any:
        try:
            return super()._connect()
        except psycopg2.OperationalError as error:
            from legal_store.database.explain import connection_failure
            from legal_store.database.target import describe_target

            target = describe_target({"dbname": self.database, **self.connect_params})
            raise connection_failure(error, target) from None
