"""What is injected into the comparative judgement."""

from __future__ import annotations

from reference_impl.service_libs.idempotency import IdempotencyGuard
from reference_impl.service_libs.protocols import (
    ContentServiceClientProtocol,
    KafkaBusProtocol,
    RedisClientProtocol,
)

__all__ = ["ContentServiceClientProtocol", "IdempotencyGuard", "KafkaBusProtocol", "RedisClientProtocol"]
