"""Providers of the comparative judgement."""

from dishka import Provider

from reference_impl.cj_assessment.config import CjAssessmentSettings
from reference_impl.cj_assessment.core_logic import MIGRATION, assessment_consumer
from reference_impl.service_libs.di import consumer_providers


def providers() -> list[Provider]:
    """Return the service's providers."""
    return consumer_providers(CjAssessmentSettings, MIGRATION, assessment_consumer)
