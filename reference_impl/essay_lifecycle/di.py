"""What the essay lifecycle is made of."""

from __future__ import annotations

from dishka import AnyOf, Provider, Scope, provide

from reference_impl.essay_lifecycle import core_logic
from reference_impl.essay_lifecycle.config import EssayLifecycleSettings
from reference_impl.essay_lifecycle.core_logic import essay_consumer
from reference_impl.essay_lifecycle.protocols import ContentServiceClientProtocol
from reference_impl.service_libs.backoff import Backoff
from reference_impl.service_libs.consumer import Consumer, Membership
from reference_impl.service_libs.di import (
    CONSUMER_MIGRATIONS,
    ConsumerProvider,
    OutboxProvider,
    SurroundingsProvider,
)
from reference_impl.service_libs.idempotency import Idempotency
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


class EssayLifecycleProvider(Provider):
    """Settings and the handler."""

    @provide(scope=Scope.APP)
    def settings(
        self,
    ) -> AnyOf[
        EssayLifecycleSettings,
        ConsumerSettings,
        ServiceSettings,
        DatabaseSettings,
        ContentSettings,
        KafkaSettings,
        OutboxSettings,
        RedisSettings,
    ]:
        """From the environment."""
        return load(EssayLifecycleSettings)

    @provide(scope=Scope.APP)
    def consumer(
        self,
        settings: EssayLifecycleSettings,
        membership: Membership,
        idempotency: Idempotency,
        content: ContentServiceClientProtocol,
        backoff: Backoff,
    ) -> Consumer:
        """The consumer of the uploads' outcomes."""
        consume = essay_consumer(idempotency, content, settings.ttl_seconds)
        return Consumer(membership, [settings.topic_essays], consume, backoff)


def providers() -> list[Provider]:
    """All that the service needs."""
    migrations = [*CONSUMER_MIGRATIONS, core_logic.MIGRATION]
    return [SurroundingsProvider(), OutboxProvider(migrations), ConsumerProvider(), EssayLifecycleProvider()]
