"""Whole databases of a server: made, described, given the properties of another, swapped by name, dropped."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from legal_store.backup.snapshot import connect
from legal_store.errors import RefusedError, RestoreError, ServerUnavailableError
from legal_store.production import ANONYMIZED_SETTING
from legal_store.restore.marks import BEFORE, MARK, UNMARKED, Marked, mark, read

_TEMPLATE = "template0"
_MAINTENANCE = ("postgres", "template1")
_SWAP_SECONDS = 30.0
_TERMINATE_EVERY = 0.05
_LOCK_SECONDS = 3.0
_LOCK_KEY = "hashtext('legal_store restore'), hashtext(%s)"

# Settings whose stored value is a list that is quoted already (as pg_dump treats them).
_LISTS = {
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
}


class Server:
    """The databases of one server, through a connection to its maintenance database."""

    def __init__(self, connection: Any, parameters: dict[str, Any]) -> None:
        self._connection = connection
        self.parameters = parameters
        self.version: int = connection.server_version

    def exists(self, name: str) -> bool:
        return bool(self.rows("SELECT FROM pg_database WHERE datname = %s", name))

    def identity(self, name: str) -> int | None:
        """Return what stays of a database when it is renamed, None where there is none of that name."""
        rows = self.rows("SELECT oid FROM pg_database WHERE datname = %s", name)
        return rows[0][0] if rows else None

    def may_create(self) -> bool:
        """Say whether the login may create databases."""
        return bool(self.rows("SELECT FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolcreatedb)"))

    def create(self, name: str, like: str | None, mark: str) -> None:
        """Make an empty database with encoding, locale and tablespace of `like`, and mark it.

        Only its owner and superusers may connect, until `open_up`. `mark` is what `marked()` reads again. Raises
        psycopg2.Error.
        """
        options = self._properties(like) if like else [sql.SQL("ENCODING 'UTF8'")]
        made, listed = sql.Identifier(name), sql.SQL(" ").join(options)
        create = sql.SQL(f"CREATE DATABASE {{}} TEMPLATE {_TEMPLATE} {{}} ALLOW_CONNECTIONS false")
        self.run(create.format(made, listed))
        self._in_one_transaction(
            [
                sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(made),
                _commented(name, mark),
                sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(made),
            ]
        )

    def drop(self, name: str) -> None:
        """Drop a database that carries our mark, ending the sessions in it. Raises RefusedError for any other."""
        if not any(found.name == name for found in self.marked()):
            raise RefusedError(f"The database {name} was not made or put aside by a restore; it is not dropped.")
        self._forget_subscriptions(name)
        self.run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _forget_subscriptions(self, name: str) -> None:
        """Drop the subscriptions in a database, with which it cannot be dropped; the publisher is not told."""
        subscriptions = self.rows(
            "SELECT subname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE datname = %s",
            name,
        )
        if not subscriptions:
            return
        with closing(connect(self.parameters, dbname=name)) as inside, inside.cursor() as cursor:
            inside.autocommit = True
            for (subscription,) in subscriptions:
                for statement in _FORGET_SUBSCRIPTION:
                    cursor.execute(sql.SQL(statement).format(sql.Identifier(subscription)))

    def marked(self) -> list[Marked]:
        """Return the databases that carry our mark, newest first.

        One whose making was killed before its mark counts as marked: by its name, and as nobody was ever let in.
        """
        rows = self.rows(
            "SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database"
            " WHERE shobj_description(oid, 'pg_database') LIKE %s"
            " OR NOT datallowconn AND shobj_description(oid, 'pg_database') IS NULL AND datname ~ %s",
            MARK + "{%",
            UNMARKED,
        )
        found = [read(name, comment) for name, comment in rows]
        return sorted((one for one in found if one), key=lambda one: (one.at, one.name), reverse=True)

    def _drop_unfinished(self, database: str) -> list[str]:
        left = [found.name for found in self.marked() if found.kind != BEFORE and found.of == database]
        for name in left:
            self.drop(name)
        return left

    def open_up(self, name: str, like: str | None) -> None:
        """Let those connect to `name` who may connect to `like`; where there is none, everybody, as PostgreSQL does."""
        public = sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO PUBLIC").format(sql.Identifier(name))
        self._in_one_transaction(list(self._grants(like, name)) if like else [public])

    def copy_settings(self, source: str, target: str) -> None:
        """Give `target` the settings, the owner and the connection limit of `source`.

        Not what `source` says of its own rows: whether they were anonymized.
        """
        for role, setting in self.rows(_SETTINGS, source):
            name, _, value = setting.partition("=")
            if name == ANONYMIZED_SETTING:
                continue
            literal = _list_literal(value) if name in _LISTS else sql.Literal(value)
            whose = (
                sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(role), sql.Identifier(target))
                if role
                else sql.SQL("DATABASE {}").format(sql.Identifier(target))
            )
            self.run(sql.SQL("ALTER {} SET {} = {}").format(whose, sql.Identifier(*name.split(".")), literal))
        ((owner, limit),) = self.rows(
            "SELECT pg_get_userbyid(datdba)::text, datconnlimit FROM pg_database WHERE datname = %s", source
        )
        self.run(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(target), sql.Identifier(owner)))
        self.run(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(sql.Identifier(target), sql.Literal(limit)))

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Keep everybody from dropping or renaming a database: who tries waits. Its sessions come and go as always.

        A comment locks the database so; it is rolled back, and the lock ends with this process. Raises psycopg2.Error
        for who does not own it.
        """
        with closing(connect(self.parameters)) as other, other.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = 0")
            cursor.execute(sql.SQL("COMMENT ON DATABASE {} IS NULL").format(sql.Identifier(name)))
            yield

    def forget_anonymized(self, name: str) -> bool:
        """Have a database no longer say that its rows were anonymized; return whether it did."""
        said = any(setting.startswith(f"{ANONYMIZED_SETTING}=") for _, setting in self.rows(_SETTINGS, name))
        if said:
            mark = sql.Identifier(*ANONYMIZED_SETTING.split("."))
            self.run(sql.SQL("ALTER DATABASE {} RESET {}").format(sql.Identifier(name), mark))
        return said

    def sessions(self, name: str) -> list[tuple[str, str]]:
        """Return application name and user of every session in a database."""
        return self.rows(
            "SELECT coalesce(application_name, ''), coalesce(usename::text, '') FROM pg_stat_activity"
            " WHERE datname = %s AND backend_type = 'client backend' ORDER BY 1, 2",
            name,
        )

    def obstacles(self, name: str) -> list[str]:
        """Return what would keep the database from being renamed, and ending sessions does not solve."""
        found = [
            f"prepared transaction {gid}"
            for (gid,) in self.rows("SELECT gid FROM pg_prepared_xacts WHERE database = %s", name)
        ]
        found += [
            f"enabled subscription {subscription}"
            for (subscription,) in self.rows(
                "SELECT subname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
                " WHERE datname = %s AND subenabled",
                name,
            )
        ]
        found += [
            f"logical replication slot {slot}"
            for (slot,) in self.rows("SELECT slot_name::text FROM pg_replication_slots WHERE database = %s", name)
        ]
        return found

    def local_data_folder(self) -> Path | None:
        """Return the folder of the server's data, None where it cannot be seen from here."""
        host = str(self.parameters.get("host", "/"))
        if not host.startswith("/") and host not in ("localhost", "127.0.0.1", "::1"):
            return None
        rows = self.rows("SELECT setting FROM pg_settings WHERE name = 'data_directory'")
        folder = Path(rows[0][0]) if rows and rows[0][0] else None
        try:
            return folder if folder and folder.is_dir() else None
        except OSError:
            return None

    def swap(self, live: str, incoming: str, aside: str, origin: str) -> float:
        """Give `incoming` the name `live` and what was live the name `aside`, atomically; return the seconds it took.

        One transaction with two renames: the first takes the database's lock, so that new sessions wait, while
        those that are in it are ended. Whoever waited is told that the database was renamed, and finds the new one
        at the next try. Raises RestoreError that says which one is live.
        """
        expected = self.identity(incoming)
        renames = [
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new))
            for old, new in ((live, aside), (incoming, live))
            if self.exists(old)
        ]
        marks = [sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(live), self._comment(live))]
        if len(renames) == 2:
            marks.append(_commented(aside, mark(BEFORE, live, origin)))
        began = time.monotonic()
        try:
            with self._ending_sessions_in(live, incoming):
                self._in_one_transaction([*renames, *marks])
        except psycopg2.Error as error:
            if self._identity_now(live) != expected:  # else it is swapped, and only the answer was lost
                raise RestoreError(
                    f"The databases could not be swapped: {str(error).strip()}. {live} is what it was before.",
                    remedy="Stop whatever keeps sessions open in it (see `invoke db.connections`), and run this again.",
                ) from error
        return time.monotonic() - began

    def _identity_now(self, live: str) -> int | None:
        """Return the identity of the database that is live after a failed swap, which may have cost the connection."""
        try:
            with server({**self.parameters, "dbname": live}) as opened:
                return opened.identity(live)
        except ServerUnavailableError as error:
            raise RestoreError(
                f"The databases were being swapped when the server was lost: {error.message}"
                f" {live} is now either what it was before or what was restored, both whole.",
                remedy="`invoke status` and `invoke psql` show which; what is not live has a name that begins so.",
            ) from error

    def rows(self, query: str, *arguments: object) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, arguments)
            found: list[Any] = cursor.fetchall()
            return found

    def run(self, statement: sql.Composable) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    @contextmanager
    def locked(self, database: str) -> Iterator[list[str]]:
        """Let one restore, import, undo or drill of `database` work at a time, after dropping what killed ones left.

        Yields the names of what was dropped. Raises RefusedError when one is at work.
        """
        patience = time.monotonic() + _LOCK_SECONDS  # the session of one that was killed ends a moment later
        while not self.rows(f"SELECT pg_try_advisory_lock({_LOCK_KEY})", database)[0][0]:
            if time.monotonic() > patience:
                raise RefusedError(f"Another restore of {database} is at work.", remedy="Wait for it, or end it.")
            time.sleep(0.1)
        try:
            yield self._drop_unfinished(database)
        finally:
            if not self._connection.closed:
                self.rows(f"SELECT pg_advisory_unlock({_LOCK_KEY})", database)

    def _in_one_transaction(self, statements: list[sql.Composable]) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                cursor.execute(f"SET LOCAL lock_timeout = '{int(_SWAP_SECONDS)}s'")
                for statement in statements:
                    cursor.execute(statement)
                cursor.execute("COMMIT")
            except BaseException:
                if not self._connection.closed:
                    cursor.execute("ROLLBACK")
                raise

    @contextmanager
    def _ending_sessions_in(self, *names: str) -> Iterator[None]:
        stop = threading.Event()

        def end_them() -> None:
            with closing(connect(self.parameters)) as other, other.cursor() as cursor:
                other.autocommit = True
                while not stop.is_set():
                    cursor.execute(_END_SESSIONS, (list(names),))
                    stop.wait(_TERMINATE_EVERY)

        thread = threading.Thread(target=end_them, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _comment(self, database: str) -> sql.Composable:
        """Return the comment that `database` has, for the one that takes its place."""
        rows = self.rows("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", database)
        comment = rows[0][0] if rows else None
        return sql.Literal(None if comment and comment.startswith(MARK) else comment)

    def _properties(self, like: str) -> list[sql.Composable]:
        ((entry, encoding, tablespace),) = self.rows(
            "SELECT to_jsonb(d), pg_encoding_to_char(encoding), (SELECT spcname::text FROM pg_tablespace t"
            " WHERE t.oid = d.dattablespace AND t.oid <> (SELECT dattablespace FROM pg_database WHERE datname = %s))"
            " FROM pg_database d WHERE datname = %s",
            _TEMPLATE,
            like,
        )
        provider = {"c": "libc", "i": "icu", "b": "builtin"}[entry["datlocprovider"]]
        options = {
            "ENCODING": encoding,
            "LC_COLLATE": entry["datcollate"],
            "LC_CTYPE": entry["datctype"],
            "LOCALE_PROVIDER": provider,
        }
        locale = entry.get("datlocale") or entry.get("daticulocale")
        if locale:
            options["ICU_LOCALE" if provider == "icu" else "BUILTIN_LOCALE"] = locale
        if entry.get("daticurules"):
            options["ICU_RULES"] = entry["daticurules"]
        listed = [sql.SQL(f"{name} {{}}").format(sql.Literal(value)) for name, value in options.items()]
        if tablespace:  # to name the one that it gets anyway takes a right that few logins have
            listed.append(sql.SQL("TABLESPACE {}").format(sql.Identifier(tablespace)))
        return listed

    def _grants(self, source: str, target: str) -> Iterator[sql.Composable]:
        for grantee, privilege, grantable in self.rows(_GRANTS, source):
            yield sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
                sql.SQL(privilege),
                sql.Identifier(target),
                sql.Identifier(grantee) if grantee else sql.SQL("PUBLIC"),
                sql.SQL(" WITH GRANT OPTION" if grantable else ""),
            )


