"""The pool's figures as prometheus_client and OpenTelemetry show them."""

from __future__ import annotations

from tests.database.conftest import MakeDatabase


def test_prometheus_shows_the_pool(pooled: MakeDatabase) -> None:
    from prometheus_client import CollectorRegistry, generate_latest

    from legal_store.monitor.metrics import PrometheusCollector

    database = pooled(size=3)
    registry = CollectorRegistry()
    registry.register(PrometheusCollector(database))
    for _ in range(5):
        with database:
            pass
    name = f'db_client_connection_pool_name="{database.database}"'
    with database:
        text = generate_latest(registry).decode()
    assert f'db_client_connection_count{{db_client_connection_state="used",{name}}} 1.0' in _sorted_labels(text)
    assert f"db_client_connection_max{{{name}}} 3.0" in text
    assert f"db_client_connection_timeouts_total{{{name}}} 0.0" in text
    assert f"db_client_connection_use_time_seconds_count{{{name}}} 5.0" in text


def _sorted_labels(text: str) -> str:
    """Prometheus has no order of labels: put the state first."""
    lines = []
    for line in text.splitlines():
        head, brace, rest = line.partition("{")
        labels, end, value = rest.rpartition("}")
        lines.append(head + brace + ",".join(sorted(labels.split(","), reverse=True)) + end + value)
    return "\n".join(lines)


def test_opentelemetry_shows_the_pool(pooled: MakeDatabase) -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    from legal_store.monitor.metrics import observe

    database = pooled(size=3)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    observe(database, provider.get_meter("test"))
    with database:
        pass
    data = reader.get_metrics_data()
    assert data is not None
    found = {m.name: m for r in data.resource_metrics for scope in r.scope_metrics for m in scope.metrics}
    counts = {
        point.attributes["db.client.connection.state"]: point.value
        for point in found["db.client.connection.count"].data.data_points
    }
    assert counts == {"used": 0, "idle": 1}
    assert found["db.client.connection.use_time"].data.data_points[0].count == 1
    assert found["db.client.connection.create_time"].unit == "s"
    provider.shutdown()
