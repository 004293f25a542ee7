"""The pool's figures under OpenTelemetry's names, for prometheus_client and for OpenTelemetry (extra: metrics).

    prometheus_client.REGISTRY.register(PrometheusCollector(db))
    observe(db, opentelemetry.metrics.get_meter("my-service"))

In prefork servers call either one in the worker, after fork. Names and units follow
https://opentelemetry.io/docs/specs/semconv/database/database-metrics/ (connection pools).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from legal_store.database.connection import Database
from legal_store.database.metrics import BOUNDARIES, Histogram

POOL_NAME = "db.client.connection.pool.name"
STATE = "db.client.connection.state"


class Figure(NamedTuple):
    """One metric at one moment. `value` is a Histogram for kind "histogram"."""

    name: str
    kind: str  # "gauge", "counter" or "histogram"
    unit: str
    help: str
    value: Any
    attributes: dict[str, str]


def figures(database: Database) -> list[Figure]:
    """Return the pool's metrics. Opens no connection."""
    pool = database.pool
    stats, counters, options = pool.stats(), pool.counters, pool.options
    name = {POOL_NAME: str(database.database)}
    prefix = "db.client.connection."
    connections, seconds = "{connection}", "s"
    return [
        Figure(f"{prefix}count", "gauge", connections, "Open connections.", stats.used, {**name, STATE: "used"}),
        Figure(f"{prefix}count", "gauge", connections, "Open connections.", stats.idle, {**name, STATE: "idle"}),
        Figure(f"{prefix}max", "gauge", connections, "Most connections allowed.", options.size, name),
        Figure(f"{prefix}idle.max", "gauge", connections, "Most idle connections allowed.", options.size, name),
        Figure(f"{prefix}idle.min", "gauge", connections, "Connections kept open.", options.min_size, name),
        Figure(f"{prefix}pending_requests", "gauge", "{request}", "Threads in the queue.", stats.waiting, name),
        Figure(f"{prefix}timeouts", "counter", "{timeout}", "Checkouts without success.", stats.timeouts, name),
        Figure(f"{prefix}create_time", "histogram", seconds, "Time to open one.", counters.create_time, name),
        Figure(f"{prefix}wait_time", "histogram", seconds, "Time to get one.", counters.wait_time, name),
        Figure(f"{prefix}use_time", "histogram", seconds, "Time that one is held.", counters.use_time, name),
    ]


class PrometheusCollector:
    """A collector for prometheus_client: db_client_connection_count{...}, ..._wait_time_seconds_bucket{...}."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def collect(self) -> Iterator[Any]:
        """Yield metric families; called at each scrape."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        families: dict[str, Any] = {}
        makers = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily, "histogram": HistogramMetricFamily}
        for figure in figures(self.database):
            name = _underscored(figure.name) + ("_seconds" if figure.unit == "s" else "")
            labels = [_underscored(label) for label in figure.attributes]
            if name not in families:
                families[name] = makers[figure.kind](name, figure.help, labels=labels)
            values = list(figure.attributes.values())
            if isinstance(figure.value, Histogram):
                families[name].add_metric(values, _cumulative(figure.value), figure.value.sum)
            else:
                families[name].add_metric(values, figure.value)
        yield from families.values()

    def describe(self) -> list[Any]:
        """Return nothing: registering must not make the pool."""
        return []


def observe(database: Database, meter: Any) -> None:
    """Report the pool to an OpenTelemetry meter: gauges and counters at each export, times as they happen."""
    from opentelemetry.metrics import CallbackOptions, Observation

    def callback_for(name: str) -> Any:
        def callback(options: CallbackOptions) -> list[Observation]:
            return [Observation(one.value, one.attributes) for one in figures(database) if one.name == name]

        return callback

    for figure in {one.name: one for one in figures(database)}.values():
        if figure.kind == "histogram":
            recorder = meter.create_histogram(figure.name, unit=figure.unit, description=figure.help)
            figure.value.listener = lambda seconds, recorder=recorder, figure=figure: recorder.record(
                seconds, figure.attributes
            )
        elif figure.kind == "counter":
            meter.create_observable_counter(figure.name, [callback_for(figure.name)], figure.unit, figure.help)
        else:
            meter.create_observable_up_down_counter(figure.name, [callback_for(figure.name)], figure.unit, figure.help)


def _underscored(name: str) -> str:
    return name.replace(".", "_")


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    buckets, total = [], 0
    for boundary, count in zip((*map(str, BOUNDARIES), "+Inf"), histogram.counts, strict=True):
        total += count
        buckets.append((boundary, float(total)))
    return buckets
