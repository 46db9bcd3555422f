"""What the spell checker is made of."""

from dishka import Provider

from reference_impl.service_libs.di import consumer_providers
from reference_impl.spell_checker.config import SpellCheckerSettings
from reference_impl.spell_checker.core_logic import MIGRATION, spelling_consumer
from reference_impl.spell_checker.spelling import Spelling


def providers() -> list[Provider]:
    """All that the service needs."""
    return consumer_providers(SpellCheckerSettings, MIGRATION, spelling_consumer, Spelling.english)
