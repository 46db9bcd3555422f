"""The comparative judgement's settings."""

from typing import ClassVar

from reference_impl.service_libs.settings import ConsumerSettings


class CjAssessmentSettings(ConsumerSettings):
    """A consumer's."""

    SERVICE: ClassVar[str] = "cj_assessment"

    group: str = "cj_assessment"
