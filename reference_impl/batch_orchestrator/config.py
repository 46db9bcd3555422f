"""The batch orchestrator's settings."""

from typing import ClassVar

from reference_impl.service_libs.settings import ConsumerSettings


class BatchOrchestratorSettings(ConsumerSettings):
    """Settings of the batch orchestrator."""

    SERVICE: ClassVar[str] = "batch_orchestrator"

    group: str = "batch_orchestrator"
