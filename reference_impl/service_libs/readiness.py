"""What a service must have reached to be ready. No check makes traffic of its own once it has passed."""

from __future__ import annotations

from reference_impl.service_libs.consumer import Consumer
from reference_impl.service_libs.content_client import ContentClient
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.errors import ContentUnavailable
from reference_impl.service_libs.health import Check
from reference_impl.service_libs.kafka_bus import KafkaBus
from reference_impl.service_libs.redis_client import RedisClient


def database_migrated(database: Database) -> Check:
    """The database was reached, and its tables are up to date."""

    async def check() -> bool:
        return bool(database.epoch)

    return check


def bus_connected(bus: KafkaBus) -> Check:
    """There is a producer that has not failed."""

    async def check() -> bool:
        return bus.connected

    return check


def content_reached(content: ContentClient) -> Check:
    """The content service answered once; asked for until it did."""

    async def check() -> bool:
        if not content.reached:
            try:
                await content.start()
            except ContentUnavailable:
                return False
        return True

    return check


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
