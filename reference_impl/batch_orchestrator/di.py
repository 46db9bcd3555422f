"""Providers of the batch orchestrator."""

from dishka import Provider

from reference_impl.batch_orchestrator.config import BatchOrchestratorSettings
from reference_impl.batch_orchestrator.core_logic import MIGRATION, batch_consumer
from reference_impl.service_libs.di import consumer_providers


def providers() -> list[Provider]:
    """Return the service's providers."""
    return consumer_providers(BatchOrchestratorSettings, MIGRATION, batch_consumer)
