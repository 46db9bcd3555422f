"""What a service must have reached to be ready. No check makes traffic of its own once it has passed."""

from __future__ import annotations

from typing import NewType

from reference_impl.service_libs.consumer import Consumer
from reference_impl.service_libs.content_client import ContentClient
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.errors import ContentUnavailable
from reference_impl.service_libs.health import Check
from reference_impl.service_libs.kafka_bus import KafkaBus
from reference_impl.service_libs.redis_client import RedisClient

PublisherChecks = NewType("PublisherChecks", dict[str, Check])
"""The checks of a service with a database, an outbox and a content client."""


def publisher_checks(database: Database, bus: KafkaBus, content: ContentClient) -> PublisherChecks:
    """The database is migrated, the producer connected, and the content service answered once."""

    async def migrated() -> bool:
        return database.started

    async def connected() -> bool:
        return bus.connected

    async def reached() -> bool:
        if not content.reached:
            try:
                await content.start()
            except ContentUnavailable:
                return False
        return True

    return PublisherChecks({"database": migrated, "kafka": connected, "content_service": reached})


def group_joined(consumer: Consumer) -> Check:
    """The consumer has its share of the partitions."""

    async def check() -> bool:
        return consumer.assigned

    return check


def redis_answers(redis: RedisClient) -> Check:
    """How the last command went."""

    async def check() -> bool:
        return bool(redis.available)

    return check
