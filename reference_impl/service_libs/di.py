"""Providers of a consumer, which also publishes events."""

from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import structlog
from dishka import AnyOf, Provider, Scope, provide, provide_all

from reference_impl.service_libs import inbox, ledger, outbox, suspects
from reference_impl.service_libs.backoff import Backoff
from reference_impl.service_libs.clock import Clock
from reference_impl.service_libs.consumer import Consumer
from reference_impl.service_libs.database import Database, Migration
from reference_impl.service_libs.errors import RedisUnavailable
from reference_impl.service_libs.health import healthy_app
from reference_impl.service_libs.hints import Hints
from reference_impl.service_libs.idempotency import Idempotency, IdempotencyGuard, InboxGuard
from reference_impl.service_libs.inbox import Inbox
from reference_impl.service_libs.metrics import Metrics
from reference_impl.service_libs.outbox import Outbox, Relay
from reference_impl.service_libs.protocols import RedisClientProtocol
from reference_impl.service_libs.publisher import publisher_providers
from reference_impl.service_libs.reached import Reached
from reference_impl.service_libs.redis_client import RedisClient
from reference_impl.service_libs.retention import Retention
from reference_impl.service_libs.serving import Service
from reference_impl.service_libs.settings import ConsumerSettings
from reference_impl.service_libs.suspects import Suspects
from reference_impl.service_libs.teller import Teller

_log = structlog.get_logger()


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

    @provide(override=True)
    def retention(
        self, settings: ConsumerSettings, database: Database, clock: Clock, backoff: Backoff, consumer: Consumer
    ) -> Retention:
        """Make the retention of a consumer."""
        return Retention(settings, database, clock, backoff, consumer.catch_up)

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


def consumer_providers(
    settings: type[ConsumerSettings], migration: Migration, *sources: Callable[..., Any]
) -> list[Provider]:
    """Return the providers of a consumer; ``sources`` make its ``Subscription`` and its parts."""
    shared = (outbox.MIGRATION, inbox.MIGRATION, ledger.MIGRATION, suspects.MIGRATION)
    return [*publisher_providers(settings, [*shared, migration], *sources), ConsumerProvider()]
