"""What the comparative judgement is made of."""

from __future__ import annotations

from dishka import Provider, Scope, provide

from reference_impl.cj_assessment import core_logic
from reference_impl.cj_assessment.config import CjAssessmentSettings
from reference_impl.cj_assessment.core_logic import assessment_consumer
from reference_impl.service_libs.consumer import Subscription
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.di import consumer_providers
from reference_impl.service_libs.idempotency import Idempotency
from reference_impl.service_libs.protocols import ContentServiceClientProtocol
from reference_impl.service_libs.teller import Teller


class CjAssessmentProvider(Provider):
    """The handler."""

    @provide(scope=Scope.APP)
    def subscription(
        self,
        settings: CjAssessmentSettings,
        idempotency: Idempotency,
        content: ContentServiceClientProtocol,
        database: Database,
        teller: Teller,
    ) -> Subscription:
        """Corrected essays, and its own requests to rank them; requests and rankings share a topic."""
        consume = assessment_consumer(
            idempotency,
            content=content,
            database=database,
            teller=teller,
            topic=settings.topic_rankings,
            ttl_seconds=settings.ttl_seconds,
        )
        return Subscription([settings.topic_spelling, settings.topic_rankings], consume)


def providers() -> list[Provider]:
    """All that the service needs."""
    return consumer_providers(CjAssessmentSettings, core_logic.MIGRATION, CjAssessmentProvider())
