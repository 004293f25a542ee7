"""Health: asked once, or served over HTTP."""

from __future__ import annotations

from contextlib import suppress

from invoke import Context

from legal_store.cli.render import print_json, print_table, say
from legal_store.cli.task import task


@task("health", help={"json": "print JSON"})
def health(context: Context, json: bool = False) -> None:
    """Say whether PostgreSQL and Redis answer, and how fast; exit code 1 when one does not."""
    from legal_store.database.health import check_database_health, check_redis_health
    from legal_store.errors import CheckFailedError

    found = {"database": check_database_health(), "redis": check_redis_health()}
    if json:
        print_json({name: one.as_json() for name, one in found.items()})
    else:
        rows = [(name, one.status, round(one.latency, 2), one.reason) for name, one in found.items()]
        print_table("Health", ("server", "status", "latency, ms", "reason"), rows)
    if unwell := [name for name, one in found.items() if not one.healthy]:
        raise CheckFailedError(f"Not healthy: {', '.join(unwell)}.", remedy="`invoke doctor` says more.")


@task(
    "serve-health",
    help={"host": "address to listen on", "port": "port to listen on"},
    auto_shortflags=False,  # -h is for help
)
def serve_health(context: Context, host: str = "127.0.0.1", port: int = 8081) -> None:
    """Serve GET /api/health/database, /redis and /live until interrupted."""
    from legal_store.monitor.server import health_server

    with health_server(host, port) as server:
        say(f"http://{host}:{server.server_port}/api/health/database (Ctrl-C stops)")
        with suppress(KeyboardInterrupt):  # the way it ends
            server.serve_forever()
