"""Providers of the spell checker."""

from dishka import Provider

from reference_impl.service_libs.di import consumer_providers
from reference_impl.spell_checker.config import SpellCheckerSettings
from reference_impl.spell_checker.core_logic import MIGRATION, spelling_consumer
from reference_impl.spell_checker.spelling import Spelling


def providers() -> list[Provider]:
    """Return the service's providers."""
    return consumer_providers(SpellCheckerSettings, MIGRATION, spelling_consumer, Spelling.english)
