"""An UPDATE of a whole table in small transactions: keyset batches, a checkpoint in each, adaptive size."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import psycopg2

from legal_store.migrate.budget import pause
from legal_store.migrate.checkpoint import Checkpoint
from legal_store.schema.snapshot import quoted

_SMALLEST, _LARGEST = 50, 50_000
_LOCK_TIMEOUT_MS = 1000
_REPORT_SECONDS = 2.0
_PASSING = (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected, psycopg2.errors.SerializationFailure)
# a batch that takes so many times as long as it should is taken back and tried with fewer rows: others wait for them
_TOO_LONG = 2.0


def next_size(size: int, took: float, target: float) -> int:
    """Return how many rows the next batch should have when one of `size` rows took `took` seconds."""
    wanted = size * target / max(took, 0.001)
    return round(max(_SMALLEST, min(_LARGEST, wanted, size * 1.5)))


class Backfill(NamedTuple):
    """What to write where, and how gently. Times in seconds; `rest` is a share of the time that a batch took."""

    table: str
    assignments: str
    condition: str
    key: tuple[str, ...]
    first_batch: int
    batch_seconds: float
    rest: float

    def run(self, checkpoint: Checkpoint) -> None:
        """Write every row that meets the condition, once; go on behind the last batch of an earlier run.

        Inside a migration that is one transaction, it is one UPDATE as well: batches would give nothing back.
        """
        connection = checkpoint.connection
        if not checkpoint.durable:
            self._at_once(connection)
            return
        state = checkpoint.load() or {"after": None, "done": 0, "size": self.first_batch}
        types = self._key_types(connection)
        progress = _Progress(self.table, _estimate(connection, self.table), state["done"], checkpoint)
        retries = 0
        while True:
            began = time.monotonic()
            try:
                rows, last = self._batch(connection, types, state, checkpoint)
            except psycopg2.errors.QueryCanceled:
                if state["size"] <= _SMALLEST:
                    raise
                state["size"] = max(_SMALLEST, state["size"] // 4)
                continue
            except _PASSING:
                retries += 1
                state["size"] = max(_SMALLEST, state["size"] // 2)
                time.sleep(pause(retries))
                continue
            if rows == 0:
                progress.finish()
                return
            retries = 0
            took = time.monotonic() - began
            state = {"after": last, "done": state["done"] + rows, "size": state["size"]}
            state["size"] = next_size(state["size"], took, self.batch_seconds)
            progress.show(state["done"])
            time.sleep(took * self.rest)

    def _batch(
        self, connection: Any, types: list[str], state: dict[str, Any], checkpoint: Checkpoint
    ) -> tuple[int, list[str] | None]:
        """Write one batch and note it, in one transaction; return the rows written and the last key."""
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", (f"{_LOCK_TIMEOUT_MS}ms",))
                if state["size"] > _SMALLEST:
                    longest = round(self.batch_seconds * _TOO_LONG * 1000)
                    cursor.execute("SELECT set_config('statement_timeout', %s, true)", (f"{longest}ms",))
                cursor.execute(self._statement(cursor, types, state))
                rows, last = cursor.fetchone()
                if rows:
                    checkpoint.save({"after": last, "done": state["done"] + rows, "size": state["size"]})
                cursor.execute("COMMIT")
            except BaseException:
                if not connection.closed:
                    cursor.execute("ROLLBACK")
                raise
        return int(rows), last

    def _statement(self, cursor: Any, types: list[str], state: dict[str, Any]) -> str:
        # put together here and not by the driver: a % in the condition is the migration's own
        keys = ", ".join(f"t.{quoted(column)}" for column in self.key)
        names = ", ".join(map(quoted, self.key))
        behind = ""
        if state["after"] is not None:
            values = [cursor.mogrify("%s", (value,)).decode() for value in state["after"]]
            literals = ", ".join(f"{value}::{kind}" for value, kind in zip(values, types, strict=True))
            behind = f"({keys}) > ({literals}) AND "
        same = " AND ".join(f"u.{quoted(column)} = batch.{quoted(column)}" for column in self.key)
        texts = ", ".join(f"{quoted(column)}::text" for column in self.key)
        backwards = ", ".join(f"{quoted(column)} DESC" for column in self.key)
        return (
            f"WITH batch AS MATERIALIZED (SELECT {keys} FROM {quoted(self.table)} AS t"
            f" WHERE {behind}({self.condition}) ORDER BY {keys} LIMIT {int(state['size'])} FOR NO KEY UPDATE),"
            f" written AS (UPDATE {quoted(self.table)} AS u SET {self.assignments} FROM batch WHERE {same} RETURNING 1)"
            f" SELECT (SELECT count(*) FROM written),"
            f" (SELECT ARRAY[{texts}] FROM (SELECT {names} FROM batch ORDER BY {backwards} LIMIT 1) AS last)"
        )

    def _at_once(self, connection: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {quoted(self.table)} SET {self.assignments} WHERE {self.condition}")

    def _key_types(self, connection: Any) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT format_type(atttypid, atttypmod) FROM pg_attribute, unnest(%s) WITH ORDINALITY AS k (name, n)"
                " WHERE attrelid = %s::regclass AND attname = k.name ORDER BY n",
                (list(self.key), quoted(self.table)),
            )
            return [row[0] for row in cursor.fetchall()]


def _estimate(connection: Any, table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = %s::regclass", (quoted(table),))
        return int(cursor.fetchone()[0])


class _Progress:
    def __init__(self, table: str, total: int, done: int, checkpoint: Checkpoint) -> None:
        self._table, self._total, self._start, self._done = table, total, done, done
        self._say, self._began, self._told = checkpoint.say, time.monotonic(), time.monotonic()

    def show(self, done: int) -> None:
        self._done = done
        if time.monotonic() - self._told >= _REPORT_SECONDS:
            self._told = time.monotonic()
            self._say(self._line())

    def finish(self) -> None:
        self._say(f"{self._table}: {self._done:,} rows written")

    def _line(self) -> str:
        rate = (self._done - self._start) / max(time.monotonic() - self._began, 0.001)
        if self._total <= 0:
            return f"{self._table}: {self._done:,} rows, {rate:,.0f} per second"
        share = min(1.0, self._done / self._total)
        bar = "#" * round(share * 20)
        left = max(0.0, (self._total - self._done) / max(rate, 0.001))
        return f"{self._table}: [{bar:.<20}] {share:.0%} of about {self._total:,} rows, about {left:.0f} s left"
