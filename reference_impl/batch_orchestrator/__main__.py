"""``python -m reference_impl.batch_orchestrator``."""

from reference_impl.batch_orchestrator.di import providers
from reference_impl.service_libs.serving import main

main(*providers())
