"""What the essay lifecycle is made of."""

from __future__ import annotations

from dishka import Provider, Scope, provide

from reference_impl.essay_lifecycle import core_logic
from reference_impl.essay_lifecycle.config import EssayLifecycleSettings
from reference_impl.essay_lifecycle.core_logic import essay_consumer
from reference_impl.service_libs.consumer import Subscription
from reference_impl.service_libs.di import consumer_providers
from reference_impl.service_libs.idempotency import Idempotency
from reference_impl.service_libs.protocols import ContentServiceClientProtocol
from reference_impl.service_libs.teller import Teller


class EssayLifecycleProvider(Provider):
    """The handler."""

    @provide(scope=Scope.APP)
    def subscription(
        self,
        settings: EssayLifecycleSettings,
        idempotency: Idempotency,
        content: ContentServiceClientProtocol,
        teller: Teller,
    ) -> Subscription:
        """The uploads' outcomes."""
        consume = essay_consumer(idempotency, content, teller, settings.topic_batches, settings.ttl_seconds)
        return Subscription([settings.topic_essays], consume)


def providers() -> list[Provider]:
    """All that the service needs."""
    return consumer_providers(EssayLifecycleSettings, core_logic.MIGRATION, EssayLifecycleProvider())
