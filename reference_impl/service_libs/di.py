"""Providers of what services share. dishka ends what it started in the opposite order, also when one fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from random import Random, SystemRandom

import structlog
from dishka import AnyOf, Provider, Scope, provide
from fastapi import FastAPI

from reference_impl.service_libs import inbox, ledger, outbox, suspects
from reference_impl.service_libs.backoff import Backoff
from reference_impl.service_libs.clock import Clock, SystemClock
from reference_impl.service_libs.consumer import Consumer
from reference_impl.service_libs.content_client import ContentClient
from reference_impl.service_libs.database import Database, Migration
from reference_impl.service_libs.errors import RedisUnavailable
from reference_impl.service_libs.health import health_routes
from reference_impl.service_libs.hints import Hints
from reference_impl.service_libs.idempotency import Idempotency, IdempotencyGuard, InboxGuard, MaxAttempts
from reference_impl.service_libs.inbox import Inbox
from reference_impl.service_libs.kafka_bus import KafkaBus
from reference_impl.service_libs.metrics import Metrics
from reference_impl.service_libs.outbox import Outbox, Relay
from reference_impl.service_libs.protocols import ContentServiceClientProtocol, KafkaBusProtocol, RedisClientProtocol
from reference_impl.service_libs.readiness import PublisherChecks, group_joined, publisher_checks, redis_answers
from reference_impl.service_libs.redis_client import RedisClient
from reference_impl.service_libs.retention import Retention
from reference_impl.service_libs.serving import Service
from reference_impl.service_libs.settings import (
    ConsumerSettings,
    ContentSettings,
    DatabaseSettings,
    KafkaSettings,
    OutboxSettings,
    RedisSettings,
    ServiceSettings,
    load,
)
from reference_impl.service_libs.suspects import Suspects
from reference_impl.service_libs.teller import Teller

_log = structlog.get_logger()


CONSUMER_MIGRATIONS = (outbox.MIGRATION, inbox.MIGRATION, ledger.MIGRATION, suspects.MIGRATION)
"""The tables that every consumer has."""


class SurroundingsProvider(Provider):
    """Time and chance: the only place where they come from the machine."""

    @provide(scope=Scope.APP)
    def clock(self) -> Clock:
        """The machine's clock."""
        return SystemClock()

    @provide(scope=Scope.APP)
    def random(self) -> Random:
        """The machine's randomness, so that two replicas never draw the same."""
        return SystemRandom()

    metrics = provide(Metrics, scope=Scope.APP)


class OutboxProvider(Provider):
    """A database with an outbox, the relay that empties it, and the content client."""

    def __init__(self, migrations: Sequence[Migration]) -> None:
        super().__init__()
        self._migrations = migrations

    @provide(scope=Scope.APP)
    def backoff(self, settings: OutboxSettings, random: Random) -> Backoff:
        """How everything is tried again."""
        return Backoff(settings.retry_first_seconds, settings.retry_longest_seconds, random)

    @provide(scope=Scope.APP)
    async def database(self, settings: DatabaseSettings, backoff: Backoff) -> AsyncIterator[Database]:
        """The service's database, migrated."""
        database = Database(settings.database_url, self._migrations, busy_seconds=settings.database_busy_seconds)
        try:
            await backoff.persist(database.start, "migrate the database")
            yield database
        finally:
            await database.stop()

    @provide(scope=Scope.APP)
    async def bus(self, settings: KafkaSettings) -> AsyncIterator[AnyOf[KafkaBus, KafkaBusProtocol]]:
        """Kafka; the relay connects it, as often as it takes."""
        bus = KafkaBus(
            settings.kafka,
            request_timeout_ms=settings.kafka_request_timeout_ms,
            backoff_ms=settings.kafka_backoff_ms,
            metadata_max_age_ms=settings.kafka_metadata_max_age_ms,
        )
        yield bus
        await bus.stop()

    @provide(scope=Scope.APP)
    async def content(
        self, settings: ContentSettings
    ) -> AsyncIterator[AnyOf[ContentClient, ContentServiceClientProtocol]]:
        """The content service's client."""
        client = ContentClient(settings.content_url, timeout_seconds=settings.http_timeout_seconds)
        yield client
        await client.stop()

    @provide(scope=Scope.APP)
    def outbox(self, database: Database) -> Outbox:
        """The outbox table."""
        return Outbox(database)

    relay = provide(Relay, scope=Scope.APP)
    retention = provide(Retention, scope=Scope.APP)

    @provide(scope=Scope.APP)
    def needed(self, database: Database, bus: KafkaBus, content: ContentClient) -> PublisherChecks:
        """What must have been reached."""
        return publisher_checks(database, bus, content)


