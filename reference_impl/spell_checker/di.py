"""What the spell checker is made of."""

from __future__ import annotations

from dishka import Provider, Scope, provide

from reference_impl.service_libs.consumer import Subscription
from reference_impl.service_libs.di import consumer_providers
from reference_impl.service_libs.idempotency import Idempotency
from reference_impl.service_libs.protocols import ContentServiceClientProtocol
from reference_impl.service_libs.teller import Teller
from reference_impl.spell_checker import core_logic
from reference_impl.spell_checker.config import SpellCheckerSettings
from reference_impl.spell_checker.core_logic import spelling_consumer
from reference_impl.spell_checker.spelling import Spelling


class SpellCheckerProvider(Provider):
    """The handler and its dictionary, which is read once."""

    @provide(scope=Scope.APP)
    def spelling(self) -> Spelling:
        """English."""
        return Spelling.english()

    @provide(scope=Scope.APP)
    def subscription(
        self,
        settings: SpellCheckerSettings,
        idempotency: Idempotency,
        content: ContentServiceClientProtocol,
        spelling: Spelling,
        teller: Teller,
    ) -> Subscription:
        """Requests; the results share their topic, and are passed over."""
        consume = spelling_consumer(
            idempotency,
            content=content,
            spelling=spelling,
            teller=teller,
            topic=settings.topic_spelling,
            ttl_seconds=settings.ttl_seconds,
        )
        return Subscription([settings.topic_spelling], consume)


def providers() -> list[Provider]:
    """All that the service needs."""
    return consumer_providers(SpellCheckerSettings, core_logic.MIGRATION, SpellCheckerProvider())
