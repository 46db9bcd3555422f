"""Providers of a service that publishes events. dishka stops what it started in reverse order, even if one stop fails."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from random import Random, SystemRandom
from typing import Any, NewType

from dishka import AnyOf, Provider, Scope, provide, provide_all

from reference_impl.service_libs.backoff import Backoff
from reference_impl.service_libs.clock import Clock, SystemClock
from reference_impl.service_libs.content_client import ContentClient
from reference_impl.service_libs.database import Database, Migration
from reference_impl.service_libs.kafka_bus import KafkaBus
from reference_impl.service_libs.metrics import Metrics
from reference_impl.service_libs.outbox import Outbox, Relay
from reference_impl.service_libs.protocols import ContentServiceClientProtocol, KafkaBusProtocol
from reference_impl.service_libs.provider import own_provider
from reference_impl.service_libs.reached import Reached
from reference_impl.service_libs.retention import Retention
from reference_impl.service_libs.settings import PublisherSettings

Migrations = NewType("Migrations", Sequence[Migration])
"""The migrations of a service's database."""


class PublisherProvider(Provider):
    """Provides the parts of a service that publishes events: database, outbox, relay, content client.

    Only this class takes time and randomness from the machine.
    """

    scope = Scope.APP

    parts = provide_all(Metrics, Outbox, Relay, Reached)
    clock = provide(SystemClock, provides=Clock)

    @provide
    def random(self) -> Random:
        """Use the machine's randomness, so that two replicas never draw the same values."""
        return SystemRandom()

    @provide
    def backoff(self, settings: PublisherSettings, random: Random) -> Backoff:
        """Make the back-off of every retry."""
        return Backoff(settings.retry_first_seconds, settings.retry_longest_seconds, random)

    @provide
    async def database(
        self, settings: PublisherSettings, migrations: Migrations, backoff: Backoff
    ) -> AsyncIterator[Database]:
        """Open the service's database, migrated."""
        database = Database(settings.database_url, migrations, busy_seconds=settings.database_busy_seconds)
        try:
            await backoff.persist(database.start, "migrate the database")
            yield database
        finally:
            await database.stop()

    @provide
    async def bus(self, settings: PublisherSettings) -> AsyncIterator[AnyOf[KafkaBus, KafkaBusProtocol]]:
        """Make the Kafka bus; the relay connects it, however long that takes."""
        bus = KafkaBus(settings)
        yield bus
        await bus.stop()

    @provide
    def retention(self, settings: PublisherSettings, database: Database, clock: Clock, backoff: Backoff) -> Retention:
        """Make the retention of a service that reads no topic."""
        return Retention(settings, database, clock, backoff, partial(asyncio.sleep, 0))

    @provide
    async def content(
        self, settings: PublisherSettings
    ) -> AsyncIterator[AnyOf[ContentClient, ContentServiceClientProtocol]]:
        """Make the content service's client."""
        client = ContentClient(settings.content_url, timeout_seconds=settings.http_timeout_seconds)
        yield client
        await client.stop()


def publisher_providers(
    settings: type[PublisherSettings], migrations: Sequence[Migration], *sources: Callable[..., Any]
) -> list[Provider]:
    """Return the providers of a service that publishes events; ``sources`` make its ``Service`` and its parts."""
    own = own_provider(settings, *sources)
    own.provide(lambda: migrations, provides=Migrations)
    return [PublisherProvider(), own]