class ConsumerProvider(Provider):
    """What a consumer of events has besides, all but its ``Subscription``."""

    def __init__(self, settings: type[ConsumerSettings]) -> None:
        super().__init__()
        self.provide(
            lambda: load(settings),
            scope=Scope.APP,
            provides=AnyOf[
                settings,
                ConsumerSettings,
                ServiceSettings,
                DatabaseSettings,
                ContentSettings,
                KafkaSettings,
                OutboxSettings,
                RedisSettings,
            ],
        )

    @provide(scope=Scope.APP)
    async def redis(
        self, settings: RedisSettings, metrics: Metrics
    ) -> AsyncIterator[AnyOf[RedisClient, RedisClientProtocol]]:
        """Redis; a consumer starts without it too."""
        client = RedisClient(
            settings.redis_url,
            metrics,
            connect_timeout=settings.redis_connect_timeout_seconds,
            command_timeout=settings.redis_timeout_seconds,
        )
        try:
            await client.start()
        except RedisUnavailable as error:
            _log.warning("started without redis", error=str(error))
        yield client
        await client.stop()

    @provide(scope=Scope.APP)
    def inbox(self, settings: KafkaSettings, outbox: Outbox, clock: Clock) -> Inbox:
        """What was closed."""
        return Inbox(outbox, clock, settings.topic_dead_letters)

    @provide(scope=Scope.APP)
    def suspects(self, settings: ConsumerSettings, database: Database, backoff: Backoff, random: Random) -> Suspects:
        """What may have ended a process."""
        return Suspects(database, backoff, random, group=settings.group, most=settings.max_attempts)

    @provide(scope=Scope.APP)
    def guard(  # noqa: PLR0913, PLR0917 - what the guard and its hints are made of
        self,
        settings: RedisSettings,
        database: Database,
        inbox: Inbox,
        redis: RedisClientProtocol,
        random: Random,
        metrics: Metrics,
    ) -> IdempotencyGuard:
        """What makes an effect the only one. Variants put another in its place."""
        hints = Hints(
            redis,
            random,
            lease_seconds=settings.lease_seconds,
            retry_after=settings.redis_retry_after_seconds,
        )
        return InboxGuard(database, inbox, hints, metrics)

    @provide(scope=Scope.APP)
    def max_attempts(self, settings: ConsumerSettings) -> MaxAttempts:
        """Of a handler at an event."""
        return MaxAttempts(settings.max_attempts)

    idempotency = provide(Idempotency, scope=Scope.APP)

    @provide(scope=Scope.APP)
    def teller(self, settings: ConsumerSettings, outbox: Outbox, clock: Clock) -> Teller:
        """What tells follow-up events."""
        return Teller(outbox, clock, settings.SERVICE)

    consumer = provide(Consumer, scope=Scope.APP)

    @provide(scope=Scope.APP)
    def service(  # noqa: PLR0913, PLR0917 - what the service is made of
        self,
        settings: ServiceSettings,
        consumer: Consumer,
        relay: Relay,
        retention: Retention,
        needed: PublisherChecks,
        redis: RedisClient,
        metrics: Metrics,
    ) -> Service:
        """The whole: a consumer, the relay, and no more HTTP than its health."""
        app = FastAPI(title=settings.SERVICE, openapi_url=None)
        checks = {**needed, "group": group_joined(consumer)}
        app.include_router(health_routes(checks, {"redis": redis_answers(redis)}))
        return Service(app, (consumer.run, relay.run, retention.run), metrics)


def consumer_providers(settings: type[ConsumerSettings], migration: Migration, own: Provider) -> list[Provider]:
    """All that a consumer needs; ``own`` provides its ``Subscription`` and what that is made of."""
    return [
        SurroundingsProvider(),
        OutboxProvider([*CONSUMER_MIGRATIONS, migration]),
        ConsumerProvider(settings),
        own,
    ]
