"""Providers of the essay lifecycle."""

from dishka import Provider

from reference_impl.essay_lifecycle.config import EssayLifecycleSettings
from reference_impl.essay_lifecycle.core_logic import MIGRATION, essay_consumer
from reference_impl.service_libs.di import consumer_providers


def providers() -> list[Provider]:
    """Return the service's providers."""
    return consumer_providers(EssayLifecycleSettings, MIGRATION, essay_consumer)
