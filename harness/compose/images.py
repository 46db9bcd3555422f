"""What a container is, by the name of its image."""

from __future__ import annotations

import re
from typing import Final

from harness.compose.variables import UNKNOWN

_KINDS: Final = {
    "kafka": {"kafka", "kafka-native", "cp-kafka", "cp-server", "confluent-local", "redpanda", "fast-data-dev"},
    "redis": {"redis", "redis-stack", "redis-stack-server", "valkey", "keydb", "dragonfly"},
    "postgres": {"postgres", "postgresql", "pgvector", "postgis", "timescaledb", "timescaledb-ha"},
}
"""Kind of dependency -> last parts of images' names."""

EXTENDED: Final = _KINDS["postgres"] - {"postgres", "postgresql"}
"""Images of a Postgres with extensions that oneffect's own lacks."""

TOXIPROXY: Final = "toxiproxy"

_TOOLS: Final = re.compile(
    r"(?:cp-)?zookeeper|kafka-ui|kafbat-ui|akhq|kafdrop|cp-(?:enterprise-)?control-center(?:-next-gen)?|cmak"
    r"|kafka-manager|kafka-exporter|kminion|redis-commander|redisinsight|redis[-_]exporter|pgadmin4?|adminer|pgweb"
    r"|postgres[-_]exporter|prometheus|alertmanager|grafana|loki|promtail|tempo|all-in-one|jaeger|zipkin|cadvisor"
    r"|opentelemetry-collector(?:-contrib)?|node-exporter|portainer(?:-ce)?|dozzle|watchtower|mailhog|mailpit|locust"
)
"""Images that keep, show or measure the others, and take no part in the work."""


def last(image: str) -> str:
    """Return the last part of an image's name: ``kafka`` for ``registry:5000/bitnami/kafka:3.7@sha256:…``."""
    plain = UNKNOWN.sub("", image).partition("@")[0].rpartition("/")[2]
    return plain.partition(":")[0].lower()


def kind(image: str) -> str | None:
    """Return the kind of dependency that an image is; None if oneffect starts no such server itself."""
    name = last(image)
    return next((kind for kind, names in _KINDS.items() if name in names), None)


def is_tool(image: str) -> bool:
    """Whether an image takes no part in the work."""
    return bool(_TOOLS.fullmatch(last(image))) or "redpandadata/console" in image
