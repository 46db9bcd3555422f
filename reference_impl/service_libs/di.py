"""Providers that services share. dishka stops what it started in reverse order, even if one stop fails."""

from collections.abc import AsyncIterator, Callable, Sequence
from random import Random, SystemRandom
from typing import Any, NewType

import structlog
from dishka import AnyOf, Provider, Scope, WithParents, provide, provide_all

from reference_impl.service_libs import inbox, ledger, outbox, suspects
from reference_impl.service_libs.backoff import Backoff
from reference_impl.service_libs.clock import Clock, SystemClock
from reference_impl.service_libs.consumer import Consumer
from reference_impl.service_libs.content_client import ContentClient
from reference_impl.service_libs.database import Database, Migration
from reference_impl.service_libs.errors import RedisUnavailable
from reference_impl.service_libs.health import Reached, healthy_app
from reference_impl.service_libs.hints import Hints
from reference_impl.service_libs.idempotency import Idempotency, IdempotencyGuard, InboxGuard
from reference_impl.service_libs.inbox import Inbox
from reference_impl.service_libs.kafka_bus import KafkaBus
from reference_impl.service_libs.metrics import Metrics
from reference_impl.service_libs.outbox import Outbox, Relay
from reference_impl.service_libs.protocols import ContentServiceClientProtocol, KafkaBusProtocol, RedisClientProtocol
from reference_impl.service_libs.redis_client import RedisClient
from reference_impl.service_libs.retention import Retention
from reference_impl.service_libs.serving import Service
from reference_impl.service_libs.settings import ConsumerSettings, PublisherSettings, ServiceSettings, load
from reference_impl.service_libs.suspects import Suspects
from reference_impl.service_libs.teller import Teller

_log = structlog.get_logger()

Migrations = NewType("Migrations", Sequence[Migration])
"""The migrations of a service's database."""


class PublisherProvider(Provider):
    """Provides the parts of a service that publishes events: database, outbox, relay, content client.

    Only this class takes time and randomness from the machine.
    """

    scope = Scope.APP

    parts = provide_all(Metrics, Outbox, Relay, Retention, Reached)
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
    async def content(
        self, settings: PublisherSettings
    ) -> AsyncIterator[AnyOf[ContentClient, ContentServiceClientProtocol]]:
        """Make the content service's client."""
        client = ContentClient(settings.content_url, timeout_seconds=settings.http_timeout_seconds)
        yield client
        await client.stop()


class ConsumerProvider(Provider):
    """Provides the further parts of a consumer, except for its ``Subscription``."""

    scope = Scope.APP

    parts = provide_all(Inbox, Suspects, Idempotency, Consumer)
    guard = provide(InboxGuard, provides=IdempotencyGuard)
    """Makes each effect the only one. Variants replace it."""

    @provide
    async def redis(
        self, settings: ConsumerSettings, metrics: Metrics
    ) -> AsyncIterator[AnyOf[RedisClient, RedisClientProtocol]]:
        """Make the Redis client; a consumer also starts without Redis."""
        client = RedisClient(
            settings.redis_url,
            metrics,
            connect_timeout=settings.redis_connect_timeout_seconds,
            command_timeout=settings.redis_timeout_seconds,
        )
        try:
            await client.start()
        except RedisUnavailable as error:
            _log.warning("starting without redis", error=str(error))
        yield client
        await client.stop()

    @provide
    def hints(self, settings: ConsumerSettings, redis: RedisClientProtocol, random: Random) -> Hints:
        """Make the hints and leases in Redis."""
        wait = settings.redis_retry_after_seconds
        return Hints(redis, random, lease_seconds=settings.lease_seconds, retry_after=wait)

    @provide
    def teller(self, settings: ConsumerSettings, outbox: Outbox, clock: Clock) -> Teller:
        """Make the publisher of follow-up events."""
        return Teller(outbox, clock, settings.SERVICE)

    @provide
    def service(  # noqa: PLR0913, PLR0917 - what the service is made of
        self,
        consumer: Consumer,
        relay: Relay,
        retention: Retention,
        reached: Reached,
        redis: RedisClient,
        metrics: Metrics,
    ) -> Service:
        """Assemble the service: the consumer, the relay, and HTTP for health and metrics only."""

        async def needed() -> dict[str, bool]:
            return {**await reached.check(), "group": consumer.assigned}

        app = healthy_app(needed, reported=lambda: {"redis": bool(redis.available)})
        return Service(app, (consumer.run, relay.run, retention.run), metrics)


def own_provider(settings: type[ServiceSettings], *sources: Callable[..., Any]) -> Provider:
    """Provide a service's settings, under each of their base classes too, and what ``sources`` make."""
    provider = Provider(scope=Scope.APP)
    provider.provide(lambda: load(settings, settings.SERVICE), provides=WithParents[settings])  # type: ignore[misc, valid-type]
    provider.provide_all(*sources)
    return provider


def publisher_providers(
    settings: type[PublisherSettings], migrations: Sequence[Migration], *sources: Callable[..., Any]
) -> list[Provider]:
    """Return the providers of a service that publishes events; ``sources`` make its ``Service`` and its parts."""
    own = own_provider(settings, *sources)
    own.provide(lambda: migrations, provides=Migrations)
    return [PublisherProvider(), own]


def consumer_providers(
    settings: type[ConsumerSettings], migration: Migration, *sources: Callable[..., Any]
) -> list[Provider]:
    """Return the providers of a consumer; ``sources`` make its ``Subscription`` and its parts."""
    shared = (outbox.MIGRATION, inbox.MIGRATION, ledger.MIGRATION, suspects.MIGRATION)
    return [ConsumerProvider(), *publisher_providers(settings, [*shared, migration], *sources)]
