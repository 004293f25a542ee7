"""The database that the models are bound to: Peewee's interface, our pool behind it."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import psycopg2
import psycopg2.extensions
from peewee import ConnectionContext, InterfaceError, OperationalError
from playhouse.pool import PooledPostgresqlDatabase

from legal_store.database.changes import ChangeTracking
from legal_store.database.tasks import current_task, other_task
from legal_store.errors import NotConnectedError

if TYPE_CHECKING:
    from legal_store.config import Settings
    from legal_store.database.options import PoolOptions
    from legal_store.database.pool import Pool
    from legal_store.database.pooled import PooledConnection

# The other imports are inside the functions that need them: importing a model must cost little.

ConnectHook = Callable[[Any], None]


class Database(ChangeTracking, PooledPostgresqlDatabase):
    """A pool of connections to one PostgreSQL. It reads its settings at the first connection, not at import.

    A thread borrows a connection with `with db:` (one transaction) or `with db.connection_context():` (none) and
    gives it back at the end of the block. Models used outside of such a block raise NotConnectedError: a connection
    that was borrowed silently would never come back. Tasks of one event loop share their thread: another task than
    the one that borrowed gets NotConnectedError too.

    A session is prepared once, by the hooks of `at_connect`; what its borrowers change in it is undone when it comes
    back. Firm and role travel with each statement (legal_store/database/scope.py).
    """

    def __init__(self) -> None:
        self._pool: Pool | None = None
        self._options: PoolOptions | None = None
        self._configuring = threading.Lock()
        self._connect_hooks: list[ConnectHook] = []
        self._without_options = False  # a pooler in between refuses start-up options
        self.pooler: bool | None = None  # whether a pooler such as PgBouncer is in between; None before connecting
        self._borrowing = _Borrowing(self)
        super().__init__(None, autoconnect=False)

    # Configuration

    def configure(self, given: Settings) -> None:
        """Point this database at the server that `given` names. Connections to the one before are closed.

        Raises ConfigurationError when there is no DATABASE_URL and no embedded server runs.
        """
        from legal_store.database.options import PoolOptions
        from legal_store.database.target import service_parameters

        parameters = service_parameters(given)
        self.connect_params.clear()
        self.init(parameters.pop("dbname"), pool=PoolOptions.from_settings(given), **parameters)

    def init(self, database: str | None, *, pool: PoolOptions | None = None, **options: Any) -> None:
        """Point this database at `database`. `options` are those of Peewee's pool, and libpq's parameters.

        `pool` says how the pool behaves; without it max_connections, timeout and stale_timeout (the maximum
        lifetime) do, as for Peewee's pool.
        """
        if self._pool is not None:
            self.close_all()
        self._pool = None
        self._options = pool
        self._without_options = False
        self.pooler = None
        self.server_version = None
        super().init(database, **options)

    def at_connect(self, hook: ConnectHook) -> None:
        """Call `hook(connection)` once for each new connection; it must leave the session as new borrowers want it."""
        self._connect_hooks.append(hook)

    @property
    def pool(self) -> Pool:
        """The pool behind this database. Raises ConfigurationError where no server is configured."""
        found = self._pool
        return found if found is not None else self._make_pool()

    def _make_pool(self) -> Pool:
        from legal_store.database.pool import Pool

        with self._configuring:
            if self._pool is None:
                if self.deferred:
                    from legal_store.config import settings

                    self.configure(settings())
                self._pool = Pool(self._open, self._options or self._peewee_options(), self.target)
                _survive_forks(self)
            return self._pool

    def _peewee_options(self) -> PoolOptions:
        from legal_store.database.options import PoolOptions

        wait = self._wait_timeout
        return PoolOptions(
            size=self._max_connections or 20,
            timeout=PoolOptions.timeout if wait is None else (0.0 if wait == float("inf") else float(wait)),
            max_lifetime=float(self._stale_timeout or 0),
        )

    @property
    def target(self) -> str:
        """The server and database, for messages; without secrets."""
        from legal_store.database.target import describe_target

        return describe_target({"dbname": self.database, **self.connect_params})

    # Opening a connection: the one place where sessions are prepared

    def _open(self) -> PooledConnection:
        from legal_store.database.explain import connection_failure
        from legal_store.database.pooled import PooledConnection, PooledCursor

        parameters = {**self.connect_params, "connection_factory": PooledConnection, "cursor_factory": PooledCursor}
        if self._without_options:
            parameters.pop("options", None)
        try:
            connection = cast(PooledConnection, self._adapter.connect(self, **parameters))
        except psycopg2.OperationalError as error:
            if "options" in parameters and "unsupported startup parameter" in str(error):
                self._without_options = True  # PgBouncer
                return self._open()
            raise connection_failure(error, self.target) from None
        try:
            self._prepare(connection)
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:  # the server went away meanwhile
            connection.close()
            raise connection_failure(error, self.target) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def open_beside_the_pool(self) -> PooledConnection:
        """Open a connection that does not count towards the pool; the caller closes it."""
        return self._open()

    def _prepare(self, connection: PooledConnection) -> None:
        from legal_store.database.target import startup_settings

        if self.pooler is None:
            self.pooler = _is_pooled(connection)
            self.server_version = self._adapter.get_server_version(connection)
        if self.pooler:
            connection.lose(startup_settings(self.connect_params.get("options", "")))
        for hook in self._connect_hooks:
            hook(connection)

    # Borrowing and giving back, as Peewee names it

    def connection_context(self) -> _Borrowing:
        """Borrow a connection for the block that follows, unless this thread has one. No transaction."""
        return self._borrowing

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Borrow a connection for this thread. False if it has one already and `reuse_if_open`.

        Raises PoolExhaustedError, ServerUnavailableError or PoolClosedError, each with what to do.
        """
        mine = self._state.__dict__  # this thread's, looked up once
        task = current_task()
        if not mine["closed"]:
            if mine["task"] is not task:
                raise other_task(mine["task"])
            if reuse_if_open:
                return False
            raise OperationalError("Connection already opened.")
        mine["conn"] = (self._pool or self.pool).acquire(borrower=sys._getframe(1))
        mine["closed"] = False
        mine["task"] = task
        return True

    def close(self) -> bool:
        """Give this thread's connection back. False if it has none."""
        mine = self._state.__dict__
        if mine["closed"]:
            return False
        if mine["transactions"]:
            raise OperationalError("Attempting to close database while transaction is open.")
        connection = mine["conn"]
        mine.update(
            closed=True, conn=None, task=None, ctx=[], transactions=[], commit_callbacks=[]
        )  # as Peewee's reset()
        connection.pool.release(connection)
        return True

    def __enter__(self) -> Database:
        """Borrow a connection unless this thread has one, and begin a transaction.

        A connection that turns out to be dead at BEGIN is replaced: nothing has been done on it yet.
        """
        opened = self.connect(reuse_if_open=True)
        try:
            return cast(Database, super().__enter__())
        except BaseException as error:
            if not opened:
                raise
            broken = bool(self._state.conn.closed)
            self.close()
            if not broken or not isinstance(error, OperationalError | InterfaceError):
                raise
        self.pool.close_idle()
        self.connect()
        try:
            return cast(Database, super().__enter__())
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exception: Any) -> None:
        if not self._state.ctx:
            raise _left_elsewhere()
        super().__exit__(*exception)

    def pop_transaction(self) -> Any:
        if not self._state.transactions:
            raise _left_elsewhere()
        return super().pop_transaction()

    def connection(self) -> PooledConnection:
        """Return the psycopg2 connection that this thread has borrowed. Raises NotConnectedError if it has none, or
        another asyncio task has borrowed it."""
        mine = self._state.__dict__
        if mine["closed"]:
            raise _not_connected()
        if mine["task"] is not current_task():
            raise other_task(mine["task"])
        return cast("PooledConnection", mine["conn"])

    def cursor(self, named_cursor: Any = None) -> Any:
        """Return a cursor of this thread's connection. Raises NotConnectedError as `connection` does."""
        return self.connection().cursor()

    def rollback(self) -> None:
        """Roll the transaction back. Nothing to do where the connection is lost: then the server does it."""
        if not self._state.closed and self._state.conn.closed:
            return
        super().rollback()

    # The pool, as Peewee names it

    def _connect(self) -> PooledConnection:
        return self.pool.acquire()

    def _close(self, conn: Any, close_conn: bool = False) -> None:
        if close_conn:
            conn.pool.discard(conn)
        else:
            conn.pool.release(conn)

    def manual_close(self) -> bool:
        """Close this thread's connection instead of giving it back. False if it has none."""
        state = self._state
        if state.closed:
            return False
        connection = state.conn
        state.reset()
        connection.pool.discard(connection)
        return True

    def close_idle(self) -> None:
        """Close the connections that nobody uses."""
        if self._pool is not None:
            self._pool.close_idle()

    def close_stale(self, age: float = 600) -> int:
        """Cut connections lent for longer than `age` seconds and return how many; their borrowers get an error."""
        return self._pool.cut_held_since(age) if self._pool is not None else 0

    def close_all(self) -> None:
        """Close all connections; other threads that use one get an error. The database can be used again."""
        self.close()
        if self._pool is not None:
            self._pool.close_all()

    def drain(self, timeout: float = 30.0) -> int:
        """Lend no more, wait up to `timeout` seconds for what is lent, close everything.

        Returns how many connections had to be cut. For the end of a service: `configure` makes the database usable
        again.
        """
        return self._pool.drain(timeout) if self._pool is not None else 0

    def dispose(self) -> None:
        """Forget all connections without closing them. In a child process this happens by itself after fork."""
        self._configuring = threading.Lock()
        self._state.reset()
        if self._pool is not None:
            self._pool.abandon()