_FORGET_SUBSCRIPTION = (
    "ALTER SUBSCRIPTION {} DISABLE",
    "ALTER SUBSCRIPTION {} SET (slot_name = NONE)",
    "DROP SUBSCRIPTION {}",
)

_SETTINGS = """
SELECT r.rolname::text, unnest(s.setconfig)
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE d.datname = %s
"""

_GRANTS = """
SELECT r.rolname::text, a.privilege_type, a.is_grantable
FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE d.datname = %s AND a.grantee <> d.datdba
"""

_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = ANY (%s) AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@contextmanager
def server(parameters: dict[str, Any]) -> Iterator[Server]:
    """Connect to a maintenance database of the server of the database that psycopg2 `parameters` name.

    Everybody who works at one database gets the same one, so that their locks meet. Raises ServerUnavailableError.
    """
    with closing(_maintenance_connection(parameters)) as connection:
        connection.autocommit = True
        yield Server(connection, {**parameters, "dbname": connection.info.dbname})


def drop_abandoned(parameters: dict[str, Any]) -> list[str]:
    """Drop every database that a killed restore, import or drill has left on a server; return their names.

    Those at work are left alone. Raises ServerUnavailableError, psycopg2.Error.
    """
    dropped = []
    with server(parameters) as opened:
        left = {found.of for found in opened.marked() if found.kind != BEFORE}
    for database in left:
        with (
            server({**parameters, "dbname": database}) as opened,
            suppress(RefusedError),
            opened.locked(database) as names,
        ):
            dropped += names
    return dropped


def _maintenance_connection(parameters: dict[str, Any]) -> Any:
    problems = []
    for name in _MAINTENANCE:
        if name == parameters.get("dbname"):  # it cannot be renamed from inside
            continue
        try:
            return connect(parameters, dbname=name)
        except ServerUnavailableError as error:
            problems.append(error)
    raise problems[0]


def _list_literal(value: str) -> sql.Composable:
    """Return a list as SET takes it, from one as it is stored: names are quoted where they need it, '' is \"\"."""
    (names,) = csv.reader([value], skipinitialspace=True)
    return sql.SQL(", ").join(map(sql.Literal, names or [""]))


def _commented(name: str, comment: str) -> sql.Composable:
    return sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(comment))
