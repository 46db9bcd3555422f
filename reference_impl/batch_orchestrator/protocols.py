"""What is injected into the batch orchestrator."""

from __future__ import annotations

from reference_impl.service_libs.idempotency import IdempotencyGuard
from reference_impl.service_libs.protocols import KafkaBusProtocol, RedisClientProtocol

__all__ = ["IdempotencyGuard", "KafkaBusProtocol", "RedisClientProtocol"]
