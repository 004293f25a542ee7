"""Turns what PostgreSQL's driver says into one paragraph: what failed, with which values, what to do."""

from __future__ import annotations

import re

from legal_store.errors import OperationFailedError, ServerUnavailableError

# What libpq and the server say when a connection fails (they give no SQLSTATE to the client then), and the remedy.
_CONNECTION_FAILURES = (
    (
        r"password authentication failed|no password supplied",
        "the password or the user name was not accepted",
        "Check user and password in DATABASE_URL; special characters in them must be percent-encoded.",
    ),
    (
        r'database "[^"]*" does not exist',
        "there is no such database",
        "Create it (`createdb`, or in your host's dashboard), or correct the name in DATABASE_URL.",
    ),
    (
        r'role "legal_store_service" does not exist|invalid value for parameter "role"|permission denied to set role',
        "the role of services, legal_store_service, is not there or this login may not take it",
        "Run `invoke migrate.deploy`; it makes the role, or says what an administrator has to do.",
    ),
    (
        r'role "[^"]*" does not exist',
        "there is no such user",
        "Create the role, or correct the user in DATABASE_URL.",
    ),
    (
        r"too many (clients|connections)|remaining connection slots",
        "the server has no free connection",
        "Look at `SELECT count(*), usename FROM pg_stat_activity GROUP BY 2`, lower DATABASE_POOL_SIZE or the "
        "number of instances, or raise the server's max_connections.",
    ),
    (
        r"does not support SSL|SSL is not enabled|sslmode value .* invalid when SSL support is not compiled in",
        "the server offers no TLS and DATABASE_SSL_MODE demands it",
        "Turn TLS on at the server, or, on a trusted network only, set DATABASE_SSL_MODE=disable.",
    ),
    (
        r"no pg_hba.conf entry",
        "the server's pg_hba.conf does not admit this user from this address (or not without TLS)",
        "Ask for an entry in pg_hba.conf, or set DATABASE_SSL_MODE=require.",
    ),
    (
        r"could not translate host name|Name or service not known",
        "the host name is unknown",
        "Check the host in DATABASE_URL, and the network (VPN, DNS).",
    ),
    (
        r"starting up|shutting down|recovery mode|server closed the connection unexpectedly",
        "the server is starting, stopping or recovering",
        "Wait a moment and try again.",
    ),
    (
        r"Connection refused|No such file or directory|timeout expired|timed out|unreachable|Is the server running",
        "the server cannot be reached",
        "Check that PostgreSQL runs (`invoke up` starts the embedded one), the host and port in DATABASE_URL, "
        "firewall and VPN.",
    ),
)

_STATEMENT_FAILURES = {
    "42501": "Connect as a role that has the right, or have its owner grant it.",
    "53100": "The server's disk is full: free space there, then run the command again.",
    "53200": "The server is out of memory: lower work_mem or the load, then run the command again.",
    "53300": "The server has no free connection: see `invoke status`, or lower DATABASE_POOL_SIZE.",
    "57014": "The statement took longer than allowed: raise DATABASE_STATEMENT_TIMEOUT or look at its plan.",
    "55P03": "Another session holds the lock: `invoke doctor` names it, `invoke db.end PID` ends it; then try again.",
    "58P01": "Install the extension's files on the server, or enable it in your host's dashboard.",
    "42P01": "The table is missing: run `invoke migrate.deploy`.",
    "08006": "The connection ended; what was not committed is undone. See `invoke status`.",
    "57P01": "Somebody ended the session, or the server; what was not committed is undone. See `invoke status`.",
    "25006": "It is a standby (connect to the primary) or set to be read only: `invoke doctor` says which.",
}


def connection_failure(error: Exception, target: str) -> ServerUnavailableError:
    """Return the error that says why `target`, a description without secrets, could not be connected to."""
    text = _first_line(error)
    for pattern, cause, remedy in _CONNECTION_FAILURES:
        if re.search(pattern, str(error)):
            failure = ServerUnavailableError(f"Cannot connect to {target}: {cause}.", remedy=remedy)
            failure.reason = cause
            return failure
    return ServerUnavailableError(f"Cannot connect to {target}: {text}.", remedy="Check DATABASE_URL.")


def statement_failure(error: Exception, doing: str) -> OperationFailedError:
    """Return the error that says what PostgreSQL refused while `doing` something, with a remedy if one is known."""
    code = sqlstate(error)
    missing_extension = code == "0A000" and "extension" in str(error)
    remedy = _STATEMENT_FAILURES.get("58P01" if missing_extension else code or _lost(error), "")
    return OperationFailedError(f"{doing} failed: {_first_line(error)} (SQLSTATE {code or 'none'}).", remedy=remedy)


def _lost(error: Exception) -> str:
    """Return the SQLSTATE of a lost connection (what libpq itself says has none) where the text tells of one."""
    return "08006" if re.search(r"closed the connection|connection (already )?closed|SSL SYSCALL", str(error)) else ""


def sqlstate(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of a driver error, of Peewee's wrapper around one, or of its cause."""
    while error is not None:
        code = getattr(error, "pgcode", None) or getattr(getattr(error, "orig", None), "pgcode", None)
        if code:
            return str(code)
        error = error.__cause__
    return None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
