"""The essay lifecycle's settings."""

from typing import ClassVar

from reference_impl.service_libs.settings import ConsumerSettings


class EssayLifecycleSettings(ConsumerSettings):
    """Settings of the essay lifecycle."""

    SERVICE: ClassVar[str] = "essay_lifecycle"

    group: str = "essay_lifecycle"
