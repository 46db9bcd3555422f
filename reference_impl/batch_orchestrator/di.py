"""What the batch orchestrator is made of."""

from __future__ import annotations

from dishka import Provider, Scope, provide

from reference_impl.batch_orchestrator import core_logic
from reference_impl.batch_orchestrator.config import BatchOrchestratorSettings
from reference_impl.batch_orchestrator.core_logic import batch_consumer
from reference_impl.service_libs.consumer import Subscription
from reference_impl.service_libs.di import consumer_providers
from reference_impl.service_libs.idempotency import Idempotency
from reference_impl.service_libs.teller import Teller


class BatchOrchestratorProvider(Provider):
    """The handler."""

    @provide(scope=Scope.APP)
    def subscription(
        self, settings: BatchOrchestratorSettings, idempotency: Idempotency, teller: Teller
    ) -> Subscription:
        """Complete batches, and their rankings."""
        consume = batch_consumer(idempotency, teller, settings.topic_spelling, settings.ttl_seconds)
        return Subscription([settings.topic_batches, settings.topic_rankings], consume)


def providers() -> list[Provider]:
    """All that the service needs."""
    return consumer_providers(BatchOrchestratorSettings, core_logic.MIGRATION, BatchOrchestratorProvider())
