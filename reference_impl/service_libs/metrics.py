"""Prometheus metrics. Each service has its own registry; nothing is global."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest


class Metrics:
    """Counters since the process started, the lag as last seen, and the process's own memory and CPU time."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.deliveries = Counter("deliveries", "Deliveries handed to the handler", ["topic"], registry=registry)
        self.duplicates = Counter(
            "duplicates", "Deliveries of an event that was closed already", ["seen_by"], registry=registry
        )
        self.conflicts = Counter("conflicts", "Different payloads under the id of a closed event", registry=registry)
        self.dead_letters = Counter("dead_letters", "Dead letters written", ["kind"], registry=registry)
        self.redis_errors = Counter("redis_errors", "Redis commands that got no answer", registry=registry)
        self.refused = Counter("outbox_refused", "Outbox rows that are never published", registry=registry)
        self.lag = Gauge(
            "lag_records",
            "Records between the consumer and the partition's end",
            ["topic", "partition"],
            registry=registry,
        )
        self.handler_seconds = Histogram("handler_seconds", "Duration of a handler's preparation", registry=registry)

    def exposition(self) -> bytes:
        """Render all metrics in Prometheus's text format."""
        return generate_latest(self._registry)