class _Borrowing(ConnectionContext):
    """Peewee's context, with one look-up of the thread's state instead of four."""

    __slots__ = ()

    def __enter__(self) -> None:
        mine = self.db._state.__dict__
        if mine["closed"] or mine["task"] is not current_task():
            self.db.connect()
        mine["ctx"].append(self)

    def __exit__(self, *exception: object) -> None:
        blocks = self.db._state.ctx
        if not blocks:
            raise _left_elsewhere()
        blocks.pop()
        if not blocks:
            self.db.close()


def _is_pooled(connection: PooledConnection) -> bool:
    """Say whether a pooler such as PgBouncer is in between: it makes up the process id it tells us at connecting."""
    with psycopg2.extensions.cursor(connection) as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return bool(cursor.fetchone()[0] != connection.info.backend_pid)


def _not_connected() -> NotConnectedError:
    return NotConnectedError(
        "The database is used outside of `with db:`, so this thread has no connection.",
        remedy="Put `with db:` around it (one transaction), or `with db.connection_context():` (none).",
    )


def _left_elsewhere() -> NotConnectedError:
    return NotConnectedError(
        "A block of the database is left that is not open here: it was entered in another thread, or before a fork, or "
        "the database was closed inside it.",
        remedy="Close a generator in the thread that began it, and fork outside of `with db:`.",
    )


_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_register_once = threading.Lock()


def _survive_forks(database: Database) -> None:
    """From now on a child process that is forked gets this database with an empty pool."""
    with _register_once:
        if not _databases:
            os.register_at_fork(after_in_child=_dispose_all)
        _databases.add(database)


def _dispose_all() -> None:
    for database in _databases:
        database.dispose()
