"""Readiness of a service with an outbox."""

from contextlib import suppress
from dataclasses import dataclass

from reference_impl.service_libs.content_client import ContentClient
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.errors import ContentUnavailable
from reference_impl.service_libs.kafka_bus import KafkaBus


@dataclass(frozen=True)
class Reached:
    """What a service with an outbox must reach; a dependency is not asked again once it was reached."""

    database: Database
    bus: KafkaBus
    content: ContentClient

    async def check(self) -> dict[str, bool]:
        """Return whether the database is migrated, a producer connected once, and the content service answered once."""
        if not self.content.reached:
            with suppress(ContentUnavailable):
                await self.content.start()
        return {
            "database": self.database.started,
            "kafka": self.bus.reached,
            "content_service": self.content.reached,
        }
