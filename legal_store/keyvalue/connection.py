"""The connection to Redis: made at the first use, with time limits of our own, to one server or to a cluster.

redis-py's defaults wait seconds for a dead server (ten retries, five seconds each); here every limit is given.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from legal_store.config import mask_password
from legal_store.errors import ServerUnavailableError

# redis is imported inside the functions: importing a model must not cost its 100 ms


class Limits(NamedTuple):
    """How long one attempt may take, in seconds, and how many attempts there are."""

    connect: float
    answer: float
    attempts: int = 1


class Script:
    """A Lua script, sent once to each server and named by its digest from then on."""

    def __init__(self, source: str) -> None:
        self.source = source.strip()
        self.digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


class Connection:
    """A pool of connections to Redis, Valkey or a Redis Cluster, whichever answers at the URL.

    Safe for threads and for processes that fork. `url` is the URL or a function that returns it, asked at the
    first use. Errors of the server reach the caller as redis.RedisError; `failure` makes them ours.
    """

    def __init__(self, url: str | Callable[[], str] | None, limits: Limits) -> None:
        self._url = url
        self.limits = limits  # read when it connects
        self._last_url = ""
        self._client: Any = None
        self._lock = threading.Lock()
        self._failures = 0
        self._failure: Exception | None = None
        self.is_cluster = False

    @property
    def url(self) -> str:
        """The URL of the server. Raises ConfigurationError when none is set and no embedded server runs."""
        if self._url is None:
            from legal_store.config import settings
            from legal_store.database.target import redis_url

            return redis_url(settings())
        return self._url if isinstance(self._url, str) else self._url()

    @property
    def client(self) -> Any:
        """redis-py's client, for commands that have no method here. The first use asks the server what it is."""
        return self._client or self._connected()

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any] = ()) -> Any:
        """Run a script on the server that holds `keys` (of one slot) and return its answer."""
        from redis.exceptions import NoScriptError

        client = self.client
        try:
            return client.evalsha(script.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return client.eval(script.source, len(keys), *keys, *arguments)

    def run_all(self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> None:
        """Run a script several times, each with its keys and arguments, in one round trip (two the first time)."""
        from redis.exceptions import NoScriptError

        def send(command: str, text: str) -> None:
            pipeline = self.client.pipeline(transaction=False)
            for keys, arguments in calls:
                pipeline.execute_command(command, text, len(keys), *keys, *arguments)
            pipeline.execute()

        try:
            send("EVALSHA", script.digest)
        except NoScriptError:
            send("EVAL", script.source)

    def nodes(self, key: str | None = None) -> list[Any]:
        """Return a client for each primary, or only for the one that holds `key`."""
        client = self.client
        if not self.is_cluster:
            return [client]
        found = client.get_primaries() if key is None else [client.get_node_from_key(key)]
        return [client.get_redis_connection(node) for node in found]

    def scan(self, pattern: str, *, key: str | None = None, count: int = 1000) -> Iterator[list[bytes]]:
        """Yield the keys that match, batch by batch, an empty batch included: one round trip for each.

        A key that is there from beginning to end is found; one may come twice. `key` limits a cluster to the node
        that holds it.
        """
        for node in self.nodes(key):
            cursor = 0
            while True:
                cursor, keys = node.scan(cursor, match=pattern, count=count)
                yield keys
                if cursor == 0:
                    break

    def look_again(self) -> None:
        """Make sure that the server answers; in a cluster, learn anew which node holds what."""
        client = self.client
        if self.is_cluster:
            client.nodes_manager.initialize()
        client.ping()

    def close(self) -> None:
        """Close the pooled connections; the next use opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def failure(self, error: Exception, doing: str) -> ServerUnavailableError:
        """Return the error that says what failed at which server, and what to do."""
        from legal_store.keyvalue.explain import server_failure

        return server_failure(error, doing, self.describe())

    def describe(self) -> str:
        """Return the URL without its password."""
        with suppress(Exception):
            return mask_password(self._last_url or self.url)
        return "an unknown address"

    def _connected(self) -> Any:
        """Connect, one thread at a time. Who waited for another's attempt shares its failure: a hundred threads that
        find a dead server wait for it once, not one after the other."""
        failures = self._failures
        with self._lock:
            if self._client is None and self._failures != failures and self._failure is not None:
                raise self._failure.with_traceback(None)
            if self._client is None:
                try:
                    self._client = self._connect()
                except Exception as error:
                    self._failures, self._failure = self._failures + 1, error
                    raise
            return self._client

    def _connect(self) -> Any:
        from legal_store.database.target import redis_client, redis_options

        url = self._last_url = self.url
        options = redis_options(connect=self.limits.connect, answer=self.limits.answer, attempts=self.limits.attempts)
        single = redis_client(url, options)
        if not _is_cluster(single):
            return single
        from redis import RedisCluster

        single.close()
        self.is_cluster = True
        return RedisCluster.from_url(url, **options)


def _is_cluster(client: Any) -> bool:
    from redis.exceptions import NoPermissionError

    try:
        return bool(client.info("cluster").get("cluster_enabled"))
    except NoPermissionError:  # a server that hides it is taken as a single one
        return False
