"""``python -m reference_impl.batch_orchestrator``."""

from __future__ import annotations

from reference_impl.batch_orchestrator.di import providers
from reference_impl.service_libs.serving import main

if __name__ == "__main__":
    main(*providers())
