"""What the tasks of a developer's day may do by themselves: start the embedded servers."""

from __future__ import annotations

from legal_store.cli.render import say


def start_servers_if_needed() -> None:
    """Start the embedded servers when no DATABASE_URL or no REDIS_URL says where others are. Never in production."""
    from legal_store.config import settings
    from legal_store.embedded import up

    found = settings()
    if found.production or (found.database_url and found.redis_url):
        return
    servers = up(found.home)
    if servers.postgres.started or servers.redis.started:
        say(f"started the embedded servers in {found.home} (`invoke down` stops them)")
