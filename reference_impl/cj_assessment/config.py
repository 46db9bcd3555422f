"""The comparative judgement's settings."""

from typing import ClassVar

from reference_impl.service_libs.settings import ConsumerSettings


class CjAssessmentSettings(ConsumerSettings):
    """Settings of the comparative judgement."""

    SERVICE: ClassVar[str] = "cj_assessment"

    group: str = "cj_assessment"
