"""The cache: look at it, invalidate, clear, and tell it what was written elsewhere."""

from __future__ import annotations

from typing import Any

from invoke import Context

from legal_store.cli.confirm import confirm
from legal_store.cli.render import print_json, print_table, say
from legal_store.cli.task import task


@task("cache.stats", help={"json": "print JSON"})
def stats(context: Context, json: bool = False) -> None:
    """Show how many keys there are, how many of them sessions and cached values, and the memory they use."""
    found = patient_cache().stats()
    if json:
        print_json(found)
        return
    about = f" ± {found.margin:,}" if found.margin else ""
    rows = [
        ("total keys", f"{found.total_keys:,}"),
        ("session keys", f"{found.session_keys:,}{about}"),
        ("cache keys", f"{found.cache_keys:,}{about}"),
        ("memory used", f"{found.memory_used / 2**20:,.1f} MiB"),
    ]
    print_table("Redis", ("what", "value"), rows)


@task(
    "cache.invalidate",
    positional=["pattern"],
    help={
        "pattern": "case:123, case:*, user:123:*, billing:case:*, * or another glob",
        "firm": "of this firm (its id)",
        "shared": "of what belongs to no firm",
        "json": "print JSON",
    },
)
def invalidate(context: Context, pattern: str, firm: str = "", shared: bool = False, json: bool = False) -> None:
    """Make cached values invalid, also those that are being loaded now."""
    from legal_store.errors import WrongUseError

    if pattern.startswith("-"):  # Invoke takes a flag in the pattern's place for it
        raise WrongUseError(f"{pattern} is no pattern.", remedy="`invoke --help cache.invalidate` shows the use.")
    if bool(firm) == shared:
        raise WrongUseError("Whose values? Give --firm ID or --shared.", remedy="`cache.clear` is for all firms.")
    _report(patient_cache().invalidate(pattern, firm=firm or None, shared=shared, strict=True), json)


@task("cache.clear", help={"yes": "do not ask", "json": "print JSON"})
def clear(context: Context, yes: bool = False, json: bool = False) -> None:
    """Remove all cached values of all firms, after a question; sessions stay."""
    confirm("Remove all cached values of all firms?", yes=yes)
    _report(patient_cache().clear(), json)


@task(
    "cache.drain",
    help={"follow": "go on until interrupted, looking every second", "json": "print JSON, with --follow a line each"},
)
def drain(context: Context, follow: bool = False, json: bool = False) -> None:
    """Tell the cache what was written by psql and other services (the outbox); run one with --follow as a service."""
    from legal_store.cache.outbox import drain as drain_once

    if not follow:
        _show(drain_once(patient_cache()), json)
        return
    _follow(json)


def patient_cache() -> Any:
    """Return the cache, with time to answer: a task would rather wait than miss."""
    from legal_store.cache import cache_manager
    from legal_store.keyvalue import Limits

    cache_manager.connection.limits = Limits(connect=2, answer=10, attempts=2)
    return cache_manager


def _follow(json: bool) -> None:
    import signal
    import threading

    from legal_store.cache.outbox import follow

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    say("following the outbox; Ctrl-C ends it")
    follow(patient_cache(), stop, told=lambda drained: _show(drained, json), failed=lambda error: say(str(error)))


def _show(drained: Any, json: bool) -> None:
    if json:
        import json as encoder
        import sys

        sys.stdout.write(encoder.dumps(drained._asdict()) + "\n")
        sys.stdout.flush()
    else:
        print(f"Events told to the cache: {drained.events}; firms: {drained.firms}.", flush=True)


def _report(done: Any, json: bool) -> None:
    if json:
        print_json(done)
    elif done.by == "generation":
        print(f"Invalidated {done.pattern} (whatever matched is not served any more).")
    else:
        print(f"Removed {done.removed} values.")
