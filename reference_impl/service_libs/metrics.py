"""What a service counts, for Prometheus. Each service has a registry of its own; nothing is counted globally."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest


class Metrics:
    """Counters since the start of the process, the lag as last seen, and the process's own memory and time."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.deliveries = Counter("deliveries", "Deliveries handed to the handler", ["topic"], registry=registry)
        self.duplicates = Counter(
            "duplicates", "Deliveries of an event closed before", ["seen_by"], registry=registry
        )
        self.conflicts = Counter("conflicts", "Other payloads under the id of a closed event", registry=registry)
        self.dead_letters = Counter("dead_letters", "Dead letters written", ["kind"], registry=registry)
        self.redis_errors = Counter("redis_errors", "Redis commands without an answer", registry=registry)
        self.refused = Counter("outbox_refused", "Outbox rows that the broker will never take", registry=registry)
        self.lag = Gauge("lag_records", "Records behind a partition's end", ["topic", "partition"], registry=registry)
        self.handler_seconds = Histogram("handler_seconds", "What a handler's preparation took", registry=registry)

    def exposition(self) -> bytes:
        """All of it, in Prometheus's text format."""
        return generate_latest(self._registry)
